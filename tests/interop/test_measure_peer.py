# SPDX-License-Identifier: LGPL-2.1-or-later

"""cvmspawn measure and sev-snp-measure over random launches. The peer is a checkout of github.com/virtee/sev-snp-measure (0.0.13 or
later) named by $SEV_SNP_MEASURE; it is run as a program, with the same arguments."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE, skip_or_fail

MEASURE = BUILD.resolve() / "programs" / "verb-measure"
GENERATOR = SOURCE / "tests" / "golden" / "measure" / "generate.py"
ROUNDS = 60
SEED = 20260101


@pytest.fixture(scope="module")
def peer():
    path = os.environ.get("SEV_SNP_MEASURE")
    if not path:
        pytest.skip("$SEV_SNP_MEASURE names no checkout of github.com/virtee/sev-snp-measure")
    program = Path(path) / "sev-snp-measure.py"
    if not program.exists():
        skip_or_fail(f"{program} does not exist")
    print("peer:", subprocess.run([sys.executable, program, "--version"], capture_output=True, text=True).stdout.strip())
    return program


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    subprocess.run([GENERATOR, "--images", path], check=True)
    return path


CPUS = ("EPYC", "EPYC-v1", "EPYC-v2", "EPYC-IBPB", "EPYC-v3", "EPYC-v4", "EPYC-Rome", "EPYC-Rome-v3", "EPYC-Milan", "EPYC-Milan-v2",
        "EPYC-Genoa", "EPYC-Genoa-v1", "EPYC-Turin")


def launch(r):
    mode = r.choice(("sev", "seves", "seves", "snp", "snp", "snp", "snp", "snp:ovmf-hash", "snp:svsm"))
    args = ["--mode", mode, "--ovmf", r.choice(("amdsev.fd", "amdsev.fd", "shifted.fd", "plain.fd"))]
    args += ["--vcpus", str(r.choice((0, 1, 2, 3, r.randrange(300))))]
    vmm = r.choice(("QEMU", "QEMU", "ec2", "gce")) if mode != "snp:svsm" else "QEMU"
    args += ["--vmm-type", vmm]
    if r.random() < 0.5:
        args += ["--vcpu-type", r.choice(CPUS)]
    elif r.random() < 0.5:
        args += ["--vcpu-sig", hex(r.randrange(1 << 32))]
    else:
        args += ["--vcpu-family", str(r.randrange(270)), "--vcpu-model", str(r.randrange(256)), "--vcpu-stepping", str(r.randrange(16))]
    if r.random() < 0.5:
        args += ["--guest-features", hex(r.choice((0, 1, 0x21, 0x201, r.randrange(1 << 64))))]
    if r.random() < 0.6 and mode != "snp:svsm":
        args += ["--kernel", r.choice(("kernel", "empty"))]
        if r.random() < 0.7:
            args += ["--initrd", r.choice(("initrd", "empty"))]
        if r.random() < 0.7:
            args += ["--append=" + "".join(r.choice("abc =,\t'\"äß%$") for _ in range(r.randrange(40)))]
    if mode == "snp:svsm":
        args += ["--svsm", "svsm.bin", "--vars-size", str(r.randrange(200) * 4096 + 4096)]
    if r.random() < 0.3:
        args += ["--output-format", r.choice(("hex", "base64"))]
    if r.random() < 0.2:
        args += ["-v"]
    return args


@pytest.mark.parametrize("part", range(4))
def test_same_answers(peer, images, part):
    r = random.Random(SEED + part)
    for _ in range(ROUNDS):
        args = launch(r)
        ours = subprocess.run([MEASURE, *args], capture_output=True, text=True, cwd=images)
        theirs = subprocess.run([sys.executable, peer, *args], capture_output=True, text=True, cwd=images)
        if theirs.returncode == 0:
            assert (ours.returncode, ours.stdout, ours.stderr) == (0, theirs.stdout, ""), args
        else:
            assert ours.returncode == 1 and ours.stdout == "" and ours.stderr.count("\n") == 1, (args, theirs.stderr)
