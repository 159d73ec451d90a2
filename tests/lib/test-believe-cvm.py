# SPDX-License-Identifier: LGPL-2.1-or-later
"""believe_cvm.py on libraries that are compiled here, one function each, and on archives made up around them."""

import ctypes
import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import believe_cvm

FUNCTION = """
static volatile unsigned asked;
int detect_confidential_virtualization(void);
int detect_confidential_virtualization(void) {{ asked = {leaf}u; return asked == 1 ? 2 : 0; }}
int other(void);
int other(void) {{ return {other}; }}
"""
NAME = "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-262.so"
COMPILER = os.environ.get("CC", "cc").split()


def newc(files):
    out = bytearray()
    for name, mode, data in [*files, ("TRAILER!!!", 0, b"")]:
        numbers = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % n for n in numbers) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initrd(library):
    """With a link to the library in front of it, as distributions have it, and files on either side."""
    return newc([("init", 0o100755, b"#!"), ("usr/lib/libsystemd-shared-262.so", 0o120777, b"x86_64-linux-gnu"),
                 (NAME, 0o100644, library), ("etc/initrd-release", 0o100644, b"ID=x")])


class BelieveCvm(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def library(self, leaf="0x8000001f", other="1", protect="full"):
        source, out = self.folder / "a.c", self.folder / "a.so"
        source.write_text(FUNCTION.format(leaf=leaf, other=other))
        subprocess.run([*COMPILER, "-O1", "-shared", "-fPIC", f"-fcf-protection={protect}", "-o", out, source], check=True)
        return out.read_bytes()

    def refuses(self, words, image):
        with self.assertRaises(believe_cvm.NotPossible) as caught:
            believe_cvm.patch_initrd(image)
        self.assertIn(words, str(caught.exception))

    def test_the_function_says_sev_snp(self):
        for protect in ("full", "none"):
            library = self.library(protect=protect)
            image = initrd(library)
            patched = believe_cvm.patch_initrd(image)
            self.assertEqual(len(patched), len(image))
            at = image.index(library)
            out = self.folder / f"patched-{protect}.so"
            out.write_bytes(patched[at : at + len(library)])
            loaded = ctypes.CDLL(str(out))
            self.assertEqual((loaded.detect_confidential_virtualization(), loaded.other()), (3, 1))
            # Nothing else is different: six bytes of one function.
            changed = [i for i, (old, new) in enumerate(zip(image, patched)) if old != new]
            self.assertTrue(changed and changed[-1] - changed[0] < 6)

    def test_compressed_initrds(self):
        image = initrd(self.library())
        patched = believe_cvm.patch_initrd(image)
        self.assertEqual(believe_cvm.patch_initrd(gzip.compress(image)), patched)
        if shutil.which("zstd"):
            self.assertEqual(believe_cvm.zstd(believe_cvm.patch_initrd(believe_cvm.zstd(image, "-1")), "-d"), patched)

    def test_the_program(self):
        place, out = self.folder / "initrd", self.folder / "out"
        place.write_bytes(initrd(self.library()))
        program = [sys.executable, believe_cvm.__file__]
        subprocess.run([*program, place, out], check=True)
        self.assertEqual(out.read_bytes(), believe_cvm.patch_initrd(place.read_bytes()))
        place.write_bytes(b"nothing")
        done = subprocess.run([*program, place, out], stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("neither an archive nor compressed", done.stderr)

    def test_refusals(self):
        library = self.library()
        self.refuses("it is not the one that is known here", initrd(self.library(leaf="1")))
        self.refuses("there may be a copy", initrd(self.library(other="(int) 0x8000001fu")))
        self.refuses("defines no function", initrd(library.replace(b"detect_confidential", b"detect_confidentiel")))
        self.refuses("not an ELF file", initrd(b"#!" + bytes(100)))
        self.refuses("has 0 libraries", newc([("init", 0o100755, b"#!")]))
        self.refuses("has 2 libraries", newc([(NAME, 0o100644, library), (NAME.replace("262", "261"), 0o100644, library)]))
        image = initrd(library)
        self.refuses("no newc header at", image[: image.rindex(b"070701")] + bytes(200))
        self.refuses("is broken", image[:-100])


if __name__ == "__main__":
    if platform.machine() != "x86_64" or not shutil.which(COMPILER[0]):
        print("needs a compiler for x86-64 on x86-64: what is changed is code of that machine")
        sys.exit(77)
    unittest.main()
