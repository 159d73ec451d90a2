# SPDX-License-Identifier: LGPL-2.1-or-later
"""--run= on a terminal: the command has one in the guest, of the same size; the user's is raw while it runs and restored on every way out."""

import fcntl
import signal
import struct
import termios
import time

import pytest
from conftest import build_folder
from launcher_fake import HANG
from test_adapter import adapter, release  # noqa: F401
from test_launcher_terminal import Terminal

PROGRAM = build_folder() / "programs/cvmspawn"
COMMAND = ('[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size; echo "$TERM"; read -r line; echo "got-$line"; trap "stty size; exit 7" WINCH; '
           'echo waiting; while :; do sleep 1; done')


def resize(t, rows, columns):
    fcntl.ioctl(t.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def talk(t):
    """With a guest whose command is COMMAND."""
    t.expect(b"press ^] three times")
    t.expect(b"33 77\r\n")
    t.expect(b"xterm-test\r\n")
    assert not termios.tcgetattr(t.other)[3] & (termios.ICANON | termios.ECHO)
    t.type(b"hello\n")
    t.expect(b"got-hello\r\n")
    t.expect(b"waiting\r\n")
    resize(t, 44, 88)
    t.expect(b"44 88\r\n")
    assert t.wait() == 7
    assert termios.tcgetattr(t.other) == t.before


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-test")
    made = []

    def make(*argv):
        t = Terminal([PROGRAM, "--kvm=no", "--tpm=no", "--timeout=240", *argv])
        made.append(t)
        resize(t, 33, 77)
        return t

    yield make
    for one in made:
        one.close()


@pytest.fixture
def faked(terminal, fake, small_initrd):
    def make(scenario, *argv):
        return terminal(f"--qemu={fake.qemu(scenario)}", f"--linux={fake.kernel}", f"--initrd={small_initrd}", "--run=true", *argv)
    return make


READY = 'vm.start(); vm.write("port-notify", b"READY=1\\n"); vm.write("port-terminal", b"\\x1b[31munfinished"); '


@pytest.mark.parametrize(("way", "status"), [
    ("signal", 143), ("key", 130), ("timeout", 124), ("qemu", 125), ("status", 9), ("powered off", 125), ("half a second after a status", 9)])
def test_every_way_out(faked, way, status):
    scenario = {
        "qemu": "sys.exit(3)", "status": 'vm.write("port-notify", b"EXIT_STATUS=9\\n"); vm.power_off()', "powered off": "vm.power_off()",
        "half a second after a status": 'vm.write("port-notify", b"EXIT_STATUS=9\\n"); time.sleep(0.5); vm.power_off()',
    }.get(way, HANG if way == "timeout" else "vm.serve()")
    t = faked(READY + ("time.sleep(0.5); " if way in ("qemu", "powered off") else "") + scenario, *["--timeout=2"][:way == "timeout"])
    t.expect(b"unfinished")
    t.expect(b"press ^] three times")
    if way in ("signal", "key"):
        deadline = time.monotonic() + 30
        while termios.tcgetattr(t.other) == t.before and time.monotonic() < deadline:
            t.read(0.05)  # it says so, then it takes the keys
        assert termios.tcgetattr(t.other) != t.before
    if way == "signal":
        t.process.send_signal(signal.SIGTERM)
    if way == "key":
        t.type(b"abc\x1d\x1d")
        t.type(b"\x1d")
    assert t.wait() == status, t.text
    assert termios.tcgetattr(t.other) == t.before
    assert b"\x1b[0m" in t.text[t.text.index(b"unfinished"):]  # its colours have ended


def test_until_the_command_starts_the_keys_are_ours(faked, tmp_path):
    marker = tmp_path / "marker"
    t = faked(f'vm.start(); open({str(marker)!r}, "w").close(); {HANG}')
    while not marker.exists():
        assert t.process.poll() is None
        t.read(0.1)
    t.read(0.5)
    assert termios.tcgetattr(t.other) == t.before
    t.type(b"\003")
    assert t.wait() == 130 and termios.tcgetattr(t.other) == t.before


def test_what_the_guest_is_told(faked, monkeypatch):
    """Once before it asks, and with each change of the size; a name that is none is not passed on."""
    hear = 'import socket; s = socket.socket(fileno=os.dup(vm.fds["port-stdin"])); s.setblocking(True); '
    t = faked(READY + hear + 'vm.write("port-terminal", s.recv(100)); vm.write("port-terminal", s.recv(100)); vm.work(0)')
    t.expect(b"33 77 merged xterm-test")
    resize(t, 10, 20)
    t.expect(b"10 20 merged xterm-test")
    t.type(b"x")
    assert t.wait() in (0, 125)
    monkeypatch.setenv("TERM", "../../x")
    t = faked(READY + hear + 'vm.write("port-terminal", s.recv(100)); vm.power_off()')
    t.expect(b" vt220")
    t.wait()


def test_nothing_of_it_is_measured(terminal, cvmspawn, kernel, firmware, small_initrd, tmp_path):
    options = ["--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={small_initrd}", "--run=true", "--print=digest"]
    t = terminal(*options)
    assert t.wait() == 0
    result = cvmspawn.run("--kvm=no", "--tpm=no", *options, timeout=60)
    digest = result.out.split()[-1] if result.status == 0 else None
    assert digest and len(digest) == 96 and digest.encode() in t.text, (result.out, t.text)


@pytest.mark.full
@pytest.mark.parametrize("transport", ["serial", "virtio"])
def test_a_real_guest(terminal, qemu, kernel, initrd, transport):
    talk(terminal(f"--qemu={qemu}", f"--linux={kernel}", f"--initrd={initrd}", f"--run={COMMAND}", f"--console-transport={transport}"))


@pytest.mark.full
@pytest.mark.parametrize("release", ["trixie"], indirect=True)
def test_through_the_adapter(terminal, qemu, adapter, release):  # noqa: F811
    talk(terminal(f"--qemu={qemu}", f"--linux={release / 'vmlinuz'}", f"--initrd={release / 'initramfs-tools'}.cpio", "--ram=1G",
                  f"--run={COMMAND}"))
