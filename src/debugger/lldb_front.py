# The front end for lldb 16 and newer.
import lldb


def _whole(type):
    """The type itself, without typedefs, const, pointers and references."""
    type = type.GetCanonicalType()
    while type.IsPointerType() or type.IsReferenceType():
        type = (type.GetPointeeType() if type.IsPointerType() else type.GetDereferencedType()).GetCanonicalType()
    return type.GetUnqualifiedType()


class lldb_front:
    def __init__(self, debugger, result):
        self.target, self.result = debugger.GetSelectedTarget(), result
        self.process = self.target.GetProcess()

    def read(self, address, size):
        error = lldb.SBError()
        # The target's, which also has what a core file leaves to the program's file.
        data = self.target.ReadMemory(lldb.SBAddress(address, self.target), size, error)
        if error.Fail() or data is None or len(data) < size:
            raise unreadable(f"memory at 0x{address:x} cannot be read")
        return bytes(data)

    def address_of(self, symbol):
        for each in self.target.FindSymbols(symbol):
            at = each.GetSymbol().GetStartAddress().GetLoadAddress(self.target)
            if at != lldb.LLDB_INVALID_ADDRESS:
                return at
        return None

    def symbol_at(self, address):
        at = self.target.ResolveLoadAddress(address)
        symbol = at.GetSymbol()
        if not symbol.IsValid() or not symbol.GetName():
            return None
        return symbol.GetName(), address - symbol.GetStartAddress().GetLoadAddress(self.target)

    def layout(self, type):
        for each in self.target.FindTypes(f"ringo::detail::{type}"):
            if each.GetNumberOfFields() or each.GetNumberOfDirectBaseClasses():
                members = {}
                self._members(each.GetCanonicalType(), 0, members)
                return each.GetByteSize(), members
        return None

    def _members(self, type, start, members):
        for f in type.fields:
            if f.GetName():
                members.setdefault(f.GetName(), start + f.GetOffsetInBytes())
            else:
                self._members(f.GetType(), start + f.GetOffsetInBytes(), members)
        for base in type.bases:
            self._members(base.GetType().GetCanonicalType(), start + base.GetOffsetInBytes(), members)

    def line_of(self, address):
        return self._place(self.target.ResolveLoadAddress(address).GetLineEntry())

    def _place(self, line):
        known = line.IsValid() and 0 < line.GetLine() < lldb.LLDB_INVALID_LINE_NUMBER
        return f"{line.GetFileSpec().GetFilename()}:{line.GetLine()}" if known else None

    def _type_of_frame(self, address):
        block = self.target.ResolveLoadAddress(address).GetFunction().GetBlock()
        for variable in block.GetVariables(self.target, True, True, False) if block.IsValid() else ():
            if variable.GetName() in ("frame_ptr", "__coro_frame"):
                return _whole(variable.GetType())
        return None

    def size_of_frame(self, address):
        type = self._type_of_frame(address)
        return type.GetByteSize() if type is not None and type.GetByteSize() > PROMISE else None

    def locals_in(self, address, frame):
        type = self._type_of_frame(address)
        if type is None or not type.GetNumberOfFields():
            return None
        found = []
        for f in type.fields:
            name, at = f.GetName() or "", lldb.SBAddress(frame + f.GetOffsetInBytes(), self.target)
            value = self.target.CreateValueFromAddress(name or "_", at, f.GetType())
            if name == "__closure":
                captured = value.Dereference()
                found += [("[" + re.sub("^__", "", c.GetName() or "") + "]", self._text(c)) for c in captured]
            elif is_local(name):
                found.append((name_of_local(name), self._text(value)))
        return found

    def _text(self, value):
        if value.GetType().IsReferenceType():
            value = value.Dereference()
        name = _whole(value.GetType()).GetName() or ""
        text = self._handle(value.GetNonSyntheticValue()) if name.startswith("ringo::") else None
        return clipped(text or self._plain(value, 3))

    def _plain(self, value, depth):
        text = value.GetSummary() or value.GetValue()
        if text or depth == 0:
            return text or "..."
        return "{" + ", ".join(f"{c.GetName()} = {self._plain(c, depth - 1)}" for c in list(value)[:8]) + "}"

    def _handle(self, value, of_guard=False):
        for name in HANDLES:
            inside = value.GetChildMemberWithName(name)
            if not inside.IsValid():
                continue
            if not inside.GetType().IsPointerType():
                return self._handle(inside, of_guard or name == "hold_")
            return text_of_handle(inside.GetValueAsUnsigned(), of_guard)
        return None

    def _find_thread(self, id):
        return next((t for t in self.process if t.GetThreadID() == id), None)

    def thread(self, id):
        found = self._find_thread(id)
        return f"thread {found.GetIndexID()} (LWP {id})" if found is not None else None

    def stack(self, id):
        lines, frames = [], []
        for f in list(self._find_thread(id))[:64]:
            line, symbol = self._place(f.GetLineEntry()), self.symbol_at(f.GetPC())
            place = f"  at {line}" if line else ""
            is_coroutine = not f.IsInlined() and symbol is not None and is_resume(symbol[0])
            name = f.GetFunctionName() or f"0x{f.GetPC():x}"
            lines.append((function_name(symbol[0]) + "  (a coroutine)" if is_coroutine else name) + place)
            frames.append(self._frame_of(f, symbol[0]) if is_coroutine else None)
        return lines, frames

    def _frame_of(self, f, function):
        words = [r.GetValueAsUnsigned() for r in f.GetRegisters()[0]]
        older = f.GetThread().GetFrameAtIndex(f.GetFrameID() + 1)
        try:
            if older.IsValid() and 0 < older.GetSP() - f.GetSP() < 1 << 20:
                words += [word(at) for at in range(f.GetSP(), older.GetSP() - 7, 8)]
        except unreadable:
            pass
        return frame_among(words, function)

    def write(self, text):
        self.result.AppendMessage(text)


def ringo(debugger, line, result, internal_dict):
    """Shows ringo's routines, in a process or a core file."""
    error = run_command(lldb_front(debugger, result), line)
    if error is not None:
        result.SetError("ringo: " + error)
