# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of a guest's bytes reaches a person, and what happens when nobody reads, or nothing can be written."""

import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import time

import pytest
from launcher_fake import HANG, TOOK_TOO_LONG, said

HOSTILE = r"b'\x1b[2J\x1b[H\x1b]0;owned\x07\x1b[6n\x1b[cplain \x1b[31mred\x1b[0m\ttab \x07\x9b\r\n'"


def on_terminal(fake, scenario, *arguments, stdin=None):
    """Standard input, output and error on a terminal: what it got, and the status."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}", *arguments],
        stdin=other if stdin is None else stdin, stdout=other, stderr=other, start_new_session=True,
    )
    os.close(other)
    text = b""
    deadline = time.monotonic() + TOOK_TOO_LONG
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    text += os.read(main, 65536)
                except OSError:
                    break
        return process.wait(TOOK_TOO_LONG), text
    finally:
        process.kill()
        process.wait()
        os.close(main)


# --- terminals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["console", "stdout", "stderr"])
def test_a_terminal_gets_text_and_colours_only(fake, small_initrd, how):
    if how == "console":
        status, text = on_terminal(fake, f"vm.start(); vm.write('console', {HOSTILE}); vm.power_off()", "--console=read-only", "-q")
    else:
        work = f"out={HOSTILE}" if how == "stdout" else f"err={HOSTILE}"
        status, text = on_terminal(fake, f"vm.start(); vm.work(0, {work})", f"--initrd={small_initrd}", "--run=true", "-q",
                                   stdin=subprocess.DEVNULL)  # else the command has the terminal, as a login has it
    assert status == 0
    assert text == b"plain \x1b[31mred\x1b[0m\ttab ^G\\x9b\r\n"


def test_a_file_gets_every_byte(fake):
    result = fake.run(f"vm.start(); vm.write('console', {HOSTILE}); vm.power_off()", "--console=read-only", "-q")
    assert result.stdout == eval(HOSTILE)


def test_the_terminal_of_an_interactive_guest_gets_every_byte(fake):
    status, text = on_terminal(fake, f"vm.start(); vm.write('console', {HOSTILE}); vm.power_off()", "-q")
    assert status == 0
    assert text.startswith(eval(HOSTILE))
    # What the guest may have done to it is undone.
    assert b"\x1b[0m\x1b[?25h" in text[len(eval(HOSTILE)):]


def test_messages_of_qemu_carry_no_control_characters(fake):
    result = fake.run(r"sys.stderr.write('\x1b[2Jqemu: \x07bad\n'); sys.stderr.flush(); sys.exit(1)", "-q")
    assert b"\x1b" not in result.stderr
    assert "QEMU: qemu: ^Gbad" in result.err


# --- what is shown of a console that was kept --------------------------------------------------------------------------------


LINES = "vm.start(); vm.write('console', b''.join(b'line %d\\r\\n' % i for i in range(1000)) + {more}); vm.power_off('guest-reset')"


def test_the_last_lines_and_the_message_behind_them(fake):
    result = fake.run(LINES.format(more=HOSTILE), "--console=headless")
    assert result.status == 126
    lines = said(result)
    assert lines[0] == "cvmspawn: last lines of the guest's console (--console-log=FILE keeps all of them):"
    assert lines[1:30] == [f"line {i}" for i in range(971, 1000)]
    assert lines[30] == "plain red\ttab ^G\\x9b"
    assert lines[31:] == ["cvmspawn: the guest reset (reboot or triple fault)"]


def test_quiet_means_errors_only(fake):
    result = fake.run(LINES.format(more="b''"), "--console=headless", "-q")
    assert result.err == "cvmspawn: the guest reset (reboot or triple fault)\n"


@pytest.mark.parametrize("console", ["headless", "read-only"])
def test_the_console_log_has_everything(fake, tmp_path, console):
    log = tmp_path / "console"
    result = fake.run(LINES.format(more=HOSTILE), f"--console={console}", f"--console-log={log}")
    assert log.read_bytes() == b"".join(b"line %d\r\n" % i for i in range(1000)) + eval(HOSTILE)
    assert log.stat().st_mode & 0o777 == 0o600
    if console == "headless":
        assert f"(all of them are in '{log}')" in result.err


@pytest.mark.parametrize(("path", "sentence"), [
    ("/nonexistent/log", "cannot open '/nonexistent/log': No such file or directory"),
    ("FIFO", "is not a regular file; use --console=read-only to pass the console on"),
])
def test_a_console_log_that_cannot_be_had(fake, tmp_path, path, sentence):
    if path == "FIFO":
        path = tmp_path / "fifo"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    result = fake.run("vm.start(); vm.power_off()", f"--console-log={path}", "-q")
    assert result.status == 125
    assert sentence in result.err
    if path == tmp_path / "fifo":
        os.close(reader)


# --- nothing is lost in silence ----------------------------------------------------------------------------------------------


WORK = "vm.start(); vm.work(0, b'x' * 300000)"


def run_with(fake, scenario, *arguments, stdout=subprocess.DEVNULL, **options):
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--status-fd={writer}", "-q", *arguments],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, pass_fds=(writer,), **options,
    )
    os.close(writer)
    try:
        err = process.communicate(timeout=TOOK_TOO_LONG)[1].decode()
        with os.fdopen(reader) as file:
            return process.returncode, err, [json.loads(line) for line in file]
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_is_no_success(fake, small_initrd):
    with open("/dev/full", "wb") as full:
        status, err, found = run_with(fake, WORK, f"--initrd={small_initrd}", "--run=true", stdout=full)
    cause = "--run: the command's standard output could not be written: No space left on device; the rest of it is lost"
    assert status == 125
    assert err == f"cvmspawn: {cause}\n"
    assert (found[-1]["status"], found[-1]["cause"], found[-1]["source"]) == (125, cause, "launcher")


def test_a_limit_of_file_sizes_is_no_success(fake, small_initrd, tmp_path):
    """SIGXFSZ does not kill the launcher."""
    with open(tmp_path / "out", "wb") as file:
        status, err, found = run_with(fake, WORK, f"--initrd={small_initrd}", "--run=true", stdout=file,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
    assert status == 125
    assert "could not be written: File too large" in err
    assert found[-1]["status"] == 125


def test_a_closed_output_is_no_success(fake, small_initrd):
    status, err, found = run_with(fake, WORK, f"--initrd={small_initrd}", "--run=true", preexec_fn=lambda: os.close(1))
    assert status == 125
    assert "standard output could not be written: Bad file descriptor" in err


@pytest.mark.parametrize("number", [0, 1, 2])
def test_closed_descriptors_do_not_matter_where_nothing_is_written(fake, number):
    process = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu('vm.start(); vm.power_off()')}", "--kvm=no", "--tpm=no",
         f"--linux={fake.kernel}", "--console=headless"], preexec_fn=lambda: os.close(number), stderr=subprocess.DEVNULL,
    )
    assert process.wait(TOOK_TOO_LONG) == 0


def test_a_console_log_on_a_full_disk_is_no_success(fake):
    status, err, found = run_with(fake, LINES.format(more="b''"), "--console-log=/dev/full")
    assert status == 125
    assert err == "cvmspawn: --console-log: cannot write to '/dev/full': No space left on device\n"


def test_events_on_a_full_disk_are_no_success(fake):
    with open("/dev/full", "wb") as full:
        result = fake.run("vm.start(); vm.power_off()", f"--status-fd={full.fileno()}", pass_fds=(full.fileno(),))
    assert result.status == 125
    assert said(result) == ["cvmspawn: cannot write events to the descriptor of --status-fd=: No space left on device"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--print=config", "--linux=@"]])
def test_printed_text_on_a_full_disk_is_no_success(fake, arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([fake.cvmspawn.program, *(a.replace("@", str(fake.kernel)) for a in arguments)],
                              stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 125
    assert "cannot write to standard output: No space left on device" in done.stderr


def test_few_open_files(fake):
    result = fake.cvmspawn.program
    done = subprocess.run([result, f"--qemu={fake.qemu('vm.start(); vm.power_off()')}", "--kvm=no", "--tpm=no",
                           f"--linux={fake.kernel}"], stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert done.returncode == 125
    assert "only 64 open files are allowed, 256 are needed: raise the limit (ulimit -n, LimitNOFILE=)" in done.stderr


# --- nothing waits for somebody who does not read ------------------------------------------------------------------------------


class Full:
    """A pipe without room, or a service manager that takes no message."""

    def __init__(self, tmp_path, which):
        self.which = which
        self.fds = []
        self.options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.arguments = []
        self.env = dict(os.environ)
        for name in ("stdout", "stderr"):
            if name in which:
                self.options[name] = self.pipe()
        if "events" in which:
            writer = self.pipe()
            self.options["pass_fds"] = (writer,)
            self.arguments.append(f"--status-fd={writer}")
        if "manager" in which:
            self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.manager.bind(str(tmp_path / "manager"))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.setblocking(False)
                try:
                    while True:
                        other.sendto(b"x" * 1000, str(tmp_path / "manager"))
                except BlockingIOError:
                    pass
            self.env["NOTIFY_SOCKET"] = str(tmp_path / "manager")

    def pipe(self):
        reader, writer = os.pipe()
        self.fds += [reader, writer]
        flags = fcntl.fcntl(writer, fcntl.F_GETFL)
        fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"z" * 4096)
        except BlockingIOError:
            pass
        fcntl.fcntl(writer, fcntl.F_SETFL, flags)
        return writer

    def close(self):
        for fd in self.fds:
            os.close(fd)


BUSY = """
    sys.stderr.write("".join(f"qemu-system-x86_64: warning {{i}}\\n" for i in range(3000)))
    sys.stderr.flush()
    vm.start()
    vm.write("port-notify", b"READY=1\\n" + b"STATUS=" + b"s" * 1000 + b"\\n")
    for i in range(20000):
        vm.write("port-notify", b"STATUS=%d\\n" % i)
    vm.write("port-stdout", b"o" * 100000)
    vm.write("port-stderr", b"e" * 100000)
    open({marker!r}, "w").close()
"""
DESCRIPTORS = ["stdout", "stderr", "events", "manager"]


@pytest.mark.parametrize("how", ["timeout", "signals"])
@pytest.mark.parametrize("which", [*([d] for d in DESCRIPTORS), DESCRIPTORS], ids=[*DESCRIPTORS, "all"])
def test_unread_descriptors_hold_nothing_up(fake, small_initrd, tmp_path, which, how):
    full = Full(tmp_path, which)
    marker = tmp_path / "busy"
    scenario = BUSY.format(marker=str(marker)) + "\n    while True:\n        vm.answer_until('quit')\n"
    process = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--initrd={small_initrd}", "--run=true", *(["--timeout=12"] if how == "timeout" else []), *full.arguments],
        env=full.env, **full.options,
    )
    begin = time.monotonic()
    try:
        deadline = begin + (11 if how == "timeout" else 30)
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert marker.exists(), "the guest's notifications hold the guest up"
        if how == "timeout":
            assert process.wait(begin + 12 + 1.5 - time.monotonic()) == 124
            return
        process.send_signal(signal.SIGTERM)  # during --run= the first one quits; this stand-in does not answer
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert process.wait(5) == 128 + signal.SIGTERM
        assert time.monotonic() - asked < 1.5
    finally:
        process.kill()
        process.wait()
        full.close()


def test_a_credential_that_nobody_writes(fake, small_initrd, tmp_path):
    fifo = tmp_path / "credential"
    os.mkfifo(fifo)
    result = fake.start(HANG, f"--initrd={small_initrd}", f"--load-credential=a:{fifo}", "--timeout=1", "--status-fd=1").wait(10)
    assert result.status == 124
    assert result.seconds < 20
    assert said(result) == ["cvmspawn: --timeout= expired before the guest was started"]
    end = json.loads(result.out.splitlines()[-1])
    assert (end["event"], end["status"], end["source"]) == ("exit", 124, "timeout")


# --- a panic is believed when the guest has stopped ----------------------------------------------------------------------------

PANIC = r"vm.write('console', b'[ 1.0] Kernel panic - not syncing: VFS\r\n')"
MONITOR = """
    delay = bytes.fromhex("f390 0f31 48c1e220 4809d0").ljust(64, b"\\0")
    idle = bytes.fromhex("fbf4 c3").ljust(64, b"\\0")

    def monitor(line, address, code, halted):
        if line == "info registers":
            return (f"\\r\\nCPU#0\\r\\nRAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000\\r\\n"
                    f"RIP={{address:016x}} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT={{halted}}\\r\\n"
                    "CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\\r\\n")
        base = int(line.split("0x")[1], 16)
        return "".join(f"{{base + i:016x}}:" + "".join(f" 0x{{b:02x}}" for b in code[i:i + 8]) + "\\r\\n" for i in range(0, 64, 8))

    import json

    def serve(seconds, address, code, halted):
        end = time.monotonic() + seconds
        vm.monitor.settimeout(0.2)
        while time.monotonic() < end:
            try:
                line = vm.monitor.recv(65536)
            except TimeoutError:
                continue
            for command in (json.loads(text) for text in line.splitlines()):
                if command["execute"] == "quit":
                    vm.power_off("host-qmp-quit")
                text = command["arguments"]["command-line"]
                vm.tell({{"return": monitor(text, address, code, halted), "id": command.get("id")}})
        vm.monitor.settimeout(None)

    vm.start()
    {panic}
    serve({seconds}, {address}, {code}, {halted})
    vm.power_off()
"""


@pytest.mark.parametrize(("name", "address", "code", "halted", "status"), [
    ("stopped", 0xFFFFFFFF81000020, "delay", 0, 126),
    ("idle", 0xFFFFFFFF81000020, "idle", 1, 0),
    ("idle near a delay loop", 0xFFFFFFFF81000020, "delay", 1, 0),
    ("busy in a program that spins", 0x401020, "delay", 0, 0),
    ("busy in the kernel", 0xFFFFFFFF81000020, "idle", 0, 0),
])
def test_a_panic_is_believed_when_the_guest_has_stopped(fake, name, address, code, halted, status):
    scenario = MONITOR.format(panic=PANIC, seconds=6, address=hex(address), code=code, halted=halted)
    result = fake.run(scenario, "--console=headless", "-q")
    assert (result.status, result.err) == (status, "cvmspawn: the guest's kernel panicked\n" if status else "")


def test_a_guest_that_goes_on_speaking_has_not_panicked(fake):
    scenario = MONITOR.format(panic=PANIC, seconds=0, address=0, code="idle", halted=0).replace("    vm.power_off()\n\"", "")
    scenario = scenario.rstrip().removesuffix("vm.power_off()")
    scenario += """for i in range(6):
        serve(1, 0xffffffff81000020, delay, 0)
        vm.write("console", b"alive\\r\\n")
    vm.power_off()
"""
    result = fake.run(scenario, "--console=headless", "-q")
    assert (result.status, result.err) == (0, "")
