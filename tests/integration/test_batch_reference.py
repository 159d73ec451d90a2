# SPDX-License-Identifier: LGPL-2.1-or-later
"""What 'measure --batch' prints is what 'report verify --reference=' reads, end to end: a guest that a real QEMU launched on the simulated
host, its report, and batches that hold its digest, another one, a bad row or nothing."""

import json
import subprocess

import pytest
from sevsim_host import build_folder
from snp_world import expect, run


@pytest.fixture(scope="module")
def evidence(tmp_path_factory, qemu, firmware):
    """(words of report verify, digest)"""
    folder = tmp_path_factory.mktemp("evidence")
    subprocess.run([build_folder() / "programs/cvmspawn", "sevsim", f"--platform={folder}/platform", f"--record={folder}/record", "--", qemu, "-M",
                    "q35,confidential-guest-support=sev0", "-accel", "kvm", "-m", "512M", "-nodefaults", "-display", "none", "-bios", firmware, "-cpu",
                    "EPYC-v4", "-object", "sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1"], capture_output=True, timeout=120, check=False)
    launch = folder / "record/launch-001"
    subprocess.run([build_folder() / "sevsim/sevsim-attest", folder / "platform", launch, "bb" * 64, folder / "report"], check=True, timeout=60)
    return ["report", "verify", folder / "report", "--offline", "--cache=", f"--insecure-root={folder}/platform/ark.pem",
            f"--leaf={folder}/platform/vcek.der", f"--ca={folder}/platform/vcek-chain.pem", "--report-data=" + "bb" * 64], \
        (launch / "digest").read_text().strip()


def row(firmware, **members):
    return json.dumps({"mode": "snp", "vcpus": 1, "vcpu-type": "EPYC-v4", "ovmf": str(firmware), **members}) + "\n"


def batch(tmp_path, text, status=0):
    """The output of a batch, as a file."""
    done = expect(run("measure", "--batch=-", input=text), status)
    (tmp_path / "reference").write_text(done.stdout)
    return ["--reference", tmp_path / "reference"], done.stdout


def test_a_row_matches(evidence, firmware, tmp_path):
    words, digest = evidence
    reference, text = batch(tmp_path, row(firmware, vcpus=2, id="two") + row(firmware, id="one"))
    assert [json.loads(line)["digest"] == digest for line in text.splitlines()] == [False, True]
    expect(run(*words, *reference), 0, "verified")


def test_no_row_matches(evidence, firmware, tmp_path):
    words, digest = evidence
    reference, text = batch(tmp_path, row(firmware, vcpus=2))
    expect(run(*words, *reference), 3, "measurement: expected " + json.loads(text)["digest"], f"got {digest}")
    reference, text = batch(tmp_path, row(firmware, vcpus=2) + row(firmware, vcpus=3))
    expect(run(*words, *reference), 3, "measurement: expected one of 2 accepted values", f"got {digest}")


def test_a_bad_row_is_no_reference(evidence, firmware, tmp_path):
    """A batch that failed in part has status 1, and is refused as a whole: what it should have held is unknown."""
    words, _ = evidence
    reference, text = batch(tmp_path, row(firmware, ovmf="/nonexistent/firmware") + row(firmware), 1)
    assert "error" in json.loads(text.splitlines()[0])
    done = expect(run(*words, *reference), 1, "reference")
    assert "authentic" not in done.stdout


def test_rows_of_another_mode_are_refused(evidence, firmware, tmp_path):
    words, _ = evidence
    reference, _ = batch(tmp_path, row(firmware) + json.dumps({"mode": "sev", "ovmf": str(firmware)}) + "\n")
    expect(run(*words, *reference), 1, "row 2: not a reference table for SNP (its mode is sev)")


@pytest.mark.parametrize("content, part", [("", "empty"), ("\n\n", "empty"), ("{}\n", "reference"), ("[]", "reference")])
def test_nothing_is_no_reference(evidence, tmp_path, content, part):
    words, _ = evidence
    (tmp_path / "reference").write_text(content)
    done = expect(run(*words, "--reference", tmp_path / "reference"), 1, part, str(tmp_path / "reference"))
    assert "not authentic" not in done.stdout
