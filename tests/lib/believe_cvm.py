# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a copy of an initrd whose systemd believes that it runs in a confidential VM: `believe_cvm.py INITRD OUT`.

systemd asks CPUID and MSRs, in one function of libsystemd-shared (src/basic/virt.c), and has no switch for it. Where the library
exports detect_confidential_virtualization(), its first instructions become `return CONFIDENTIAL_VIRTUALIZATION_SEV_SNP`. Everything
else of the initrd stays byte by byte: no file changes its length.

The function is found by its symbol, and known by what it asks for: CPUID leaf 0x8000001f. A library that asks for that leaf
anywhere else may hold another copy of the function, and is refused."""

import lzma
import re
import struct
import subprocess
import sys
import zlib

SYMBOL = b"detect_confidential_virtualization"
LEAF = struct.pack("<I", 0x8000001F)
SEV_SNP = 3  # enum ConfidentialVirtualization, src/basic/virt.h
LIBRARY = re.compile(rb"(\./)?usr/lib/(.*/)?libsystemd-shared-\d+[^/]*\.so")
ENDBR64 = b"\xf3\x0f\x1e\xfa"
PT_LOAD, PF_X, SHT_DYNSYM, STT_FUNC = 1, 1, 11, 2


class NotPossible(Exception):
    """What is not as expected, as an error message."""


def sections(library):
    at, size, count = struct.unpack_from("<Q", library, 0x28)[0], *struct.unpack_from("<HH", library, 0x3A)
    for i in range(count):
        kind, _, _, offset, length, link = struct.unpack_from("<IQQQQI", library, at + i * size + 4)
        yield kind, offset, length, link


def code(library):
    """(address, offset, size) of what is loaded to be executed."""
    at, size, count = struct.unpack_from("<Q", library, 0x20)[0], *struct.unpack_from("<HH", library, 0x36)
    for i in range(count):
        kind, flags, offset, address, _, length = struct.unpack_from("<IIQQQQ", library, at + i * size)
        if kind == PT_LOAD and flags & PF_X:
            yield address, offset, length


def find_function(library):
    """(offset, size) in the file: ELF-64 object file format, "Symbol Table"."""
    if library[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", library, 18)[0] != 62:
        raise NotPossible("the library is not an ELF file for x86-64")
    all_sections = list(sections(library))
    for kind, offset, length, link in all_sections:
        if kind != SHT_DYNSYM:
            continue
        names = all_sections[link][1]
        for at in range(offset, offset + length, 24):
            name, info, _, section, address, size = struct.unpack_from("<IBBHQQ", library, at)
            if not library.startswith(SYMBOL + b"\0", names + name) or info & 15 != STT_FUNC or section == 0:
                continue
            for start, place, room in code(library):
                if start <= address and address + size <= start + room:
                    return place + address - start, size
    raise NotPossible(f"the library defines no function {SYMBOL.decode()}")


def patch_library(library):
    """Changes a bytearray in place."""
    at, size = find_function(library)
    inside = library.count(LEAF, at, at + size)
    everywhere = sum(library.count(LEAF, offset, offset + length) for _, offset, length in code(library))
    if not inside:
        raise NotPossible("the function does not ask for CPUID leaf 0x8000001f: it is not the one that is known here")
    if everywhere != inside:
        raise NotPossible("the library asks for CPUID leaf 0x8000001f elsewhere, too: there may be a copy of the function")
    if library.startswith(ENDBR64, at):
        at += len(ENDBR64)
        size -= len(ENDBR64)
    new = b"\xb8" + struct.pack("<I", SEV_SNP) + b"\xc3"  # mov $SEV_SNP, %eax; ret
    if size < len(new):
        raise NotPossible("the function is too short to be changed")
    library[at : at + len(new)] = new


def entries(archive):
    """(name, mode, offset of the data, size) of one newc archive: Linux Documentation/driver-api/early-userspace/buffer-format.rst."""
    at = 0
    while True:
        if archive[at : at + 6] not in (b"070701", b"070702"):
            raise NotPossible(f"no newc header at {at}: the initrd is not one archive")
        try:
            fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        except ValueError:
            raise NotPossible(f"the newc header at {at} is broken") from None
        name = bytes(archive[at + 110 : at + 109 + fields[11]])
        data = (at + 110 + fields[11] + 3) & ~3
        if name == b"TRAILER!!!":
            return
        yield name, fields[1], data, fields[6]
        at = (data + fields[6] + 3) & ~3


def patch_archive(archive):
    """Changes the library inside a bytearray in place."""
    found = [(name, at, size) for name, mode, at, size in entries(archive)
             if LIBRARY.fullmatch(name) and mode & 0o170000 == 0o100000]
    if len(found) != 1:
        raise NotPossible(f"the initrd has {len(found)} libraries libsystemd-shared-*.so, not one")
    _, at, size = found[0]
    library = bytearray(archive[at : at + size])
    patch_library(library)
    archive[at : at + size] = library


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True, timeout=300).stdout


COMPRESSIONS = {
    b"\x28\xb5\x2f\xfd": (lambda data: zstd(data, "-d"), lambda data: zstd(data, "-3")),
    b"\x1f\x8b": (lambda data: zlib.decompress(data, 31), None),
    b"\xfd7zXZ\0": (lzma.decompress, None),
    b"0707": (bytes, None),
}


def patch_initrd(initrd):
    """The bytes of the copy. It is compressed only as what is quick to compress: the kernel takes any."""
    for magic, (unpack, pack) in COMPRESSIONS.items():
        if initrd.startswith(magic):
            break
    else:
        raise NotPossible("the initrd is neither an archive nor compressed by zstd, gzip or xz")
    archive = bytearray(unpack(initrd))
    patch_archive(archive)
    return pack(archive) if pack else bytes(archive)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: believe_cvm.py INITRD OUT")
    with open(sys.argv[1], "rb") as file:
        initrd = file.read()
    try:
        patched = patch_initrd(initrd)
    except NotPossible as error:
        sys.exit(f"believe_cvm.py: '{sys.argv[1]}': {error}")
    with open(sys.argv[2], "wb") as file:
        file.write(patched)


if __name__ == "__main__":
    main()
