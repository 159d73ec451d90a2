# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn with a stand-in for QEMU (fake_qemu.py) that behaves as a test says."""

import json
import re
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TOOK_TOO_LONG = 60
HANG = "time.sleep(600)"


class Fake:
    """Makes stand-ins and runs cvmspawn with them."""

    def __init__(self, cvmspawn, directory, kernel):
        self.cvmspawn = cvmspawn
        self.directory = directory
        self.kernel = kernel
        self.made = 0

    def qemu(self, scenario):
        self.made += 1
        text = self.directory / f"scenario-{self.made}.py"
        text.write_text(textwrap.dedent(scenario))
        program = self.directory / f"qemu-{self.made}"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "fake_qemu.py"} {text} "$@"\n')
        program.chmod(0o755)
        return program

    def start(self, scenario, *arguments, **options):
        return self.cvmspawn.start(
            f"--qemu={self.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={self.kernel}", *arguments, **options
        )

    def run(self, scenario, *arguments, **options):
        return self.start(scenario, *arguments, **options).wait(TOOK_TOO_LONG)


@pytest.fixture
def fake(cvmspawn, tmp_path, kernel):
    return Fake(cvmspawn, tmp_path, kernel)


@pytest.fixture
def small_initrd(tmp_path):
    """An initrd in which systemd >= 262 and /bin/sh seem to be."""
    path = tmp_path / "initrd"
    path.write_bytes(newc({"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!",
                           "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}))
    return path


def newc(files):
    out = bytearray()
    for path, data in [*files.items(), ("TRAILER!!!", b"")]:
        name = path.encode() + b"\0"
        numbers = [1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        out += b"070701" + b"".join(b"%08x" % n for n in numbers) + name
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def said(result):
    """The launcher's sentences, without the notices about what this host or the test's directories do not offer."""
    notices = ("no hardware acceleration", "QEMU runs as this user")
    return [line for line in result.err.splitlines() if not any(notice in line for notice in notices)]


def events(result):
    """Without the time, which each of them has."""
    found = [json.loads(line) for line in result.out.splitlines()]
    for event in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("time"))
    return found
