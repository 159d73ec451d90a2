# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn attest-qemu with a QEMU started by hand on the simulated SEV host: prepare, start with -S, attest."""

import json
import os
import resource
import re
import shutil
import subprocess
import time

import pytest
import sevsim_model as model
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail

LOCKABLE = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] in (-1, resource.RLIM_INFINITY)
pytestmark = pytest.mark.skipif(not LOCKABLE, reason="SEV locks guest memory: needs root or an unlimited RLIMIT_MEMLOCK")

LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
SECRET = b"nobody must see this"
FIRMWARE = model.make_firmware(seed=61)
KERNEL, INITRD, WORDS = model.make_kernel(seed=62), model.make_initrd(seed=63), "console=ttyS0"


class World:
    def __init__(self, sim, platform):
        self.sim, self.platform, self.folder = sim, platform, sim.folder
        sim.identity(platform)
        (self.folder / "pw").write_bytes(SECRET)
        self.socket = self.folder / "qmp"

    def cvmspawn(self, *words, status=0):
        argv = [str(w) for w in (build_folder() / "programs/cvmspawn", "attest-qemu", *words)]
        done = subprocess.run(argv, cwd=self.folder, env=self.sim.env(), capture_output=True, timeout=60)
        assert done.returncode == status, done
        assert SECRET not in done.stdout + done.stderr
        done.out, done.err = done.stdout.decode(), done.stderr.decode()
        return done

    def certs(self, root=True):
        return [f"--certs={self.platform}/{n}.cert" for n in ("cek-signed", "ask", "ark")] + ([f"--insecure-root={self.platform}/ark.cert"] if root else [])

    def start(self, properties, kernel=KERNEL, vcpus=2):
        """QEMU as a user starts it, with what prepare printed."""
        options = dict(p.split("=", 1) for p in properties.strip().split(","))
        policy = int(options.pop("policy"))
        argv = self.sim.arguments("sev", FIRMWARE, vcpus=vcpus, policy=policy, kernel=kernel, initrd=INITRD, words=WORDS,
                                  **{"legacy-vm-type": "off"}, **options)  # fmt: skip
        process = subprocess.Popen([*argv, "-S", "-qmp", f"unix:{self.socket},server,nowait"], cwd=self.folder, env=self.sim.env(),
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.sim.processes.append(process)
        deadline = time.monotonic() + 30
        while not self.socket.exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.02)
        return process


@pytest.fixture
def world(sim, platform):
    return World(sim, platform)


def digest(policy):
    return model.sev_digest(FIRMWARE, 2 if policy & 4 else 0, "EPYC-v4", kernel=KERNEL, initrd=INITRD, words=WORDS)


@pytest.mark.parametrize("mode,policy", [("sev", 3), ("sev-es", 7)])
def test_desk(world, mode, policy):
    done = world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", f"--coco={mode}", "--owner-dir=own", *world.certs())
    assert done.out == f"policy={policy},dh-cert-file=own/vm_godh.b64,session-file=own/vm_session.b64\n"
    process = world.start(done.out)
    words = ["--qmp=qmp", "--owner-dir=own", "--inject-secret=luks-key:pw"]
    # another digest first: QEMU is kept, and can be asked again
    done = world.cvmspawn(*words, f"--expect={'0' * 64}", "--on-refusal=keep", status=2)
    assert "refused: the measurement does not match" in done.err and "QEMU stays paused" in done.err
    done = world.cvmspawn(*words, f"--expect={'1' * 64}", f"--expect={digest(policy)}", "--json")
    assert json.loads(done.out) == {"verdict": "authentic", "policy": policy, "secrets": True, "running": True, "ended": False}
    assert process.wait(30) == 0
    assert world.sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS


def test_desk_refuses(world):
    world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", "--owner-dir=own", *world.certs(root=False), status=2)
    assert not (world.folder / "own").exists()
    done = world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", "--owner-dir=own", *world.certs())
    assert "exists and is not replaced" in world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", "--owner-dir=own", *world.certs(), status=1).err
    process = world.start(done.out, kernel=model.make_kernel(seed=64))
    done = world.cvmspawn("--qmp=qmp", "--owner-dir=own", "--inject-secret=luks-key:pw", f"--expect={digest(7)}", "--json=short", status=2)
    answer = json.loads(done.out)
    assert (answer["verdict"], answer["code"], answer["ended"], answer["running"]) == ("not-authentic", "measurement-mismatch", True, False)
    assert process.wait(30) == 0
    assert world.sim.last().commands("LAUNCH_SECRET") == [] and world.sim.last().commands("LAUNCH_FINISH") == []
    # keys of another session
    world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", "--owner-dir=own", "--name=second", *world.certs())
    world.socket.unlink(missing_ok=True)
    done = world.cvmspawn("--qmp=qmp", "--owner-dir=own", f"--expect={digest(7)}", status=1)
    assert "cannot connect to 'qmp'" in done.err


def test_usage(world):
    for words, sentence in (
        ([], "--qmp=SOCKET is missing"),
        (["--qmp=qmp"], "expected either --owner-dir=DIR or --attestation-service=URL"),
        (["--qmp=qmp", "--owner-dir=own"], "--expect=DIGEST is missing"),
        (["perform"], "expected prepare, not 'perform'"),
        (["prepare", "--attestation-service=https://example.com/vm/1"], "--session-dir=DIR is missing"),
        (["--qmp=qmp", "--attestation-service=http://example.com/vm/1"], "expected https://HOST"),
        (["--qmp=qmp", "--owner-dir=own", "--expect=12"], "--expect='12'"),
    ):
        assert sentence in world.cvmspawn(*words, status=1).err, words


def test_service(world, tmp_path):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "amd").write_bytes((world.platform / "ask.cert").read_bytes() + (world.platform / "ark.cert").read_bytes())
    service = Service(folder, f"--certs={folder}/amd", f"--insecure-root={world.platform}/ark.cert")
    try:
        body = {"scheme": "amd-sev-es", "policy": 5, "cloud-cert": "any", "launch-digests": [digest(5)],
                "secrets": [{"type": "luks-passphrase", "passphrase": SECRET.decode()}]}  # fmt: skip
        status, answer = service.post("/vm/web-1", body, *service.owner())
        assert status == 201, answer
        who = [f"--attestation-service={service.url}/vm/web-1", f"--attestation-ca={folder}/state/ca.pem", "--session-dir=web-1"]
        done = world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", *who, *world.certs(root=False))
        assert done.out == "policy=5,dh-cert-file=web-1/vm_godh.b64,session-file=web-1/vm_session.b64\n"
        process = world.start(done.out)
        service.kill()
        done = world.cvmspawn("--qmp=qmp", *who, status=4)
        assert "cannot reach the attestation service" in done.err and "QEMU stays paused" in done.err
        service.start()
        who[0] = f"--attestation-service={service.url}/vm/web-1"
        done = world.cvmspawn("--qmp=qmp", *who)
        assert done.out == "the guest is running: its measurement is as expected, and its secrets were injected\n"
        assert process.wait(30) == 0
        # once an hour: a second guest is ended
        done = world.cvmspawn("prepare", f"--qemu={world.sim.qemu}", *who, *world.certs(root=False))
        world.socket.unlink(missing_ok=True)
        process = world.start(done.out)
        done = world.cvmspawn("--qmp=qmp", *who, status=3)
        assert "too-many-instances" in done.err and process.wait(30) == 0
    finally:
        service.process.kill()
        service.process.wait()


FULL_DISK = """mount -t tmpfs -o size=$1 none disk || exit 99
shift
"$@"
echo "status $?"
ls -A disk/s 2>/dev/null"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_of_the_session(world, tmp_path):
    """Two files or none, at each size of the disk; the status says which."""
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "amd").write_bytes((world.platform / "ask.cert").read_bytes() + (world.platform / "ark.cert").read_bytes())
    service = Service(folder, f"--certs={folder}/amd", f"--insecure-root={world.platform}/ark.cert")
    try:
        body = {"scheme": "amd-sev-es", "policy": 5, "cloud-cert": "any", "launch-digests": [digest(5)], "secrets": [{"type": "luks-passphrase", "passphrase": "x"}]}
        assert service.post("/vm/web-1", body, *service.owner())[0] == 201
        (world.folder / "disk").mkdir()
        ends = []
        for pages in range(1, 6):
            argv = ["unshare", "-m", "sh", "-c", FULL_DISK, "sh", str(pages * 4096), build_folder() / "programs/cvmspawn", "attest-qemu", "prepare",
                    f"--qemu={world.sim.qemu}", f"--attestation-service={service.url}/vm/web-1", f"--attestation-ca={folder}/state/ca.pem",
                    "--session-dir=disk/s", *world.certs(root=False)]  # fmt: skip
            done = subprocess.run([str(w) for w in argv], cwd=world.folder, env=world.sim.env(), capture_output=True, text=True, timeout=60)
            (status,), files = re.findall(r"^status (\d+)$", done.stdout, re.M), done.stdout.partition("status ")[2].splitlines()[1:]
            ends.append(status)
            if status == "0":
                assert sorted(f for f in files if f.endswith(".b64")) == ["vm_godh.b64", "vm_session.b64"]
            else:
                assert not [f for f in files if f.endswith(".b64")] and "No space left on device" in done.stderr, (files, done.stderr)
                assert done.stderr.count("\n") == 1
        assert ends[0] != "0" and ends[-1] == "0", ends
    finally:
        service.process.kill()
        service.process.wait()
