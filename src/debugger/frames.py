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
