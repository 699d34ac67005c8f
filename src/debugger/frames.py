# The chain of awaits of a routine: its coroutine frames, from the innermost outwards.
#
# Both compilers begin a frame with two pointers to functions, which resume and destroy it; the promise follows. The
# base of each task's promise is at the same place (task_promise.hpp).

PROMISE = 16
MOST_FRAMES = 100_000


class frame:
    def __init__(self, address, place):
        self.address = address
        self.place = place  # where it waits, if that is known
        self.code = word(address) or word(address + 8)
        symbol = the.symbol_at(self.code)
        self.symbol = symbol[0] if symbol and symbol[1] == 0 else None
        self.name = function_name(self.symbol) if self.symbol else f"the coroutine at 0x{self.code:x}"
        self.is_ringos = self.name.startswith("ringo::detail::")

    def awaited_by(self):
        """The address of the awaited_task in the frame that awaits this one; 0 in the routine's first task."""
        return word(self.address + PROMISE + offset("task_promise_base", "awaited_by"))


def chain(innermost, place):
    """The frames, from the innermost outwards; `place` is where the innermost waits."""
    at, count = innermost, 0
    while at and count < MOST_FRAMES:
        try:
            one = frame(at, place)
            by = one.awaited_by()
        except unreadable:
            return
        yield one
        if by == 0:
            return
        place = None
        for member in ("where", "awaited_at", "place"):
            if has("awaited_task", member):
                place = place_at(by + offset("awaited_task", member))
                break
        at, count = word(by + offset("awaited_task", "awaiting")), count + 1


def is_resume(symbol):
    return re.search(r"\.(actor|resume)\b", symbol) is not None


def frame_among(words, function):
    """The coroutine's frame that a function on the stack runs in: in a register, or between its stack pointer and its
    caller's, which are `words`. Compilers lose the variable that refers to it, but a frame begins with the function."""
    function = re.sub(r" \[clone \.cold\]| \(\.cold\)|\.cold(?=\))", "", function)
    for each in words:
        try:
            symbol = the.symbol_at(word(each)) if each > 4096 and each % 16 == 0 else None
        except unreadable:
            continue
        if symbol == (function, 0):
            return each
    return None


# The members of a frame as g++ names them: a plain name is a parameter, `name_DEPTH_NUMBER` a local. clang, without
# optimisation, keeps the names; it calls temporary objects by their types.
def is_local(name):
    return not re.match(r"_Coro_|__|(Is|Fs|Aw\d*|Rn\d*|Yd\d*|T\d+)_|D\.\d+|$|PointerType|UnknownType|"
                        r"(class|struct|union|enum)_.*(__|_\d+$)", name)


def name_of_local(name):
    return re.sub(r"_\d+_\d+$", "", name)


def clipped(text):
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."


# Members by which a channel, a mutex, a guard and the like refer to their insides.
HANDLES = ("core_", "of_", "hold_", "alarm_", "source_")


def text_of_handle(to, of_guard=False):
    """The object that a handle refers to. A guard has it within a member `hold_`; in the memory of one that is not made
    yet there may be what an earlier guard has left, whose object is free then, or locked by another routine."""
    if to == 0:
        return "empty"
    kind = class_of(to) if to > 4096 else None
    if not kind or "ringo::" not in kind:
        return None
    of = source_at(to, kind)
    if of_guard and of.is_permit and of.it.word("available_") == of.it.word("total_"):
        return "holds nothing yet, or no more"
    if of_guard and of.kind == "mutex" and of.taker() not in (0, getattr(the, "shown_routine", 0)):
        return f"of {describe_source(of, {})}: holds it only if #{of.taker()} has moved it here"
    return ("holds " if of_guard else "") + describe_source(of, {})
