# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn sevsim --listen= and --join=: one simulated host for several commands."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder

PROGRAM = build_folder() / "programs" / "cvmspawn"
FIRMWARE = model.make_firmware(seed=51)
DIGEST = model.snp_digest(FIRMWARE)
SAYS = "sevsim (simulation): "
NODE = [] if os.geteuid() == 0 else ["--sev-node=0666"]

# Requests on /dev/sev (linux/psp-sev.h), for a command on the host.
ASK = """import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
fd = libc.open(b"/dev/sev", os.O_RDWR)
def ask(command, size):
    data = ctypes.create_string_buffer(size)
    request = ctypes.create_string_buffer(struct.pack("<IQI", command, ctypes.addressof(data), 0))
    status = libc.ioctl(fd, 0xC0105300, request)
    return status, data.raw
"""


def sevsim(*arguments, **options):
    return subprocess.run([PROGRAM, "sevsim", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False, **options)


@contextlib.contextmanager
def listening(folder, *options, **popen):
    process = subprocess.Popen([PROGRAM, "sevsim", f"--listen={folder}", *NODE, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               **popen)
    try:
        line = process.stdout.readline()
        assert "READY" in line or '"ready":true' in line, line + process.stderr.read()
        process.first = line
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode in (0, -signal.SIGKILL)


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def guests(folder):
    done = sevsim(f"--join={folder}", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["simulation"] is True
    return answer["guests"]


def status(folder):
    """Guests that PLATFORM_STATUS and SNP_PLATFORM_STATUS count, and the state of the former."""
    script = ASK + 'print(struct.unpack("<BBBIBI", ask(1, 12)[1])[5::-3], struct.unpack("<4BIIIQQ", ask(9, 32)[1])[6])'
    done = sevsim(f"--join={folder}", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_one_host(sim, platform, tmp_path):
    """Commands after and beside one another: handles go on, identifiers are free again, each has its part of the record."""
    folder, record = tmp_path / "host", tmp_path / "kept"
    with listening(folder, f"--platform={platform}", f"--record={record}", "--guest=block"):
        assert status(folder) == "(0, 1) 0" and guests(folder) == []
        beside = [subprocess.Popen([PROGRAM, "sevsim", f"--join={folder}", "--json", "--", *sim.arguments(mode, FIRMWARE)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for mode in ("snp", "sev", "snp")]
        try:
            wait_until(lambda: sum(guest["handle"] > 0 for guest in guests(folder)) == 3)
            here = guests(folder)
            assert sorted((guest["type"], guest["id-kind"], guest["id"]) for guest in here) == [
                ("SEV", "asid", 100), ("SNP", "asid", 1), ("SNP", "asid", 2)]
            assert sorted(guest["handle"] for guest in here) == [1, 2, 3]
            assert status(folder) == "(1, 2) 2"
        finally:
            for process in beside:
                process.terminate()
            answers = [json.loads(process.communicate(timeout=SECONDS)[0]) for process in beside]
        wait_until(lambda: guests(folder) == [])
        done = sevsim(f"--join={folder}", "--guest=poweroff", f"--expect-digest={DIGEST}", "--", *sim.arguments("snp", FIRMWARE))
        assert done.returncode == 0, done.stderr
        assert f"{SAYS}recorded digest = predicted digest" in done.stdout
        assert all(line.startswith(SAYS) for line in done.stdout.splitlines())
        assert (folder / "guests").read_text().split()[0] == "4"
    assert not folder.exists()
    runs = {pathlib.Path(launch["folder"]).parent.name for answer in answers for launch in answer["launches"]}
    assert len(runs) == 3 and {path.parent for path in record.iterdir()} == {record}
    first = [json.loads(next(iter(open(path)))) for path in sorted(record.glob("run-*/launch-001/commands.jsonl"))]
    assert len(first) == 4 and sorted(line["asid"] for line in first) == [1, 1, 2, 100]


def test_platform_persists(tmp_path):
    """PDH_GEN in one command: the next one exports the new certificate, signed by the same PEK; the chip is the same."""
    script = ASK + """
before = open(os.environ["CVMSPAWN_SEVSIM_PLATFORM"] + "/pdh.cert", "rb").read()
assert ask(4, 8)[0] == 0
assert open(os.environ["CVMSPAWN_SEVSIM_PLATFORM"] + "/pdh.cert", "rb").read() != before
"""
    folder = tmp_path / "host"
    with listening(folder, "--generation=milan"):
        place = folder / "platform"
        assert (place / "generation").read_text().startswith("milan")
        assert (place / "ark.pem").exists()
        old = {name: (place / name).read_bytes() for name in ("pdh.cert", "pdh.key", "pek.cert", "chip-id.bin")}
        done = sevsim(f"--join={folder}", "--", sys.executable, "-c", script)
        assert done.returncode == 0, done.stderr
        for name in ("pdh.cert", "pek.cert", "oca.cert", "cek-signed.cert", "ask.cert", "ark.cert"):
            with open(tmp_path / "chain", "ab") as chain:
                chain.write((place / name).read_bytes())
        new = {name: (place / name).read_bytes() for name in old}
        assert [name for name in old if old[name] != new[name]] == ["pdh.cert", "pdh.key"]
        assert not [path for path in place.iterdir() if path.name.startswith(".")]
        verified = subprocess.run([PROGRAM, "cert-chain", "verify", tmp_path / "chain", "--cache=", f"--insecure-root={place / 'ark.cert'}"],
                                  capture_output=True, text=True, check=False, timeout=SECONDS)
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_ready_and_notified(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SECONDS)
        with listening(tmp_path / "host", "--json", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}) as host:
            answer = json.loads(host.first)
            assert answer["simulation"] is True and answer["folder"] == str(tmp_path / "host")
            assert answer["record"] == str(tmp_path / "host/record") and answer["platform"] == str(tmp_path / "host/platform")
            said = manager.recv(1000).decode()
            assert said.startswith("READY=1\n") and "SIMULATED" in said
        assert manager.recv(1000) == b"STOPPING=1"


WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); open(sys.argv[1], 'w').close(); signal.pause()"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_end_ends_the_commands(tmp_path, platform, end):
    folder, ready = tmp_path / "host", tmp_path / "ready"
    folder.mkdir()
    with listening(folder, f"--platform={platform}") as host:
        process = subprocess.Popen([PROGRAM, "sevsim", f"--join={folder}", "--", sys.executable, "-c", WAITS, ready], stdout=subprocess.DEVNULL)
        wait_until(ready.exists)
        host.send_signal(end)
        assert process.wait(timeout=SECONDS) == 5
        assert host.wait(timeout=SECONDS) == 0
    assert list(folder.iterdir()) == []  # it was there before
    assert (platform / "pdh.cert").exists()


def test_killed_and_taken_over(tmp_path, platform):
    folder, ready = tmp_path / "host", tmp_path / "ready"
    with listening(folder, f"--platform={platform}") as host:
        process = subprocess.Popen([PROGRAM, "sevsim", f"--join={folder}", "--", sys.executable, "-c", WAITS, ready], stderr=subprocess.PIPE, text=True)
        wait_until(ready.exists)
        host.kill()
        host.wait(timeout=SECONDS)
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 1 and "the simulated host ended while the command ran" in said
    done = sevsim(f"--join={folder}", "--", "true")
    assert done.returncode == 1 and "was killed: start it again" in done.stderr
    with listening(folder, f"--platform={platform}") as host:
        assert sevsim(f"--join={folder}", "--", "true").returncode == 0
        host.terminate()
        assert f"took over '{folder}' from a simulated host that was killed" in host.communicate(timeout=SECONDS)[1]
    assert not folder.exists()


def test_in_use(tmp_path, platform):
    folder = tmp_path / "host"
    with listening(folder, f"--platform={platform}") as host:
        done = sevsim(f"--listen={folder}")
        assert done.returncode == 1 and f"runs in '{folder}' already (process {host.pid})" in done.stderr
        assert sevsim(f"--join={folder}").returncode == 0


@pytest.mark.parametrize("arguments, words", [
    (["--join={there}/none", "--", "true"], "no simulated host runs in"), (["--join={there}", "--", "true"], "no simulated host runs in"),
    (["--join={there}/file", "--", "true"], "no simulated host runs in"), (["--listen={there}"], "has other files"),
    (["--listen={there}/file"], "cannot open"), (["--listen={there}/none/none"], "cannot make the folder"),
    (["--listen={there}/new", "--platform={there}/file"], "platform"), (["--listen={there}/new", "--record={there}/file/x"], "cannot make the record folder"),
    (["--listen={there}/new", "--", "true"], "--listen= runs no command"), (["--listen=a", "--join=b"], "no meaning together"),
    (["--join=a", "--record=b", "--", "true"], "no meaning together"), (["--join=a", "--platform=b", "--", "true"], "no meaning together"),
    (["--listen={there}/new", "--faults=nothing"], "--faults= needs")])  # fmt: skip
def test_refused(tmp_path, arguments, words):
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_text("of somebody")
    done = sevsim(*(argument.format(there=there) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert [path.name for path in there.iterdir()] == ["file"]


def test_identifiers_run_out(sim, platform, tmp_path):
    """99 for SEV-ES and SNP, as CPUID says: one more guest is refused as the kernel refuses it."""
    folder = tmp_path / "host"
    with listening(folder, f"--platform={platform}"), open(folder / "guests", "r+b") as rows:
        for asid in range(1, 100):
            lock(rows, asid)
        done = sevsim(f"--join={folder}", "--", *sim.arguments("snp", FIRMWARE))
        assert done.returncode == 1 and "refused: all address space identifiers of the host are in use (EBUSY)" in done.stderr
        assert sevsim(f"--join={folder}", "--", *sim.arguments("sev", FIRMWARE)).returncode == 0


def lock(rows, asid):
    """A lock of the open file description, as a guest of another program holds it (fcntl(2), F_OFD_SETLK)."""
    request = ctypes.create_string_buffer(struct.pack("hhqqi4x", 1, os.SEEK_SET, asid * 64, 1, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.fcntl(rows.fileno(), 37, request) == 0, os.strerror(ctypes.get_errno())


def test_state_out_of_reach(sim, platform, tmp_path):
    """A host whose folder is gone starts no guest."""
    folder = tmp_path / "host"
    script = 'mv "$1/guests" "$1/gone"; shift; "$@"; s=$?; exit $s'
    with listening(folder, f"--platform={platform}"):
        done = sevsim(f"--join={folder}", "--", "sh", "-c", script, "sh", folder, *sim.arguments("snp", FIRMWARE))
        assert done.returncode == 1 and "the state of the simulated host cannot be opened" in done.stderr
        (folder / "gone").unlink()
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="changing to another user needs root")
def test_qemu_as_another_user(sim, platform, tmp_path_factory):
    sim.folder = tmp_path_factory.mktemp("open")
    for folder in (sim.folder, *sim.folder.parents[:3]):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    change = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with listening(sim.folder / "host", f"--platform={platform}", "--sev-node=0660:65534"):
        done = sevsim(f"--join={sim.folder / 'host'}", f"--expect-digest={DIGEST}", "--", *change, *sim.arguments("snp", FIRMWARE))
        assert done.returncode == 0, done.stderr


def test_machines_of_one_process(platform, tmp_path):
    """Each machine has an identifier while its descriptor is open; TDs count key identifiers."""
    folder = tmp_path / "host"
    script = ('import os, fault_client as client\nfor kind in ("tdx", "tdx", "snp", "snp", "close", "snp", "sev", "tdx"):\n'
              "    os.closerange(3, 1000) if kind == 'close' else client.launch(kind)\n")
    with listening(folder, f"--platform={platform}"):
        done = sevsim(f"--join={folder}", "--", sys.executable, "-c", script, env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)})
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for path in sorted(folder.glob("record/run-001/launch-*/commands.jsonl")) for line in open(path)]
        assert [line.get("asid", line.get("key_id")) for line in lines if "asid" in line or "key_id" in line] == [1, 2, 1, 2, 1, 100, 1]
