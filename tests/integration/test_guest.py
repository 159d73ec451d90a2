# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest itself, booted without cvmspawn: what the other tests rely on."""

import hashlib
import json
import socket
import subprocess
import time

import pytest

from conftest import SOURCE

BOOT_SECONDS = 90


class Machine:
    """A QEMU with the guest, its console in a file and its QMP on a socket pair."""

    def __init__(self, qemu, kernel, initrd, directory, *arguments):
        self.console = directory / "console"
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [
                qemu, "-accel", "tcg", "-machine", "q35", "-m", "1024", "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0",
                "-serial", f"file:{self.console}", "-chardev", f"socket,id=qmp,fd={theirs.fileno()}",
                "-mon", "chardev=qmp,mode=control", *arguments,
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(BOOT_SECONDS)
        self.events = []
        self.qmp = ours.makefile("rw")
        self.next_message("QMP")
        self.execute("qmp_capabilities")

    def next_message(self, member):
        for line in self.qmp:
            message = json.loads(line)
            if member in message:
                return message
            self.events.append(message)
        return pytest.fail("QEMU closed the connection")

    def execute(self, command):
        self.qmp.write(json.dumps({"execute": command}) + "\n")
        self.qmp.flush()
        return self.next_message("return")

    def wait_for_console(self, text):
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self.console.exists() and text in self.console.read_bytes():
                return
            time.sleep(0.05)
        pytest.fail(f"no {text!r} on the console; it ends with:\n" + self.console.read_text(errors="replace")[-3000:])

    def press_power_button(self):
        """Until it is heard: udev may still be at work on the button when the target is reached."""
        for _ in range(15):
            self.execute("system_powerdown")
            try:
                return self.process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        return pytest.fail("the guest does not hear its power button")

    def reason_of_shutdown(self):
        return next(event["data"] for event in [*self.events, *map(json.loads, self.qmp)] if event["event"] == "SHUTDOWN")

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def machine(qemu, kernel, initrd, tmp_path):
    machine = Machine(qemu, kernel, initrd, tmp_path)
    yield machine
    machine.end()


def test_power_button_ends_the_guest_cleanly(machine):
    machine.wait_for_console(b"Reached target \x1b[0;1;39minitrd.target")
    assert machine.press_power_button() == 0
    assert machine.reason_of_shutdown() == {"guest": True, "reason": "guest-shutdown"}
    console = machine.console.read_bytes()
    assert b"emergency" not in console
    assert b"FAILED" not in console


@pytest.mark.soak
def test_the_same_packages_give_the_same_bytes(artifacts, tmp_path):
    sums = []
    for build in ("first", "second"):
        (tmp_path / build).mkdir()
        subprocess.run([SOURCE / "tools/build-guest", tmp_path / build], check=True)
        files = [tmp_path / build / name for name in ("initrd.cpio.zst", "vmlinuz")]
        sums.append(subprocess.run(["sha256sum", "--", *(f.name for f in files)], cwd=tmp_path / build,
                                   check=True, capture_output=True, text=True).stdout)
    assert sums[0] == sums[1]


@pytest.mark.full
def test_the_same_program_gives_the_same_bytes(artifacts, tmp_path):
    """Wherever it is built; the artifacts' guest contains it."""
    guest, sums = artifacts["INITRD"].parent, {}
    for build in (tmp_path / "first", tmp_path / "other/place/second"):
        build.mkdir(parents=True)
        subprocess.run([SOURCE / "tools/build-guest-program", guest.with_name(guest.name.partition("-")[0]), build], check=True)
        sums[build] = hashlib.sha256((build / "initrd.cpio.zst").read_bytes()).hexdigest()
    assert set(sums.values()) == {hashlib.sha256(artifacts["INITRD"].read_bytes()).hexdigest()}
