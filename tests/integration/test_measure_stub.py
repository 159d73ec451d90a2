# SPDX-License-Identifier: LGPL-2.1-or-later
"""RTMR0 to RTMR2 of a unified kernel image against an independent reading, and what is not known of such images refused. Real boots:
tests/interop/test_td_uki.py."""

import struct

import pytest
import tdx_model as model
from test_measure_rtmr import fixture_boot, measure, replay, sha, structure, utf16  # noqa: F401


def archive(name, data):
    """Of systemd-stub: newc, with lower-case numbers but for one."""
    def entry(inode, mode, path, content):
        head = "070701" + "".join(f"{n:08x}" for n in (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path) + 1, 0))
        text = head.encode() + path.encode() + b"\0"
        return text + bytes(-len(text) % 4) + content + bytes(-len(content) % 4)
    end = "070701" + "0" * 32 + "00000001" + "0" * 48 + "0000000B" + "0" * 8
    return entry(1, 0o40555, ".extra", b"") + entry(2, 0o100444, f".extra/{name}", data) + end.encode() + b"TRAILER!!!" + bytes(4)


MAGIC = (".sdmagic", b"#### LoaderInfo: systemd-stub 262.1-1 ####\0")
KERNEL = (".linux", b"MZ, a kernel that nobody starts")
OSREL = (".osrel", b"ID=test\n")
WORDS = (".cmdline", b" quiet\t console=ttyS0 \n")


def make_uki(*sections):
    """UAPI.5, as ukify writes it."""
    optional = struct.pack("<H", 0x20B) + bytes(58) + struct.pack("<II", 0x400, 0) + bytes(40) + struct.pack("<I", 16) + bytes(128)
    head = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22E) + optional
    table, body = b"", b""
    for name, content in sections:
        padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
        table += name.encode().ljust(8, b"\0") + struct.pack("<IIIIIIHHI", len(content), 0x1000, len(padded), 0x400 + len(body), 0, 0, 0, 0, 0x40000040)
        body += padded
    return (head + table).ljust(0x400, b"\0") + body


def test_unified_kernel_image(boot):
    """Every section that systemd-stub 262 measures, in another order than it measures them."""
    sections = {".ucode": b"micro", ".initrd": b"initrd!", ".pcrpkey": b"key", ".pcrsig": b"{}", ".sbat": b"sbat,1", ".uname": b"7", ".splash": b"BM"}
    image = make_uki(MAGIC, *sections.items(), WORDS, KERNEL, OSREL, (".another", b"not measured"))
    (boot.folder / "uki").write_bytes(image)
    edk2 = "202608-inteltdx"
    events = boot.events(edk2)
    sections.update((WORDS, KERNEL, OSREL))
    order = (".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".uname", ".sbat", ".pcrpkey")
    payload = [sha(what) for name in order for what in (name.encode() + b"\0", sections[name])]
    initrd = b"micro" + bytes(3) + b"initrd!" + bytes(1) + archive("tpm2-pcr-signature.json", b"{}") + archive("tpm2-pcr-public-key.pem", b"key")
    initrd += archive("os-release", OSREL[1])
    payload += [sha(utf16("quiet  console=ttyS0\0")), sha(initrd)]
    system = bytearray(boot.items["etc/smbios/smbios-tables"].split(structure(11, b"\x01", b"text"))[0])
    system[0x18] = 0
    strings = [sha(bytes(system)), sha(structure(11, b"\x01", b"text"))]
    done = measure(*boot.options(edk2, kernel=boot.folder / "uki", initrd=None, append=None))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines["rtmr0"] == replay([e[2] for e in events[0]] + strings) and lines["rtmr2"] == replay(payload)
    digest = sha(image[:0x40 + 24 + 64] + image[0x40 + 24 + 68:0x40 + 24 + 144] + image[0x40 + 24 + 152:])
    assert lines["rtmr1"] == replay([digest] + [e[2] for e in events[1][1:]])


@pytest.mark.parametrize("sections,changed,said", [
    ((KERNEL, OSREL), {}, "but not systemd-stub (no section .sdmagic)"),
    (((".sdmagic", b"#### LoaderInfo: systemd-stub 261.3 ####"), KERNEL), {}, "'systemd-stub 261.3' in it measures is not known"),
    (((".sdmagic", b"#### LoaderInfo: systemd-boot 262.1 ####"), KERNEL), {}, "'systemd-boot 262.1' in it"), (((".sdmagic", b"?"), KERNEL), {}, "'an unnamed loader'"),
    (((".sdmagic", b"#### LoaderInfo: systemd-stub 2620 ####"), KERNEL), {}, "'systemd-stub 2620' in it"),
    ((MAGIC, KERNEL, (".profile", b"x")), {}, "section .profile: what the stub makes"), ((MAGIC, KERNEL, KERNEL), {}, "two sections .linux"),
    ((MAGIC, OSREL), {}, "a stub without a kernel"), ((MAGIC, KERNEL, (".initrd", b"")), {}, "section .initrd is empty"),
    ((MAGIC, KERNEL, WORDS), {"initrd": "INITRD"}, "together with an initrd"), ((MAGIC, KERNEL), {}, "adds a console"),
    ((MAGIC, KERNEL, (".cmdline", b"quiet xconsole=1")), {}, "adds a console"), ((MAGIC, KERNEL, (".cmdline", b" \n")), {}, "is blank"),
    ((MAGIC, KERNEL, (".cmdline", b"console=a\0b")), {}, "byte 0x00 at offset 9"), ((MAGIC, KERNEL), {"append": "@1 console=a"}, "begins with a blank or '@'"),
    ((MAGIC, KERNEL), {"append": "console=a\tb"}, "only printable ASCII"), ((MAGIC, KERNEL), {"append": "console=ä"}, "only printable ASCII"),
])
def test_unknown_unified_kernel_images(boot, sections, changed, said):
    (boot.folder / "uki").write_bytes(make_uki(*sections))
    changed = {name: boot.folder / "initrd" if value == "INITRD" else value for name, value in changed.items()}
    done = measure(*boot.options("202608-inteltdx", **{"kernel": boot.folder / "uki", "initrd": None, "append": None, **changed}))
    assert done.returncode == 1 and said in done.stderr and done.stdout == "", done.stderr


def test_disk_needs_its_profile(boot):
    """And a disk that can be read."""
    (boot.folder / "disk").write_bytes(bytes(1 << 20))
    for edk2, disk, said in (("202608-inteltdx", "disk", "expected a GPT"), ("202608-inteltdx", "nothing", "cannot open")):
        done = measure(*boot.options(edk2, kernel=None, initrd=None, append=None, disk=boot.folder / disk))
        assert done.returncode == 1 and said in done.stderr, done.stderr
    assert "exclude each other" in measure(*boot.options("202608-inteltdx", initrd=None, append=None, disk=boot.folder / "disk")).stderr


def test_the_launcher_takes_it_apart(boot):
    """--coco=tdx hands QEMU the kernel, the initrd and the command line in it, and so no stub runs: the same registers as of the parts."""
    kernel = model.make_kernel()
    (boot.folder / "kernel").write_bytes(kernel)
    (boot.folder / "uki").write_bytes(make_uki(MAGIC, (".linux", kernel), OSREL, (".initrd", boot.initrd), (".cmdline", b"quiet")))
    words = ["--coco=tdx", f"--firmware={boot.folder / 'tdvf.fd'}", "--ram=1G", "--edk2=202608-inteltdx"]
    whole = measure(*words, f"--linux={boot.folder / 'uki'}")
    parts = measure(*words, f"--linux={boot.folder / 'kernel'}", f"--initrd={boot.folder / 'initrd'}", "--", "quiet")
    assert whole.returncode == parts.returncode == 0, whole.stderr + parts.stderr
    assert whole.stdout == parts.stdout and "rtmr2" in whole.stdout
