# SPDX-License-Identifier: LGPL-2.1-or-later
"""--bind-volume= with systemd 262's own storage provider (systemd-storage-fs, unpacked and never installed), which this test starts as its socket unit does; and
with a stand-in for providers that misbehave."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import SOURCE, skip_or_fail
from launcher_fake import TOOK_TOO_LONG, events, said

sys.path.insert(0, str(SOURCE / "tests/lib"))
import vmspawn_peer  # noqa: E402

SERVES = "vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')"
# The commands that a disk takes are among those that QEMU got.
TELLS = "vm.start(); print(*vm.seen, file=sys.stderr); vm.power_off()"
KILLS = 50


class Provider:
    """Listens where providers of the user do."""

    def __init__(self, folder, name, serve):
        place = folder / "systemd/io.systemd.StorageProvider"
        place.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        short = os.open(place, os.O_PATH)
        self.socket.bind(f"/proc/self/fd/{short}/{name}")
        os.close(short)
        self.socket.listen()
        self.serve, self.calls = serve, 0
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.calls += 1
            self.serve(connection)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def where(fake):
    return {"TEST_XDG_RUNTIME_DIR": str(fake.directory / "run")}


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = []

    def make(name, serve):
        made.append(Provider(tmp_path / "run", name, serve))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def fs(world, tmp_path):
    """systemd-storage-fs: one process for each connection, as its unit has Accept=yes."""
    try:
        layer = vmspawn_peer.unpack_peer()
    except vmspawn_peer.Missing as e:
        skip_or_fail(str(e))
    libraries = layer / "usr/lib/x86_64-linux-gnu"
    program = [layer / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{libraries}/systemd:{layer}/usr/lib/systemd",
               layer / "usr/lib/systemd/systemd-storage-fs", "--user"]

    def serve(connection):
        with connection:
            subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *map(str, program)], stdin=connection.fileno(), stderr=subprocess.DEVNULL, pass_fds=[3],
                             preexec_fn=lambda: os.dup2(0, 3), env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "varlink"})

    provider = world("fs", serve)
    provider.volumes = tmp_path / "state/storage"
    return provider


def run(fake, *options, scenario=TELLS):
    return fake.run(scenario, "--user", "--register=no", *options, env=where(fake))


@pytest.mark.full
def test_volumes_of_systemd(fake, fs):
    result = run(fake, "--bind-volume=fs:data::create=new,create-size=1M")
    assert result.status == 0, result.err
    assert "add-fd blockdev-add" in result.err and "device_add" in result.err
    assert (fs.volumes / "data.volume").stat().st_size == 1 << 20
    for option, why in {
        "fs:data::create=new,create-size=1M": "the volume exists already; remove create=new", "fs:other::create=open": "the volume does not exist; add create=any to make it",
        "fs:other::create=any": "add create-size=BYTES", "fs:data::request-as=blk": "of a different type", "fs:data::template=none,create=any,create-size=1M": "the template does not exist",
    }.items():
        result = run(fake, f"--bind-volume={option}")
        assert (result.status == 0) if why is None else (result.status == 125 and why in result.err and len(said(result)) == 1), (option, result.err)
    for kind in "virtio-scsi", "nvme", "scsi-cd":
        assert run(fake, f"--bind-volume=fs:data:{kind}").status == 0
    assert sorted(p.name for p in fs.volumes.iterdir()) == ["data.volume"]


@pytest.mark.full
def test_nothing_is_made_by_a_launch_that_is_refused(fake, fs):
    new = "--bind-volume=fs:data::create=any,create-size=1M"
    for options in ["--print=argv"], ["--print=config"], ["--console-log=missing/x"], ["--extra-drive=missing"], ["--ephemeral"]:
        run(fake, new, *options)
    assert fs.calls == 0 and not fs.volumes.exists()


@pytest.mark.full
def test_a_guest_writes_to_it(cvmspawn, qemu, kernel, initrd, fs, tmp_path):
    result = cvmspawn.run(f"--qemu={qemu}", "--kvm=no", "--tpm=no", "--user", "--register=no", f"--linux={kernel}", f"--initrd={initrd}",
                          "--bind-volume=fs:data::create=new,create-size=1M",
                          "--run=systemctl start sysinit.target; udevadm settle; disk=$(echo /dev/disk/by-id/*fs:data); printf written >\"$disk\"; sync", timeout=300,
                          env={"TEST_XDG_RUNTIME_DIR": str(tmp_path / "run")})
    assert result.status == 0, result.err
    assert (fs.volumes / "data.volume").read_bytes().startswith(b"written")


@pytest.mark.full
def test_a_killed_launcher_leaves_nothing(fake, fs):
    """A volume is the provider's: whole or not there."""
    option = "--bind-volume=fs:data::create=any,create-size=1M"
    begun = time.monotonic()
    one = fake.start(SERVES, "--json=short", "--user", "--register=no", option, env=where(fake))
    one.wait_for_output(b'"started"')
    whole = time.monotonic() - begun
    for point in range(KILLS if os.environ.get("CVMSPAWN_SOAK") == "1" else KILLS // 10):
        if point > 0:
            one = fake.start(SERVES, "--json=short", "--user", "--register=no", option, env=where(fake))
            time.sleep(whole * 1.2 * point / KILLS)
        one.signal(signal.SIGKILL)
        assert one.wait(TOOK_TOO_LONG).leftovers == [], point
        assert [p.stat().st_size for p in fs.volumes.glob("*")] in ([], [1 << 20]), point


def answering(text, *paths):
    """A stand-in for a provider: it answers any call with this and descriptors of these files."""

    def serve(connection):
        with connection:
            connection.recv(65536)
            files = [os.open(path, flags) for path, flags in paths]
            data = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
            if text is not None:
                connection.sendmsg([text.encode() + b"\0"], data)
            for fd in files:
                os.close(fd)

    return serve


def test_providers_that_misbehave(fake, world, tmp_path):
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    given = json.dumps({"parameters": {"fileDescriptorIndex": 0, "type": "reg", "readOnly": False}})
    name = "io.systemd.StorageProvider."
    cases = {
        "good": (answering(given, (tmp_path / "file", os.O_RDWR)), None), "reader": (answering(given, (tmp_path / "file", os.O_RDONLY)), None),
        "path": (answering(given, (tmp_path / "file", os.O_PATH)), "handed over no file"), "folder": (answering(given, (tmp_path, os.O_RDONLY)), "handed over no file"),
        "nothing": (answering(given), "handed over no file"), "number": (answering(given.replace("0", "3"), (tmp_path / "file", os.O_RDWR)), "handed over no file"),
        "many": (answering(given, *[(tmp_path / "file", os.O_RDWR)] * 9), None), "junk": (answering("junk"), "did not answer"), "silent": (answering(None), "did not answer"),
        "error": (answering(json.dumps({"error": "com.example.Tired"})), "answered com.example.Tired"), "wrong": (answering(json.dumps({"error": name + "WrongType"})), "of a different type"),
        "template": (answering(json.dumps({"error": name + "NoSuchTemplate"})), "the template does not exist"),
    }
    for case, (serve, why) in cases.items():
        provider = world(case, serve)
        result = run(fake, f"--bind-volume={case}:x")
        if why is None:
            assert result.status == 0, (case, result.err)
        else:
            assert (result.status, len(said(result))) == (125, 1) and why in result.err, (case, result.err)
        assert result.leftovers == [], case
        # Where the type does not matter to the user, both are tried.
        assert provider.calls == (2 if case == "wrong" else 1), case
    result = run(fake, "--bind-volume=missing:x")
    assert result.status == 125 and "cannot connect to the storage provider 'missing'" in result.err


def test_a_provider_that_waits(fake, world):
    """^C ends it."""
    world("slow", lambda connection: threading.Timer(60, connection.close).start())
    one = fake.start(TELLS, "--json=short", "--user", "--register=no", "--bind-volume=slow:x", env=where(fake))
    time.sleep(1.5)
    one.signal(signal.SIGTERM)
    result = one.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (143, []), result.err
    assert events(result)[-1]["event"] == "exit"
