# What routines wait in: the kind of the operation by the symbol of parked_operation::describe, and its cases, which are
# found without the program's debug information: each case names its routine in `blocked`, is linked into its source,
# and refers to that source soon after its links.

MOST_WAITERS = 1_000_000
BYTES_OF_A_WAIT = 8192
BYTES_OF_A_CASE = 256

_words = {
    "one shot": "a call of the kernel", "permit request": "a lock or permits", "gate": "an event, a latch or a wait_group",
    "alarm": "a timer", "finished": "the end of a routine", "done": "a context's end", "group ended": "a group's end",
    "group slot": "room in a group", "send value": "send", "barrier": "a barrier", "condition": "a condition",
    "blocking": "a blocking call", "signal": "a signal", "completion": "a completion"}
# These say no more than the object does.
_SAID_BY_SOURCE = {_words[name] for name in (
    "permit request", "gate", "alarm", "done", "barrier", "condition", "finished", "completion", "signal")}


def operation_of(r):
    """The operation that a routine waits in, in words."""
    symbol = the.symbol_at(word(r.parked + offset("parked_operation", "describe"))) if r.waits else None
    if symbol is None:
        return "an operation of unknown kind (the program is stripped)" if r.waits else "?"
    found = (re.search(r"\bfunctions_of<(?:ringo::)?(?:detail::)?(\w+)", symbol[0]) or
             re.search(r"\b(select(?:_any)?_operation)<", symbol[0]) or
             re.search(r"\boperation<(?:ringo::)?(?:detail::)?(\w+)", symbol[0]))
    name = found.group(1) if found else without_arguments(symbol[0])
    name = re.sub(r"_operation$", "", name).replace("_", " ")
    return _words.get(name, name)

_DESCRIPTORS = ("stream_core", "listener_core", "datagram_core", "file_core")


class case:
    def __init__(self, address, source, queue):
        self.address, self.source, self.queue = address, source, queue


def cases_of(r):
    """The cases of a routine's wait whose sources are known."""
    if not r.waits:
        return []
    start = r.parked + layout("parked_operation")[0]
    is_select = operation_of(r).startswith("select")
    found = scan(r, start, BYTES_OF_A_WAIT if is_select else BYTES_OF_A_CASE, many=is_select)
    if is_select:  # its cases may be elsewhere: a case that has a name, a vector of cases
        elsewhere = []
        for at in range(start, start + 24 * 8, 8):
            try:
                to = word(at)
                for case_at in (to, word(to)) if to > 4096 else ():
                    if case_at > 4096 and not any(c.address == case_at for c in found):
                        elsewhere += scan(r, case_at, BYTES_OF_A_CASE, many=operation_of(r) == "select any")
            except unreadable:
                pass
        found += elsewhere
    return sorted({c.address: c for c in found}.values(), key=lambda c: c.address)


def scan(r, start, size, many):
    data = b""
    while size >= 64 and not data:
        try:
            data = the.read(start, size)
        except unreadable:
            size //= 2
    words = [int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data) - 7, 8)]
    found = []
    for i, each in enumerate(words):
        if each != r.address or i + 1 >= len(words) or words[i + 1] & 0xff != 1:  # progress::waiting
            continue
        c = case_with_source(start + 8 * i, words[i + 1:i + 1 + BYTES_OF_A_CASE // 8], r.address)
        if c is not None:
            found.append(c)
        if not many:
            break
    return found


def case_with_source(at, words, blocked):
    links = (layout("waiter")[0] - 8) // 8
    for to in words[links:]:
        if to == blocked:  # the next case begins
            return None
        name = class_of(to) if to > 4096 else None
        if name is not None and "ringo::" in name and not name.endswith("_operation"):
            s = source_at(to, name)
            for queue in s.queues:
                if at in s.waiters(queue):
                    return case(at, s, queue)
            return case(at, s, None) if not s.queues else None
    return None


def source_at(address, name):
    if address not in _sources:
        _sources[address] = source(address, name)
    return _sources[address]


class source:
    """Something that routines wait for."""

    def __init__(self, address, name):
        self.address, self.name, self._waiters = address, name, {}
        plain = without_arguments(name).replace("ringo::detail::", "")
        self.is_channel = plain == "channel_state"
        self.is_permit = plain == "permit_core"
        self.is_routine = plain.startswith(("routine_of", "record", "foreign_record"))
        self.queues = []
        if self.is_channel:
            self.it = thing("channel_core", address)
            self.kind = plain_strings(name[name.index("channel_state"):].replace("channel_state", "channel", 1))
            self.kind = self.kind.replace("ringo::detail::signal>", "void>").replace(" >", ">")
            self.queues = ["receivers", "senders"]
        elif self.is_permit:
            self.it = thing("permit_core", address)
            self.kind = ("mutex", "shared_mutex", "semaphore")[self.it.word("kind_", 1)]
            self.queues = ["queue_", "apart_"]
        elif self.is_routine:
            self.it = thing("routine", address)
            self.kind = "routine"
            self.queues = ["joiners"]
        elif plain == "context_core":
            self.it = thing("context_core", address)
            self.kind = "context"
            self.queues = ["waiting_"]
        elif plain in _DESCRIPTORS:
            self.it = thing("descriptor_source", address)
            self.kind = plain[:-len("_core")]
        else:
            self.kind = re.sub(r"^\W*|_(core|source|state)$", "", plain).replace("alarm", "timer")
            if self.kind in ("event", "latch", "wait_group", "condition", "timer", "barrier"):
                self.it = thing("object_source", address)
                self.queues = ["queue_"]

    def waiters(self, queue):
        """{waiter: the routine that it blocks}, the oldest first."""
        if queue not in self._waiters:
            found = self._waiters[queue] = {}
            at = self.it.word(queue, within=offset("wait_queue", "head_"))
            while at and at not in found and len(found) < MOST_WAITERS:
                try:
                    w = thing("waiter", at)
                except unreadable:
                    break
                found[at] = w.word("blocked")
                at = w.word("next")
        return self._waiters[queue]

    def state(self):
        """In words: what else is known of it."""
        if self.is_channel:
            text = f"{self.it.word('count')} of {self.it.word('capacity_')} values"
            return text + (", closed" if self.it.flag("closed_") else "")
        if self.is_permit:
            free, total = self.it.word("available_"), self.it.word("total_")
            if self.kind == "semaphore":
                return f"{free} of {total} permits are free"
            if self.kind == "shared_mutex" and 0 < free < total:
                return "locked by " + plural(total - free, "reader")
            return "free" if free else f"locked by #{self.taker()}" if self.taker() else "locked"
        if self.kind + "_core" in _DESCRIPTORS:
            number = self.it.word("number_", 4)
            return "closed" if number >> 31 else f"descriptor {number}"
        return ""

    def taker(self):
        """The number of the routine that was the last to take permits; 0 if it is not known."""
        return self.it.word("taker_", 4) if not self.it.flag("passes_on_") else 0
