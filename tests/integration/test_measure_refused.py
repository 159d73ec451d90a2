# SPDX-License-Identifier: LGPL-2.1-or-later

"""cvmspawn measure says what is wrong: bad rows of a batch, options without a meaning, files that QEMU would not launch, and why a
digest differs."""

import json
import subprocess

import pytest
from test_measure import BOOT, MEASURE, SNP, images, ok, run  # noqa: F401


def test_batch_reports_bad_rows_and_compares(run, images):
    right, wrong = ok(run(*SNP, *BOOT)), "00" * 48
    lines = [{"id": 1}, {"id": 2, "vcpus": "many"}, {"id": 3, "expect": wrong}, {"id": 4, "mode": "sev", "expect": "00" * 32}]

    def batch(*args, n=4):
        (images / "batch").write_text("".join(json.dumps(x) + "\n" for x in lines[:n]))
        r = run(*SNP, *BOOT, "--batch", "batch", *args)
        return r.returncode, [json.loads(x) for x in r.stdout.splitlines()], r.stderr

    status, rows, err = batch("--expect", right)
    assert status == 1 and [x["id"] for x in rows] == [1, 2, 3, 4] and err.count("\n") == 1 and "batch, line 2: " in err
    assert "digest" not in rows[1] and rows[1]["line"] == 2 and "--vcpus: expected a number" in rows[1]["error"]
    assert (rows[0]["equal"], rows[2]["equal"], rows[2]["expected"], rows[3]["equal"]) == (True, False, wrong, False)
    assert (rows[0]["digest"], rows[0]["mode"], rows[3]["mode"]) == (right, "snp", "sev")
    assert batch("--expect", right, n=1)[0] == 0 and batch("--expect", wrong, n=1)[0] == 3
    status, rows, err = batch("--expect", "00", n=1)
    assert status == 1 and "expected 48 bytes" in rows[0]["error"]


@pytest.mark.parametrize("args, part", [
    (("--batch", "batch", "--explain"), "--explain has no meaning together with --batch"),
    (("--batch", "batch", "--sign-key", "k"), "--sign-key has no meaning together with --batch"),
    (("--batch", "batch", "--format", "rvps"), "--format has no meaning together with --batch"),
    (("--batch", "batch", "--output-format", "base64"), "--output-format has no meaning together with --batch"),
    (("--batch", "batch", "--dump-vmsa"), "--dump-vmsa has no meaning together with --batch"),
    (("--json", "--output-format", "base64"), "--output-format has no meaning together with --json"),
    (("--json", "--explain"), "--json has no meaning together with --explain"),
    (("--expect", "00" * 48, "--format", "rvps"), "has no meaning together with"),
    (("--expect", "00" * 48, "--verbose"), "--verbose has no meaning together with --expect"),
    (("--name", "x"), "--name has no meaning without --format"),
    (("--nonce", "x"), "--nonce has no meaning without --tik"),
    (("--ignore-idblock",), "--ignore-idblock has no meaning without --igvm"),
    (("--cpus", "2"), "--cpus is a launch option of --coco="),
    (("--linux=vmlinuz",), "--linux is a launch option of --coco="),
])
def test_options_without_a_meaning_are_refused(run, args, part):
    r = run(*SNP, *args)
    assert (r.returncode, r.stdout) == (1, "") and part in r.stderr and r.stderr.count("\n") == 1


@pytest.mark.parametrize("args, part", [
    (("--batch", "x"), "--batch is an option of --mode=... (as in sev-snp-measure)"), (("--vcpus=3",), "--vcpus is an option of --mode=..."),
    (("--format=rvps", "--json"), "has no meaning together with"), (("--expect", "00" * 48, "--explain"), "has no meaning together"),
])
def test_options_of_the_other_dialect_are_named(run, args, part):
    r = run("--coco=sev-snp", "--linux=kernel", *args)
    assert (r.returncode, r.stdout) == (1, "") and part in r.stderr and r.stderr.count("\n") == 1


def test_wrong_files_are_named(run, images):
    """What sev-snp-measure computes is computed, and said: QEMU would not launch it."""
    kernel = bytearray(4096)
    kernel[0:2], kernel[0x1FE:0x200], kernel[0x202:0x206] = b"MZ", b"\x55\xaa", b"HdrS"
    (images / "bzImage").write_bytes(kernel)
    for name, data in (("cpio", b"070701" + bytes(1000)), ("disk", bytes(512) + b"EFI PART" + bytes(1000)), ("qcow2", b"QFI\xfb" + bytes(600)),
                       ("gzip", b"\x1f\x8b" + bytes(600))):
        (images / name).write_bytes(data)
    amdsev = (images / "amdsev.fd").read_bytes()
    (images / "newline.fd").write_bytes(amdsev + b"\n")

    def warned(*args):
        r = run("--mode=sev", "--ovmf=amdsev.fd", *args)
        assert r.returncode == 0 and len(r.stdout.strip()) == 64
        return r.stderr
    assert warned("--kernel=bzImage", "--initrd=cpio") == "" and warned("--kernel=bzImage", "--initrd=initrd") == ""
    swapped = warned("--kernel=cpio", "--initrd=bzImage")
    assert "--kernel: 'cpio' is not a bzImage" in swapped and "looks like an initrd (cpio archive)" in swapped
    assert "--initrd: 'bzImage' looks like a kernel (bzImage), not like an initrd" in swapped
    assert "looks like a disk image (GPT)" in warned("--kernel=disk") and "a qcow2 disk image" in warned("--kernel=bzImage", "--initrd=qcow2")
    assert "this is a gzip file, not a raw firmware image" in warned("--ovmf=gzip")
    assert "newline follows the firmware image" in warned("--ovmf=newline.fd")
    r = run(*SNP[:-1], "newline.fd")
    assert (r.returncode, r.stdout) == (1, "") and "newline follows" in r.stderr
    r = run("--mode=snp", "--vcpus=0", "--vcpu-type=EPYC-v4", "--ovmf=amdsev.fd")
    assert r.returncode == 0 and "--vcpus=0: QEMU does not launch" in r.stderr


@pytest.mark.parametrize("given, made, answer", [
    ("a console=ttyS0 b", "a b", "without 'console=ttyS0'"), ("console=tty0 a console=ttyS0", "console=tty0 a", "without 'console=ttyS0'"),
    ("a console=tty0 b console=ttyS0", "a b", "without any console="), ("a b", "a b console=ttyS0", "with 'console=ttyS0' at its end"),
    ("a b console=hvc0", "a b", "without 'console=hvc0'"), ("console=hvc0 a b", "a b console=hvc0", "with 'console=hvc0' at its end instead"),
    ("a console=hvc0 b", "console=hvc0 a b", "with 'console=hvc0' in front instead"),
])
def test_console_is_searched_anywhere(run, images, given, made, answer):
    digest = ok(run(*SNP, *BOOT, "--append", made))
    r = run(*SNP, *BOOT, "--append", given, "--expect", digest)
    assert r.returncode == 3 and r.stdout.splitlines()[1] == "that digest has kernel command line " + answer
    command = r.stdout.splitlines()[-1].removeprefix("next: cvmspawn measure ")
    again = subprocess.run(["bash", "-c", f"{MEASURE} {command}"], stdout=subprocess.PIPE, text=True, cwd=images)
    assert again.stdout.strip() == digest


@pytest.mark.parametrize("mode", ["snp", "seves", "sev"])
def test_kernel_hashes_off_is_found_and_its_command_works(run, images, mode):
    digest = ok(run("--mode", mode, *SNP[2:]))
    r = run("--mode", mode, *SNP[2:], *BOOT, "--expect", digest)
    assert r.returncode == 3 and r.stdout.splitlines()[1] == "that digest has kernel hashes off instead of on"
    command = r.stdout.splitlines()[-1].removeprefix("next: cvmspawn measure ")
    again = subprocess.run(["bash", "-c", f"{MEASURE} {command}"], stdout=subprocess.PIPE, text=True, cwd=images)
    assert again.stdout.strip() == digest
