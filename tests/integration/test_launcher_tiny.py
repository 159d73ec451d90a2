# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real kernels with a PID 1 of a few lines (tests/lib/tiny-init.c): no byte of a console is lost, and a panic is told from its text.

CVMSPAWN_BOOTS says how many boots the numbered lines are sent through: ./check --full sends them through a few, ./check --soak through
100."""

import contextlib
import os
import signal
import subprocess
import time

import pytest
from conftest import build_folder
from launcher_fake import newc

LINES = 1000
BOOTS = int(os.environ.get("CVMSPAWN_BOOTS", "1"))


@pytest.fixture(scope="module")
def tiny_initrd(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "initrd"
    path.write_bytes(newc({"init": (build_folder() / "tests/lib/tiny-init").read_bytes()}))
    return path


def start(cvmspawn, qemu, kernel, initrd, log, *words, options=()):
    return cvmspawn.start(
        f"--qemu={qemu}", "--kvm=no", "--tpm=no", "--ram=256M", f"--linux={kernel}", f"--initrd={initrd}",
        "--console=headless", f"--console-log={log}", "--timeout=600", *options, "--", "printk.devkmsg=on", "mitigations=off",
        "random.trust_cpu=on", "no_timer_check", *words,
    )


@contextlib.contextmanager
def busy_host():
    """Somebody else wants all processors."""
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * os.cpu_count())]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def stutter(run, log):
    """Lets the launcher run for a moment, again and again, until the last line is there."""
    while run.process.poll() is None and f"line {LINES - 1:06}".encode() not in log.read_bytes():
        run.signal(signal.SIGSTOP)
        time.sleep(0.3)
        run.signal(signal.SIGCONT)
        time.sleep(0.02)


def test_no_byte_of_the_console_is_lost(cvmspawn, qemu, kernel, tiny_initrd, tmp_path):
    """The host is busy while the lines come, and the launcher does not run for a while, again and again: the serial port does not
    wait for it. The boot before the lines is left in peace, since it shows nothing and would take minutes."""
    for boot in range(BOOTS):
        log = tmp_path / f"console-{boot}"
        run = start(cvmspawn, qemu, kernel, tiny_initrd, log, "--", "lines", str(LINES))
        run.wait_for(lambda log=log: log.exists() and b"line 0000" in log.read_bytes(), 300, "the lines did not begin")
        with busy_host():
            stutter(run, log)
        result = run.wait(300)
        assert result.status == 0, result.err
        found = [line for line in log.read_bytes().split(b"\r\n") if b"abcdef" in line or b"line 0" in line]
        assert len(found) == LINES
        for number, line in enumerate(found):
            assert line.endswith(b"line %06d abcdefghijklmnopqrstuvwxyz 0123456789 end" % number)


@pytest.mark.parametrize(("mode", "status"), [("die", 126), ("idle", 0), ("spin", 0)])
def test_a_panic_and_its_text(cvmspawn, qemu, kernel, tiny_initrd, tmp_path, mode, status):
    log = tmp_path / "console"
    result = start(cvmspawn, qemu, kernel, tiny_initrd, log, "--", mode).wait(300)
    assert b"Kernel panic - not syncing: Attempted to kill init!" in log.read_bytes()
    assert result.status == status, result.err
    assert (b"alive" in log.read_bytes()) == (status == 0)
    assert ("the guest's kernel panicked" in result.err) == (status == 126)


def test_a_reboot_runs_the_guest_again(cvmspawn, qemu, kernel, tiny_initrd, tmp_path):
    """--reboot=reset; without it the first panic with panic= is the end, with status 126."""
    log = tmp_path / "console"
    run = start(cvmspawn, qemu, kernel, tiny_initrd, log, "panic=-1", "--", "die", options=("--reboot=reset",))
    run.wait_for(lambda: log.exists() and log.read_bytes().count(b"Attempted to kill init!") >= 2, 300, "it did not run again")
    run.signal(signal.SIGTERM)
    run.signal(signal.SIGTERM)
    result = run.wait(300)
    assert result.status == 128 + signal.SIGTERM and "the guest reset and starts again" in result.err
