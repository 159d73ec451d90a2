# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a slow launch is doing, and for how long, on one line of a terminal: never without one, never with -q, and never waited for."""

import re
import termios
import time

import pytest
from conftest import build_folder
from test_launcher_terminal import Terminal

PROGRAM = build_folder() / "programs/cvmspawn"
END = 'vm.write("port-notify", b"EXIT_STATUS=6\\n"); vm.power_off()'
SLOW = "time.sleep(3.5); vm.start(); time.sleep(3.5); " + END
CLEAR = b"\r\x1b[K"


@pytest.fixture
def terminal(fake, small_initrd, monkeypatch):
    monkeypatch.setenv("TERM", "vt220")
    made = []

    def make(scenario, *argv):
        made.append(Terminal([PROGRAM, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}", f"--initrd={small_initrd}",
                              "--run=true", *argv]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def lines(text):
    return re.findall(re.escape(CLEAR) + rb"cvmspawn: ([a-zA-Z' ]+) \((\d+) s\)", text)


def test_a_slow_launch(terminal):
    t = terminal(SLOW)
    assert t.wait() == 6
    shown = lines(t.text)
    doing = [what for what, _ in shown]
    assert b"waiting for QEMU's monitor" in doing and doing[-1] == b"booting the guest", t.text
    for step in set(doing):
        seconds = [int(n) for what, n in shown if what == step]
        assert seconds == sorted(seconds) and seconds[0] >= 1, shown
    # Nothing of it is left, and what was said stands on lines that nothing else is on.
    rest = re.sub(re.escape(CLEAR) + rb"cvmspawn: [a-zA-Z' ]+ \(\d+ s\)", b"", t.text)
    assert rest.count(CLEAR) >= 1 and not lines(rest)
    assert t.text.rindex(CLEAR) > t.text.rindex(b" s)")
    assert all(line == b"" or line.startswith(b"cvmspawn: ") for line in rest.replace(CLEAR, b"").split(b"\r\n")), rest


def test_nobody_watches(terminal, fake, small_initrd, monkeypatch):
    t = terminal(SLOW, "-q")
    assert t.wait() == 6 and t.text == b""
    result = fake.run(SLOW, f"--initrd={small_initrd}", "--run=true")
    assert result.status == 6 and "\r" not in result.err and " s)" not in result.err
    monkeypatch.setenv("TERM", "dumb")
    t = terminal(SLOW)
    assert t.wait() == 6 and b"\x1b" not in t.text and not lines(t.text)


def test_a_fast_launch_shows_nothing(terminal):
    t = terminal("vm.start(); " + END)
    assert t.wait() == 6 and not lines(t.text)


def test_a_stopped_terminal_is_not_waited_for(terminal, tmp_path):
    """The launch goes on while the user has pressed ^S; the lines that were not taken are not shown later."""
    marker = tmp_path / "marker"
    t = terminal(f"time.sleep(3.5); vm.start(); open({str(marker)!r}, 'w').close(); time.sleep(2.5); " + END)
    t.read(1)
    termios.tcflow(t.other, termios.TCOOFF)
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert time.monotonic() < deadline and t.process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    termios.tcflow(t.other, termios.TCOON)
    assert t.wait() == 6
