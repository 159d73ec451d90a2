# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export --lock=`: the launch of a lock file, which a launch on the simulated host wrote, and what no longer is that launch."""

import json
import os
import shutil
import subprocess

import export_launches
import pytest
from sevsim_host import build_folder, find_qemu, skip_or_fail

PROGRAMS = build_folder() / "programs"
SECONDS = 120
LAUNCH = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--cpus=2", "--coco-policy=single-socket", "--firmware=./fw.fd", "--linux=kernel", "--initrd=initrd",
          "--ram=256M"]
WORDS = ["root=/dev/vda1", "a'b"]


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def lock(folder, *options, name="lock"):
    qemu = find_qemu()
    if not qemu:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    node = [] if os.geteuid() == 0 else ["--sev-node=0666"]
    argv = [PROGRAMS / "cvmspawn", "sevsim", *node, "--", PROGRAMS / "cvmspawn", f"--qemu={qemu}", *options, f"--lock={name}", "--", *WORDS]
    ok(subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False))
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lock")
    export_launches.make_files(folder)
    lock(folder, *LAUNCH)
    lock(folder, *LAUNCH, "--initrd=second", name="merged")
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


@pytest.mark.parametrize("target", ["libvirt", "qemu"])
def test_the_launch_of_a_lock(folder, target):
    """From another directory, too: names are relative to the lock."""
    digest = json.loads((folder / "lock").read_text())["digest"]
    text = ok(call(folder.parent, "export", target, f"--lock={folder}/lock", "--ram=512M"))
    (folder / "out").write_text(text)
    assert ok(call(folder, "measure", f"--from-{target}=out")).strip() == digest
    assert text == ok(call(folder, "export", target, "--lock=lock", "--ram=512M"))
    # The launch options give the same, compared with the lock.
    options = [option for option in LAUNCH if not option.startswith("--ram=")]
    assert text == ok(call(folder, "export", target, "--lock=lock", "--ram=512M", *options, "--", *WORDS))


def test_parts_need_the_launch_options(folder):
    done = call(folder, "export", "libvirt", "--lock=merged")
    assert done.returncode == 1 and done.stdout == "" and "put together from 3 parts: pass the launch options" in done.stderr
    text = ok(call(folder, "export", "libvirt", "--lock=merged", "--output=parts", *LAUNCH, "--initrd=second", "--", *WORDS))
    digest = json.loads((folder / "merged").read_text())["digest"]
    assert ok(call(folder, "measure", "--from-libvirt=-", stdin=text)).strip() == digest


@pytest.mark.parametrize("name", ["fw.fd", "kernel", "initrd"])
def test_a_changed_file_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[5000] ^= 1
    (folder / name).write_bytes(data)
    done = call(folder, "export", "libvirt", "--lock=lock")
    assert done.returncode == 1 and done.stdout == "" and "an input has changed" in done.stderr, done.stderr


@pytest.mark.parametrize("more, message", [
    (["--cpus=3"], "an input has changed"),
    (["--coco-policy=migrate-ma"], "the guest policy differs"),
    (["--", "quiet"], "the kernel command line is that of the lock"),
    ([*LAUNCH, "--", *WORDS, "more"], "an input has changed"),
    ([*LAUNCH, "--coco-policy=migrate-ma", "--", *WORDS], "the guest policy differs from the one in 'lock'"),
])
def test_other_launches_are_refused(folder, more, message):
    done = call(folder, "export", "libvirt", "--lock=lock", *more)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


@pytest.mark.parametrize("change, message", [
    ({"format": "other"}, "not a lock file of cvmspawn"),
    ({"digest": None}, "not a lock file of cvmspawn"),
    ({"mode": "none"}, "mode or cpu-model is missing"),
    ({"vcpus": "2"}, "member vcpus is not a number"),
    ({"policy": None}, "member policy is not a number"),
    ({"command-line": None}, "does not have the kernel command line"),
    ({"vcpus": 1}, "an input has changed"),
])
def test_bad_locks(folder, change, message):
    value = json.loads((folder / "lock").read_text()) | change
    (folder / "lock").write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    done = call(folder, "export", "libvirt", "--lock=lock")
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr
    (folder / "lock").write_text("{")
    assert "--lock: 'lock'" in call(folder, "export", "libvirt", "--lock=lock").stderr
