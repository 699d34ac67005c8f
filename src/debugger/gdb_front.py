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

    def _frame_symbol(self, block):
        return next((s for s in block if s.name in ("frame_ptr", "__coro_frame")), None)

    def _block_of(self, address):
        """The outermost block of the function there."""
        block = gdb.block_for_pc(address)
        while block is not None and block.function is None:
            block = block.superblock
        return block or ()

    def size_of_frame(self, address):
        symbol = self._frame_symbol(self._block_of(address))
        size = _whole(symbol.type).sizeof if symbol is not None else 0
        return size if size > PROMISE else None

    def locals_in(self, address, frame):
        block = self._block_of(address)
        symbol = self._frame_symbol(block)
        if symbol is None:
            return None
        type = _whole(symbol.type)
        if type.fields():
            members = [(f.name or "", f.bitpos // 8, f.type) for f in type.fields()]
        else:
            members = self._members_without_types(block, type.name or "", symbol.symtab.objfile.filename)
        found = []
        for name, at, type in members or ():
            value = gdb.Value(frame + at).cast(type.pointer()).dereference()
            if name == "__closure":
                found += self._captures(value)
            elif is_local(name):
                text = self._text(value)
                found.append((name_of_local(name),
                              f"{text} -> {self._text(value.dereference())}" if name == "this" else text))
        return found if members else None

    def _captures(self, closure):
        try:
            it = closure.dereference()
            return [("[" + re.sub("^__", "", f.name or "") + "]", self._text(it[f])) for f in it.type.fields()]
        except (gdb.error, RuntimeError):
            return []

    def _members_without_types(self, block, type_name, path):
        """As above; the types are those of the function's variables with these names."""
        types = {}
        for symbol in block:
            types.setdefault(symbol.name, []).append(symbol.type)
        members = []
        for name, at in members_in_file(path, type_name.rsplit("::", 1)[-1]) or ():
            of_name = types.get(name_of_local(name))
            if of_name:
                members.append((name, at, of_name.pop(0) if len(of_name) > 1 else of_name[0]))
        return members or None

    def _text(self, value):
        try:
            if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
                value = value.referenced_value()
            handle = self._handle(value) if (_whole(value.type).name or "").startswith("ringo::") else None
            if handle is None and value.is_optimized_out is False and not _whole(value.type).sizeof:
                handle = text_of_handle(word(int(value.address)))  # a type that the program does not describe
            if handle is not None:
                return handle
            text = value.format_string(max_elements=40, repeat_threshold=10, symbols=False,
                                       static_members=False)
        except (gdb.error, RuntimeError, unreadable) as why:
            return f"<{why}>"
        return clipped(text)

    def _handle(self, value, of_guard=False):
        for name in HANDLES:
            try:
                inside = value[name]
            except (gdb.error, TypeError, ValueError):
                continue
            if inside.type.strip_typedefs().code != gdb.TYPE_CODE_PTR:
                return self._handle(inside, of_guard or name == "hold_")
            return text_of_handle(int(inside), of_guard)
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
            is_coroutine = f.type() != gdb.INLINE_FRAME and symbol is not None and is_resume(symbol[0])
            lines.append((function_name(symbol[0]) + "  (a coroutine)" if is_coroutine else name) + place)
            frames.append(self._frame_of(f, symbol[0]) if is_coroutine else None)
            f = f.older()
        return lines, frames

    def _frame_of(self, f, function):
        try:
            words = [int(f.read_register(r.name).cast(gdb.lookup_type("unsigned long")))
                     for r in f.architecture().registers("general") if len(r.name) == 3 or r.name.startswith("x")]
            start, older = int(f.read_register("sp")), f.older()
            end = int(older.read_register("sp")) if older is not None else start
            if 0 < end - start < 1 << 20:
                words += [word(at) for at in range(start, end - 7, 8)]
        except (gdb.error, ValueError, unreadable):
            return None
        return frame_among(words, function)

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
