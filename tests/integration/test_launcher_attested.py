# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attestation by the guest owner in one command: cvmspawn with an owner's folder or an attestation service, an unmodified QEMU on the simulated
SEV host, and what must not be left behind or leak."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sevsim_model as model
from attestd_service import Service
from conftest import KEEPER, children_of, descendants_of, name_of
from sevsim_host import build_folder, find_qemu, skip_or_fail

LOCKABLE = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] in (-1, resource.RLIM_INFINITY)
pytestmark = pytest.mark.skipif(not LOCKABLE, reason="SEV locks guest memory: needs root or an unlimited RLIMIT_MEMLOCK")

LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
OTHER = "11111111-2222-3333-4444-555555555555"
SECRET = b"a passphrase that nobody must see"
FIRMWARE = model.make_firmware(seed=51)
KERNEL, INITRD = model.make_kernel(seed=52), model.make_initrd(seed=53)
REFUSED = 125
HERE = Path(__file__).resolve().parent
FULL = pytest.mark.full


class World:
    """A host with a simulated secure processor, the files of one guest, and cvmspawn."""

    def __init__(self, cvmspawn, sim, platform, tmp_path):
        self.cvmspawn, self.sim, self.platform, self.folder = cvmspawn, sim, platform, tmp_path
        sim.identity(platform)
        for name, data in {"fw": FIRMWARE, "kernel": KERNEL, "initrd": INITRD, "pw": SECRET}.items():
            (tmp_path / name).write_bytes(data)
        caps = subprocess.run([build_folder() / "programs/cvmspawn", "sevsim", "--print-host-caps"], capture_output=True, check=True).stdout
        (tmp_path / "caps").write_bytes(caps)
        # QEMU keeps our user, so that it can write the record
        user = [f"--qemu-user={os.geteuid()}"] if os.geteuid() == 0 else []
        self.options = [f"--host-caps={tmp_path}/caps", f"--firmware={tmp_path}/fw", f"--linux={tmp_path}/kernel",
                        f"--initrd={tmp_path}/initrd", "--ram=256M", *(["--qemu-user=root"] if user else [])]  # fmt: skip
        self.qemu = find_qemu()

    def start(self, *options, env=None, qemu=None):
        words = [*self.options, f"--qemu={qemu or self.qemu}", *options]
        return self.cvmspawn.start(*words, env={**self.sim.env(), **(env or {})})

    def run(self, *options, status=0, **more):
        result = self.start(*options, **more).wait(60)
        assert result.leftovers == []
        assert result.status == status, result.err
        self.no_secret_in(result.stdout + result.stderr)
        return result

    def no_secret_in(self, data):
        assert SECRET not in data and SECRET.hex().encode() not in data.lower()

    def certs(self):
        return [f"--certs={self.platform}/{n}.cert" for n in ("cek-signed", "ask", "ark")]

    def owner(self, name="own", secret=True):
        """The options of an owner's folder on this host."""
        words = [f"--owner-dir={self.folder / name}", *self.certs(), f"--insecure-root={self.platform}/ark.cert"]
        return words + ([f"--inject-secret=luks-key:{self.folder}/pw"] if secret else [])

    def launches(self):
        return sorted(self.sim.record.glob("launch-*"))

    def never_ran(self):
        """No guest was started: each launch that began was ended before its end."""
        for launch in self.launches():
            text = (launch / "commands.jsonl").read_text()
            assert "LAUNCH_SECRET" not in text and "LAUNCH_FINISH" not in text


@pytest.fixture
def world(cvmspawn, sim, platform, tmp_path):
    return World(cvmspawn, sim, platform, tmp_path)


def attested(result):
    """The event that tells of the attestation, without its time."""
    events = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    (event,) = [e for e in events if e["event"] == "attested"]
    assert event.pop("time")
    return event


@pytest.mark.parametrize("mode,kind", [pytest.param("sev", "legacy", marks=FULL), ("sev", "new"), ("sev-es", "legacy"), ("sev-es", "new")])
def test_owner_dir(world, mode, kind):
    other = world.folder / "other"
    other.write_bytes(bytes(range(256)))
    options = [f"--coco={mode}", f"--sev-vm-type={kind}", "--cpus=2", f"--inject-secret={OTHER}:{other}", "--status-fd=2"]
    result = world.run(*options, *world.owner())
    assert attested(result) == {"by": "owner-dir", "event": "attested", "secrets": True}
    line = world.sim.last().commands("LAUNCH_SECRET")[0]
    assert (line["secret_0"], line["secret_1"], line["table_complete"]) == (OTHER, LUKS, True)
    assert SECRET in (world.launches()[-1] / "secret.bin").read_bytes()
    files = {p.name: p.stat() for p in (world.folder / "own").iterdir()}
    assert sorted(files) == ["vm_godh.b64", "vm_session.b64", "vm_tek.bin", "vm_tik.bin"]
    assert all(s.st_mode & 0o777 == 0o600 for s in files.values())
    assert (world.folder / "own").stat().st_mode & 0o777 == 0o700


def test_keys_serve_one_launch(world):
    world.run("--coco=sev", *world.owner())
    before = {p: p.read_bytes() for p in (world.folder / "own").iterdir()}
    result = world.run("--coco=sev", *world.owner(), status=REFUSED)
    assert "exists and is not replaced" in result.err
    assert before == {p: p.read_bytes() for p in (world.folder / "own").iterdir()}
    assert len(world.launches()) == 1


@FULL
def test_without_secrets(world):
    result = world.run("--coco=sev", *world.owner(secret=False))
    assert "no secrets to inject" in result.err
    assert world.sim.last().commands("LAUNCH_SECRET") == []


def test_another_guest_than_predicted(world):
    """QEMU is made to launch something else than what was measured: other words, another processor."""
    for i, extra in enumerate((["-append", "init=/bin/sh"], ["-cpu", "EPYC-Milan"])):
        words = [f"--qemu-arg={w}" for w in extra]
        result = world.run("--coco=sev-es", "--allow-untrusted=qemu-arg", *words, *world.owner(f"own{i}"), status=REFUSED)
        assert "the measurement does not match the launch digest" in result.err
    world.never_ran()


def liar(world, what):
    """A QEMU that changes one member of what it and the launcher say to each other."""
    program = world.folder / f"qemu-{what}"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "lying_qemu.py"} {world.qemu} {what} "$@"\n')
    program.chmod(0o755)
    return program


LIES = [("data", "the measurement does not match the launch digest"), ("packet-header", "fw_error=11"),
        pytest.param("build-id", "the measurement does not match the launch digest", marks=FULL),
        pytest.param("policy", "QEMU launched a guest with policy", marks=FULL),
        pytest.param("secret", "fw_error=11", marks=FULL), pytest.param("api-minor", "the measurement does not match", marks=FULL)]  # fmt: skip


@pytest.mark.parametrize("what,sentence", LIES)
def test_lies_between_launcher_and_qemu(world, what, sentence):
    result = world.run("--coco=sev-es", *world.owner(), qemu=liar(world, what), status=REFUSED)
    assert sentence in result.err
    for launch in world.launches():
        assert "LAUNCH_FINISH" not in (launch / "commands.jsonl").read_text()
        assert not (launch / "secret.bin").exists()


def test_platform_is_checked(world, tmp_path_factory):
    for words, sentence in (
        (world.owner()[:-2], "not one of the pinned ones"),  # a root that is not AMD's
        ([f"--owner-dir={world.folder}/own", f"--insecure-root={world.platform}/ark.cert"], "the platform is not verified"),
        ([*world.owner(), f"--oca={'0' * 64}"], "the platform is not verified"),
    ):
        result = world.run("--coco=sev", *words, status=REFUSED)
        assert sentence in result.err
        assert not (world.folder / "own").exists()
    assert world.launches() == []


def test_secrets_must_fit(world):
    (world.folder / "large").write_bytes(bytes(4000))
    result = world.run("--coco=sev", *world.owner(), f"--inject-secret={OTHER}:{world.folder}/large", status=REFUSED)
    assert "but this firmware's secret area is 3072 bytes" in result.err
    result = world.run("--coco=sev", *world.owner(), f"--inject-secret={OTHER}:{world.folder}/nothing", status=REFUSED)
    assert "nothing': No such file" in result.err
    result = world.run("--coco=sev", *world.owner(), "--inject-secret=unheard-of:/dev/null", status=REFUSED)
    assert "neither a GUID nor a known alias" in result.err
    assert world.launches() == [] and not (world.folder / "own").exists()


def test_a_host_without_sev(world):
    """Without the simulation there is no secure processor to ask."""
    result = world.run("--coco=sev", *world.owner(), env={"LD_PRELOAD": ""}, status=REFUSED)
    assert "cannot query the SEV platform of this host" in result.err
    assert not (world.folder / "own").exists()


# --- a service ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def service(world):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    folder = world.folder / "service"
    folder.mkdir()
    (folder / "amd").write_bytes((world.platform / "ask.cert").read_bytes() + (world.platform / "ark.cert").read_bytes())
    s = Service(folder, f"--certs={folder}/amd", f"--insecure-root={world.platform}/ark.cert")
    yield s
    s.process.kill()
    s.process.wait()


def digest(world, *options):
    words = [build_folder() / "programs/cvmspawn", *world.options, "--print=digest", f"--qemu={world.qemu}", *options]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]


def register(world, service, mode, digests=None, **more):
    body = {"scheme": f"amd-{mode}", "policy": 7 if mode == "sev-es" else 3, "cloud-cert": "any",
            "launch-digests": digests or [digest(world, f"--coco={mode}", "--cpus=2")],
            "secrets": [{"type": "luks-passphrase", "passphrase": SECRET.decode()}], **more}  # fmt: skip
    status, answer = service.post("/vm/web-1", body, *service.owner())
    assert status == 201, answer


def by_service(world, service, url=None):
    return [f"--attestation-service={url or service.url}/vm/web-1", f"--attestation-ca={service.folder}/state/ca.pem", "--cpus=2", *world.certs()]


@pytest.mark.parametrize("mode", [pytest.param("sev", marks=FULL), "sev-es"])
def test_service(world, service, mode):
    register(world, service, mode)
    result = world.run(f"--coco={mode}", "--status-fd=2", *by_service(world, service))
    assert attested(result) == {"by": "attestation-service", "event": "attested", "secrets": True}
    assert world.sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS
    # once an hour is what a vm gets
    result = world.run(f"--coco={mode}", *by_service(world, service), status=REFUSED)
    assert "too-many-instances" in result.err
    world.no_secret_in(service.text().encode())


def test_another_kernel(world, service):
    register(world, service, "sev-es")
    (world.folder / "kernel").write_bytes(model.make_kernel(seed=54))
    result = world.run("--coco=sev-es", *by_service(world, service), status=REFUSED)
    assert "refused (measurement-mismatch)" in result.err
    world.never_ran()


def test_a_changed_measurement(world, service):
    register(world, service, "sev")
    result = world.run("--coco=sev", *by_service(world, service), qemu=liar(world, "data"), status=REFUSED)
    assert "refused (measurement-mismatch)" in result.err
    world.never_ran()


def test_policy_is_the_owners(world, service):
    register(world, service, "sev", policy=0xB)
    result = world.run("--coco=sev", "--coco-policy=3", *by_service(world, service), status=REFUSED)
    assert "refused (policy-mismatch)" in result.err
    world.run("--coco=sev", *by_service(world, service))
    assert world.sim.last().commands("LAUNCH_START")[0]["policy"] == "0xb"


def test_unknown(world, service):
    result = world.run("--coco=sev", *by_service(world, service), status=REFUSED)
    assert "refused (unknown-vm)" in result.err
    assert world.launches() == []


@FULL
def test_refusals(world, service):
    register(world, service, "sev")
    result = world.run("--coco=sev", *by_service(world, service)[:-3], status=REFUSED)
    assert "refused (cek-unsigned)" in result.err
    result = world.run("--coco=sev-es", *by_service(world, service), status=REFUSED)
    assert "refused (scheme-mismatch)" in result.err
    # the CA that signs the service's certificate must be known
    result = world.run("--coco=sev", by_service(world, service)[0], status=REFUSED)
    assert "cannot reach the attestation service" in result.err
    service.kill()
    result = world.run("--coco=sev", *by_service(world, service), status=REFUSED)
    assert "cannot reach the attestation service" in result.err
    assert world.launches() == []


def test_service_killed_between_launch_and_validate(world, service):
    register(world, service, "sev")
    # the first QEMU is asked for the platform, the second one is the guest's
    wrapper = world.folder / "qemu"
    wrapper.write_text(f'#!/bin/sh\n[ -e {wrapper}.seen ] && kill -9 {service.process.pid}\n: > {wrapper}.seen\nexec {world.qemu} "$@"\n')
    wrapper.chmod(0o755)
    result = world.run("--coco=sev", *by_service(world, service), qemu=wrapper, status=REFUSED)
    assert "cannot reach the attestation service" in result.err
    assert len(world.launches()) == 1
    world.never_ran()


class BadLine:
    """A line to the service that breaks the first connections."""

    def __init__(self, port, breaks):
        self.port, self.breaks = port, breaks
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            if self.breaks > 0:
                self.breaks -= 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.port))
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_rate_limit_is_waited_for(world, service):
    """429 with Retry-After is not a refusal: others ask for the same registration, until this launch came too early once."""
    service.kill()
    service.options = (*service.options, "--rate=1")
    service.start()
    register(world, service, "sev")
    run = world.start("--coco=sev", *by_service(world, service))
    while run.process.poll() is None and b"limits the rate" not in run.output("stderr"):
        service.post("/vm/web-1/launch", {})
    result = run.wait(120)
    assert result.status == 0 and "the attestation service limits the rate of requests, retrying" in result.err, result.err


@FULL
def test_broken_connections_are_tried_again(world, service):
    register(world, service, "sev")
    line = BadLine(int(service.url.rsplit(":", 1)[1]), breaks=2)
    result = world.run("--coco=sev", *by_service(world, service, line.url))
    line.socket.close()
    assert "does not answer, retrying" in result.err


def held(world, service):
    """A second launch, which waits for its owner."""
    register(world, service, "sev", **{"over-limit": "hold"})
    world.run("--coco=sev", *by_service(world, service))
    run = world.start("--coco=sev", *by_service(world, service))
    run.wait_for_output(b"held for the owner's confirmation", "stderr")
    return run


@FULL
def test_held_until_confirmed(world, service):
    run = held(world, service)
    status, launches = service.curl(service.url + "/vm/web-1/launches", *service.owner())
    (launch,) = [entry["launch-id"] for entry in launches if entry["state"] == "held"]
    status, answer = service.curl("-X", "POST", f"{service.url}/vm/web-1/launches/{launch}/confirm", *service.owner())
    assert status == 200, answer
    result = run.wait(60)
    assert (result.status, result.leftovers) == (0, []), result.err
    assert world.sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS


def owner_of(run):
    return next(pid for pid in descendants_of(run.pid) if name_of(pid) == "verb-owner-agent"[:15])  # the kernel keeps 15 bytes


@FULL
def test_child_killed(world, service):
    run = held(world, service)
    os.kill(owner_of(run), signal.SIGKILL)
    result = run.wait(30)
    assert (result.status, result.leftovers) == (REFUSED, [])
    assert "the owner-agent program was killed by signal 9" in result.err


@FULL
def test_patience(world, service):
    register(world, service, "sev", **{"over-limit": "hold"})
    world.run("--coco=sev", *by_service(world, service))
    result = world.run("--coco=sev", "--attestation-wait=2s", *by_service(world, service), status=REFUSED)
    assert "did not arrive within 2 s" in result.err
    result = world.run("--coco=sev", "--timeout=3s", *by_service(world, service), status=124)
    run = world.start("--coco=sev", *by_service(world, service))
    run.wait_for_output(b"held for the owner's confirmation", "stderr")
    run.signal(signal.SIGTERM)
    result = run.wait(30)
    assert (result.status, result.leftovers) == (128 + signal.SIGTERM, [])


@FULL
def test_a_service_that_says_nothing(world, service):
    silent = socket.create_server(("127.0.0.1", 0))
    run = world.start("--coco=sev", *by_service(world, service, f"https://127.0.0.1:{silent.getsockname()[1]}"))
    connection, _ = silent.accept()
    run.signal(signal.SIGTERM)
    started = time.monotonic()
    result = run.wait(30)
    assert (result.status, result.leftovers) == (128 + signal.SIGTERM, [])
    assert time.monotonic() - started < 8
    connection.close()
    silent.close()


# --- nothing leaks --------------------------------------------------------------------------------------------------------


def everything_of(pid):
    for p in [pid, *descendants_of(pid)]:
        for name in ("cmdline", "environ"):
            try:
                yield Path(f"/proc/{p}/{name}").read_bytes()
            except OSError:
                pass


def memory_of(pid):
    """What a process has written: a keeper is forked from the launcher."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, mode = line.split()[:2]
            if mode.startswith("rw"):
                start, end = (int(x, 16) for x in area.split("-"))
                memory.seek(start)
                yield memory.read(end - start)


@pytest.mark.parametrize("who", ["owner", "service"])
def test_secrets_are_nowhere(world, service, who):
    if who == "service":
        register(world, service, "sev")
    words = world.owner() if who == "owner" else by_service(world, service)
    run = world.start("--coco=sev", "--status-fd=1", "--console=headless", *words, env={"CVMSPAWN_SEVSIM_GUEST": "block"})
    while b'"started"' not in run.output():
        assert run.process.poll() is None, run.output("stderr")
        for text in everything_of(run.pid):
            world.no_secret_in(text)
        time.sleep(0.05)
    # the guest runs: nobody who held keys is there any more
    children = list(children_of(run.pid))
    assert sorted(name_of(pid) for pid in children if name_of(pid) != KEEPER) == [Path(world.qemu).name[:15]]
    for pid in [pid for pid in children if name_of(pid) == KEEPER]:
        for text in memory_of(pid):
            world.no_secret_in(text)
    for text in everything_of(run.pid):
        world.no_secret_in(text)
    run.signal(signal.SIGTERM)
    run.wait_for_output(b"send the signal again to end it at once", "stderr")
    run.signal(signal.SIGTERM)
    result = run.wait(30)
    assert result.leftovers == []
    world.no_secret_in(result.stdout + result.stderr)


def test_print_shows_places_only(world):
    result = world.run("--coco=sev", "--print=config,argv,digest,confinement", *world.owner())
    assert "owner-dir" in result.out and "/proc/self/fd/118" in result.out
    assert not (world.folder / "own").exists()
