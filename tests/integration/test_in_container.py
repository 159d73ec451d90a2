# SPDX-License-Identifier: LGPL-2.1-or-later
"""In a container without privileges (tests/lib/in_container.py: user 1000, no capabilities, no_new_privs, Docker's seccomp denials, read-only root, PID 1, no
/dev/kvm, no /dev/shm, no network): what works, and the messages where something is missing."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import SOURCE
from sevsim_host import build_folder, skip_or_fail

PROGRAM = build_folder() / "programs/cvmspawn"
RUNNER = SOURCE / "tests/lib/in_container.py"


@pytest.fixture
def inside(artifacts, tmp_path):
    """Starts a command in there; tmp_path is the folder that can be written to."""
    if os.geteuid() != 0:
        skip_or_fail("making the container needs root")
    for place in (tmp_path, *list(tmp_path.parents)[:-2]):
        place.chmod(0o755 if place != tmp_path else 0o777)

    def start(*command, shm=False, tmp=True, popen=subprocess.run, **more):
        options = [*(["--shm"] if shm else []), *([] if tmp else ["--no-tmp"]), f"--visible={build_folder()}", f"--visible={SOURCE}", f"--writable={tmp_path}"]
        env = {**os.environ, "XDG_DATA_DIRS": f"{artifacts['FIRMWARE_DATA_DIR']}:/usr/share"}
        return popen([sys.executable, "-B", RUNNER, *options, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **more)

    done = start("true", timeout=60)
    if done.returncode != 0:
        skip_or_fail(f"no container here: {done.stderr.strip()[-300:]}")
    return start


@pytest.fixture
def guest(artifacts):
    return [PROGRAM, f"--qemu={artifacts['QEMU']}", f"--linux={artifacts['KERNEL']}", f"--initrd={artifacts['INITRD']}", "--timeout=4min"]


def test_it_is_one(inside):
    """What the test promises of the place."""
    done = inside("sh", "-c", "id -u; echo $$; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ls /dev; touch /x /var/tmp/x /run/x; unshare -U true; ls /proc/2", timeout=60)
    assert done.stdout.split() == ["1000", "1", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2", "fd", "full", "null", "ptmx", "random", "stderr", "stdin", "stdout",
                                   "tty", "urandom", "zero"]  # fmt: skip
    assert done.stderr.count("Read-only file system") == 3 and "unshare failed: Operation not permitted" in done.stderr


@pytest.mark.full
@pytest.mark.parametrize("tmp", [True, False], ids=["tmp", "nothing-writable"])
def test_guests(inside, guest, artifacts, tmp):
    """A plain guest and a simulated one; without a folder for temporary files, too."""
    simulated = [] if tmp else ["--coco=sev-snp", "--simulate", f"--firmware={artifacts['FIRMWARE']}"]
    done = inside(*guest, *simulated, "--run=uname -s; exit 3", tmp=tmp, timeout=300)
    assert (done.returncode, done.stdout) == (3, "Linux\n"), done.stderr
    assert "no hardware acceleration" in done.stderr and len(done.stderr.splitlines()) == (1 if tmp else 3)


@pytest.mark.full
def test_tpm_and_network(inside, guest):
    done = inside(*guest, "--tpm=yes", "--network=user", "--run=ls /dev/tpm0", timeout=300)
    assert (done.returncode, done.stdout) == (0, "/dev/tpm0\n"), done.stderr


def test_measure(inside, artifacts, tmp_path):
    done = inside(PROGRAM, "measure", "--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", f"--ovmf={artifacts['FIRMWARE']}", tmp=False, timeout=60)
    outside = subprocess.run([PROGRAM, "measure", "--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", f"--ovmf={artifacts['FIRMWARE']}"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, outside.stdout, "")


@pytest.mark.parametrize(("options", "why"), [
    (["--kvm=yes"], "--kvm=yes: "), (["--coco=sev-snp"], "add --simulate to boot the same files"),
    (["-x", "--image={disk}", "--", "root=none"], "--ephemeral: cannot create an unnamed temporary file beside '{disk}' or in /var/tmp: Read-only file system"),
    (["--network=tap"], "--network"), (["--console-log=/log"], "'/log'"), (["--lock=/lock", "--coco=sev-snp", "--simulate"], "/lock"),
    (["--copy-out=/etc/hostname:/x", "--run=true"], "/x")], ids=lambda v: v[0] if isinstance(v, list) else "")  # fmt: skip
def test_what_is_missing_is_said(inside, guest, artifacts, tmp_path, options, why):
    """Before a guest starts, in one line, with status 125."""
    disk = tmp_path.parent / "disk"
    disk.write_bytes(bytes(1 << 20))
    options = [o.format(disk=disk) for o in options]
    firmware = [f"--firmware={artifacts['FIRMWARE']}"] if any("coco" in o for o in options) else []
    done = inside(*guest, *firmware, *options, tmp=False, timeout=60)
    said = [line for line in done.stderr.splitlines() if "no hardware acceleration" not in line and "SIMULATED" not in line and "predicted" not in line]
    assert done.returncode == 125 and len(said) == 1 and why.format(disk=disk) in said[0], done.stderr


@pytest.mark.full
def test_matrix_as_pid_1(inside, guest, tmp_path):
    """SIGTERM, as a container is stopped: every guest ends, and the results are there."""
    matrix = {"guests": [{"name": name, "options": {**dict(word.removeprefix("--").split("=", 1) for word in guest[1:]), "run": command}} for name, command in
                         (("first", "exit 5"), ("long", "sleep 600"))]}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(matrix))
    process = inside(PROGRAM, "run-matrix", "-J1", "--json", f"--output={tmp_path}/results", tmp_path / "m.json", popen=subprocess.Popen)
    try:
        assert json.loads(process.stdout.readline())["status"] == 5
        # unshare does not pass signals on: the container's PID 1 is its child.
        (first,) = [int(pid) for pid in open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii").read().split()]
        os.kill(first, signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    rows = [json.loads(line) for line in (tmp_path / "results/results.jsonl").read_text().splitlines()]
    assert [(row["guest"], row["result"]) for row in rows] == [("first", "failed"), ("long", "interrupted")]
    assert (tmp_path / "results/junit.xml").exists()
