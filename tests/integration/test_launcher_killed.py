# SPDX-License-Identifier: LGPL-2.1-or-later
"""One table of what a launch starts and makes beside QEMU. For each row the launcher is killed at points of the way to a running guest (a few, 50 with
CVMSPAWN_SOAK=1), and nothing is left; and each program that helps the guest is killed while it runs, which gives one message and a clean end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import descendants_of, name_of, skip_or_fail
from launcher_fake import TOOK_TOO_LONG, said

POINTS = 50 if os.environ.get("CVMSPAWN_SOAK") == "1" else 3
SERVES = "vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')"
STAND_INS = {
    "passt": """\
import os, sys
fd = int(next(word for word in sys.argv if word.startswith("--fd="))[5:])
while os.read(fd, 4096):
    pass
""",
    "vhost-device-vsock": """\
import socket, sys
values = dict(word.split("=", 1) for word in sys.argv[2].split(","))
device, mux = (socket.socket(socket.AF_UNIX) for _ in range(2))
mux.bind(values["uds-path"]); mux.listen()
device.bind(values["socket"]); device.listen()
connection, _ = device.accept()
connection.recv(1)
""",
}
# It knows limits, as new ones do.
STAND_INS["systemd-journal-remote"] = """\
import sys
if sys.argv[1] == "--help":
    print("--max-use=BYTES")
    sys.exit()
import socket
socket.socket(fileno=3).accept()
"""
# Options; {folder} has what place() makes.
ROWS = {
    "control": [],
    "shares": ["--bind={folder}/rw:/rw", "--bind-ro={folder}/ro:/ro"],
    "tpm": ["--tpm=yes"],
    "passt": ["--network=passt", "--publish=2222:22"],
    "login": ["--pass-ssh-key=yes", "--vsock=user"],
}
ROWS["everything"] = [word for words in ROWS.values() for word in words]
ROWS |= {
    "directory": ["--directory={folder}/root"],
    "snapshot": ["--directory={folder}/root", "--ephemeral"],
    "drives": ["--extra-drive={folder}/files/one.img", "--extra-drive=nvme:{folder}/files/two.img"],
    "user-network": ["--network-user-mode", "--publish=2222:22"],
    "tap": ["--network-tap", "--machine=killed"],
    "tpm-state": ["--tpm=yes", "--tpm-state={folder}/state/tpm"],
    "variables": ["--firmware={folder}/files/firmware.json", "--efi-nvram-state={folder}/state/variables"],
    "journal": ["--vsock=user", "--pass-ssh-key=no", "--forward-journal={folder}/out/journals"],
    "copy-out": ["--initrd={folder}/files/initrd", "--run=true", "--copy-out=/a:{folder}/out/a"],
}
# A file of which half has come.
SCENARIOS = {"copy-out": 'vm.start(); vm.write("port-notify", b"READY=1\\nCOPY=1 100\\n" + b"x" * 99); vm.answer_until("quit"); vm.power_off("host-qmp-quit")'}
# What outlives a guest, however it ends: a state, an output.
KEPT = {"tpm-state": "state/tpm", "variables": "state/variables", "journal": "out/journals"}
VARIABLES = b"variables" * 1000
# Row, program, what is said of its end.
HELPERS = [
    ("shares", "virtiofsd", "virtiofsd"),
    ("tpm", "swtpm", "swtpm ended while the guest was running: its TPM is gone"),
    ("passt", "passt", "passt ended while the guest was running"),
    ("login", "vhost-device-vs", "vhost-device-vsock ended while the guest was running"),
]


def firmware(folder):
    """A descriptor; neither the code nor the variables are of use to a stand-in."""
    (folder / "code.fd").write_bytes(bytes(64 << 10))
    (folder / "vars.fd").write_bytes(VARIABLES)
    (folder / "firmware.json").write_text(json.dumps({
        "description": "made for a test", "interface-types": ["uefi"],
        "mapping": {"device": "flash", "mode": "split", "executable": {"filename": f"{folder}/code.fd", "format": "raw"},
                    "nvram-template": {"filename": f"{folder}/vars.fd", "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}], "features": [], "tags": [],
    }))  # fmt: skip


@pytest.fixture
def place(tmp_path, small_initrd):
    """Programs that help, shares, files, and folders for what is written."""
    folder = tmp_path / "place"
    for name in "bin", "rw", "ro", "files", "state", "out", "root/etc":
        (folder / name).mkdir(parents=True)
    (folder / "root/etc/os-release").write_text("ID=test\n")
    for name, text in STAND_INS.items():
        (folder / "bin" / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / "bin" / name).chmod(0o755)
    for name in "one.img", "two.img":
        (folder / "files" / name).write_bytes(bytes(1 << 20))
    shutil.copy(small_initrd, folder / "files/initrd")
    firmware(folder / "files")
    return folder


@pytest.fixture
def network():
    """A network namespace with nothing in it: what enters it, and what lists its interfaces."""
    if os.geteuid() != 0:
        skip_or_fail("making network namespaces needs root here")
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        holder.kill()


@pytest.fixture
def launch(fake, artifacts, place):
    """Starts a guest of a row."""
    for name, program in ("ssh-keygen", "openssh-client"), ("swtpm", "swtpm"):
        if not shutil.which(name):
            skip_or_fail(f"{name} is missing: install {program}")
    path = f"{place / 'bin'}:{artifacts['VIRTIOFSD'].parent}:{os.environ['PATH']}"

    def start(row, **options):
        words = [word.format(folder=place) for word in ROWS[row]]
        events = "--status-fd=2" if "--run=true" in words else "--json=short"
        return fake.start(SCENARIOS.get(row, SERVES), events, *words, env={"PATH": path}, **options)

    return start


def started(run):
    run.wait_for(lambda: b'"started"' in run.output() + run.output("stderr"), 60, "the guest did not start")
    return run


def there(place, prefix):
    """Files, interfaces and mounts that a launcher could leave; mounts elsewhere are other programs'."""
    names = {str(path.relative_to(place)) for path in place.rglob("*")}
    listed = subprocess.run([*prefix, "ip", "-o", "link"], capture_output=True, text=True, timeout=60, check=True).stdout if prefix else ""
    return names, listed, [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(place.parent) in line]


@pytest.mark.full
@pytest.mark.parametrize("row", ROWS)
def test_a_killed_launcher_leaves_nothing(launch, place, row, request):
    """The points are spread over the time that a whole launch takes here and now. Logins also have their own 50 points
    (test_launcher_login.py), and so have volumes (test_launcher_volumes.py), scopes and registrations (test_machines.py)."""
    prefix = request.getfixturevalue("network") if row == "tap" else ()
    kept, before = KEPT.get(row, "-"), there(place, prefix)
    begun = time.monotonic()
    run = started(launch(row, prefix=prefix))
    whole = time.monotonic() - begun
    for point in range(POINTS):
        if point > 0:
            run = launch(row, prefix=prefix)
            time.sleep(whole * 1.2 * point / POINTS)
        run.signal(signal.SIGKILL)
        assert run.wait(TOOK_TOO_LONG).leftovers == [], point
        names, interfaces, mounts = there(place, prefix)
        assert ({name for name in names if not name.startswith(kept)}, interfaces, mounts) == before, point
        assert row != "variables" or not (place / kept).exists() or (place / kept).read_bytes() == VARIABLES, point
    # Nothing is locked either.
    run = started(launch(row, prefix=prefix))
    run.signal(signal.SIGKILL)
    assert run.wait(TOOK_TOO_LONG).leftovers == []


@pytest.mark.parametrize("row, program, message", HELPERS)
def test_a_killed_helper_ends_the_guest(launch, row, program, message):
    run = launch(row)
    run.wait_for_output(b'"started"')
    victim = next(pid for pid in descendants_of(run.pid) if name_of(pid) == program)
    os.kill(victim, signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (125, [])
    lines = [line for line in said(result) if not line.startswith("cvmspawn: log in with")]
    assert len(lines) == 1 and message in lines[0], lines
