# SPDX-License-Identifier: LGPL-2.1-or-later
"""Initrds in the forms that distributions, tools and accidents give them. All of them hold the same guest: a static /init that
prints the credential foo, and the files by which cvmspawn recognizes systemd 262. FORMS maps a name to a function that
returns the bytes; test_initrd_forms.py boots them."""

import bz2
import gzip
import lzma
import random
import shutil
import struct
import subprocess
import zlib

from sevsim_host import build_folder, skip_or_fail

DIRECTORY, FILE, LINK = 0o40755, 0o100644, 0o120777
CREDENTIALS = ".extra/system_credentials"


def align(data, to=4):
    return data + bytes(-len(data) % to)


def member(path, mode=FILE, data=b"", *, magic=b"070701", check=0, ino=None, nlink=1, name=None, size=None, upper=False):
    member.ino += 1
    name = (path.encode() if isinstance(path, str) else path) + b"\0" if name is None else name
    numbers = (member.ino if ino is None else ino, mode, 0, 0, nlink, 0, len(data) if size is None else size, 0, 0, 0, 0,
               len(name), check)
    head = magic + b"".join(b"%08X" % n if upper else b"%08x" % n for n in numbers)
    return align(align(head + name) + data)


member.ino = 100
TRAILER = member("TRAILER!!!", 0)


def checked(path, data, error=0):
    return member(path, FILE, data, magic=b"070702", check=(sum(data) + error) & 0xFFFFFFFF)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def init():
    return (build_folder() / "tests/lib/initrd-form-init").read_bytes()


def files():
    """The guest, without a trailer. The text makes blocks that compress, the noise some that do not."""
    return b"".join([
        member("etc", DIRECTORY), member("etc/initrd-release", FILE, b"ID=x\n"), member("bin", DIRECTORY),
        member("bin/sh", 0o100755, b"#!"), member("usr", DIRECTORY), member("usr/lib", DIRECTORY),
        member("usr/lib/systemd", DIRECTORY), member("usr/lib/systemd/libsystemd-shared-262.so", FILE, b"\x7fELF"),
        member("init", 0o100755, init()), member("noise", FILE, noise(3000)), member("text", FILE, b"some text " * 9000),
    ])


def guest():
    return align(files() + TRAILER, 512)


def early():
    return align(member("kernel", DIRECTORY) + member("kernel/x86", DIRECTORY) +
                 member("kernel/x86/microcode", DIRECTORY) +
                 member("kernel/x86/microcode/AuthenticAMD.bin", FILE, b"AMD" * 40) + TRAILER, 512)


def halves(content, at_member):
    """The archive cut in two, in front of a member or in the midst of one."""
    name = content.rindex(b"text\0") - 110
    cut = name if at_member else name + 40000
    return content[:cut], content[cut:]


def run(*command, data):
    if not shutil.which(command[0]):
        skip_or_fail(f"the program {command[0]} is not installed")
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                          timeout=60).stdout


def gzip_with(flags=0, extra=b"", name=b"", comment=b"", header_crc=b"", body=None, crc_error=0):
    body = guest() if body is None else body
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03"
    head += struct.pack("<H", len(extra)) + extra if flags & 4 else b""
    head += name + b"\0" if flags & 8 else b""
    head += comment + b"\0" if flags & 16 else b""
    head += header_crc if flags & 2 else b""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return head + deflate.compress(body) + deflate.flush() + struct.pack(
        "<II", (zlib.crc32(body) + crc_error) & 0xFFFFFFFF, len(body))


def gz(data):
    return gzip.compress(data, mtime=0)


def xz(data, *filters, check=lzma.CHECK_CRC32):
    chain = [*filters, {"id": lzma.FILTER_LZMA2, "preset": 6}]
    return lzma.compress(data, check=check, filters=chain)


def xz_tool(*options, data=None):
    return run("xz", *options, "-c", data=guest() if data is None else data)


def lz4(data):
    return run("lz4", "-l", "-9", "-c", data=data)


def zstd(*options, data=None):
    return run("zstd", *options, "-c", data=guest() if data is None else data)


def lzop(*options, data=None):
    return run("lzop", *options, "-c", data=guest() if data is None else data)


def lzma_known_size():
    """The end marker that xz writes, and the size in the header besides. (The SDK's tool leaves out the marker.)"""
    data = guest()
    alone = lzma.compress(data, lzma.FORMAT_ALONE)
    return alone[:5] + struct.pack("<Q", len(data)) + alone[13:]


def both(compress, at_member=True, content=None):
    """Two streams of one compressor, right after each other."""
    return b"".join(compress(half) for half in halves(content or guest(), at_member))


def with_members(*members, trailer=TRAILER):
    """The guest, then more in its own archive."""
    return guest() + b"".join(members) + trailer


def early_lz4(remainder):
    """As Ubuntu and dracut join them; the size of the file is `remainder` modulo 4."""
    for length in range(200):
        packed = lz4(align(files() + member("filler", FILE, noise(length)) + TRAILER, 512))
        if len(packed) % 4 == remainder:
            return early() + packed
    raise AssertionError("no size with that remainder")


def extra(*members):
    return with_members(member(".extra", DIRECTORY), member(CREDENTIALS, 0o40700), *members)


def bad_name():
    name = b"etc/unterminatedX"
    return with_members(member("", FILE, b"ab", name=name))


FOO = f"{CREDENTIALS}/foo.cred"

# Whether the scan accepts it with credentials after it, which is right if the kernel finds them.
FORMS = {
    # Uncompressed, and how the archive itself is made.
    "plain": (True, guest),
    "no-trailer": (True, lambda: align(files(), 4)),
    "trailer-amid": (True, lambda: b"".join([*halves(guest(), True)[:1], TRAILER, halves(guest(), True)[1]])),
    "zeros-in-front": (True, lambda: bytes(512) + guest()),
    "early": (True, lambda: early() + guest()),
    "misaligned-second": (False, lambda: early() + b"\0" + guest()),
    "upper-hex": (True, lambda: with_members(member("f", FILE, b"ab", upper=True))),
    "absolute-names": (True, lambda: with_members(member("/abs", FILE, b"ab"), member("./dot/../f", FILE, b"x"))),
    "hard-links": (True, lambda: with_members(member("a", FILE, b"", ino=7, nlink=2), member("b", FILE, b"xy", ino=7, nlink=2))),
    "long-name-4095": (True, lambda: with_members(member("d/" * 2047 + "f", FILE, b"ab"))),
    "long-name-4097": (True, lambda: with_members(member("d/" * 2048 + "f", FILE, b"ab"))),
    "long-link": (True, lambda: with_members(member("l", LINK, b"x" * 5000))),
    "empty-name": (True, lambda: with_members(member("", FILE, b"ab", name=b""))),
    "name-without-end": (False, bad_name),
    "directory-with-data": (True, lambda: with_members(member("dd", DIRECTORY, b"data"))),
    "size-beyond-end": (False, lambda: with_members(member("f", FILE, b"ab", size=1 << 30))),
    "odc": (False, lambda: guest() + b"070707" + b"0" * 100),
    "binary-cpio": (False, lambda: guest() + b"\xc7\x71" + bytes(30)),
    "newline-behind": (False, lambda: guest() + b"\n"),
    "dos-newlines": (False, lambda: guest().replace(b"\n", b"\r\n")),
    "page-of-zeros-behind": (True, lambda: guest() + bytes(4096)),
    "two-trailers": (True, lambda: align(files() + TRAILER + TRAILER, 512)),
    "device-and-fifo": (True, lambda: with_members(member("null", 0o20666), member("pipe", 0o10644), member("sock", 0o140755))),
    "ino-zero": (True, lambda: with_members(member("a", FILE, b"x", ino=0, nlink=2), member("b", FILE, b"y", ino=0, nlink=2))),
    "garbage-behind": (False, lambda: guest() + b"garbage!" + bytes(504)),
    "number-not-hex": (False, lambda: guest() + member("f").replace(b"000081a4", b"0000 1a4") + TRAILER),
    "crc": (True, lambda: with_members(checked("f", b"ab\xff\x80"))),
    "crc-bad-sum": (False, lambda: with_members(checked("f", b"ab", 1))),
    "crc-bad-sum-empty": (False, lambda: with_members(checked("f", b"", 1))),
    "crc-bad-sum-large": (False, lambda: with_members(checked("f", noise(70000), 1))),
    "crc-bad-sum-gzip": (False, lambda: gz(with_members(checked("f", noise(70000), 1)))),
    "crc-large-gzip": (True, lambda: gz(with_members(checked("f", noise(70000))))),
    "crc-directory": (True, lambda: with_members(member("d", DIRECTORY, magic=b"070702", check=5))),
    "crc-link": (True, lambda: with_members(member("l", LINK, b"f", magic=b"070702", check=5))),
    # What lies where the credentials go.
    "extra-file": (True, lambda: with_members(member(".extra", FILE, b"x"))),
    "extra-link": (True, lambda: with_members(member("elsewhere", DIRECTORY), member(".extra", LINK, b"elsewhere"))),
    "extra-credentials-file": (True, lambda: with_members(member(".extra", DIRECTORY), member(CREDENTIALS, FILE, b"x"))),
    "extra-credentials-link": (True, lambda: with_members(member(".extra", DIRECTORY), member(CREDENTIALS, LINK, b"../etc"))),
    "credential-there": (True, lambda: extra(member(FOO, 0o100400, b"other value"))),
    "credential-is-link": (True, lambda: extra(member(FOO, LINK, b"../../init"))),
    "credential-is-empty-directory": (False, lambda: extra(member(FOO, DIRECTORY))),
    "credential-is-directory": (False, lambda: extra(member(FOO, DIRECTORY), member(FOO + "/x", FILE, b"1"))),
    "credential-is-directory-gzip": (False, lambda: gz(extra(member("./" + FOO, DIRECTORY), member(f"/{FOO}//x", FILE, b"1")))),
    "other-credential-is-directory": (True, lambda: extra(member(CREDENTIALS + "/bar.cred", DIRECTORY),
                                                          member(CREDENTIALS + "/bar.cred/x", FILE, b"1"))),
    "credential-is-init": (False, lambda: with_members(
        member(".extra", DIRECTORY), member(CREDENTIALS, DIRECTORY), member("init", 0o100755, init(), ino=9, nlink=2),
        member(FOO, 0o100755, b"", ino=9, nlink=2))),
    # gzip.
    "gzip": (True, lambda: gz(guest())),
    "gzip-early": (True, lambda: early() + gz(guest())),
    "gzip-name": (True, lambda: gzip_with(8, name=b"initrd")),
    "gzip-text-flag": (True, lambda: gzip_with(1)),
    "gzip-extra": (False, lambda: gzip_with(4, extra=b"BC\x02\0\x01\x02")),
    "gzip-comment": (False, lambda: gzip_with(16, comment=b"hello")),
    "gzip-name-and-comment": (False, lambda: gzip_with(24, name=b"n", comment=b"hello")),
    "gzip-header-crc": (False, lambda: gzip_with(2, header_crc=b"\x12\x34")),
    "gzip-two-members": (True, lambda: both(gz)),
    "gzip-two-members-amid": (False, lambda: both(gz, at_member=False)),
    "early-misaligned-gzip": (False, lambda: early() + b"\0" + gz(guest())),
    "gzip-misaligned-gzip": (True, lambda: gz(guest()) + b"\0" + gz(member("f") + TRAILER)),
    "zero-then-gzip": (True, lambda: b"\0" + gz(guest())),
    "gzip-two-archives": (True, lambda: gz(guest()) + gz(member("f") + TRAILER)),
    "gzip-second-with-comment": (False, lambda: gz(guest()) + gzip_with(16, comment=b"x", body=member("f") + TRAILER)),
    "gzip-garbage-behind": (False, lambda: gz(guest()) + b"garbage!"),
    "gzip-cut": (False, lambda: gz(guest())[:-40]),
    "gzip-padding-missing": (False, lambda: gz(files()[:-3])),
    "gzip-newline-behind": (False, lambda: gz(guest()) + b"\n"),
    "gzip-zeros-behind": (True, lambda: gz(guest()) + bytes(3)),
    "gzip-reserved-flag": (True, lambda: gzip_with(0x20)),
    "zlib": (False, lambda: zlib.compress(guest())),
    "gzip-in-gzip": (False, lambda: gz(gz(guest()))),
    # bzip2.
    "bzip2": (True, lambda: bz2.compress(guest())),
    "bzip2-level-1": (True, lambda: bz2.compress(guest(), 1)),
    "bzip2-two-streams": (True, lambda: both(bz2.compress)),
    "bzip2-two-streams-amid": (False, lambda: both(bz2.compress, at_member=False)),
    # lzma and xz.
    "lzma": (True, lambda: lzma.compress(guest(), lzma.FORMAT_ALONE)),
    "lzma-known-size-and-marker": (False, lambda: lzma_known_size()),
    "xz": (True, lambda: xz(guest())),
    "xz-no-check": (True, lambda: xz(guest(), check=lzma.CHECK_NONE)),
    "xz-crc64": (False, lambda: xz(guest(), check=lzma.CHECK_CRC64)),
    "xz-sha256": (False, lambda: xz(guest(), check=lzma.CHECK_SHA256)),
    "xz-blocks": (True, lambda: xz_tool("--check=crc32", "--block-size=20KiB")),
    "xz-threads": (True, lambda: xz_tool("--check=crc32", "-T2", "--block-size=20KiB")),
    "xz-x86": (True, lambda: xz(guest(), {"id": lzma.FILTER_X86})),
    "xz-delta": (False, lambda: xz(guest(), {"id": lzma.FILTER_DELTA, "dist": 4})),
    "xz-powerpc": (False, lambda: xz(guest(), {"id": lzma.FILTER_POWERPC})),
    "xz-two-streams-amid": (False, lambda: both(xz, at_member=False)),
    "xz-two-streams": (True, lambda: both(xz)),
    # lz4, the legacy format.
    "lz4": (True, lambda: lz4(guest())),
    "lz4-frame": (False, lambda: run("lz4", "-9", "-c", data=guest())),
    "early-lz4-size0": (True, lambda: early_lz4(0)),
    "early-lz4-size1": (True, lambda: early_lz4(1)),
    "early-lz4-size2": (True, lambda: early_lz4(2)),
    "early-lz4-size3": (True, lambda: early_lz4(3)),
    "early-lz4-four-zeros": (True, lambda: align(early_lz4(0) + bytes(4))),
    "early-misaligned-lz4": (False, lambda: early() + b"\0" + lz4(guest())),
    "early-misaligned-2-lz4": (False, lambda: early() + bytes(2) + lz4(guest())),
    "early-misaligned-3-lz4": (False, lambda: early() + bytes(3) + lz4(guest())),
    "early-four-zeros-then-lz4": (True, lambda: early() + bytes(4) + lz4(guest())),
    "lz4-two-streams": (True, lambda: both(lz4)),
    "lz4-two-streams-amid": (True, lambda: both(lz4, at_member=False)),
    "lz4-then-plain": (False, lambda: align(lz4(guest())) + member("f") + TRAILER),
    # lzo.
    "lzo": (True, lambda: lzop()),
    "lzo-9": (True, lambda: lzop("-9")),
    "lzo-crc32": (True, lambda: lzop("--crc32")),
    "lzo-two-checksums": (False, lambda: lzop("-CC")),
    "lzo-no-checksum": (False, lambda: lzop("-F", "-3")),
    "lzo-two-streams": (True, lambda: both(lambda data: lzop(data=data))),
    "lzo-two-streams-amid": (False, lambda: both(lambda data: lzop(data=data), at_member=False)),
    # zstd.
    "zstd": (True, zstd),
    "zstd-early": (True, lambda: early() + zstd()),
    "zstd-19-threads": (True, lambda: zstd("-19", "-T2")),
    "zstd-no-check": (True, lambda: zstd("--no-check")),
    "zstd-long-27": (True, lambda: zstd("--long=27")),
    "zstd-long-28": (False, lambda: zstd_window(28)),
    "zstd-two-frames": (True, lambda: both(lambda data: zstd(data=data))),
    "zstd-two-frames-amid": (False, lambda: both(lambda data: zstd(data=data), at_member=False)),
    "zstd-newline-behind": (False, lambda: zstd() + b"\n"),
    "zstd-zeros-behind": (True, lambda: zstd() + bytes(5)),
    "zstd-bad-checksum": (False, lambda: zstd()[:-1] + bytes([zstd()[-1] ^ 1])),
    "zstd-in-zstd": (False, lambda: zstd(data=zstd())),
    "zstd-then-gzip": (True, lambda: zstd() + gz(member("f") + TRAILER)),
    "xz-then-zstd": (True, lambda: xz(guest()) + zstd(data=member("f") + TRAILER)),
    "zstd-skippable-in-front": (False, lambda: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd()),
    "zstd-skippable-behind": (False, lambda: zstd() + b"\x50\x2a\x4d\x18\x04\0\0\0abcd"),
}


def zstd_window(log):
    """A frame that asks for a window of 2^log bytes, whatever its content has: from a stream the size is not known."""
    frame = bytearray(zstd("--no-content-size"))
    assert not frame[4] & 0x20, "the frame has no window descriptor"
    frame[5] = (log - 10) << 3
    return bytes(frame)


# Refused though the kernel reads it.
STRICT = {
    "credential-is-empty-directory": "whether a directory is empty would depend on symbolic links that lead to it",
}

# What ./check boots: each compressor, and one of each kind of loss.
SAMPLE = ("early-lz4-size1", "gzip-two-members-amid", "gzip-comment", "bzip2-two-streams-amid", "xz-delta", "crc-bad-sum",
          "credential-is-directory", "credential-is-init", "lzo", "lzo-no-checksum", "lzma-known-size-and-marker", "zstd-early")
