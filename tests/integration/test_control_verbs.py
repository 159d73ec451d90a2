# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn list, status, stop and events: running guests for people without machined."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest
from control_client import Client, control_of

SERVE = "vm.start(); vm.serve()"
SECONDS = 60


class Verbs:
    """The verbs with a runtime folder of the test's own, beside /run/cvmspawn."""

    def __init__(self, cvmspawn, folder):
        self.program = cvmspawn.program
        self.runtime = folder
        self.base = folder / "cvmspawn"
        self.base.mkdir(parents=True)

    def folder(self, name):
        folder = self.base / name
        folder.mkdir()
        return folder

    def start(self, *arguments, stdout=subprocess.PIPE):
        return subprocess.Popen([self.program, *map(str, arguments)], env={**os.environ, "XDG_RUNTIME_DIR": str(self.runtime)},
                                stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments):
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def list(self):
        """Those of the test, by name: others may run on this machine."""
        status, out, err = self.run("list", "--json=short")
        assert (status, err) == (0, "")
        return {guest["name"]: guest for guest in json.loads(out) if guest["socket"].startswith(str(self.base))}


@pytest.fixture
def verbs(cvmspawn, tmp_path):
    return Verbs(cvmspawn, tmp_path / "user")


@pytest.fixture
def guest(verbs, fake):
    """A guest called web."""
    folder = verbs.folder("web")
    run = fake.start(SERVE, env={"RUNTIME_DIRECTORY": str(folder)})
    run.socket = control_of(run, folder)
    return run


def test_list_and_status(verbs, guest):
    expected = {"name": "web", "state": "running", "running": True, "pid": guest.pid, "socket": str(guest.socket)}
    verbs.folder("empty")
    assert verbs.list() == {"web": expected}
    status, out, err = verbs.run("list", "--json=off")
    assert (status, err) == (0, "")
    assert re.search(rf"^MACHINE +STATE +PID +CONTROL SOCKET\n(.*\n)*web +running +{guest.pid}  {guest.socket}$", out, re.M)
    status, out, err = verbs.run("status", "web", "--json=short")
    assert (status, json.loads(out), err) == (0, expected, "")
    assert verbs.run("status", "web") == (
        0, f"Machine: web\nState: running\nLauncher: process {guest.pid}\nControl socket: {guest.socket}\n", "")
    Client(guest.socket).call("Pause")
    assert verbs.list()["web"]["state"] == "paused"
    assert json.loads(verbs.run("status", guest.socket, "--json=short")[1])["state"] == "paused"


def test_stop(verbs, guest):
    assert verbs.run("stop", "web", "--json=short") == (0, '{"end":"powered-off","name":"web"}\n', "")
    assert guest.wait().status == 0
    assert verbs.list() == {}


def test_stop_by_force(verbs, fake):
    folder = verbs.folder("web")
    run = fake.start("vm.start(); vm.serve(deaf=['system_powerdown'])", env={"RUNTIME_DIRECTORY": str(folder)})
    control_of(run, folder)
    assert verbs.run("stop", "web", "--force") == (0, "", "")
    assert run.wait().status == 0


def test_stop_after_a_time(verbs, fake):
    """A guest that ignores the button, which is pressed more than once."""
    folder = verbs.folder("web")
    run = fake.start("""
        vm.start()
        while True:
            vm.answer_until("system_powerdown")
            sys.stderr.write("pressed\\n")
            sys.stderr.flush()
            if vm.seen.count("system_powerdown") == 2:
                vm.serve()
    """.replace("vm.serve()", "vm.answer_until('quit'); vm.power_off('host-qmp-quit')"), env={"RUNTIME_DIRECTORY": str(folder)})
    control_of(run, folder)
    status, out, err = verbs.run("stop", "web", "--timeout=3s", "--json=short")
    assert (status, json.loads(out)) == (0, {"name": "web", "end": "terminated"})
    assert err == "cvmspawn stop: guest 'web' did not power off in time, ending it\n"
    result = run.wait()
    assert result.status == 0 and result.err.count("pressed") == 2


def test_events(verbs, guest, tmp_path):
    everything, some = tmp_path / "everything", tmp_path / "some"
    processes = [verbs.start("events", "web", stdout=everything.open("w")),
                 verbs.start("events", "web", "--json=short", "--event=STOP", "--event=SHUTDOWN", stdout=some.open("w"))]
    client = Client(guest.socket)
    # Both have subscribed once they have seen one of these.
    while not (everything.stat().st_size and some.stat().st_size):
        assert [process.poll() for process in processes] == [None, None]
        client.call("Pause")
        client.call("Resume")
    client.call("PowerOff")
    assert [process.wait(SECONDS) for process in processes] == [0, 0]
    lines = everything.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    assert all(re.fullmatch(rf"{stamp} [A-Z]+( \{{.*\}})?", line) for line in lines)
    assert re.fullmatch(stamp + r' SHUTDOWN \{"guest":true,"reason":"guest-shutdown"\}', lines[-1])
    found = [json.loads(line) for line in some.read_text().splitlines()]
    assert {event["event"] for event in found} == {"STOP", "SHUTDOWN"} and all(re.fullmatch(stamp, event["time"]) for event in found)
    assert found[-1]["data"] == {"guest": True, "reason": "guest-shutdown"}


@pytest.mark.parametrize("verb", ["status", "stop", "events"])
def test_not_running(verbs, verb):
    verbs.folder("empty")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(verbs.folder("stale") / "control"))
    for name in "none", "empty", "stale", verbs.base / "stale/control":
        assert verbs.run(verb, name) == (
            3, "", f"cvmspawn {verb}: guest '{name}' is not running; 'cvmspawn list' shows those that are\n")
    for name in "", ".", "..", ".hidden":
        assert verbs.run(verb, name) == (
            1, "", f"cvmspawn {verb}: '{name}' is neither a machine name nor the path of a control socket\n")
    assert verbs.run(verb)[0] == verbs.run(verb, "a", "b")[0] == 1
    assert verbs.list() == {}


def test_a_launch_that_is_not_complete(verbs):
    """Nobody accepts: neither is waited for without end."""
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(verbs.folder("silent") / "control"))
    silent.listen()
    assert verbs.list()["silent"]["state"] == "starting"
    assert "State: starting\n" in verbs.run("status", "silent")[1]


@pytest.mark.parametrize("answer", [b"x\0", b"{}\0", b'{"parameters":{"status":1,"running":2}}\0', b"x" * 3000000, b'{"parameters":{'],
                         ids=["text", "nothing", "types", "long", "cut"])
def test_what_is_not_a_guest(verbs, answer):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(verbs.folder("odd") / "control"))
    server.listen()
    process = verbs.start("status", "odd")
    connection, _ = server.accept()
    try:
        connection.sendall(answer)
    except OSError:
        pass
    connection.close()
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) in ((0, out), (1, "")) and "Traceback" not in err
    assert process.returncode == 0 or err.startswith("cvmspawn status: guest 'odd' does not answer: ")


def test_a_killed_reader_does_not_matter(verbs, guest):
    process = verbs.start("events", "web")
    process.stdout.close()
    client = Client(guest.socket)
    while process.poll() is None:
        client.call("Pause")
        client.call("Resume")
    assert process.returncode in (1, -signal.SIGPIPE)
    client.call("PowerOff")
    assert guest.wait().status == 0
