# The front end for gdb 10 and newer.
import gdb


def _whole(type):
    """The type itself, without typedefs, const and references."""
    type = type.strip_typedefs()
    while type.code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        type = type.target().strip_typedefs()
    return type.unqualified()


class gdb_front:
    def read(self, address, size):
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except (gdb.MemoryError, gdb.error, OverflowError) as why:
            raise unreadable(f"memory at 0x{address:x} cannot be read") from why

    def address_of(self, symbol):
        for look in (gdb.lookup_global_symbol, gdb.lookup_static_symbol):
            found = look(symbol)
            if found is not None:
                return int(found.value().address)
        try:
            return int(gdb.parse_and_eval(f"(unsigned long) &{symbol}"))  # without debug information
        except gdb.error:
            return None

    def symbol_at(self, address):
        text = gdb.execute(f"info symbol 0x{address:x}", to_string=True).strip()
        found = re.match(r"(.*?)(?: \+ (\d+))?(?: in section \S+(?: of .*)?)?$", text, re.S)
        if text.startswith("No symbol"):
            return None
        return found.group(1), int(found.group(2) or 0)

    def layout(self, type):
        try:
            it = gdb.lookup_type(f"ringo::detail::{type}").strip_typedefs()
        except gdb.error:
            return None
        members = {}
        self._members(it, 0, members)
        return it.sizeof, members

    def _members(self, type, start, members):
        for f in type.fields():
            if not hasattr(f, "bitpos"):
                continue  # static
            at = start + f.bitpos // 8
            if f.is_base_class or not f.name:
                self._members(f.type.strip_typedefs(), at, members)
            else:
                members.setdefault(f.name, at)

    def line_of(self, address):
        at = gdb.find_pc_line(address)
        return f"{short(at.symtab.filename)}:{at.line}" if at.symtab is not None and at.line else None

    def _type_of_frame(self, address):
        block = gdb.block_for_pc(address)
        while block is not None and block.function is None:
            block = block.superblock
        for symbol in block or ():
            if symbol.name in ("frame_ptr", "__coro_frame"):
                return _whole(symbol.type)
        return None

    def size_of_frame(self, address):
        type = self._type_of_frame(address)
        return type.sizeof if type is not None and type.sizeof > PROMISE else None

    def locals_in(self, address, frame):
        type = self._type_of_frame(address)
        return type and self._members_of_frame(gdb.Value(frame).cast(type.pointer()).dereference())

    def _members_of_frame(self, value):
        """g++ makes a struct of each frame: `name_DEPTH_NUMBER` is a local, a plain name a parameter."""
        if not value.type.fields():
            return None
        found = []
        for f in value.type.fields():
            name = f.name or ""
            if re.match(r"_Coro_|__|(Is|Fs|Aw\d*|Rn\d*|Yd\d*|T\d+|D\.\d+)_|D\.\d+", name):
                continue
            found.append((re.sub(r"_\d+_\d+$", "", name), self._text(value[f])))
        return found

    def _text(self, value):
        try:
            handle = self._handle(value)
            if handle is not None:
                return handle
            if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
                value = value.referenced_value()
            text = value.format_string(max_elements=40, repeat_threshold=10, symbols=False)
        except (gdb.error, RuntimeError) as why:
            return f"<{why}>"
        text = " ".join(text.split())
        return text if len(text) <= 120 else text[:117] + "..."

    def _handle(self, value):
        """A channel, a mutex and the like, which refer to their insides."""
        for name in ("core_", "of_"):
            try:
                to = int(value[name])
            except (gdb.error, TypeError):
                continue
            kind = class_of(to) if to > 4096 else None
            return describe_source(source(to, kind), {}) if kind and "ringo::" in kind else None
        return None

    def _find_thread(self, id):
        for each in gdb.selected_inferior().threads():
            if each.ptid[1] == id or each.ptid[2] == id:
                return each
        return None

    def thread(self, id):
        found = self._find_thread(id)
        return f"thread {found.num} (LWP {id})" if found is not None else None

    def stack(self, id):
        before, selected = gdb.selected_thread(), gdb.selected_frame()
        try:
            self._find_thread(id).switch()
            return self._stack(gdb.newest_frame())
        finally:
            before.switch()
            selected.select()

    def _stack(self, f):
        lines, frames = [], []
        while f is not None and f.is_valid() and len(lines) < 64:
            line, at = f.find_sal(), f.pc()
            place = f"  at {short(line.symtab.filename)}:{line.line}" if line.symtab is not None and line.line else ""
            symbol = self.symbol_at(at)
            name = f.name() or (symbol and symbol[0]) or f"0x{at:x}"
            is_coroutine = f.type() != gdb.INLINE_FRAME and symbol is not None and re.search(
                r"\.(actor|resume)\b", symbol[0])
            lines.append((function_name(symbol[0]) + "  (a coroutine)" if is_coroutine else name) + place)
            frames.append(self._frame_of(f, symbol[0]) if is_coroutine else None)
            f = f.older()
        return lines, frames

    def _frame_of(self, f, function):
        """The coroutine's frame that a function on the stack runs in: in a register, or between its stack pointer and
        its caller's. Compilers lose the variable that refers to it, but a frame begins with the function."""
        function = function.replace(" [clone .cold]", "")
        try:
            words = [int(f.read_register(r.name).cast(gdb.lookup_type("unsigned long")))
                     for r in f.architecture().registers("general") if len(r.name) == 3 or r.name.startswith("x")]
            start, older = int(f.read_register("sp")), f.older()
            end = int(older.read_register("sp")) if older is not None else start
            if 0 < end - start < 1 << 20:
                words += [word(at) for at in range(start, end - 7, 8)]
        except (gdb.error, ValueError, unreadable):
            return None
        for each in words:
            try:
                symbol = self.symbol_at(word(each)) if each > 4096 and each % 16 == 0 else None
            except unreadable:
                continue
            if symbol is not None and symbol == (function, 0):
                return each
        return None

    def write(self, text):
        gdb.write(text + "\n")


class ringo_command(gdb.Command):
    __doc__ = "Shows ringo's routines, in a process or a core file.\n\n" + USAGE

    def __init__(self):
        super().__init__("ringo", gdb.COMMAND_STATUS)

    def invoke(self, line, from_tty):
        error = run_command(gdb_front(), line)
        if error is not None:
            raise gdb.GdbError("ringo: " + error)

    def complete(self, text, word):
        return [name for name in COMMANDS if name.startswith(word)] if " " not in text.strip() else []


ringo_command()
