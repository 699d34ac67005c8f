# Members of coroutine frames that gdb does not read. g++ describes the frame of a member function, a lambda or a
# template inside a function's declaration, which gdb skips; so this finds that struct in the file by its name.
import struct
import zlib

_NAME, _LOCATION, _STRUCTURE, _MEMBER = 0x03, 0x38, 0x13, 0x0d
_FIXED = {0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0b: 1, 0x0c: 1, 0x0e: 4, 0x10: 4, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8,
          0x17: 4, 0x19: 0, 0x1c: 4, 0x1d: 4, 0x1e: 16, 0x1f: 4, 0x20: 8, 0x21: 0, 0x24: 8, 0x25: 1, 0x26: 2, 0x27: 3,
          0x28: 4, 0x29: 1, 0x2a: 2, 0x2b: 3, 0x2c: 4}
_ULEB = (0x0d, 0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23)
_files = {}


def uleb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


class debug_file:
    """The sections of an ELF file of 64 bits, little-endian."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not an ELF file of this kind")
        headers, = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3a)
        sections = [struct.unpack_from("<IIQQQQ", data, headers + i * size) for i in range(count)]
        self.sections = {}
        for name, _, flags, _, start, length in sections:
            at = sections[names][4] + name
            title = data[at:data.index(b"\0", at)].decode()
            if title in (".debug_info", ".debug_abbrev", ".debug_str"):
                part = data[start:start + length]
                self.sections[title] = zlib.decompress(part[24:]) if flags & 0x800 else part
        self.info, self.abbrev, self.str = (
            self.sections.get(title, b"") for title in (".debug_info", ".debug_abbrev", ".debug_str"))
        self.units, self.tables = [], {}
        at = 0
        while at + 12 <= len(self.info):
            length, version = struct.unpack_from("<IH", self.info, at)
            table, = struct.unpack_from("<I", self.info, at + (8 if version >= 5 else 6))
            self.units.append((at, version, table))
            at += 4 + length

    def table(self, start):
        """{code: (tag, has children, [(attribute, form, constant)])}"""
        if start not in self.tables:
            codes, at = {}, start
            while True:
                code, at = uleb(self.abbrev, at)
                if code == 0:
                    break
                tag, at = uleb(self.abbrev, at)
                children, at, attributes = self.abbrev[at], at + 1, []
                while True:
                    name, at = uleb(self.abbrev, at)
                    form, at = uleb(self.abbrev, at)
                    constant = None
                    if form == 0x21:
                        constant, at = uleb(self.abbrev, at)  # signed, but these are small
                    if name == 0:
                        break
                    attributes.append((name, form, constant))
                codes[code] = tag, children, attributes
            self.tables[start] = codes
        return self.tables[start]

    def entry(self, at, table):
        """(tag, has children, name, location, where the next one begins)"""
        code, at = uleb(self.info, at)
        if code == 0:
            return None, 0, None, None, at
        tag, children, attributes = table[code]
        name = location = None
        for attribute, form, constant in attributes:
            start, value = at, constant
            if form in _FIXED:
                at += _FIXED[form]
                value = constant if form == 0x21 else int.from_bytes(self.info[start:at], "little")
            elif form in _ULEB:
                value, at = uleb(self.info, at)
            elif form == 0x08:
                at = self.info.index(b"\0", at) + 1
            elif form in (0x09, 0x18, 0x0a, 0x03, 0x04):
                width = {0x0a: 1, 0x03: 2, 0x04: 4}.get(form)
                if width:
                    length, at = int.from_bytes(self.info[at:at + width], "little"), at + width
                else:
                    length, at = uleb(self.info, at)
                at += length
            else:
                raise ValueError(f"form {form}")
            if attribute == _NAME:
                text, begin = (self.info, start) if form == 0x08 else (self.str, value)
                name = text[begin:text.index(b"\0", begin)].decode() if form in (0x08, 0x0e) else None
            elif attribute == _LOCATION and isinstance(value, int):
                location = value
        return tag, children, name, location, at

    def members(self, struct_name):
        """[(name, offset)] of the struct with that name, which must have members; None if there is none."""
        wanted = struct_name.encode() + b"\0"
        text = self.str.find(wanted)
        while text >= 0:
            at = self.info.find(struct.pack("<I", text))
            while at >= 0:
                found = self.struct_before(at, struct_name)
                if found:
                    return found
                at = self.info.find(struct.pack("<I", text), at + 1)
            text = self.str.find(wanted, text + 1)
        return None

    def struct_before(self, name_at, struct_name):
        start, _, table = self.units[bisect.bisect_right(self.units, (name_at, 99, 0)) - 1]
        table = self.table(table)
        for at in range(max(start, name_at - 3), name_at):
            code, after = uleb(self.info, at)
            if after != name_at or table.get(code, (0, 0, []))[0] != _STRUCTURE or not table[code][1]:
                continue
            if table[code][2][0][0] != _NAME or table[code][2][0][1] != 0x0e:
                continue
            at, found, depth = self.entry(at, table)[4], [], 1
            while depth > 0:
                tag, children, name, location, at = self.entry(at, table)
                if depth == 1 and tag == _MEMBER and name is not None and location is not None:
                    found.append((name, location))
                depth += bool(children) - (tag is None)
            return found
        return None


def members_in_file(path, struct_name):
    try:
        if path not in _files:
            _files[path] = debug_file(path)
        return _files[path].members(struct_name)
    except (OSError, ValueError, IndexError, KeyError, struct.error, zlib.error):
        return None
