# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys and sockets for logins exist as long as the guest runs, whatever ends it: with stand-ins for QEMU and vhost-device-vsock."""

import ast
import base64
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from conftest import build_folder, descendants_of, name_of, skip_or_fail
from launcher_fake import TOOK_TOO_LONG, events, said

WAITS = "vm.start(); vm.answer_until('system_powerdown'); vm.power_off()"
HELPER = """\
import os, socket, sys
values = dict(word.split("=", 1) for word in sys.argv[2].split(","))
device, mux = (socket.socket(socket.AF_UNIX) for _ in range(2))
mux.bind(values["uds-path"]); mux.listen()
device.bind(values["socket"]); device.listen()
connection, _ = device.accept()
{behaviour}
connection.recv(1)
"""


@pytest.fixture
def place(tmp_path):
    """Where keys and sockets go, as the service manager's RuntimeDirectory= would say it."""
    if not shutil.which("ssh-keygen"):
        skip_or_fail("ssh-keygen is missing: install openssh-client")
    folder = tmp_path / "rt"
    folder.mkdir()
    return folder


@pytest.fixture
def helper(tmp_path):
    """A PATH whose vhost-device-vsock behaves as a test says."""

    def make(behaviour=""):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "vhost-device-vsock"
        program.write_text(f"#!{sys.executable}\n" + HELPER.format(behaviour=textwrap.dedent(behaviour)))
        program.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}

    return make


def login(run):
    """What the event says."""
    run.wait_for_output(b'"event":"login"')
    return next(event for line in run.output().splitlines() if (event := json.loads(line))["event"] == "login")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_lives_as_long_as_its_guest(fake, place, kind):
    run = fake.start(WAITS, "--pass-ssh-key=yes", f"--ssh-key-type={kind}", "--network-user-mode", "--publish=2222:22",
                     "--json=short", env={"RUNTIME_DIRECTORY": str(place)})
    event = login(run)
    key = Path(event["key"])
    assert (event["ssh"], event["port"], event["cid"]) == ("127.0.0.1", 2222, None)
    assert key.name == kind and key.is_relative_to(place)
    assert (mode(key), mode(key.parent)) == (0o600, 0o700)
    assert key.with_suffix(".pub").read_text().startswith(f"ssh-{kind} ")
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, [])
    assert f"cvmspawn: log in with: ssh -i {key} -p 2222 root@127.0.0.1" in said(result)
    assert list(place.iterdir()) == []


def test_two_guests_of_one_name_do_not_meet(fake, place):
    runs = [fake.start(WAITS, "--pass-ssh-key=yes", "--publish=2222:22", "--network-user-mode", "--json=short", "--machine=same",
                       env={"RUNTIME_DIRECTORY": str(place)}) for _ in range(2)]  # fmt: skip
    keys = {login(run)["key"] for run in runs}
    assert len(keys) == 2
    for left, run in (1, runs[1]), (0, runs[0]):
        run.signal()
        assert run.wait(TOOK_TOO_LONG).leftovers == []
        assert len(list(place.rglob("ed25519"))) == left
    assert list(place.iterdir()) == []


def gone(place):
    """What the keeper of keys and sockets removes."""
    deadline = time.monotonic() + 60
    ours = place / "cvmspawn"
    while ours.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not ours.exists()


@pytest.mark.parametrize("part", range(10))
def test_a_killed_launcher_leaves_nothing(fake, place, helper, part):
    """At fifty points of the way to a running guest; the keeper alone is left, and ends."""
    environment = {**helper(), "RUNTIME_DIRECTORY": str(place)}
    for step in range(5):
        run = fake.start(WAITS, "--pass-ssh-key=yes", "--vsock=user", "--json=short", env=environment)
        time.sleep((part * 5 + step) * 0.004)
        run.signal(signal.SIGKILL)
        result = run.wait(TOOK_TOO_LONG)
        assert result.status == -signal.SIGKILL and result.leftovers == []
        assert gone(place), list(place.rglob("*"))


def test_no_key_is_left_where_the_launch_fails(fake, place):
    result = fake.run("sys.exit(3)", "--pass-ssh-key=yes", env={"RUNTIME_DIRECTORY": str(place)})
    assert (result.status, result.leftovers) == (125, [])
    assert list(place.iterdir()) == []


def test_a_missing_keygen_is_named(fake, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = fake.run(WAITS, "--pass-ssh-key=yes", env={"PATH": str(empty)})
    assert result.status == 125
    assert said(result)[-1].startswith("cvmspawn: --pass-ssh-key=yes: ssh-keygen was not found in PATH")


def test_a_missing_device_program_is_named(fake, place, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = fake.run(WAITS, "--vsock=user", "--pass-ssh-key=no", env={"PATH": str(empty), "RUNTIME_DIRECTORY": str(place)})
    assert result.status == 125
    assert said(result)[-1].startswith("cvmspawn: --vsock=user: vhost-device-vsock was not found in PATH")
    assert list(place.iterdir()) == []


def test_the_guest_reports_through_vsock(fake, place, helper):
    """As its systemd does: a connection for each message; READY=1 is the guest's own, and its status is ours."""
    environment = helper("""
        for text in b"STATUS=up", b"READY=1\\nX=1", b"EXIT_STATUS=7\\n":
            peer = socket.socket(socket.AF_UNIX); peer.connect(values["uds-path"] + "_9999"); peer.sendall(text); peer.close()
    """)
    run = fake.start("vm.start(); time.sleep(1); vm.power_off()", "--vsock=user", "--pass-ssh-key=no", "--json=short",
                     "--machine=d", env={**environment, "RUNTIME_DIRECTORY": str(place)})
    result = run.wait(TOOK_TOO_LONG)
    names = [event["event"] for event in events(result)]
    assert names.count("ready") == 1 and result.status == 7
    assert [event["cid"] for event in events(result) if event["event"] == "login"] == [4288012282]
    assert result.leftovers == [] and list(place.iterdir()) == []


def test_a_flood_of_reports_is_cut(fake, place, helper):
    environment = helper("""
        for _ in range(50):
            peer = socket.socket(socket.AF_UNIX); peer.connect(values["uds-path"] + "_9999")
            try:
                peer.sendall(b"x" * 100000 + b"EXIT_STATUS=7\\n")
            except OSError:
                pass
    """)
    run = fake.start("vm.start(); time.sleep(1); vm.power_off()", "--vsock=user", "--pass-ssh-key=no",
                     env={**environment, "RUNTIME_DIRECTORY": str(place)})
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 0 and result.leftovers == []


def test_the_end_of_the_device_program_ends_the_guest(fake, place, helper):
    run = fake.start("vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')", "--vsock=user", "--pass-ssh-key=no",
                     "--json=short", env={**helper(), "RUNTIME_DIRECTORY": str(place)})  # fmt: skip
    login(run)
    victim = next(pid for pid in descendants_of(run.pid) if name_of(pid).startswith("vhost-device"))
    os.kill(victim, signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (125, [])
    assert said(result)[-1] == "cvmspawn: vhost-device-vsock ended while the guest was running"
    assert list(place.iterdir()) == []


# --- the kernel's device ------------------------------------------------------------------------------------------------------


@pytest.fixture
def vhost(place):
    """A preloaded stand-in for /dev/vhost-vsock: what is asked of it, and what follows."""
    module = build_folder() / "tests/lib/vhost-vsock.so"
    if not module.exists():
        skip_or_fail(f"{module} is not built")
    if b"libasan" in subprocess.run(["ldd", build_folder() / "programs/verb-spawn"], capture_output=True, check=False).stdout:
        pytest.skip("a program with the address sanitizer takes no preloaded module before it")
    try:
        socket.socket(socket.AF_VSOCK).close()
    except OSError:
        skip_or_fail("this kernel has no vsock sockets")
    return {"LD_PRELOAD": str(module), "RUNTIME_DIRECTORY": str(place)}


def argument(arguments, driver):
    return next(json.loads(word) for word in arguments if f'"{driver}"' in word)


def test_a_guest_has_vsock_and_a_key_by_default(fake, place, vhost, tmp_path):
    """As with systemd-vmspawn, where the host can; the address is the same as there."""
    seen = tmp_path / "seen"
    scenario = f"open({str(seen)!r}, 'w').write(repr([arguments, [os.pread(n, 4096, 0) for n in (120, 121, 122)]])); {WAITS}"
    run = fake.start(scenario, "--machine=d", "--json=short", env=vhost)
    event = login(run)
    assert (event["ssh"], event["cid"]) == ("vsock/4288012282", 4288012282)
    arguments, strings = ast.literal_eval(seen.read_text())
    assert argument(arguments, "vhost-vsock-pci")["guest-cid"] == 4288012282
    values = dict(text.split(b"=", 1) for text in strings)
    key, dropin, address = (base64.b64decode(values[b"io.systemd.credential.binary:" + name]) for name in
                            (b"ssh.ephemeral-authorized_keys-all", b"systemd.unit-dropin.sshd-vsock@.service", b"vmm.notify_socket"))  # fmt: skip
    assert dropin.startswith(b"[Service]\n") and b"sshd -i" in dropin
    assert key == Path(event["key"] + ".pub").read_bytes()
    assert address.startswith(b"vsock-stream:2:") and int(address[15:]) > 0
    assert b'"ready"' not in run.output()  # that is for the guest to say
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, []) and list(place.iterdir()) == []


def test_a_device_that_the_service_manager_passes(fake, vhost, tmp_path):
    """QEMU gets that one, whatever /dev has; a file that is for nothing is named."""
    seen = tmp_path / "seen"
    scenario = f"open({str(seen)!r}, 'w').write(os.readlink('/proc/self/fd/108')); {WAITS}"
    files = 'exec 3<>/dev/zero 4</dev/null; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=vhost-vsock:else exec "$@"'
    run = fake.start(scenario, "--machine=d", "--json=short", "--pass-ssh-key=no", env=vhost, prefix=["sh", "-c", files, "sh"])
    login(run)
    assert seen.read_text() == "/dev/zero"
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, [])
    assert "the service manager passed a file 'else', ignoring it: known are kvm and vhost-vsock, as character devices" in result.err


def test_a_taken_address_is_stepped_over(fake, vhost):
    run = fake.start(WAITS, "--machine=d", "--json=short", "--pass-ssh-key=no", env={**vhost, "VHOST_VSOCK_TAKEN": ",4288012282,2349583810,"})
    assert login(run)["cid"] == 1918722074
    run.signal()
    assert run.wait(TOOK_TOO_LONG).status == 0


def test_a_taken_address_that_was_asked_for_is_an_error(fake, vhost, place):
    result = fake.run(WAITS, "--vsock-cid=77", env={**vhost, "VHOST_VSOCK_TAKEN": ",77,"})
    assert (result.status, result.leftovers) == (125, []) and list(place.iterdir()) == []
    assert said(result)[-1] == "cvmspawn: vsock address 77 is in use by another guest: use another --vsock-cid= or another --machine="


@pytest.mark.parametrize("options", [("--run=true",), ("--vsock=no", "--pass-ssh-key=no")], ids=["run", "no"])
def test_nothing_is_added_where_nobody_logs_in(fake, small_initrd, vhost, place, options):
    scenario = "vm.start(); vm.work()" if "--run=true" in options else "vm.start(); vm.power_off()"
    result = fake.run(scenario, f"--initrd={small_initrd}", "--status-fd=2", *options, env=vhost)
    assert result.status == 0, result.err
    assert b'"login"' not in result.stderr and list(place.iterdir()) == []


# --- under --coco= ------------------------------------------------------------------------------------------------------------


def test_a_key_is_part_of_the_digest(cvmspawn, firmware, kernel, small_initrd, tmp_path):
    """The same command has the same digest, here and for the verifier; another key has another one, and vsock none."""
    keys = []
    for name in "one", "two":
        key = tmp_path / f"{name}.pub"
        key.write_text(f"ssh-ed25519 AAAA{name} comment\n")
        keys.append(f"--pass-ssh-key={key}")
    caps = tmp_path / "caps.json"
    caps.write_text(json.dumps({"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1, "vsock": True,
                                "qemu": "/bin/true"}))  # fmt: skip
    options = ("--coco=sev-snp", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={small_initrd}")

    def digest(*more):
        result = cvmspawn.run(*options, *more, f"--host-caps={caps}", "--print=digest")
        assert result.status == 0, result.err
        return result.out.strip()

    one = digest(keys[0])
    assert one == digest(keys[0], "--vsock=yes", "--vsock-cid=9") != digest(keys[1])
    assert digest() == digest("--vsock=yes") == digest("--pass-ssh-key=no") != one
    measured = subprocess.run([build_folder() / "programs/verb-measure", *options, keys[0]], capture_output=True, text=True, check=True, timeout=60)
    assert measured.stdout.strip() == one
