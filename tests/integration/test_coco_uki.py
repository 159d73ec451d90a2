# SPDX-License-Identifier: LGPL-2.1-or-later
"""A unified kernel image given to --linux=: what is in it is launched as if it had been given in parts, with the same digest, and words and
credentials reach it; what is left out is named; images that are broken are refused. One is booted behind the real firmware.

The images are made here: UAPI.5 Unified Kernel Image, and Microsoft's PE format, "Section Table"."""

import json
import struct
import subprocess

import pytest
from launcher_fake import newc, said
from sevsim_host import SECONDS, build_folder

PROGRAM = build_folder() / "programs/cvmspawn"
BOOT = 240
ALIGN = 512
OSREL = (".osrel", b"ID=test\nPRETTY_NAME=Test\n")


def image(*sections, cut=None):
    """A PE file with these (name, content) sections; a content may be a (VirtualSize, SizeOfRawData, PointerToRawData) of a liar."""
    head = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40)
    head += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0x70, 0x22E) + bytes(0x70)
    at = -(-(len(head) + 40 * len(sections)) // ALIGN) * ALIGN
    table, data = b"", b""
    for name, content in sections:
        numbers = content
        if isinstance(content, bytes):
            padded = content.ljust(-(-len(content) // ALIGN) * ALIGN, b"\0")
            numbers = (len(content), len(padded), at + len(data))
            data += padded
        table += name.encode().ljust(8, b"\0") + struct.pack("<IIIIIIHHI", numbers[0], 0x1000, numbers[1], numbers[2], 0, 0, 0, 0, 0x40000040)
    return (head + table).ljust(at, b"\0") + data if cut is None else (head + table)[:cut]


def bzimage(seed=0):
    kernel = bytearray(bytes((i * 7 + seed) & 0xFF for i in range(9 * 1024 + 5)))
    kernel[0x1F1] = 4
    kernel[0x202:0x208] = b"HdrS\x0f\x02"
    return bytes(kernel)


INITRD = newc({"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"})


class Place:
    def __init__(self, folder, firmware):
        self.folder = folder
        self.common = ["--coco=sev-snp", f"--firmware={firmware}", "--print=digest,argv", "--json=short",
                       f"--host-caps={folder / 'caps.json'}"]
        caps = {"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1, "qemu": "/bin/true"}
        (folder / "caps.json").write_text(json.dumps(caps))

    def file(self, name, content):
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def run(self, *words):
        return subprocess.run([PROGRAM, *self.common, *words], capture_output=True, text=True, timeout=SECONDS, check=False)

    def printed(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        argv = answer["argv"]
        return answer["digest"]["digest"], argv[argv.index("-append") + 1], answer.get("notices", [])


@pytest.fixture
def place(tmp_path, firmware):
    return Place(tmp_path, firmware)


@pytest.mark.parametrize("further", [[], ["--cpus=2"], ["--set-credential=a:sesame"], ["--run=true"]],
                         ids=["plain", "cpus", "credential", "run"])
def test_as_if_given_in_parts(place, further):
    uki = place.file("uki.efi", image((".text", b"stub"), OSREL, (".cmdline", b"quiet rw"), (".uname", b"6.12"), (".linux", bzimage()),
                                      (".initrd", INITRD)))
    kernel, initrd = place.file("kernel", bzimage()), place.file("initrd", INITRD)
    whole = place.printed(f"--linux={uki}", *further, "--", "more=words")
    parts = place.printed(f"--linux={kernel}", f"--initrd={initrd}", *further, "--", "quiet rw", "more=words")
    assert whole == parts
    assert whole[1] == "console=ttyS0 quiet rw more=words" and [n for n in whole[2] if "measured, not secret" not in n] == []
    # And `measure`, for an owner who has the image only.
    measured = subprocess.run([PROGRAM, "measure", *place.common[:2], f"--linux={uki}", *further, "--", "more=words"], capture_output=True,
                              text=True, timeout=SECONDS, check=False)
    assert measured.stdout.strip() == whole[0], measured.stderr


def test_initrds_come_behind_its_own(place):
    extra = place.file("extra", newc({"extra": b"1"}))
    uki = place.file("uki.efi", image(OSREL, (".linux", bzimage()), (".initrd", INITRD)))
    kernel, initrd = place.file("kernel", bzimage()), place.file("initrd", INITRD)
    assert place.printed(f"--linux={uki}", f"--initrd={extra}") == place.printed(f"--linux={kernel}", f"--initrd={initrd}",
                                                                                   f"--initrd={extra}")


def test_words_end_where_they_end(place):
    """ukify pads with NULs, some tools end the file with a newline; both are no words."""
    for text in (b"quiet", b"quiet\n", b"quiet\0\0\0", b"quiet \n\0", b"quiet\n\0 \n\0", b"quiet".ljust(4096, b"\0"), b"quiet".ljust(1 << 20, b"\0")):
        uki = place.file("uki.efi", image(OSREL, (".cmdline", text), (".linux", bzimage()), (".initrd", INITRD)))
        assert place.printed(f"--linux={uki}")[1] == "console=ttyS0 quiet", text


def test_what_is_left_out_is_named(place):
    uki = place.file("uki.efi", image(OSREL, (".dtb", b"tree"), (".ucode", b"microcode"), (".linux", bzimage()), (".initrd", INITRD),
                                      (".pcrsig", b"{}"), (".profile", b"ID=debug"), (".cmdline", b"init=/bin/sh"), (".linux", bzimage(1))))
    digest, words, notices = place.printed(f"--linux={uki}")
    assert notices == [f"'{uki}' is a unified kernel image; these sections are not used: .dtb, .ucode, .pcrsig, .profile"]
    # Another profile's words and kernel are not those of the base.
    assert words == "console=ttyS0"
    kernel, initrd = place.file("kernel", bzimage()), place.file("initrd", INITRD)
    assert digest == place.printed(f"--linux={kernel}", f"--initrd={initrd}")[0]


BROKEN = {
    "two kernels": (image(OSREL, (".linux", bzimage()), (".linux", bzimage(1))), "has two sections .linux"),
    "after the end": (image(OSREL, (".linux", (9000, 1 << 20, 512))), "extends beyond the end of the file"),
    "far away": (image(OSREL, (".linux", (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))), "extends beyond the end of the file"),
    "no bzImage": (image(OSREL, (".linux", b"\x7fELF" + bytes(9000))), "is not a bzImage"),
    "empty kernel": (image(OSREL, (".linux", b"")), "is empty"),
    "no kernel": (image(OSREL, (".cmdline", b"quiet")), "is not a bzImage"),
    "cut table": (image(OSREL, (".linux", bzimage()), cut=0x80 + 24 + 0x70 + 50), "section table"),
    "long words": (image(OSREL, (".linux", bzimage()), (".cmdline", b"a" * 5000 + bytes(3000))), "is 5000 bytes; Linux supports at most 2047"),
    "much padding": (image(OSREL, (".linux", bzimage()), (".cmdline", b"a".ljust((1 << 20) + 1, b"\0"))), "1048577 bytes, padding included"),
    "text after a NUL": (image(OSREL, (".linux", bzimage()), (".cmdline", b"quiet\0init=/bin/sh\0\0")), "text after a NUL"),
    "no .osrel": (image((".linux", bzimage()), (".initrd", INITRD)), "a section .linux but without .osrel"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_are_refused(place, name):
    content, words = BROKEN[name]
    done = place.run(f"--linux={place.file('uki.efi', content)}")
    assert done.returncode == 125 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("cvmspawn: ") and words in line and ("uki.efi" in line or ".cmdline" in line)


@pytest.mark.full
def test_a_guest_boots_from_it(cvmspawn, tmp_path, kernel, initrd, firmware, qemu):
    """Behind the firmware that checks the hashes of what was taken out."""
    uki = tmp_path / "uki.efi"
    uki.write_bytes(image((".text", b"stub"), OSREL, (".cmdline", b"quiet from.image=1\0\0"), (".linux", kernel.read_bytes()),
                          (".initrd", initrd.read_bytes())))
    result = cvmspawn.run("--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--qemu={qemu}", "--kvm=no", f"--linux={uki}",
                          "--set-credential=demo:sesame", "--run=cat /proc/cmdline /run/credentials/@system/demo", "--", "from.line=2",
                          timeout=BOOT)
    assert result.status == 0, result.err
    assert result.out == "initrd=initrd console=ttyS0 quiet from.image=1 from.line=2\nsesame"
    assert not any("these sections are not used" in line for line in said(result))
