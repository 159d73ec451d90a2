# SPDX-License-Identifier: LGPL-2.1-or-later
"""The control socket of a guest: what its methods do, what hostile clients cannot do, and what is left behind."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import descendants_of
from control_client import Client, control_of
from launcher_fake import events, said

SERVE = "vm.start(); vm.serve()"


@pytest.fixture
def served(fake):
    run = fake.start(SERVE, "--json=short")
    return run, Client(control_of(run))


def test_pause_and_resume(served):
    run, client = served
    watcher = Client(run.control / "control")
    watcher.subscribe()
    assert client.call("Describe") == {"running": True, "status": "running"}
    assert client.call("Pause") == {}
    assert client.call("Describe") == {"running": False, "status": "paused"}
    assert client.call("Resume") == {}
    assert client.call("Reboot") == {}
    assert [watcher.event() for _ in range(3)] == ["STOP", "RESUME", "RESET"]
    assert client.call("PowerOff") == {}
    assert watcher.receive() == {"event": "POWERDOWN", "data": {}}
    assert watcher.receive() == {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}}
    assert watcher.receive() is None and client.receive() is None
    result = run.wait()
    assert (result.status, result.leftovers, said(result)) == (0, [], [])


def test_terminate(served):
    run, client = served
    watcher = Client(run.control / "control")
    watcher.subscribe("SHUTDOWN", "NONE")
    assert client.call("Terminate") == {}
    assert watcher.event() == "SHUTDOWN" and watcher.receive() is None
    result = run.wait()
    assert (result.status, result.leftovers) == (0, [])
    assert events(result)[-1] == {"event": "exit", "source": "control", "status": 0, "cause": None}


def test_terminate_before_the_command_ended(fake, small_initrd):
    run = fake.start(SERVE, f"--initrd={small_initrd}", "--run=true")
    assert Client(control_of(run)).call("Terminate") == {}
    result = run.wait()
    assert result.status == 125
    assert said(result) == [
        "cvmspawn: the guest was terminated through its control socket before the --run= command reported an exit status"
    ]


def test_a_guest_that_does_not_end(fake):
    """Terminate means that the guest ends, whatever QEMU does."""
    run = fake.start("vm.start(); vm.serve(deaf=['quit'])")
    client = Client(control_of(run))
    client.send("Terminate")
    assert client.receive() == {}
    assert run.wait().leftovers == []


def test_errors(served):
    run, client = served
    assert client.refusal("AddStorage") == "org.varlink.service.InvalidParameter"
    assert client.refusal("AddStorage", name="x", fileDescriptorIndex=0) == "org.varlink.service.InvalidParameter"
    assert client.refusal("RemoveStorage", name="") == "org.varlink.service.InvalidParameter"
    assert client.refusal("RemoveStorage", name="x") == "NoSuchStorage"
    assert client.refusal("SubscribeEvents") == "org.varlink.service.ExpectedMore"
    assert client.refusal("SubscribeEvents", more=True, filter="x") == "org.varlink.service.InvalidParameter"
    assert client.refusal("SubscribeEvents", more=True, filter=[1]) == "org.varlink.service.InvalidParameter"
    assert client.refusal("Snapshot") == "org.varlink.service.MethodNotFound"
    assert client.refusal("io.systemd.VirtualMachineInstance.Pause") == "org.varlink.service.MethodNotFound"
    client.call("Terminate")
    assert run.wait().leftovers == []


def test_errors_of_qemu(fake):
    run = fake.start("""
        vm.start()
        while True:
            line = vm.lines.readline()
            command = __import__("json").loads(line)
            if command["execute"] in ("cont", "quit"):
                sys.exit(3)
            vm.tell({"error": {"class": "GenericError", "desc": "not now"}, "id": command["id"]}
                    if command["execute"] == "stop" else {"return": {"running": True}, "id": command["id"]})
    """)
    client = Client(control_of(run))
    assert client.call("Describe") == {"running": True, "status": "unknown"}
    assert client.refusal("Pause") == "io.systemd.System"
    assert client.refusal("Resume") == "NotConnected"
    assert client.receive() is None
    result = run.wait()
    assert "cvmspawn: control socket: QEMU refused a command: not now" in result.err


def test_confidential(fake, small_initrd, firmware):
    """Registers that are encrypted cannot be reset."""
    run = fake.start(SERVE, "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--initrd={small_initrd}")
    client = Client(control_of(run))
    assert client.refusal("Reboot") == "NotSupported"
    assert client.call("Pause") == {}
    client.call("Terminate")
    assert run.wait().leftovers == []


def test_only_the_owner_may_connect(served):
    run, client = served
    mode = (run.control / "control").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    client.call("Terminate")
    run.wait()


def test_nobody_is_answered_before_the_guest_runs(fake):
    """cont is the launch's own decision: nothing that comes in before it can start the guest."""
    run = fake.start("vm.greet(); vm.answer_until('query-version'); import select; select.select([0], [], [], 600)",
                     "--timeout=10")
    run.wait_for((run.control / "control").exists, 60, "the control socket did not appear")
    client = Client(run.control / "control")
    client.send("Resume")
    assert client.receive() is None
    result = run.wait()
    assert (result.status, result.leftovers) == (124, [])


def test_hostile_clients(fake):
    """Slow, cut, huge, wrong, many, not reading: the guest and other clients do not notice."""
    run = fake.start("vm.start(); vm.serve()")
    path = control_of(run)
    good = Client(path)
    good.subscribe("STOP")
    bad = []
    for number in range(100):
        try:
            client = Client(path)
            client.socket.setblocking(False)
            bad.append(client)
            client.socket.send((b'{"method":', b"\0", b"x" * 100000, b"[" * 10000 + b"\0", b"")[number % 5])
        except OSError:
            pass
    deaf = Client(path)
    deaf.subscribe()
    flood = Client(path)
    flood.socket.setblocking(False)
    request = b'{"method":"org.varlink.service.GetInfo"}\0' * 1000
    for _ in range(100):
        try:
            flood.socket.send(request)
        except OSError:
            break
    for _ in range(20):
        client = Client(path)
        assert client.call("Pause") == {} and client.call("Resume") == {}
        client.close()
    assert [good.event() for _ in range(20)] == ["STOP"] * 20
    descriptors = len(os.listdir(f"/proc/{run.pid}/fd"))
    assert descriptors < 100
    assert Client(path).call("PowerOff") == {}
    result = run.wait()
    assert (result.status, result.leftovers) == (0, [])


@pytest.mark.parametrize("keeper", ["lives", "killed"])
def test_a_killed_launcher_hinders_nothing(fake, tmp_path, keeper):
    """A child removes its socket; where that one was killed as well, the next launcher replaces it."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    environment = {"RUNTIME_DIRECTORY": str(folder)}
    first = fake.start(SERVE, env=environment)
    path = control_of(first, folder)
    first.signal(signal.SIGSTOP)  # it would remove the socket itself when QEMU is gone
    for pid in list(descendants_of(first.pid)) if keeper == "killed" else []:
        os.kill(pid, signal.SIGKILL)
    first.signal(signal.SIGKILL)
    first.wait()
    assert path.exists() == (keeper == "killed")
    second = fake.start(SERVE, env=environment)
    assert Client(control_of(second, folder)).call("PowerOff") == {}
    result = second.wait()
    assert (result.status, said(result), list(folder.iterdir())) == (0, [], [])


def test_a_second_guest_of_the_name(fake, tmp_path):
    """The first one keeps its socket; the second one runs without, and says so."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    environment = {"RUNTIME_DIRECTORY": str(folder)}
    first = fake.start(SERVE, env=environment)
    path = control_of(first, folder)
    second = fake.run("vm.start(); vm.power_off()", env=environment)
    assert second.status == 0 and second.seconds < 4.5  # it waits for nobody (5 s)
    assert said(second) == [f"cvmspawn: this guest has no control socket: '{path}' is in use by another guest (--machine= gives it another name)"]
    assert Client(path).call("PowerOff") == {}
    assert first.wait().status == 0
    assert list(folder.iterdir()) == []


def test_nowhere_to_make_it(fake, tmp_path):
    result = fake.run("vm.start(); vm.power_off()", env={"RUNTIME_DIRECTORY": str(tmp_path / "none")})
    assert result.status == 0
    assert said(result) == [
        f"cvmspawn: this guest has no control socket: cannot create '{tmp_path}/none/control': No such file or directory"
    ]


def test_a_long_path(fake, tmp_path):
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    run = fake.start(SERVE, env={"RUNTIME_DIRECTORY": str(folder)})
    run.wait_for((folder / "control").exists, 60, "the control socket did not appear")
    (tmp_path / "short").symlink_to(folder)
    assert Client(tmp_path / "short" / "control").call("PowerOff") == {}
    assert run.wait().status == 0
    assert list(folder.iterdir()) == []


def test_the_folder_of_a_machine(fake):
    """Without a service manager: a folder of the machine's name, which is removed, too."""
    name = f"test-{os.getpid()}"
    run = fake.start(SERVE, f"--machine={name}", env={"RUNTIME_DIRECTORY": ""})
    folder = (Path("/run") if os.geteuid() == 0 else run.places[1]) / "cvmspawn" / name
    path = control_of(run, folder)
    if os.geteuid() == 0:
        """Root's guests can be seen by others, and no more."""
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", script], capture_output=True, text=True)
        assert "PermissionError" in done.stderr
    assert Client(path).call("PowerOff") == {}
    assert run.wait().status == 0
    assert not folder.exists()


def test_a_real_guest(cvmspawn, tmp_path):
    """Under TCG, as a user has it: it stands still, goes on, resets and ends."""
    run = cvmspawn.start_guest("--tpm=no")
    path = control_of(run)
    watcher = Client(path)
    watcher.subscribe("STOP", "RESUME", "RESET", "SHUTDOWN")
    client = Client(path)
    run.wait_for_output(b"Linux version", "stdout")
    assert client.call("Pause") == {}
    assert client.call("Describe") == {"running": False, "status": "paused"}
    assert watcher.event() == "STOP"
    assert client.call("Resume") == {} and watcher.event() == "RESUME"
    assert client.call("Reboot") == {}
    assert [watcher.receive()["data"]["guest"] for _ in range(2)] == [False, True]  # SeaBIOS adds one
    run.wait_for(lambda: run.output().count(b"Linux version") >= 2, 120, "the guest did not boot again")
    assert client.call("Terminate") == {}
    assert watcher.receive()["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert watcher.receive() is None
    result = run.wait()
    assert (result.status, result.leftovers) == (0, [])


def test_power_button_of_a_real_guest(cvmspawn):
    """What answers to it is the guest's own affair: the one of the tests does not."""
    run = cvmspawn.start_guest("--run=echo up; sleep 600", "--tpm=no")
    client = Client(control_of(run))
    run.wait_for_output(b"up")
    watcher = Client(run.control / "control")
    watcher.subscribe("POWERDOWN", "SHUTDOWN")
    assert client.call("PowerOff") == {}
    assert watcher.event() == "POWERDOWN"
    assert client.call("Terminate") == {}
    assert watcher.event() == "SHUTDOWN"
    result = run.wait()
    assert (result.status, result.leftovers) == (125, [])


def test_own_reboots_end_the_guest_still(fake):
    run = fake.start("""
        vm.start()
        vm.answer_until("system_reset")
        vm.event("RESET", guest=False, reason="host-qmp-system-reset")
        vm.event("RESET", guest=True, reason="guest-reset")
        vm.answer_until("set-action")
        sys.stderr.write(repr(vm.seen[-3:]))
        vm.power_off("guest-reset")
    """)
    assert Client(control_of(run)).call("Reboot") == {}
    result = run.wait()
    assert result.status == 126
    assert "['set-action', 'system_reset', 'set-action']" in result.err
