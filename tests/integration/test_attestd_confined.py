# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service as its machine sees it: what the confined process itself cannot do any more, sockets and readiness as the service manager
has them, and the unit."""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest
from attestd_service import SOURCE, Service
from sevsim_host import build_folder, skip_or_fail

LANDLOCK_CREATE_RULESET = 444  # on every architecture since Linux 5.13
# What the kernel's number of this interface stands for: landlock(7).
LANDLOCK = ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def curl():
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")


@pytest.fixture
def module():
    path = build_folder() / "tests/lib/break-out.so"
    if not path.exists():
        skip_or_fail("the build has no tests/lib/break-out.so")
    if b"libasan" in subprocess.run(["ldd", build_folder() / "programs/cvmspawn-attestd"], capture_output=True, check=False).stdout:
        pytest.skip("a program with the address sanitizer takes no preloaded module before it")
    return path


def test_nothing_breaks_out(tmp_path, module):
    if LANDLOCK < 3:
        pytest.skip("this kernel has no Landlock of version 3 or later")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/there").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        s = Service(tmp_path, env={
            "LD_PRELOAD": str(module), "BREAK_OUT_INSIDE": str(tmp_path / "state"), "BREAK_OUT_OUTSIDE": str(tmp_path / "outside"),
            "BREAK_OUT_PORT": str(listener.getsockname()[1]), "BREAK_OUT_PID": str(os.getpid())})  # fmt: skip
        s.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: "break-out end" in s.text())
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{s.process.pid}/status").read_text().splitlines() if ":\t" in line)
        s.stop()
    results = dict(line.split()[1:] for line in s.text().splitlines() if line.startswith("break-out ") and line.count(" ") == 2)
    if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 3):
        del results["executable-memory"]  # the kernel cannot refuse it
    assert [k for k, v in results.items() if v == "0"] == ["inside-write", "inside-read"]
    assert results["outside-read"] == results["upwards"] == results["passwd"] == "EACCES"
    assert results["execute"] == results["connect-tcp"] == results["ptrace"] == results["fork"] == "EPERM"
    assert len(results) >= 23
    assert not (tmp_path / "outside/new").exists()
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0


def test_others_of_the_same_user_cannot_look_in(tmp_path):
    """Not dumpable: its memory and its environment belong to root only."""
    s = Service(tmp_path)
    assert os.stat(f"/proc/{s.process.pid}/environ").st_uid == 0
    s.stop()


def test_readiness_is_told(tmp_path, curl):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        s = Service(tmp_path, env={"NOTIFY_SOCKET": str(path)})
        assert manager.recv(100) == b"READY=1"
        assert s.curl(f"{s.url}/health")[0] == 200
        s.stop()
        assert manager.recv(100) == b"STOPPING=1"


def socket_activated(tmp_path, count):
    """A parent as the service manager is one: listening sockets from descriptor 3 on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    saved = [(3 + n, s.fileno()) for n, s in enumerate(sockets)]

    def child():
        high = [os.dup(f) if f >= 100 else fcntl_dup(f) for _, f in saved]
        for n, f in enumerate(high):
            os.dup2(f, 3 + n)
        os.environ["LISTEN_PID"] = str(os.getpid())

    env = {**os.environ, "LISTEN_FDS": str(count)}
    script = 'LISTEN_PID=$$ exec "$@"'
    argv = ["/bin/sh", "-c", script, "sh", build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={tmp_path}/state", "--listen=127.0.0.1:1"]
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=child, close_fds=False)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return process, ports


def fcntl_dup(fd):
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD, 100)


def test_the_managers_socket_is_used(tmp_path, curl):
    process, ports = socket_activated(tmp_path, 1)
    url = json.loads(process.stdout.readline())["url"]
    assert url == f"https://127.0.0.1:{ports[0]}"
    done = subprocess.run(["curl", "-sS", "--cacert", tmp_path / "state/ca.pem", f"{url}/health"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"status": "ok"}
    process.terminate()
    assert process.wait(20) == 0
    process, _ = socket_activated(tmp_path, 2)
    assert "passed 2 sockets, expected one" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_systemd_socket_activate(tmp_path, curl):
    """The same by systemd's own tool: the first connection starts the service, and is answered."""
    tool = shutil.which("systemd-socket-activate")
    if not tool:
        pytest.skip("systemd-socket-activate is not installed")
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    log = open(tmp_path / "log", "wb")
    process = subprocess.Popen([tool, f"--listen=127.0.0.1:{port}", build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={tmp_path}/state"],
                               stdout=log, stderr=log)  # fmt: skip
    try:
        wait_for(lambda: b"Listening on" in (tmp_path / "log").read_bytes())
        assert not (tmp_path / "state").exists()
        with socket.create_connection(("127.0.0.1", port)):
            wait_for((tmp_path / "state/ca.pem").exists)
        wait_for(lambda: b'"url"' in (tmp_path / "log").read_bytes())
        url = f"https://127.0.0.1:{port}/health"
        done = subprocess.run(["curl", "-sS", "--cacert", tmp_path / "state/ca.pem", url], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == {"status": "ok"}
    finally:
        process.terminate()
        assert process.wait(20) == 0
        log.close()


@pytest.mark.parametrize("tool", ["verify", "security"])
@pytest.mark.parametrize("name", ["cvmspawn-attestd", "cvmspawn-collateral", "cvmspawn-tunnel", "cvmspawn-tunnel-connect"])
def test_the_units(tmp_path, name, tool):
    """systemd's own checks of a unit as it is installed; its score of exposure is as low as a service on the network gets."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    text = (build_folder() / f"data/units/{name}.service").read_text()
    program = build_folder() / "programs" / name.removesuffix("-connect")
    lines = [f"ExecStart={program} " + line.split(" ", 1)[1] if line.startswith("ExecStart=") else line for line in text.splitlines()]
    unit = tmp_path / f"{name}.service"
    unit.write_text("\n".join(lines) + "\n")
    socket_unit = SOURCE / f"data/units/{name}.socket"
    if socket_unit.exists():
        shutil.copy(socket_unit, tmp_path)
    argv = {"verify": ["verify", "--man=no", unit], "security": ["security", "--offline=yes", "--threshold=20", "--no-pager", unit]}[tool]
    done = subprocess.run(["systemd-analyze", *argv], capture_output=True, text=True, check=False, timeout=60)
    if "Failed to initialize manager" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze needs more of this machine than there is: " + done.stderr.strip())
    assert done.returncode == 0, done
    assert "Unknown" not in done.stderr and "unit.service" not in done.stderr


def test_the_unit_of_a_tunnels_end(tmp_path):
    """The program takes what the unit gives it: variables of a file, more words of one, and the token as a credential."""
    text = (build_folder() / "data/units/cvmspawn-tunnel-connect.service").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    (tmp_path / "token").write_text("not a token")
    (tmp_path / "ca.pem").write_text("")
    env = {"TO": "127.0.0.1:8443", "VIA": "https://relay.localhost/alice", "CREDENTIALS_DIRECTORY": str(tmp_path), "OPTIONS": f"--via-ca={tmp_path}/ca.pem"}
    words = [w for part in line.split(" ")[1:] for w in (env[part[1:]].split() if part.startswith("$") and part[1] != "{" else [part])]
    for name, value in env.items():
        words = [w.replace("${" + name + "}", value) for w in words]
    assert not any("$" in w for w in words)
    done = subprocess.run([build_folder() / "programs/cvmspawn-tunnel", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and f"--via-token-file: '{tmp_path}/token' is not a token" in done.stderr, done
