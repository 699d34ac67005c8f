# How the scripts read a stopped process or a core file: raw memory, and the places of members by their names, which a
# front end (gdb_front.py, lldb_front.py) finds in the debug information. No code of the process runs.
#
# The parts of src/debugger are one module (CMakeLists.txt), so they share their names.
import bisect
import re


class refusal(Exception):
    """Ends a command with a message."""


# The front end. It provides:
#   read(address, size)          bytes; raises `unreadable`
#   address_of(symbol)           None if there is no such symbol
#   symbol_at(address)           the demangled name of the symbol there, and the distance from its start; or None
#   layout(type)                 (size, {member: offset}) of ringo::detail::type, with its bases' members; or None
#   line_of(address)             "file:line" of a place in the code; or None
#   locals_in(address, frame)    [(name, text)] of a coroutine's frame whose function is at that address, or None
#   thread(id)                   what the debugger calls the thread with that id of the system; or None
#   stack(id)                    (lines of its native stack, [address of a coroutine's frame or None] of each line)
#   size_of_frame(address)       of a coroutine whose function is at that address; None if it is not known
#   write(text)                  a line for the user
class unreadable(Exception):
    pass


the = None
_layouts, _classes, _sources, _hints, _names = {}, {}, {}, {}, {}  # what was read, and told, since the command began


def use(front):
    """Called at the start of each command: what was read before may have changed."""
    global the
    the = front
    for known in (_layouts, _classes, _sources, _hints, _names):
        known.clear()


def hint(text):
    """Writes it once a command."""
    if text not in _hints:
        _hints[text] = True
        the.write("  " + text)


def layout(type):
    if type not in _layouts:
        found = the.layout(type)
        if found is None or not found[1]:
            raise refusal(
                f"there is no debug information for ringo::detail::{type}. ringo's own file src/debugger/embedded.cpp "
                "is compiled with -g, unless ringo was configured with -DRINGO_DEBUGGER=OFF; perhaps `strip` has "
                "removed it. Build ringo again, or give the debugger the file that was not stripped "
                "(`symbol-file` in gdb).")
        _layouts[type] = found
    return _layouts[type]


def offset(type, member):
    members = layout(type)[1]
    if member not in members:
        raise refusal(f"ringo::detail::{type} has no member {member}: the program was built with another version of "
                      "ringo than this script")
    return members[member]


def has(type, member):
    return member in layout(type)[1]


def word(address, size=8):
    return int.from_bytes(the.read(address, size), "little")


def text_at(address, most=4096):
    text = b""
    while len(text) < most:
        # Up to the next page, which may be missing.
        piece = the.read(address + len(text), min(256 - (address + len(text)) % 256, most))
        end = piece.find(b"\0")
        if end >= 0:
            return (text + piece[:end]).decode("utf-8", "replace")
        text += piece
    return text.decode("utf-8", "replace")


class thing:
    """An object of a type of ringo::detail. Its bytes are read once."""

    def __init__(self, type, address):
        self.type, self.address = type, address
        self.bytes = the.read(address, layout(type)[0])

    def at(self, member):
        return self.address + offset(self.type, member)

    def word(self, member, size=8, within=0):
        start = offset(self.type, member) + within
        return int.from_bytes(self.bytes[start:start + size], "little")

    def flag(self, member):
        return self.word(member, 1) != 0


def place_at(address):
    """The std::source_location there, as "file:line"; None if it is empty. Compilers make it a pointer to this."""
    to = word(address)
    if to == 0:
        return None
    file, line = word(to), word(to + 16, 4)
    return f"{short(text_at(file))}:{line}" if file and line else None


def printable(text):
    """Without what a terminal would obey: names come from the program's users."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plural(count, noun):
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def short(path):
    return path.rsplit("/", 1)[-1]


def pointers(address):
    """The elements of the std::vector of pointers there."""
    first, last = word(address), word(address + 8)
    if not first or last < first or last - first > 1 << 20:
        return []
    return [word(at) for at in range(first, last, 8)]


def class_of(address):
    """The class of the object with virtual functions there, by the symbol of its table; None if it is none."""
    try:
        table = word(address)
    except unreadable:
        return None
    if table not in _classes:
        symbol = the.symbol_at(table) if table > 4096 else None
        name = symbol[0] if symbol else ""
        _classes[table] = name[len("vtable for "):] if name.startswith("vtable for ") else None
    return _classes[table]


def matching(text, at):
    """Where the bracket that closes at `at` opens."""
    depth = 0
    for i in range(at, -1, -1):
        depth += (text[i] in ")>]}") - (text[i] in "(<[{")
        if depth == 0:
            return i
    return 0


def function_name(symbol):
    """The qualified name of a coroutine, from the symbol of its resume or destroy function.

    g++:    planted::pick(planted::pick(ringo::channel<int>)::_ZN7planted4pickEN5ringo7channelIiEE.Frame*) [clone .actor]
    clang:  planted::pick(ringo::channel<int>) [clone .resume]
    """
    name = re.sub(r"( \[clone [^\]]*\]| \(\.\w+\)|\.(actor|destroy|resume|cleanup))+$", "", symbol)
    name = re.sub(r" (const|&|&&)+$", "", name.replace("->", "\1").replace(") const::", ")::"))
    if name.endswith(")"):
        inside = re.match(r"(.*)::[^ ]*\.Frame ?\*$", name[matching(name, len(name) - 1) + 1:-1])
        name = re.sub(r" (const|&|&&)+$", "", inside.group(1) if inside else name)
    if name.endswith(")"):
        name = name[:matching(name, len(name) - 1)]
    # What a template's symbol begins with is the result's type.
    depth = 0
    for i in range(len(name) - 1, -1, -1):
        depth += (name[i] in ")>}") - (name[i] in "(<{")
        if name[i] == " " and depth == 0:
            name = name[i + 1:]
            break
    name = re.sub(r"::operator\(\)(\([^()]*\)(?=::))?", "", name)  # of lambdas
    return plain_strings(re.sub(r"\((?!anonymous)[^()]*\)(?=::)", "", name).replace("\1", "->"))


def plain_strings(name):
    return re.sub(r"std::(__cxx11::|__1::)?basic_string<char, std::(__1::)?char_traits<char>, "
                  r"std::(__1::)?allocator<char> ?>", "std::string", name)


def without_arguments(name):
    """A name without its template arguments."""
    while True:
        shorter = re.sub(r"<[^<>]*>", "", name)
        if shorter == name:
            return name
        name = shorter
