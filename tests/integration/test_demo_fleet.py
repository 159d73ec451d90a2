# SPDX-License-Identifier: LGPL-2.1-or-later
"""./demo fleet, from where everything is built: a launch that begins at one instance of the service ends at another one, behind NAT and a relay; and
nothing is left, also of a demo that was interrupted or killed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from postgres import find_programs
from sevsim_host import skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
DEMO = SOURCE / "tools/demo-fleet"
PROGRESS = "hosts reach this service at https://alice.relay.example"

pytestmark = [pytest.mark.full, pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and the simulated /dev/sev need root")]


@pytest.fixture
def folder():
    """PostgreSQL runs as another user, who cannot reach pytest's."""
    find_programs()
    for tool in ("haproxy", "ip", "nft", "openssl"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip_or_fail(f"'{tool}' is not installed")
    path = Path(tempfile.mkdtemp(prefix="cvmspawn-fleet-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def processes_of(folder):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            pass
    return found


def wait(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_demo(artifacts, folder):
    done = subprocess.run([DEMO], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done
    assert done.stdout.startswith("SIMULATED") and "SIMULATED" in done.stdout.splitlines()[-1]
    assert PROGRESS in done.stdout and done.stdout.count("recorded digest = predicted digest") == 2
    began, _, after = done.stdout.partition("is killed now (SIGKILL)")
    killed = began.rsplit("Instance ", 1)[1].strip()
    left = {"one": "two", "two": "one"}[killed]
    assert f"Instance {left} confirmed and validated the launch that began at instance {killed}." in after
    # the table: its GUID first, then the passphrase
    assert "000000 42 f5 74 1e dd 71 66 4d" in after and ">........open ses<" in after
    assert "held for the owner's confirmation" in done.stderr
    assert list(folder.iterdir()) == [] and processes_of(folder) == []


SOAK = pytest.mark.skipif("CVMSPAWN_SOAK" not in os.environ, reason="CVMSPAWN_SOAK=1 runs it: another minute for the other signal")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=SOAK)])
def test_interrupted(artifacts, folder, number, status):
    """Ctrl-C goes to all processes of the terminal's foreground, SIGKILL to the demo alone."""
    out = folder / "out"
    with open(out, "wb") as f:
        demo = subprocess.Popen([DEMO], env={**os.environ, "TMPDIR": str(folder)}, stdout=f, stderr=f, stdin=subprocess.DEVNULL, start_new_session=True)
    wait(lambda: PROGRESS in out.read_text() or demo.poll() is not None)
    assert demo.poll() is None, out.read_text()
    assert processes_of(folder)
    if number == signal.SIGINT:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    assert demo.wait(120) == status, out.read_text()
    wait(lambda: not processes_of(folder))
    if number != signal.SIGKILL:  # nobody can remove the folder then
        assert list(folder.iterdir()) == [out]


def test_what_it_needs(artifacts, folder):
    """Each of these is said before anything is started."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for argv, env, says in (
        (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", DEMO], {}, "needs root, for network namespaces"),
        (["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", DEMO], {}, "start it with --privileged"),
        ([DEMO], {"TMPDIR": str(closed)}, "let TMPDIR be a directory that all users can"),
    ):
        done = subprocess.run(argv, env={**os.environ, "TMPDIR": str(folder), **env}, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 1 and says in done.stderr and done.stdout == "", done
    assert list(folder.iterdir()) == [closed] and list(closed.iterdir()) == []
