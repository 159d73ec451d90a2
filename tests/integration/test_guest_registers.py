# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn-guest rtmr and ccel on a made tree. In a TD they are tried by tests/interop/test_td_launch.py (simulation)."""

import json
import os
import struct
import subprocess

import pytest
from sevsim_host import SECONDS, build_folder

PROGRAM = build_folder() / "programs/cvmspawn-guest"
NAMES = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]
DIGEST = bytes(range(48))
LOG = struct.pack("<II20sI", 1, 3, bytes(20), 33) + b"Spec ID Event03\0" + bytes(17) + b"\xff" * 100


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    folder = tmp_path / "root/sys/devices/virtual/misc/tdx_guest/measurements"
    folder.mkdir(parents=True)
    for n, name in enumerate(NAMES):
        (folder / f"{name}:sha384").write_bytes(bytes([n]) * 48)
    log = tmp_path / "root/sys/firmware/acpi/tables/data"
    log.mkdir(parents=True)
    (log / "CCEL").write_bytes(LOG)
    return tmp_path / "root"


def run(root, *words):
    return subprocess.run([PROGRAM, *words, f"--root={root}"], capture_output=True, timeout=SECONDS, check=False)


def register(root, name):
    return root / f"sys/devices/virtual/misc/tdx_guest/measurements/{name}:sha384"


def refused(done, said):
    assert (done.returncode, done.stdout) == (1, b"") and said in done.stderr.decode(), done.stderr


def test_registers_are_shown(root):
    values = {name: f"{n:02x}" * 48 for n, name in enumerate(NAMES)}
    done = run(root, "rtmr", "show")
    assert (done.returncode, done.stdout.decode()) == (0, "".join(f"{name} {value}\n" for name, value in values.items()))
    assert json.loads(run(root, "rtmr", "show", "--json=short").stdout) == values
    register(root, "rtmr2").write_bytes(bytes(47))
    done = run(root, "rtmr", "show", "--json=short")
    refused(done, "has 47 bytes, but a register has 48")
    register(root, "rtmr2").unlink()
    done = run(root, "rtmr", "show", "--json=short")
    refused(done, "this is not a TD, the driver is not loaded (modprobe tdx-guest)")


def test_one_write_of_48_bytes_extends(root):
    """The kernel computes; a plain file has the bytes that it would be given, and nothing else has changed."""
    before = {name: register(root, name).read_bytes() for name in NAMES}
    for index in "2", "3":
        done = run(root, "rtmr", "extend", index, DIGEST.hex())
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        before[f"rtmr{index}"] = DIGEST
        assert {name: register(root, name).read_bytes() for name in NAMES} == before


@pytest.mark.parametrize("words,said", [
    (["extend", "0", DIGEST.hex()], "RTMR0 and RTMR1 are the firmware's"), (["extend", "4", DIGEST.hex()], "expected 2 or 3, not '4'"),
    (["extend", "rtmr3", DIGEST.hex()], "expected 2 or 3, not 'rtmr3'"), (["extend", "3", DIGEST.hex()[2:]], "expected a SHA-384 digest of 96 hexadecimal digits"),
    (["extend", "3", "x" * 96], "sha384sum(1) computes it"), (["extend", "3", ""], "expected a SHA-384 digest"),
    (["extend", "3"], "expected show, or extend INDEX DIGEST"), (["show", "3"], "expected show, or extend INDEX DIGEST")])
def test_what_does_not_extend(root, words, said):
    before = {name: register(root, name).read_bytes() for name in NAMES}
    refused(run(root, "rtmr", *words), said)
    assert {name: register(root, name).read_bytes() for name in NAMES} == before


def test_no_register_is_made(root):
    register(root, "rtmr3").unlink()
    refused(run(root, "rtmr", "extend", "3", DIGEST.hex()), "does not exist")
    assert not register(root, "rtmr3").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")
def test_only_root_extends(root):
    register(root, "rtmr3").chmod(0o400)
    refused(run(root, "rtmr", "extend", "3", DIGEST.hex()), "only root can")


def test_event_log(root, tmp_path):
    done = run(root, "ccel")
    assert (done.returncode, done.stdout, done.stderr) == (0, LOG, b"")
    assert run(root, "ccel", f"--output={tmp_path / 'log'}").returncode == 0
    assert (tmp_path / "log").read_bytes() == LOG
    place = root / "sys/firmware/acpi/tables/data/CCEL"
    for data in b"", LOG[:40], b"x" + LOG:
        place.write_bytes(data)
        refused(run(root, "ccel"), "does not begin like an event log")
    place.unlink()
    refused(run(root, "ccel"), "this is not a TD, or its firmware writes no event log")
