# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets what a launch says: readers, events, the service manager, consoles; and what it shows of itself."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

from conftest import KEEPER, descendants_of, name_of
from launcher_fake import HANG, TOOK_TOO_LONG, events, said


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


def test_a_reader_that_never_reads_is_given_up_by_a_signal(fake, small_initrd, tmp_path):
    """The guest has ended; only the last output waits."""
    marker = tmp_path / "started"
    scenario = f"vm.start(); open({str(marker)!r}, 'w').close(); vm.work(5, b'x' * 200000)"
    done = subprocess.Popen(
        [fake.cvmspawn.program, f"--qemu={fake.qemu(scenario)}", "--kvm=no", "--tpm=no", f"--linux={fake.kernel}",
         f"--initrd={small_initrd}", "--run=true", "-q"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 60
        while not marker.exists() and time.monotonic() < deadline:  # other children run and end earlier than QEMU
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
        assert [event["event"] for event in events(result)] == ["plan", "started", "ready", "exit"]

        result = fake.run("vm.start(); vm.power_off()", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert received(manager) == [b"READY=1"]
        result = fake.run("vm.start(); vm.power_off()", "--notify-ready=no",
                          env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert received(manager) == [b"READY=1"]
        # The guest's own is not waited for; the rest of what it says is passed on.
        result = fake.run(scenario, f"--initrd={small_initrd}", "--run=true", "--notify-ready=no",
                          env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert sorted(received(manager)) == [b"EXIT_STATUS=4", b"READY=1", b"STATUS=half"]
        assert result.status == 4


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
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["plan", "started", "ready", "exit"]


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
    assert result.stdout == b"" and "last lines of the guest's console (--console-log=FILE keeps all of them):\nhello from the guest\n" in result.err


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
    assert high == [100, 102, 112, 113]


def test_modes_of_sockets_and_files(fake):
    """QEMU's ends are sockets without a name: nobody else can connect."""
    run = fake.start("vm.start(); " + HANG, "--json=short")
    run.wait_for_output(b'"started"')
    (qemu,) = [pid for pid in descendants_of(run.pid) if name_of(pid) != KEEPER]
    assert stat.S_ISSOCK(os.stat(f"/proc/{qemu}/fd/100").st_mode)
    inode = os.readlink(f"/proc/{qemu}/fd/100")[8:-1]
    (entry,) = [line for line in Path("/proc/net/unix").read_text().splitlines() if inode in line.split()]
    assert len(entry.split()) == 7  # no path
    run.signal(signal.SIGKILL)
    assert run.wait().leftovers == []
