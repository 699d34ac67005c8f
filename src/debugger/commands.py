# The commands, for each debugger: `ringo routines`, `ringo where N`, `ringo channels`, `ringo workers`.

USAGE = """ringo routines [--group] [RUNTIME]   each routine: its state, what it waits for, where, where it was started
ringo where N | all                  the chain of awaits of routine N, from the innermost outwards, with its locals
ringo channels                       the channels, mutexes and other objects that routines wait for
ringo workers                        the workers: thread, current routine, queue, timers, counters"""

LEAST_GROUPED = 1000
MOST_NAMED = 12


def names_of(numbers):
    shown = ", ".join(f"#{n}" for n in numbers[:MOST_NAMED])
    return shown + (f" and {len(numbers) - MOST_NAMED:,} more" if len(numbers) > MOST_NAMED else "")


def describe_source(s, numbers):
    if s.is_routine:
        number = f"#{numbers[s.address]}" if s.address in numbers else f"0x{s.address:x}"
        return f"routine {number}{given_name(s.address)}"
    state = s.state()
    return f"{s.kind}{given_name(s.address)} 0x{s.address:x}" + (f" ({state})" if state else "")


def numbers_of(runtimes):
    return {r.address: r.number for rt in runtimes for r in rt.routines}


def what_it_waits_for(r, numbers):
    """"receive on channel<int> 0x...", "select of mutex 0x..., ...", "sleep"."""
    cases = cases_of(r)
    text = operation_of(r)
    if text in ("select", "select any"):
        return text + (" of " + ", ".join(role(c, numbers) for c in cases) if cases else "")
    if not cases:
        return text
    on = describe_source(cases[0].source, numbers)
    if text in _SAID_BY_SOURCE:
        return {"the end of a routine": "the end of "}.get(text, "") + on
    return text if text == "a blocking call" else f"{text} on {on}"


def role(c, numbers):
    verb = {"receivers": "receive on ", "senders": "send on "}.get(c.queue, "")
    return verb + describe_source(c.source, numbers)


def state_of(r, numbers, grouped=False):
    if r.waits:
        text = "waits for " + (operation_of(r) if grouped else what_it_waits_for(r, numbers))
        place = r.waits_at()
        text += f", at {place}" if place else ""
    else:
        text = r.state()
    marks = r.remarks()
    return text + (f" ({', '.join(marks)})" if marks else "")


def start_of(r):
    if r.is_main():
        return "main"
    place = r.started()
    return f"started at {place}" if place else "started at an unknown place"


def chosen_runtimes(arguments):
    runtimes = all_runtimes()
    if not runtimes:
        raise refusal("no runtime runs in this process")
    if not arguments:
        return runtimes
    if not arguments[0].isdigit() or not 1 <= int(arguments[0]) <= len(runtimes):
        raise refusal(f"there is no runtime {arguments[0]}: this process has {plural(len(runtimes), 'runtime')}")
    return [runtimes[int(arguments[0]) - 1]]


def show_routines(arguments):
    options = [a for a in arguments if a.startswith("-")]
    if any(o != "--group" for o in options):
        raise refusal(f"there is no option {options[0]}\n{USAGE}")
    runtimes = chosen_runtimes([a for a in arguments if not a.startswith("-")])
    numbers = numbers_of(runtimes)
    for rt in runtimes:
        grouped = bool(options) or len(rt.routines) >= LEAST_GROUPED
        the.write(f"runtime {rt.number}: {plural(len(rt.routines), 'routine')} on {plural(len(rt.workers), 'worker')}")
        if not grouped:
            for r in rt.routines:
                context = f", under context{given_name(r.context)} 0x{r.context:x}" if r.context else ""
                the.write(f"  #{r.number}{given_name(r.address)}  {state_of(r, numbers)}; {start_of(r)}{context}")
            continue
        groups = {}
        for r in rt.routines:
            name = given_name(r.address)
            key = r.rank(), (name and name[1:] + "  ") + state_of(r, numbers, True), start_of(r)
            groups.setdefault(key, []).append(r.number)
        for (_, state, start), members in sorted(groups.items(), key=lambda g: (g[0][0], -len(g[1]))):
            the.write(f"  {len(members):7,}  {state}; {start}  [{names_of(members)}]")


def referred_to(one, starts):
    """The objects that a frame whose members are not described refers to: one word, or two, away."""
    after = bisect.bisect_right(starts, one.address)
    size = min(starts[after] - one.address if after < len(starts) else 512, 512)
    found = {}
    for at in range(one.address + PROMISE, one.address + size - 7, 8):
        try:
            to = word(at)
            for target in (to, word(to)) if to > 4096 else ():
                kind = class_of(target) if target > 4096 else None
                if kind and "ringo::detail::" in kind and not kind.endswith("_operation"):
                    s = source_at(target, kind)
                    if not s.is_routine:
                        found[target] = describe_source(s, {})
                    break
        except unreadable:
            pass
    return list(found.values())


def show_where(arguments):
    if len(arguments) != 1:
        raise refusal("usage: ringo where N, with a number from `ringo routines` or the address of a record; or all")
    runtimes = chosen_runtimes([])
    numbers = numbers_of(runtimes)
    chosen = [r for rt in runtimes for r in rt.routines]
    if arguments[0] != "all":
        try:
            wanted = int(arguments[0].lstrip("#"), 0)
        except ValueError:
            raise refusal(f"{arguments[0]} is not the number of a routine")
        chosen = [r for r in chosen if wanted in (r.number, r.address)]
    if not chosen:
        raise refusal(f"there is no routine {arguments[0]}: `ringo routines` lists them")
    routines = [r for rt in runtimes for r in rt.routines]
    blocks = [r.address for r in routines]
    if len(routines) < LEAST_GROUPED:
        blocks += [one.address for r in routines for one in chain(r.frame(), None)]
        blocks += [c.source.address for r in routines for c in cases_of(r)]
    for r in chosen:
        the.write(f"routine #{r.number}{given_name(r.address)} (record 0x{r.address:x}): {state_of(r, numbers)}")
        innermost = r.frame()
        if r.runs_on is not None:
            name = the.thread(r.runs_on.thread)
            lines, frames = the.stack(r.runs_on.thread) if name else ([], [])
            the.write(f"  on the stack of {name or f'the thread {r.runs_on.thread}, which the debugger does not know'}:")
            for line in lines:
                the.write("    " + line)
            innermost = next((f for f in frames if f), 0)
        show_chain(innermost, r, blocks)
        the.write(f"  {start_of(r)}")


def show_chain(innermost, r, blocks):
    if not innermost:
        if r.runs_on:
            the.write("  No coroutine's frame was found on that stack, so the chain of awaits is not known.")
        elif r.kind == BEGINS:
            the.write("  It has not begun, so it has no coroutine frame.")
        else:
            the.write("  Its frames are not known: it awaits something that is not ringo's.")
        return
    the.shown_routine = r.number
    no_lines = no_locals = False
    number = 0
    frames = list(chain(innermost, r.waits_at()))
    starts = sorted(blocks + [one.address for one in frames])  # where a frame's memory ends at the latest
    for one in frames:
        if one.name.endswith("::call_and_await"):
            continue  # it awaits what go() was given
        line = the.line_of(one.code)
        where = f"at {one.place}" if one.place else f"in the coroutine at {line}" if line else ""
        the.write(f"  {number}  {without_arguments(one.name) if one.is_ringos else one.name}  {where}".rstrip())
        number += 1
        if one.is_ringos:
            continue
        no_lines = no_lines or line is None
        variables = the.locals_in(one.code, one.address)
        no_locals = no_locals or variables is None
        for name, text in variables or ():
            the.write(f"       {name} = {text}")
        if variables is None:
            for text in referred_to(one, starts):
                the.write(f"       refers to {text}")
    if no_lines:
        hint("Compile the files of these functions with -g, and their lines and, by g++, their locals are shown.")
    elif no_locals:
        hint("The compiler has not described all frames. What those refer to is found in memory, where some of it may be "
             "left over.")


def show_sources(arguments):
    if arguments:
        raise refusal("usage: ringo channels")
    runtimes = chosen_runtimes([])
    numbers = numbers_of(runtimes)
    sources, unknown = {}, {}
    for rt in runtimes:
        for r in rt.routines:
            cases = cases_of(r)
            if not cases and r.waits:
                unknown.setdefault(operation_of(r), []).append(r.number)
            for c in cases:
                sources.setdefault(c.source.address, (c.source, []))[1].append(r.number)
    if not sources and not unknown:
        the.write("no routine waits")
    for s, waiting in sorted(sources.values(), key=lambda each: -len(each[1])):
        the.write(describe_source(s, numbers))
        if not s.queues:
            the.write(f"    waiting: {names_of(waiting)}")
        for queue in s.queues:
            found = dict.fromkeys(s.waiters(queue).values())
            if found:
                known = [numbers[b] for b in found if b in numbers]
                title = {"receivers": "receivers", "senders": "senders"}.get(queue, "waiting")
                strangers = len(found) - len(known)
                others = f" and {plural(strangers, 'foreign coroutine')}" if strangers else ""
                the.write(f"    {title}: {names_of(known)}{others}")
        if s.is_permit and s.it.word("available_") < s.it.word("total_"):
            if s.kind == "mutex" and s.taker():
                continue  # the first line has said it
            holders = holders_of(s, runtimes, set(waiting))
            the.write(f"    held, as far as frames tell, by: {names_of(holders) or 'no routine that was found'}")
    for operation, waiting in unknown.items():
        the.write(f"{operation}: {names_of(waiting)}")


def holders_of(s, runtimes, besides):
    """The routines in whose frames a `hold` of the permits lies. Its bytes stay for a time after its end."""
    found, total = [], s.it.word("total_")
    frames = [(r, one) for rt in runtimes for r in rt.routines for one in chain(innermost_of(r), None)]
    starts = sorted([r.address for rt in runtimes for r in rt.routines] + [one.address for _, one in frames])
    for r, one in frames:
        after = bisect.bisect_right(starts, one.address)
        room = starts[after] - one.address if after < len(starts) else 512
        size = min(the.size_of_frame(one.code) or 512, room)
        if r.number not in besides and r.number not in found and holds(one.address, size, s.address, total):
            found.append(r.number)
    return found


def innermost_of(r):
    if r.runs_on is None:
        return r.frame()
    return next((f for f in the.stack(r.runs_on.thread)[1] if f), 0) if the.thread(r.runs_on.thread) else 0


def holds(at, size, core, total):
    try:
        data = the.read(at, size // 8 * 8)
    except unreadable:
        return False
    words = [int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data), 8)]
    return any(a == core and 1 <= b <= total for a, b in zip(words, words[1:]))


def show_workers(arguments):
    for rt in chosen_runtimes(arguments):
        the.write(f"runtime {rt.number}: {plural(len(rt.routines), 'routine')} on {plural(len(rt.workers), 'worker')}")
        numbers = {r.address: r.number for r in rt.routines}
        for w in rt.workers:
            doing = f"runs #{numbers[w.current]}" if w.current in numbers else (
                "sleeps" if w.it.flag("idle_listed") else "looks for work")
            driver = class_of(w.it.word("driver_"))
            name = the.thread(w.thread) or f"thread {w.thread}"
            the.write(f"  worker {w.index}  {name}: {doing}; {plural(w.ready(), 'routine')} ready, "
                      f"{plural(w.it.word('timers', within=offset('timer_queue', 'armed_')), 'timer')}"
                      + (f", driver {short_driver(driver)}" if driver else ""))
            the.write("            " + ", ".join(f"{w.count(n):,} {n}" for n in (
                "started", "ended", "resumes", "waits", "steals", "parks", "wakes") if has("counters", n)))


def short_driver(name):
    return without_arguments(name).replace("(anonymous namespace)::", "").rsplit("::", 1)[-1]


COMMANDS = {"routines": show_routines, "where": show_where, "channels": show_sources, "workers": show_workers}


def run_command(front, line):
    """Runs "routines --group"; returns an error's text, or None."""
    words = line.split()
    use(front)
    if not words or words[0] == "help":
        the.write(USAGE)
        return None
    if words[0] not in COMMANDS:
        return f"there is no command `ringo {words[0]}`\n{USAGE}"
    try:
        COMMANDS[words[0]](words[1:])
    except refusal as why:
        return str(why)
    except unreadable as why:
        return f"{why}. In a core file the memory may be left out (man 5 core, coredump_filter)."
    return None
