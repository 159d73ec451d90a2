# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every way in which a launch can end, with a stand-in for QEMU that behaves as the test says: statuses, sentences, events, and
that nothing is left behind. What real guests do is in test_launcher_guest.py and its neighbours."""

import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import pytest
from conftest import descendants_of

HERE = Path(__file__).resolve().parent
TOOK_TOO_LONG = 30
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
    notices = ("no hardware acceleration", "QEMU keeps this user")
    return [line for line in result.err.splitlines() if not any(notice in line for notice in notices)]


def events(result):
    return [json.loads(line) for line in result.out.splitlines()]


# --- ends that QEMU reports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "status", "source", "sentence"),
    [
        ("vm.start(); vm.power_off()", 0, "guest", None),
        ("vm.start(); vm.power_off('guest-reset')", 126, "guest", "the guest reset (reboot or triple fault)"),
        ("vm.start(); vm.event('GUEST_PANICKED', action='pause'); vm.power_off('guest-panic')", 126, "guest",
         "the guest's kernel panicked"),
        ("vm.start(); vm.write('port-notify', b'EXIT_STATUS=9\\n'); vm.power_off('guest-reset')", 9, "guest", None),
        ("vm.start(); vm.write('port-notify', b'EXIT_STATUS=256\\nEXIT_STATUS=-1\\nEXIT_STATUS=\\n'); vm.power_off()", 0,
         "guest", None),
        ("vm.start(); sys.exit(0)", 125, "qemu", "QEMU ended although the guest had not"),
        ("vm.start(); sys.exit(1)", 125, "qemu", "QEMU ended although the guest had not"),
        ("vm.start(); os.kill(os.getpid(), signal.SIGKILL)", 125, "qemu", "QEMU was killed"),
        ("vm.start(); os.abort()", 125, "qemu", "QEMU was killed"),
        ("vm.start(); vm.write('console', b'[ 1.0] Kernel panic - not syncing: VFS\\r\\n'); vm.answer_until('quit'); "
         "vm.power_off('host-qmp-quit')", 126, "guest", "the guest's kernel panicked"),
        ("vm.start(); vm.event('STOP'); vm.answer_until('query-status'); vm.power_off()", 0, "guest", None),
    ],
)
def test_ends_of_the_guest(fake, scenario, status, source, sentence):
    result = fake.run(scenario, "--json=short")
    assert result.status == status
    assert result.leftovers == []
    end = events(result)[-1]
    assert (end["event"], end["source"], end["status"], end["cause"]) == ("exit", source, status, sentence)
    assert [event["event"] for event in events(result)] == ["started", "ready", "exit"]
    shown = [line for line in said(result) if line.startswith("cvmspawn: ")]
    assert (f"cvmspawn: {sentence}" in shown) if sentence else not shown


@pytest.mark.parametrize("status", [0, 1, 7, 125, 255])
def test_the_commands_status_and_output(fake, small_initrd, status):
    scenario = f"vm.start(); vm.work({status}, bytes(range(256)) * 1000, b'\\xff\\x00err')"
    result = fake.run(scenario, f"--initrd={small_initrd}", "--run=true", "-q")
    assert result.status == status
    assert result.stdout == bytes(range(256)) * 1000
    assert result.stderr == b"\xff\x00err"
    assert result.leftovers == []


def test_a_power_off_without_the_commands_word(fake, small_initrd):
    """Is no success; and what the guest's console said last is shown."""
    result = fake.run("vm.start(); vm.write('console', b'no sh here\\r\\n'); vm.power_off()", f"--initrd={small_initrd}",
                      "--run=true")
    assert result.status == 125
    assert "the guest powered off without a word from the command of --run=" in result.err
    assert "no sh here" in result.err
    assert result.out == ""


# --- ends before the guest runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ("sys.exit(0)", "QEMU ended with status 0 while it was set up; is '@' a QEMU of version 8.0 or later?"),
        ("sys.exit(3)", "QEMU ended with status 3 while it was set up; is '@' a QEMU of version 8.0 or later?"),
        ("vm.greet(); sys.exit(1)", "QEMU ended with status 1 while it was set up; is '@' a QEMU of version 8.0 or later?"),
        ("os.kill(os.getpid(), signal.SIGSEGV)",
         "QEMU was killed by signal 11 (Segmentation fault) while it was set up"),
        ("vm.greet(7); vm.answer_until('cont')", "QEMU 7.0 is too old: 8.0 or later is needed, 10.0 for --coco="),
    ],
)
def test_qemu_that_ends_at_once(fake, scenario, sentence):
    result = fake.run(scenario, "--status-fd=1", "-q")
    program = fake.directory / "qemu-1"
    sentence = sentence.replace("@", str(program))
    assert result.status == 125
    assert said(result) == [f"cvmspawn: {sentence}"]
    assert events(result) == [{"event": "exit", "cause": sentence, "status": 125, "source": events(result)[0]["source"]}]
    assert events(result)[0]["source"] == ("launcher" if "too old" in sentence else "qemu")
    assert result.seconds < 4
    assert result.leftovers == []


@pytest.mark.parametrize(
    "rubbish",
    [
        "b'\\x00\\xff\\xfe rubbish\\n'", "b'{\"QMP\": 1}\\n'", "b'[1,2]\\n'", "b'SSH-2.0-OpenSSH\\r\\n'",
        "b'{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"ten\"}}, \"capabilities\": []}}\\n'", "b'[' * 100000 + b'\\n'",
    ],
)
def test_qemu_that_talks_rubbish(fake, rubbish):
    result = fake.run(f"vm.monitor.sendall({rubbish}); {HANG}", "-q", "--timeout=20")
    assert result.status == 125
    assert len(said(result)) == 1
    assert result.leftovers == []


def test_qemu_that_says_nothing(fake):
    result = fake.run(HANG, "--timeout=1", "-q")
    assert result.status == 124
    assert said(result) == ["cvmspawn: the guest did not end in the time of --timeout="]
    assert result.seconds < 10
    assert result.leftovers == []


@pytest.mark.full
def test_qemu_that_never_greets(fake):
    """Without --timeout= too."""
    result = fake.start(HANG, "-q").wait(120)
    assert result.status == 125
    assert len(said(result)) == 1
    assert "not even with the QMP greeting" in said(result)[0]
    assert result.leftovers == []


def test_messages_of_qemu_reach_the_user(fake):
    """Also the last one without its newline, and one of more bytes than are read at once."""
    long = "x" * 10000
    result = fake.run(f"sys.stderr.write('first\\n\\n{long}\\nlast'); sys.stderr.flush(); sys.exit(1)", "-q")
    lines = said(result)
    assert lines[0] == "cvmspawn: QEMU: first"
    assert lines[1].startswith("cvmspawn: QEMU: xxxx")
    assert lines[2] == "cvmspawn: QEMU: last"
    assert len(lines) == 4
    assert result.status == 125


def test_known_messages_are_explained(fake):
    result = fake.run("sys.stderr.write('qemu-system-x86_64: cannot set up guest memory ram0: Cannot allocate memory\\n'); "
                      "sys.exit(1)", "-q", "--status-fd=1")
    assert said(result)[0] == "cvmspawn: QEMU: cannot set up guest memory ram0: Cannot allocate memory"
    assert "there is not enough memory for --ram=" in result.err
    assert result.status == 125


# --- the initrd's verdict --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"init": b"#!"}, "the initrd has no etc/initrd-release: its PID 1 is not systemd and imports no credentials"),
        ({"etc/initrd-release": b"ID=x\n"}, "the initrd has no systemd, so nothing there imports credentials"),
        ({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-252.so": b"ELF"},
         "the initrd has systemd 252, which does not know credentials in the initrd (systemd 262 does)"),
    ],
)
def test_an_initrd_that_cannot_import(fake, tmp_path, files, sentence):
    """Falls back to SMBIOS strings, saying so, unless what is asked needs the initrd: the paused QEMU never runs."""
    initrd = tmp_path / "old"
    initrd.write_bytes(newc(files))
    scenario = f"""
        with open({str(tmp_path / 'launches')!r}, "a") as launches:
            launches.write(" ".join(arguments) + "\\n")
        vm.greet()
        vm.answer_until("query-version")
        vm.answer_until("cont")
        vm.power_off()
    """
    result = fake.run(scenario, f"--initrd={initrd}", "--set-credential=a:sesame")
    assert said(result) == [f"cvmspawn: {sentence}; passing them as SMBIOS strings instead"]
    assert result.status == 0
    first, second = (tmp_path / "launches").read_text().splitlines()
    assert "type=11" not in first and "-initrd /proc/self/fd/113" in first
    assert "-smbios type=11,path=/proc/self/fd/120" in second and f"-initrd {initrd}" in second
    assert "sesame" not in first + second

    result = fake.run(scenario, f"--initrd={initrd}", "--run=true")
    assert said(result) == [f"cvmspawn: {sentence}"]
    assert result.status == 125
    result = fake.run(scenario, f"--initrd={initrd}", "--set-credential=a:b", "--credential-transport=initrd")
    assert said(result) == [f"cvmspawn: {sentence}"]
    assert result.status == 125
    assert result.leftovers == []
    assert result.seconds < 4


def test_an_initrd_without_a_shell(fake, tmp_path):
    initrd = tmp_path / "no-sh"
    initrd.write_bytes(newc({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}))
    result = fake.run("vm.start(); vm.work()", f"--initrd={initrd}", "--run=true", "-q")
    assert result.status == 125
    assert said(result) == ["cvmspawn: --run: the initrd has no /bin/sh to run the command with"]


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
    run.wait_for(marker.exists, 20, "the phase was not reached")
    run.signal(number)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + number
    assert events(result) == [{"event": "exit", "source": "signal", "status": 128 + number,
                               "cause": "a signal ended the guest"}]
    assert said(result) == []
    assert result.leftovers == []
    assert result.seconds < 10


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
    assert said(result) == ["cvmspawn: asking the guest to power off; a second signal ends it at once"]


def test_the_button_is_pressed_again(fake):
    """For a guest that was still booting."""
    run = fake.start("vm.start(); vm.answer_until('system_powerdown'); vm.answer_until('system_powerdown'); vm.power_off()",
                     "--json=short")
    run.wait_for_output(b'"started"')
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 0
    assert 2 <= result.seconds < 6


def test_the_second_signal_quits(fake):
    run = fake.start(QUITS, "--json=short")
    run.wait_for_output(b'"started"')
    run.signal(signal.SIGTERM)
    run.wait_for_output(b"asking the guest", "stderr")
    run.signal(signal.SIGINT)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + signal.SIGTERM  # the first one counts
    assert result.seconds < 8
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
    assert result.seconds < 4
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
    assert result.seconds < 8


@pytest.mark.parametrize("with_run", [False, True])
def test_time_runs_out(fake, small_initrd, with_run):
    more = [f"--initrd={small_initrd}", "--run=sleep 600"] if with_run else []
    result = fake.run(QUITS, "--timeout=2s", "--status-fd=1", *more)
    assert result.status == 124
    assert [event["event"] for event in events(result)][-1] == "exit"
    assert events(result)[-1]["source"] == "timeout"
    assert said(result) == ["cvmspawn: the guest did not end in the time of --timeout="]
    assert 2 <= result.seconds < 10


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


# --- readers ---------------------------------------------------------------------------------------------------------------


def test_a_slow_reader_gets_everything(fake, small_initrd, tmp_path):
    size = 3_000_000
    scenario = f"vm.start(); vm.work(5, bytes(i * 7 % 251 for i in range({size})))"
    done = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--initrd={small_initrd}", "--run=true", "-q"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        time.sleep(1)
        got = bytearray()
        while data := os.read(done.stdout.fileno(), 100_000):
            got += data
            time.sleep(0.002)
        assert done.wait(TOOK_TOO_LONG) == 5
        assert got == bytes(i * 7 % 251 for i in range(size))
    finally:
        done.kill()
        done.wait()
        done.stdout.close()


def test_a_reader_that_goes_away_changes_nothing(fake, small_initrd):
    scenario = "vm.start(); vm.work(5, b'x' * 3000000)"
    done = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--initrd={small_initrd}", "--run=true", "-q"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    try:
        assert os.read(done.stdout.fileno(), 1000)
        done.stdout.close()
        assert done.wait(TOOK_TOO_LONG) == 5
        assert done.stderr.read() == b""
    finally:
        done.kill()
        done.wait()
        done.stderr.close()


def test_a_reader_that_never_reads_is_given_up_by_a_signal(fake, small_initrd):
    """The guest has ended; only the last output waits."""
    scenario = "vm.start(); vm.work(5, b'x' * 200000)"
    done = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--initrd={small_initrd}", "--run=true", "-q"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 20
        while not list(descendants_of(done.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        while list(descendants_of(done.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.monotonic() < deadline and done.poll() is None
        done.send_signal(signal.SIGTERM)
        assert done.wait(5) == 5
    finally:
        done.kill()
        done.wait()
        done.stdout.close()


# --- events and notifications ----------------------------------------------------------------------------------------------


def test_notifications_reach_the_manager(fake, small_initrd, tmp_path):
    """READY=1 once, STATUS= and EXIT_STATUS= as they are, nothing else that a guest may say."""
    scenario = """
        vm.start()
        vm.write("port-notify", b"STATUS=half\\nMAINPID=1\\nREADY=1\\nREADY=1\\nFDSTORE=1\\nnonsense\\n" + b"y" * 9000 + b"\\n")
        vm.write("port-notify", b"EXIT_STATUS=4\\n")
        vm.power_off()
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        result = fake.run(scenario, f"--initrd={small_initrd}", "--run=true", "--notify-ready=yes", "--status-fd=1",
                          env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert result.status == 4
        assert received(manager) == [b"STATUS=half", b"READY=1", b"EXIT_STATUS=4"]
        assert [event["event"] for event in events(result)] == ["started", "ready", "exit"]

        result = fake.run("vm.start(); vm.power_off()", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert received(manager) == [b"READY=1"]
        result = fake.run("vm.start(); vm.power_off()", "--notify-ready=no",
                          env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert received(manager) == []
        assert result.status == 0


def received(manager):
    messages = []
    while True:
        try:
            messages.append(manager.recv(65536))
        except BlockingIOError:
            return messages


def test_a_manager_that_is_gone_does_not_matter(fake):
    result = fake.run("vm.start(); vm.power_off()", env={"NOTIFY_SOCKET": "/nonexistent/notify"})
    assert result.status == 0


def test_events_on_a_descriptor_whose_reader_is_gone(fake):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = fake.run("vm.start(); vm.power_off('guest-reset')", f"--status-fd={writer}", pass_fds=(writer,))
    finally:
        os.close(writer)
    assert result.status == 126


def test_a_status_descriptor_with_a_number_of_ours(fake, tmp_path):
    """113 is where the launcher keeps the initrd."""
    path = tmp_path / "events"
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 113, inheritable=True)
        try:
            result = fake.run("vm.start(); vm.power_off()", "--status-fd=113", pass_fds=(113,))
        finally:
            os.close(113)
    assert result.status == 0
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["started", "ready", "exit"]


def test_refusals_are_events_too(fake):
    result = fake.run("", "--status-fd=1", "--initrd=/nonexistent/initrd", "-q")
    assert result.status == 125
    (end,) = events(result)
    assert (end["event"], end["source"], end["status"]) == ("exit", "launcher", 125)
    assert said(result) == [f"cvmspawn: {end['cause']}"]
    assert "'/nonexistent/initrd'" in end["cause"]


# --- consoles --------------------------------------------------------------------------------------------------------------


def test_the_console_is_shown_or_kept(fake):
    scenario = "vm.start(); vm.write('console', b'hello from the guest\\r\\n'); vm.power_off({!r})"
    result = fake.run(scenario.format("guest-shutdown"), "--console=read-only")
    assert result.stdout == b"hello from the guest\r\n"
    result = fake.run(scenario.format("guest-shutdown"), "--console=headless")
    assert result.stdout == b"" and "hello" not in result.err
    result = fake.run(scenario.format("guest-reset"), "--console=headless")
    assert result.stdout == b"" and "the end of the guest's console:\nhello from the guest" in result.err


# --- what a launch shows of itself -----------------------------------------------------------------------------------------


def test_secrets_are_in_no_process_and_no_file(fake, small_initrd, tmp_path):
    """Neither arguments nor environment of any child, nor anything in the temporary places, has the credential's value."""
    secret = "sesame-open-8731"
    (tmp_path / "secret").write_text(secret)
    for transport in ("initrd", "smbios", "fw_cfg"):
        run = fake.start("vm.start(); " + HANG, f"--initrd={small_initrd}", f"--load-credential=a:{tmp_path / 'secret'}",
                         f"--credential-transport={transport}", "--json=short")
        run.wait_for_output(b'"started"')
        family = [run.pid, *descendants_of(run.pid)]
        assert len(family) >= 2
        for pid in family:
            for name in ("cmdline", "environ"):
                assert secret.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        for place in run.places:
            assert list(place.rglob("*")) == []
        run.signal(signal.SIGKILL)
        result = run.wait()
        assert result.leftovers == []
        assert secret not in result.err + result.out


def test_qemu_inherits_what_it_needs_and_nothing_else(fake, small_initrd, tmp_path):
    """Descriptors of the caller, the launcher's own and those of other purposes stay behind."""
    listing = tmp_path / "fds"
    scenario = f"""
        with open({str(listing)!r}, "w") as file:
            print(*sorted(int(n) for n in os.listdir("/proc/self/fd")), file=file)
        vm.start()
        vm.power_off()
    """
    reader, writer = os.pipe()
    try:
        result = fake.run(scenario, f"--initrd={small_initrd}", "--set-credential=a:b", pass_fds=(reader, writer))
    finally:
        os.close(reader)
        os.close(writer)
    assert result.status == 0
    high = [int(n) for n in listing.read_text().split() if int(n) > 10]
    assert high == [100, 101, 102, 112, 113, 114]


def test_modes_of_sockets_and_files(fake):
    """QEMU's ends are sockets without a name: nobody else can connect."""
    run = fake.start("vm.start(); " + HANG, "--json=short")
    run.wait_for_output(b'"started"')
    (qemu,) = descendants_of(run.pid)
    assert stat.S_ISSOCK(os.stat(f"/proc/{qemu}/fd/100").st_mode)
    inode = os.readlink(f"/proc/{qemu}/fd/100")[8:-1]
    (entry,) = [line for line in Path("/proc/net/unix").read_text().splitlines() if inode in line.split()]
    assert len(entry.split()) == 7  # no path
    run.signal(signal.SIGKILL)
    assert run.wait().leftovers == []


# --- the interactive console -----------------------------------------------------------------------------------------------


class Terminal:
    """cvmspawn on a terminal of its own."""

    def __init__(self, fake, scenario, *arguments):
        self.main, other = pty.openpty()
        self.settings = termios.tcgetattr(other)
        self.other = other
        self.process = subprocess.Popen(
            [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
             *arguments],
            stdin=other, stdout=other, stderr=other, start_new_session=True,
        )
        self.text = b""

    def expect(self, text):
        deadline = time.monotonic() + 20
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
    console = vm.fds["console"]
    os.set_blocking(console, True)
    os.write(console, b"login: ")
    while True:
        typed = os.read(console, 1)
        os.write(console, b"<" + typed + b">")
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
    t.expect(b"cvmspawn: QEMU ended although the guest had not\r\n")
    assert termios.tcgetattr(t.other) == t.settings


def test_a_read_only_console_takes_no_keys(terminal):
    t = terminal("vm.start(); vm.write('console', b'login: '); time.sleep(1); vm.power_off()", "-q", "--console=read-only")
    t.expect(b"login: ")
    assert termios.tcgetattr(t.other) == t.settings
    assert t.process.wait(TOOK_TOO_LONG) == 0
