# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals at each phase of a launch, and terminals, with a stand-in for QEMU."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from conftest import descendants_of
from launcher_fake import HANG, TOOK_TOO_LONG, events, said


# --- signals ---------------------------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGRTMIN + 4]


def phases(marker):
    """Stand-ins that reach a phase, say so by a file, and stay there."""
    there = f"open({str(marker)!r}, 'w').close()"
    return {
        "before QMP": f"{there}; {HANG}",
        "during set-up": f"vm.greet(); vm.answer_until('qmp_capabilities'); {there}; {HANG}",
        "at cont": f"vm.greet(); vm.answer_until('query-version'); {there}; {HANG}",
    }


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: f"signal-{int(number)}")
@pytest.mark.parametrize("phase", ["before QMP", "during set-up", "at cont"])
def test_a_signal_before_the_guest_runs(fake, tmp_path, phase, number):
    marker = tmp_path / "reached"
    run = fake.start(phases(marker)[phase], "--status-fd=1", "-q")
    run.wait_for(marker.exists, 60, "the phase was not reached")
    run.signal(number)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + number
    assert events(result)[-1:] == [{"event": "exit", "source": "signal", "status": 128 + number,
                               "cause": "a signal ended the guest"}]
    assert said(result) == []
    assert result.leftovers == []
    assert result.seconds < 20


ON_POWERDOWN = "vm.start(); vm.answer_until('system_powerdown'); vm.event('POWERDOWN'); vm.power_off()"
DEAF = """
    vm.start()
    while True:
        vm.answer_until('quit')
"""
QUITS = "vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: f"signal-{int(number)}")
def test_the_first_signal_asks_for_a_power_off(fake, number):
    run = fake.start(ON_POWERDOWN, "--json=short")
    run.wait_for_output(b'"started"')
    run.signal(number)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 0
    assert events(result)[-1]["source"] == "guest"
    assert said(result) == ["cvmspawn: asking the guest to power off; send the signal again to end it at once"]


def test_the_button_is_pressed_again(fake):
    """For a guest that was still booting."""
    run = fake.start("vm.start(); vm.answer_until('system_powerdown'); vm.answer_until('system_powerdown'); vm.power_off()",
                     "--json=short")
    run.wait_for_output(b'"started"')
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 0
    assert 2 <= result.seconds < 20


def test_the_second_signal_quits(fake):
    run = fake.start(QUITS, "--json=short")
    run.wait_for_output(b'"started"')
    run.signal(signal.SIGTERM)
    run.wait_for_output(b"asking the guest", "stderr")
    run.signal(signal.SIGINT)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + signal.SIGTERM  # the first one counts
    assert result.seconds < 20
    assert result.leftovers == []


def test_the_third_signal_kills(fake):
    run = fake.start(DEAF, "--json=short")
    run.wait_for_output(b'"started"')
    run.signal()
    run.wait_for_output(b"asking the guest", "stderr")
    qemu = next(iter(descendants_of(run.pid)))
    run.signal(signal.SIGINT)
    time.sleep(0.3)  # two pending signals of one kind would be one
    run.signal(signal.SIGTERM)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + signal.SIGTERM
    assert not Path(f"/proc/{qemu}").exists()
    assert result.seconds < 20
    assert result.leftovers == []


@pytest.mark.parametrize(("scenario", "least", "most"), [(QUITS, 10, 14), (DEAF, 15, 20)], ids=["quits", "deaf"])
@pytest.mark.full
def test_a_guest_that_does_not_hear_the_power_button(fake, scenario, least, most):
    run = fake.start(scenario, "--json=short")
    run.wait_for_output(b'"started"')
    asked = time.monotonic()
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert least <= time.monotonic() - asked < most
    assert result.status == 143


def test_a_signal_during_a_command_quits_at_once(fake, small_initrd):
    run = fake.start(QUITS, f"--initrd={small_initrd}", "--run=sleep 600", "--status-fd=1", "-q")
    run.wait_for_output(b'"started"')
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 143
    assert result.seconds < 20


@pytest.mark.parametrize("with_run", [False, True])
def test_time_runs_out(fake, small_initrd, with_run):
    more = [f"--initrd={small_initrd}", "--run=sleep 600"] if with_run else []
    result = fake.run(QUITS, "--timeout=2s", "--status-fd=1", *more)
    assert result.status == 124
    assert [event["event"] for event in events(result)][-1] == "exit"
    assert events(result)[-1]["source"] == "timeout"
    assert said(result) == ["cvmspawn: the guest did not end within --timeout="]
    assert 2 <= result.seconds < 20


def test_a_launcher_that_is_killed_takes_qemu_along(fake):
    run = fake.start("vm.start(); " + HANG, "--json=short")
    run.wait_for_output(b'"started"')
    family = list(descendants_of(run.pid))
    assert family
    run.signal(signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == -signal.SIGKILL
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
    assert result.leftovers == []


# --- the interactive console -----------------------------------------------------------------------------------------------


class Terminal:
    """cvmspawn on its own terminal."""

    def __init__(self, fake, scenario, *arguments):
        self.main, other = pty.openpty()
        self.settings = termios.tcgetattr(other)
        self.other = other
        self.process = subprocess.Popen(
            [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
             *arguments],
            stdin=other, stdout=other, stderr=other, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(other, termios.TIOCSCTTY, 0),
        )
        self.text = b""

    def expect(self, text):
        deadline = time.monotonic() + 60
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.text!r}"
            if select.select([self.main], [], [], 0.5)[0]:
                self.text += os.read(self.main, 4096)

    def type(self, text):
        os.write(self.main, text)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.main)
        os.close(self.other)


@pytest.fixture
def terminal(fake):
    made = []

    def make(*arguments):
        made.append(Terminal(fake, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


ECHO = """
    vm.start()
    os.write(1, b"login: ")
    while True:
        typed = os.read(0, 1)
        os.write(1, b"<" + typed + b">")
        if typed == b"q":
            vm.power_off()
"""


def test_typing_on_the_console(terminal):
    """Interactive is what a terminal gets: each key at once, ^C for the guest and not for us."""
    t = terminal(ECHO, "-q")
    t.expect(b"login: ")
    t.type(b"a")
    t.expect(b"<a>")
    t.type(b"\x03")
    t.expect(b"<\x03>")
    t.type(b"\x1d\x1dx")
    t.expect(b"<x>")
    assert termios.tcgetattr(t.other) != t.settings
    t.type(b"q")
    assert t.process.wait(TOOK_TOO_LONG) == 0
    assert termios.tcgetattr(t.other) == t.settings


def test_the_escape_key_ends_the_guest(terminal):
    """^] three times within a second."""
    t = terminal("vm.start(); vm.write('console', b'login: '); vm.answer_until('quit'); vm.power_off('host-qmp-quit')", "-q")
    t.expect(b"login: ")
    t.type(b"\x1d")
    time.sleep(1.1)
    t.type(b"\x1d\x1d")
    time.sleep(0.3)
    assert t.process.poll() is None
    time.sleep(1.1)
    t.type(b"\x1d\x1d\x1d")
    assert t.process.wait(TOOK_TOO_LONG) == 128 + signal.SIGINT
    assert termios.tcgetattr(t.other) == t.settings


def test_a_terminal_is_as_it_was_after_a_failure(terminal):
    t = terminal("vm.start(); sys.exit(1)", "-q")
    assert t.process.wait(TOOK_TOO_LONG) == 125
    t.expect(b"cvmspawn: QEMU ended while the guest was still running\r\n")
    assert termios.tcgetattr(t.other) == t.settings


def test_a_read_only_console_takes_no_keys(terminal):
    t = terminal("vm.start(); vm.write('console', b'login: '); time.sleep(1); vm.power_off()", "-q", "--console=read-only")
    t.expect(b"login: ")
    assert termios.tcgetattr(t.other) == t.settings
    assert t.process.wait(TOOK_TOO_LONG) == 0


def test_the_terminals_interrupt_is_for_the_launcher(terminal):
    """^C where the console is only read reaches the whole foreground: not QEMU, or the guest would lose its power at once."""
    t = terminal("vm.start(); vm.write('console', b'login: '); vm.answer_until('system_powerdown'); vm.power_off()",
                 "--console=read-only")
    t.expect(b"login: ")
    t.type(b"\x03")
    assert t.process.wait(TOOK_TOO_LONG) == 0
    t.expect(b"asking the guest to power off")
