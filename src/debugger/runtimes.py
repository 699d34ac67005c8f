# The runtimes of the process, their workers and routines.

# Bits of routine::state.
WAITING, CANCELLED, SHIELDED, CONTEXT_CANCELLED, IMMUNE = 1, 2, 4, 16, 32
# routine::kind.
PLAIN, BEGINS, FOREIGN, TRIES_AGAIN = range(4)


def given_name(address):
    """The name that the program gave to the object or routine, as ` "jobs"`; empty if it has none. The table: names.hpp."""
    if not _names:
        _names[0] = ""
        table = the.address_of("ringo_names")
        chains = layout("name_table")[1]
        first = the.read(table, chains["lock"] - chains["first"]) if table is not None else b""
        for i in range(0, len(first), 8):
            at = int.from_bytes(first[i:i + 8], "little")
            while at:
                entry = thing("name_entry", at)
                text = the.read(at + len(entry.bytes), entry.word("length")).decode("utf-8", "replace")
                _names[~entry.word("object") & (1 << 64) - 1] = f' "{printable(text)}"'
                at = entry.word("next")
    return _names.get(address, "")


class runtime:
    def __init__(self, number, address):
        self.number, self.address = number, address
        self.it = thing("runtime_core", address)
        self.main = self.it.word("main")
        self.workers = [worker(at) for at in pointers(self.it.at("workers"))]
        currents = {w.current: w for w in self.workers if w.current}
        self.routines = []
        for w in self.workers:
            listed = [routine(at, self, currents.get(at)) for at in w.routines()]
            self.routines += reversed(listed)  # the oldest first
        self.routines.sort(key=routine.rank)


class worker:
    def __init__(self, address):
        self.it = thing("scheduler", address)
        self.index = self.it.word("index", 4)
        self.current = self.it.word("current")
        self.thread = self.it.word("thread", 4)

    def routines(self):
        at, seen = self.it.word("routines", within=offset("roster", "first_")), set()
        while at and at not in seen:
            seen.add(at)
            yield at
            at = word(at + offset("routine", "roster_next"))

    def count(self, name):
        return self.it.word("counts", within=offset("counters", name))

    def ready(self):
        queued = (self.it.word("tail_", 4) - self.it.word("head_", 4)) & 0xffffffff
        return queued + self.it.word("early_count_", 4) + sum(
            self.it.word(one) != 0 for one in ("run_next", "newest_", "yielded"))


class routine:
    def __init__(self, address, of, runs_on):
        self.address, self.of, self.runs_on = address, of, runs_on
        self.it = thing("routine", address)
        self.bits = self.it.word("state", 4)
        self.kind = self.it.word("resumed_as", 1)
        self.parked = self.it.word("parked")
        self.waits = bool(self.bits & WAITING) and self.parked != 0
        self.context = self.it.word("context")
        # Null if it was not numbered: then all_runtimes() does it.
        self.number = self.it.word("number", 4) if has("routine", "number") else 0

    def is_main(self):
        return self.address == self.of.main

    def started(self):
        return place_at(self.it.at("started"))

    def waits_at(self):
        return place_at(self.parked + offset("parked_operation", "where")) if self.parked_is_valid() else None

    def parked_is_valid(self):
        return self.waits or self.kind == TRIES_AGAIN

    def frame(self):
        """The innermost coroutine frame; 0 if it is not known: it runs, has not begun, or awaits something foreign."""
        return 0 if self.runs_on or self.kind == BEGINS else self.it.word("resume_at")

    def rank(self):
        """Those that run come first, as they may keep the others, then those that are ready, and those that wait."""
        return 0 if self.runs_on else 2 if self.waits else 1

    def state(self):
        if self.runs_on:
            return f"runs on worker {self.runs_on.index}"
        if self.waits:
            return "waits"
        if self.it.flag("ended"):
            return "has ended"
        return "ready, not begun" if self.kind == BEGINS else "ready"

    def remarks(self):
        marks = []
        if self.bits & CANCELLED:
            marks.append("cancelled")
        if self.bits & CONTEXT_CANCELLED:
            marks.append("context cancelled")
        if self.bits & (SHIELDED | IMMUNE):
            marks.append("shielded")
        return marks


def all_runtimes():
    variable = the.address_of("ringo_runtimes")
    if variable is None:
        raise refusal("there is no symbol ringo_runtimes: the program has no ringo in it, is not loaded, or was "
                      "stripped of its symbols")
    try:
        registry = word(variable)
    except unreadable:
        raise refusal("the process has not started: its memory cannot be read")
    if registry == 0:
        return []
    found = [runtime(i + 1, at) for i, at in enumerate(pointers(registry + offset("registry", "all")))]
    unnumbered = [r for each in found for r in each.routines]
    if not any(r.number for r in unnumbered):
        for number, r in enumerate(unnumbered, 1):  # they stay until the process goes on
            r.number = number
    return found
