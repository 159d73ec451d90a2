# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command that `cvmspawn measure --expect=` prints behind "next:" gives the expected digest, in both dialects."""

import json
import subprocess

import pytest
from test_measure import MEASURE, images, ok, run  # noqa: F401


def follow_next(run, images, args, digest):
    """What the command behind "next:" prints."""
    r = run(*args) if "--expect" in args else run(*args, "--expect", digest)
    assert r.returncode == 3, r.stdout + r.stderr
    command = r.stdout.splitlines()[-1].removeprefix("next: cvmspawn measure ")
    again = subprocess.run(["bash", "-c", f"{MEASURE} {command}"], capture_output=True, text=True, cwd=images)
    return command, again.stdout.strip(), again.stderr


def bzimage(images):
    kernel = bytearray(4096)
    kernel[0:2], kernel[0x1FE:0x200], kernel[0x202:0x206] = b"MZ", b"\x55\xaa", b"HdrS"
    (images / "a kernel").write_bytes(kernel)
    # QEMU takes firmware in multiples of 64 KiB.
    (images / "amdsev64.fd").write_bytes(bytes(32768) + (images / "amdsev.fd").read_bytes())
    (images / "shifted64.fd").write_bytes(b"x" * 32768 + (images / "amdsev.fd").read_bytes())


COCO = ("--linux=a kernel", "--firmware=amdsev64.fd")


@pytest.mark.parametrize("mode, given, made, part", [
    ("sev-snp", ("--cpus=2", "quiet"), ("--cpus=3", "quiet"), "--cpus=3"),
    ("sev-snp", ("--cpus=2", "--", "quiet", "a b"), ("--cpus=3", "--", "quiet", "a b"), "--cpus=3 -- quiet 'a b'"),
    ("sev-snp", (), ("--cpus=9",), "--cpus=9"),
    ("sev-snp", ("--cpu=EPYC-Genoa", "x"), ("--cpu=EPYC-Milan", "x"), "--cpu=EPYC-Milan"),
    ("sev-snp", ("--cpu=EPYC-v4",), ("--cpu=EPYC-v4", "--vcpu-sig=0xa00f12"), "--vcpu-sig=0xa00f12"),
    ("sev-snp", ("--guest-features=0x21",), (), "--guest-features=0x1"),
    ("sev-snp", (), ("--vmsa=qemu-pre-6.10",), "--vmsa=qemu-pre-6.10"),
    ("sev-snp", ("--initrd=initrd", "quiet"), ("--initrd=initrd", "--exact-words", "quiet"), "--append='quiet'"),
    ("sev-snp", ("quiet",), ("--exact-words", "quiet console=ttyS0"), "--append='quiet console=ttyS0'"),
    ("sev-snp", ("--initrd=initrd", "it's"), ("it's",), "--append='console=ttyS0 it'\\''s'"),
    ("sev-snp", ("--initrd=initrd", "--set-credential=a:b"), ("--initrd=initrd",), "--initrd-hash="),
    ("sev-snp", ("--initrd=initrd", "--set-credential=a:b"), ("--initrd=initrd", "--set-credential=a:b", "--cpus=2"), "--cpus=2"),
    ("sev-snp", ("--initrd=initrd", "--set-credential=a:b", "q"),
     ("--initrd=initrd", "--set-credential=a:b", "--exact-words", "q"), "--initrd-hash="),
    ("sev-snp", ("--cpus=2", "quiet"), ("--firmware=shifted64.fd", "--cpus=2", "quiet"), "--firmware=shifted64.fd"),
    ("sev-es", ("--cpus=2",), ("--cpus=4",), "--cpus=4"),
    ("sev-es", ("--cpus=2",), ("--cpus=2", "--es-features=0x20"), "--es-features=0x20"),
    ("sev-es", ("--cpus=2", "a"), ("--cpus=2", "--exact-words", "a"), "--append="),
    ("sev", ("--cpus=2", "a"), ("--exact-words", "a"), "--append="),
])
@pytest.mark.parametrize("json_too", [False, True], ids=["text", "json"])
def test_next_of_a_launch_gives_the_digest(run, images, mode, given, made, part, json_too):
    bzimage(images)
    coco = (f"--coco={mode}", *COCO)
    digest = ok(run(*coco, *made))
    if json_too:
        r = run(*coco, "--json", "--expect", digest, *given)
        command = json.loads(r.stdout)["next"].removeprefix("cvmspawn measure ")
        again = subprocess.run(["bash", "-c", f"{MEASURE} {command}"], capture_output=True, text=True, cwd=images).stdout
        assert (json.loads(again)["digest"] if again.startswith("{") else again.strip()) == digest, command
        return
    command, printed, err = follow_next(run, images, (*coco, "--expect", digest, *given), digest)
    assert printed == digest, (command, err)
    assert part in command


@pytest.mark.parametrize("mode", ["sev-snp", "sev-es", "sev"])
@pytest.mark.parametrize("given", [(), ("quiet",), ("--initrd=initrd", "--set-credential=a:b", "--", "x y")], ids=["plain", "words", "credential"])
def test_next_of_a_launch_without_hashes(run, images, mode, given):
    bzimage(images)
    dialect = {"sev-snp": "snp", "sev-es": "seves", "sev": "sev"}[mode]
    cpus = ("--vcpus=2", "--vcpu-type=EPYC-v4") if mode != "sev" else ()
    digest = ok(run(f"--mode={dialect}", "--ovmf=amdsev64.fd", *cpus))
    command, printed, err = follow_next(run, images, (f"--coco={mode}", *COCO, "--cpus=2", "--expect", digest, *given), digest)
    assert printed == digest, (command, err)


def test_next_of_a_launch_nobody_knows_explains_it(run, images):
    bzimage(images)
    for given in ((), ("quiet",), ("--", "quiet"), ("--json",)):
        r = run("--coco=sev-snp", *COCO, "--expect", "00" * 48, *given)
        command = json.loads(r.stdout)["next"] if "--json" in given else r.stdout.splitlines()[-1].removeprefix("next: ")
        again = subprocess.run(["bash", "-c", command.replace("cvmspawn measure", str(MEASURE))], capture_output=True, text=True, cwd=images)
        assert r.returncode == 3 and "--explain" in command and len(again.stdout.splitlines()) > 10, (command, again.stderr)


@pytest.mark.parametrize("given, made", [
    (("--kernel-hash", "11" * 32, "--initrd-hash", "22" * 32), ("--kernel-hash", "11" * 32)),
    (("--kernel-hash", "11" * 32, "--cmdline-hash", "22" * 32), ()),
    (("--kernel-hash", "11" * 32, "--append", "a"), ("--kernel-hash", "11" * 32, "--append", "a\n")),
    (("--kernel", "kernel", "--initrd-hash", "22" * 32, "--append", "a"), ("--kernel", "kernel", "--initrd-hash", "22" * 32, "--append", "a ")),
    (("--vcpu-family", "25", "--vcpu-model", "1", "--vcpu-stepping", "1"), ("--vcpu-sig", "0x800f12")),
    (("--vcpu-family", "25", "--vcpu-model", "1", "--vcpu-stepping", "1"), ("--vcpu-sig", "0xa00f11", "--vcpus", "7")),
    (("--kernel", "kernel", "--append", "a"), ("--kernel", "kernel", "--cmdline-hash", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")),
])
def test_next_beside_hashes_and_numbers(run, images, given, made):
    base = ("--mode=snp", "--ovmf=amdsev.fd", "--vcpus=4")
    cpu = lambda args: () if any(x.startswith("--vcpu-") for x in args) else ("--vcpu-sig", "0xa00f11")  # noqa: E731
    digest = ok(run(*base, *cpu(made), *made))
    command, printed, err = follow_next(run, images, (*base, *cpu(given), *given), digest)
    assert printed == digest, (command, err)


def test_next_quotes_paths(run, images):
    (images / "other firmware").mkdir(exist_ok=True)
    (images / "other firmware/x.fd").write_bytes((images / "amdsev.fd").read_bytes())
    (images / "other firmware/y'z.fd").write_bytes((images / "shifted.fd").read_bytes())
    base = ("--mode=snp", "--ovmf=other firmware/x.fd", "--vcpus=4", "--vcpu-type=EPYC")
    digest = ok(run(*base[:1], "--ovmf=other firmware/y'z.fd", *base[2:]))
    command, printed, err = follow_next(run, images, base, digest)
    assert printed == digest, (command, err)
