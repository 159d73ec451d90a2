# SPDX-License-Identifier: LGPL-2.1-or-later
"""--lock=FILE and --expect=DIGEST on the simulated host: the first launch writes down what it was, later ones are that or are refused with
the name of what has changed, before QEMU runs a guest."""

import base64
import json
import os
import shutil
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder, find_qemu, skip_or_fail

PROGRAM = build_folder() / "programs/cvmspawn"
FIRMWARE = model.make_firmware(seed=101)
KERNEL = model.make_kernel(seed=102)
INITRD = model.make_initrd(seed=103)


@pytest.fixture
def place(tmp_path):
    for name, data in (("firmware.fd", FIRMWARE), ("kernel", KERNEL), ("initrd", INITRD)):
        (tmp_path / name).write_bytes(data)
    return tmp_path


class Run:
    def __init__(self, done):
        self.status, self.err = done.returncode, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        self.digests = [launch["digest"] for launch in answer["launches"] if launch["finished"]]

    @property
    def said(self):
        # Not the notice that this initrd is none.
        return [line.removeprefix("cvmspawn: ") for line in dict.fromkeys(self.err.splitlines())
                if line.startswith("cvmspawn: --") and "--initrd: " not in line]


def launch(place, *options, kernel="kernel", initrd="initrd", mode="sev-snp"):
    qemu = find_qemu()
    if not qemu:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    node = [] if os.geteuid() == 0 else ["--sev-node=0666"]
    # Relative names, as a project has them in its scripts.
    argv = [PROGRAM, "sevsim", "--json", *node, "--", PROGRAM, f"--qemu={qemu}", f"--coco={mode}", "--firmware=./firmware.fd",
            f"--linux={kernel}", f"--initrd={initrd}", "--ram=256M", *options]
    return Run(subprocess.run(argv, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False))


def printed(place, *options):
    argv = [PROGRAM, "--coco=sev-snp", "--firmware=./firmware.fd", "--linux=kernel", "--initrd=initrd", "--print=digest", "--json=short",
            *options]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def test_written_once_and_kept(place):
    first = launch(place, "--lock=lock")
    assert first.status == 0, first.err
    assert "cvmspawn: 'lock' written: commit it; later launches must have this digest" in first.err.splitlines()
    text = (place / "lock").read_text()
    lock = json.loads(text)
    assert first.digests == [lock["digest"]] and lock["mode"] == "sev-snp" and text.endswith("}\n")
    assert {name: lock["parts"][name]["parts"][0]["label"] for name in ("firmware", "kernel", "initrd")} == {
        "firmware": "./firmware.fd", "kernel": "kernel", "initrd": "initrd"}
    before = os.stat(place / "lock")
    again = launch(place, "--lock=lock")
    assert again.status == 0 and again.digests == first.digests and "written" not in again.err
    after = os.stat(place / "lock")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    # What is the same under another name, or not measured at all, is the same.
    shutil.copy(place / "kernel", place / "kernel-again")
    assert launch(place, "--lock=lock", kernel="kernel-again").status == 0
    assert launch(place, "--lock=lock", "--ram=512M", "--network-user-mode").status == 0


CHANGES = {
    "kernel": (dict(kernel="other"), [], "kernel changed: 'other' had sha256 "),
    "initrd": (dict(initrd="other-initrd"), [], "initrd changed: 'other-initrd' had sha256 "),
    "words": ({}, ["--", "quiet"], "the kernel command line was 'console=ttyS0', now it is 'console=ttyS0 quiet'"),
    "vcpus": ({}, ["--cpus=2"], "vcpus was 1, now 2"),
    "cpu": ({}, ["--cpu=EPYC-Milan"], 'cpu-model was "EPYC-v4", now "EPYC-Milan"'),
    "two": (dict(kernel="other"), ["--cpus=3"], "vcpus was 1, now 3; kernel changed: "),
    "policy": ({}, ["--coco-policy=single-socket"], "the guest policy differs from the one in 'lock': it was 0x30000, now 0x130000"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_named(place, change):
    files, options, words = CHANGES[change]
    assert launch(place, "--lock=lock").status == 0
    text = (place / "lock").read_bytes()
    (place / "other").write_bytes(model.make_kernel(seed=104))
    (place / "other-initrd").write_bytes(model.make_initrd(seed=105))
    refused = launch(place, "--lock=lock", *options, **files)
    assert refused.status == 125 and refused.digests == []
    (sentence,) = refused.said
    assert sentence.startswith("--lock: ") and words in sentence and sentence.endswith("; to accept the new one, remove the file")
    assert (place / "lock").read_bytes() == text


def test_names_in_the_lock_are_relative_where_they_can_be(place, tmp_path_factory):
    """A lock lies beside its inputs and is the same wherever they are checked out; what lies elsewhere keeps its name."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "initrd"
    shutil.copy(place / "initrd", elsewhere)
    (place / "images").mkdir()
    shutil.copy(place / "kernel", place / "images/kernel")
    done = launch(place, f"--lock={place}/lock", kernel=place / "images/kernel", initrd=elsewhere)
    assert done.status == 0, done.err
    lock = json.loads((place / "lock").read_text())
    assert lock["parts"]["kernel"]["parts"][0]["label"] == "images/kernel"
    assert lock["parts"]["initrd"]["parts"][0]["label"] == str(elsewhere)
    assert lock["command-line"] == "console=ttyS0"


def test_a_lock_without_the_text_of_the_command_line(place):
    """As an older version wrote it: the hashes still tell."""
    assert launch(place, "--lock=lock").status == 0
    lock = json.loads((place / "lock").read_text())
    del lock["command-line"]
    (place / "lock").write_text(json.dumps(lock))
    assert launch(place, "--lock=lock").status == 0
    assert "cmdline changed: " in launch(place, "--lock=lock", "--", "quiet").said[0]


def test_printing_compares_and_writes_nothing(place):
    status, out, err = printed(place, "--lock=lock")
    assert status == 0 and not (place / "lock").exists()
    assert "--lock: 'lock' does not exist and is not written by --print=; a launch writes it" in err
    launch(place, "--lock=lock")
    assert printed(place, "--lock=lock")[:2] == (0, out)
    status, _, err = printed(place, "--lock=lock", "--cpus=2")
    assert status == 3 and "vcpus was 1, now 2" in err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "other"}', b'{"digest": "00"}', bytes(100), b"{" * 100000])
def test_a_file_that_is_no_lock(place, content):
    """Is neither taken for one nor overwritten."""
    (place / "lock").write_bytes(content)
    refused = launch(place, "--lock=lock")
    assert refused.status == 125 and refused.digests == [] and refused.said[0].startswith("--lock: 'lock'")
    assert (place / "lock").read_bytes() == content


def test_a_lock_that_cannot_be_written(place):
    refused = launch(place, "--lock=missing/lock")
    assert refused.status == 125 and refused.digests == []
    assert refused.said[-1] == "--lock: cannot write 'missing/lock': No such file or directory"


def test_no_secret_is_in_it(place):
    """Credentials are measured with the initrd: their hash is there, their names and values are not."""
    (place / "initrd").write_bytes(_systemd_initrd())
    done = launch(place, "--lock=lock", "--set-credential=my.password:sesame")
    assert done.status == 0, done.err
    text = (place / "lock").read_text()
    assert "sesame" not in text and "my.password" not in text
    other = launch(place, "--lock=lock", "--set-credential=my.password:sesamf")
    assert other.status == 125 and "initrd changed" in other.said[0] and "sesamf" not in other.err
    done = launch(place, "--lock=lock-2", "--set-credential=my.password:sesame", "--credential-transport=cmdline", "--", "last")
    assert done.status == 0, done.err
    text = (place / "lock-2").read_text()
    assert "sesame" not in text and base64.b64encode(b"sesame").decode() not in text
    assert json.loads(text)["command-line"].endswith(" last systemd.set_credential_binary=my.password:")
    words = ['systemd.set_credential="a:sesame sesame"', '"systemd.set_credential=b:sesame sesame"', "last"]
    done = launch(place, "--lock=lock-3", "--", *words)
    assert done.status == 0, done.err
    text = (place / "lock-3").read_text()
    assert "sesame" not in text and json.loads(text)["command-line"].endswith(' systemd.set_credential="a:" "systemd.set_credential=b:" last')


def _systemd_initrd():
    from launcher_fake import newc

    return newc({"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"})


def test_only_the_expected_digest_starts(place):
    first = launch(place)
    (digest,) = first.digests
    for right in (digest, digest.upper()):
        assert launch(place, f"--expect={right}").digests == [digest]
    wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    refused = launch(place, f"--expect={wrong}")
    assert refused.status == 125 and refused.digests == []
    assert any(f"launch digest mismatch: got {digest}, expected {wrong}; guest not started" in line for line in refused.said), refused.err
    assert printed(place, f"--expect={digest}")[0] == 0 and printed(place, f"--expect={wrong}")[0] == 3
