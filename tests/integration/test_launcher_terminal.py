# SPDX-License-Identifier: LGPL-2.1-or-later
"""A person's terminal and a real QEMU: ^] leaves a clean prompt, -q leaves errors only, and QEMU's warnings come through, explained."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from conftest import build_folder
from launcher_fake import newc

SECONDS = 120
# What a line may hold that a program left behind: text, and colours that were ended.
CLEAN = re.compile(rb"[\t -~\x80-\xff]*")


class Terminal:
    """cvmspawn on a terminal of its user, with a prompt's line in front, as a shell leaves it."""

    def __init__(self, argv):
        self.main, self.other = pty.openpty()
        self.before = termios.tcgetattr(self.other)
        self.text = b""
        self.process = subprocess.Popen(
            [str(word) for word in argv], stdin=self.other, stdout=self.other, stderr=self.other, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self.other, termios.TIOCSCTTY, 0))

    def read(self, seconds):
        if select.select([self.main], [], [], seconds)[0]:
            self.text += os.read(self.main, 65536)

    def expect(self, text):
        deadline = time.monotonic() + SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline and self.process.poll() is None, self.text[-2000:]
            self.read(0.2)

    def type(self, text):
        os.write(self.main, text)

    def wait(self):
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text[-2000:]
            self.read(0.1)
        while select.select([self.main], [], [], 0.1)[0]:
            self.read(0)
        return self.process.returncode

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.main)
        os.close(self.other)


@pytest.fixture
def terminal(qemu, kernel, tmp_path):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(newc({"init": (build_folder() / "tests/lib/tiny-init").read_bytes()}))
    made = []

    def make(*arguments, words=("--", "spin")):
        made.append(Terminal([build_folder() / "programs/cvmspawn", f"--qemu={qemu}", "--kvm=no", "--tpm=no", "--ram=256M", f"--linux={kernel}",
                              f"--initrd={initrd}", "--timeout=100", *arguments, "--", "mitigations=off", "random.trust_cpu=on", "no_timer_check", *words]))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_the_escape_key_leaves_a_clean_prompt(terminal, quiet):
    """The guest has left the cursor in the midst of a coloured line: the prompt is at the beginning of the next one, without its colour, and
    the terminal is as it was."""
    t = terminal(*quiet, "--console=interactive", words=("--", "unfinished"))
    t.expect(b"unfinished line")
    assert termios.tcgetattr(t.other) != t.before
    t.type(b"\x1d\x1d\x1d")
    assert t.wait() == 128 + signal.SIGINT
    assert termios.tcgetattr(t.other) == t.before
    shown = t.text[t.text.rindex(b"unfinished line"):]
    assert t.text.endswith(b"\n"), shown
    assert b"\x1b[0m" in shown or b"\x1b[m" in shown, shown  # the guest's colour is ended
    # The cursor is shown and lines wrap again; mouse, application keys and bracketed paste are off.
    after = re.sub(rb"\x1b\[0?m|\x1b\[\?(25|7)h|\x1b\[\?(1|1000|1002|1003|1006|2004)l", b"", shown)
    assert all(CLEAN.fullmatch(line.rstrip(b"\r")) for line in after.split(b"\n")), shown


@pytest.mark.parametrize("mode", ["interactive", "read-only"])
def test_a_background_under_the_console(terminal, mode):
    """Set before the guest's first byte, again after its colours, and ended with it."""
    t = terminal("-q", f"--console={mode}", "--background=48;2;0;40;0", words=("--", "unfinished"))
    t.expect(b"unfinished line")
    t.type(b"\x1d\x1d\x1d") if mode == "interactive" else t.process.terminate()
    t.wait()
    tint = b"\x1b[48;2;0;40;0m"
    assert t.text.index(tint) < t.text.index(b"unfinished line") and b"\n\x1b[K" in t.text
    assert t.text.rindex(tint) < t.text.rindex(b"\x1b[0m\x1b[K"), t.text[-300:]


def test_the_escape_key_is_explained(terminal):
    t = terminal("--console=interactive", words=("--", "unfinished"))
    t.expect(b"unfinished line")
    assert t.text.startswith(b"cvmspawn: press ^] three times within a second to end the guest\r\n"), t.text[:400]
    t.type(b"\x1d\x1d\x1d")
    t.wait()


def test_quiet_means_errors_only(terminal):
    """A guest that ends well leaves nothing but its output."""
    t = terminal("-q", "--console=headless", words=("--", "idle"))
    assert t.wait() == 0
    assert t.text == b""


def test_a_quiet_failure_is_one_message(terminal):
    t = terminal("-q", "--console=headless", "--qemu-arg=-device", "--qemu-arg=no-such-device")
    assert t.wait() == 125
    lines = t.text.decode().splitlines()
    assert all(line.startswith(("cvmspawn: ", "qemu-system-x86_64: ")) for line in lines), lines
    assert "not a valid device model name" in t.text.decode()
    assert "this QEMU was built without that device" in t.text.decode()
    assert lines[-1].startswith("cvmspawn: ")


def test_warnings_of_qemu_reach_the_user(terminal):
    """Without -q a warning of QEMU is shown although the launch goes well; with -q it is not an error."""
    words = ["--console=headless", "--qemu-arg=-netdev", "--qemu-arg=user,id=lonely"]
    t = terminal(*words, words=("--", "idle"))
    assert t.wait() == 0
    assert b"cvmspawn: warning: QEMU: netdev lonely has no peer" in t.text
    t = terminal("-q", *words, words=("--", "idle"))
    assert t.wait() == 0
    assert t.text == b""


def test_shell(cvmspawn, qemu, kernel, initrd):
    """A root shell of the initrd on the terminal, with its size, job control and its exit status"""
    for options in ((), ("--console-transport=virtio",)):
        t = Terminal([build_folder() / "programs/cvmspawn", f"--qemu={qemu}", "--kvm=no", "--tpm=no", f"--linux={kernel}", f"--initrd={initrd}",
                      "--timeout=300", "--shell", *options, "--", "quiet", "no_timer_check"])
        try:
            fcntl.ioctl(t.main, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
            t.expect(b"# ")
            t.type(b"id -u; echo from-$((40 + 2)); [ -t 0 ] && echo on-$(tty); stty size\n")
            t.expect(b"from-42")
            t.expect(b"on-/dev/hvc" + (b"1" if options else b"0"))
            t.expect(b"33 77")
            fcntl.ioctl(t.main, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
            t.type(b"sleep 1000\n")
            time.sleep(1)
            t.type(b"\003")
            t.type(b"echo after-$?; stty size; exit 7\n")
            t.expect(b"after-130")
            t.expect(b"44 88")
            assert t.wait() == 7
        finally:
            t.close()
