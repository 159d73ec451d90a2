# SPDX-License-Identifier: LGPL-2.1-or-later
"""Confidential launches beside each other and on other ground: 32 at once share nothing, users, directories and environments do not
change the digest, and files that are swapped behind the launcher's back change nothing."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pytest
import sevsim_model as model
from launcher_fake import newc
from sevsim_host import SECONDS, build_folder, find_qemu, skip_or_fail

HERE = pathlib.Path(__file__).resolve().parent
CAPS = {"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1,
        "qemu": "/usr/bin/qemu-system-x86_64"}
INPUTS = {"firmware.fd": model.make_firmware(seed=61), "kernel": model.make_kernel(seed=62), "initrd": model.make_initrd(seed=63),
          "host.json": json.dumps(CAPS).encode()}
PROGRAM = build_folder() / "programs/cvmspawn"


def write_inputs(folder):
    for name, content in INPUTS.items():
        (folder / name).write_bytes(content)
    return folder


def options(folder, *further):
    return [f"--firmware={folder / 'firmware.fd'}", f"--linux={folder / 'kernel'}", f"--initrd={folder / 'initrd'}",
            "--ram=256M", *further]


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# Says what it was given and holds, waits for all the others, and powers off.
SCENARIO = """
import json
held = {}
for name in os.listdir("/proc/self/fd"):
    if int(name) >= 100:
        st = os.fstat(int(name))
        held[name] = [st.st_dev, st.st_ino]
place = os.environ["MEETING"]
with open(f"{place}/.{os.getpid()}", "w") as f:
    json.dump({"argv": arguments, "held": held, "cwd": os.getcwd()}, f)
os.rename(f"{place}/.{os.getpid()}", f"{place}/{os.getpid()}.json")
deadline = time.monotonic() + 90
while len([n for n in os.listdir(place) if n.endswith(".json")]) < int(os.environ["GUESTS"]):
    if time.monotonic() > deadline:
        sys.exit(9)
    time.sleep(0.05)
vm.start()
vm.power_off()
"""


@pytest.mark.parametrize("mode", ["sev-snp"])
def test_many_at_once(tmp_path, mode, guests=32):
    write_inputs(tmp_path)
    (tmp_path / "scenario").write_text(SCENARIO)
    meeting, scratch = tmp_path / "meeting", tmp_path / "scratch"
    meeting.mkdir()
    scratch.mkdir()
    qemu = script(tmp_path / "qemu", f'exec {sys.executable} {HERE / "fake_qemu.py"} {tmp_path / "scenario"} "$@"\n')
    argv = [PROGRAM, f"--host-caps={tmp_path / 'host.json'}", f"--qemu={qemu}", f"--qemu-user={os.getuid()}",
            f"--coco={mode}", "--console=headless", *options(tmp_path)]
    environment = {**os.environ, "MEETING": str(meeting), "GUESTS": str(guests), "TMPDIR": str(scratch),
                   "XDG_RUNTIME_DIR": str(scratch)}
    running = [subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True) for _ in range(guests)]
    try:
        ends = [(one.communicate(timeout=SECONDS * 2)[1], one.returncode) for one in running]
    finally:
        for one in running:
            one.kill()
    assert [status for _, status in ends] == [0] * guests, ends[0][0]

    reports = [json.loads(path.read_text()) for path in meeting.glob("*.json")]
    assert len(reports) == guests
    # The same command line each time: what is private are the descriptors behind its fixed numbers.
    assert all(report["argv"] == reports[0]["argv"] for report in reports)
    held = [tuple(identity) for report in reports for identity in report["held"].values()]
    assert len(held) > 4 * guests and len(set(held)) == len(held)
    assert list(scratch.iterdir()) == []


def digest_of(folder, environment, user=None, further=()):
    """--print=digest from that directory, as that user."""
    argv = [PROGRAM, "--coco=sev-snp", "--print=digest", "--json=short", "--host-caps=host.json", "--firmware=firmware.fd",
            "--linux=kernel", "--initrd=initrd", *further]
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False, **who)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["digest"]["digest"]


def reachable(user):
    try:
        return subprocess.run([PROGRAM, "--version"], user=user, group=user, extra_groups=[], capture_output=True,
                              check=False).returncode == 0
    except PermissionError:
        return False


@pytest.mark.parametrize("further", [(), ("--set-credential=a:b", "--cpus=4"), ("--run=true",), ("--console=headless", "--", "x=y")],
                         ids=["plain", "credential", "run", "words"])
def test_the_same_digest_elsewhere(further):
    """Two users, two directories, two environments."""
    places = [pathlib.Path(tempfile.mkdtemp(prefix=f"cvmspawn-{i}-")) for i in range(2)]
    environments = [{"PATH": os.environ["PATH"], "TERM": "dumb"},
                    {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "HOME": "/",
                     "COLUMNS": "40", "SYSTEMD_LOG_LEVEL": "debug", "SOURCE_DATE_EPOCH": "1", "XDG_RUNTIME_DIR": "/nowhere"}]
    users = [None]
    if os.geteuid() == 0:
        users.append(65534)
    try:
        for place in places:
            place.chmod(0o755)
            write_inputs(place)
            (place / "initrd").write_bytes(newc({"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}))
            for path in place.iterdir():
                path.chmod(0o644)
        os.utime(places[1] / "initrd", (1, 1))
        # A build below a directory like /root cannot be reached by anybody else.
        if len(users) > 1 and not reachable(65534):
            users.pop()
        digests = {digest_of(place, environment, user, further)
                   for place in places for environment in environments for user in users}
        assert len(digests) == 1
    finally:
        for place in places:
            shutil.rmtree(place)


class Swap:
    """Inputs that become others while a launch goes on: a stand-in for QEMU overwrites each file, then replaces it, after a time."""

    def __init__(self, folder, mode):
        self.folder, self.mode = folder, mode
        self.good = {name: (folder / name).read_bytes() for name in ("firmware.fd", "kernel", "initrd")}
        self.evil = {"firmware.fd": model.make_firmware(seed=71), "kernel": model.make_kernel(seed=72), "initrd": model.make_initrd(seed=73)}
        self.qemu = find_qemu()
        if not self.qemu:
            skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
        if os.geteuid() != 0 and mode != "sev-snp":
            skip_or_fail("SEV and SEV-ES lock guest memory, which needs root")

    def launch(self, seconds):
        """(status, digest that the processor recorded, digest that the launcher told, what was said)"""
        for name, content in self.good.items():
            (self.folder / name).unlink()
            (self.folder / name).write_bytes(content)
            (self.folder / f"evil-{name}").write_bytes(self.evil[name])
        swap = "".join(f"cat {self.folder}/evil-{name} > {self.folder}/{name}; mv {self.folder}/evil-{name} {self.folder}/{name}\n"
                       for name in self.evil)
        before = "" if seconds is None else f"(sleep {seconds}\n{swap}) >/dev/null 2>&1 &\n"
        wrapper = script(self.folder / "qemu", f'{before}exec {self.qemu} "$@"\n')
        argv = [PROGRAM, "sevsim", "--json", "--sev-node=0666", "--", PROGRAM, f"--qemu={wrapper}", f"--coco={self.mode}",
                f"--qemu-user={os.getuid()}", *options(self.folder)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
        (record,) = json.loads(done.stdout.splitlines()[-1])["launches"] or [{"digest": None}]
        told = re.search(r"launch digest: ([0-9a-f]+)", done.stderr)
        return done.returncode, record["digest"], told and told[1], done.stderr

    def swapped(self):
        deadline = time.monotonic() + SECONDS
        while any((self.folder / name).read_bytes() != content for name, content in self.evil.items()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return all((self.folder / name).read_bytes() == content for name, content in self.evil.items())


@pytest.mark.parametrize("mode", ["sev", "sev-es", "sev-snp"])
def test_files_swapped_behind_the_launcher(tmp_path, mode):
    """Whenever the inputs become others, before, while or after they are copied: what the processor measures is what the launcher measured,
    or there is no launch."""
    write_inputs(tmp_path)
    swap = Swap(tmp_path, mode)
    status, first, told, said = swap.launch(None)
    assert status == 0 and first == told, said
    for seconds in 0, 0, 0.002, 0.005, 0.01, 0.02, 0.05:
        status, recorded, told, said = swap.launch(seconds)
        assert swap.swapped()
        if told is None:
            assert "while it was read" in said or "--firmware:" in said, said
        else:
            assert recorded == told, said
            assert (status == 0) == (recorded == first), said
    status, recorded, told, said = swap.launch(3)
    assert status == 0 and recorded == told == first, said
    assert swap.swapped()
