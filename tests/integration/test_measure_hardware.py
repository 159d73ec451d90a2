# SPDX-License-Identifier: LGPL-2.1-or-later
"""Predictions that a real processor confirmed (tests/golden/hardware): the inputs of a launch give the MEASUREMENT of its signed report."""

import json
import os
import pathlib

import pytest
from snp_world import expect, run

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "hardware/cases.json").read_text())["cases"]
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"]) / "testdata/digest/hardware-witness" if "CVMSPAWN_SHARED" in os.environ else None


def words(case, folder):
    (folder / "ovmf.json").write_text(json.dumps(case["ovmf-metadata"]))
    return ["--mode", case["mode"], f"--vcpus={case['vcpus']}", f"--vcpu-type={case['vcpu-type']}", f"--guest-features={case['guest-features']}",
            f"--ovmf-metadata={folder}/ovmf.json", f"--kernel-hash={case['kernel-hash']}", f"--initrd-hash={case['initrd-hash']}",
            f"--append={case['append']}"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_prediction(case, tmp_path):
    assert expect(run("measure", *words(case, tmp_path)), 0).stdout.strip() == case["measurement"]
    # It is the digest of these inputs and no others.
    other = {**case, "append": case["append"] + " "}
    assert expect(run("measure", *words(other, tmp_path)), 0).stdout.strip() != case["measurement"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_report(case, tmp_path):
    """The signed report has that measurement. Its files are published elsewhere; without them only the prediction is tested."""
    if SHARED is None or not SHARED.is_dir():
        pytest.skip("the report's files (CVMSPAWN_SHARED) are not here")
    report = SHARED / "report.bin"
    assert report.read_bytes()[0x90:0xc0].hex() == case["measurement"]
    done = run("report", "verify", report, "--offline", "--cache=", f"--leaf={SHARED}/vcek.pem", f"--ca={SHARED}/milan-chain.pem",
               "--crl=off", "--insecure-any-report-data", "--", *words(case, tmp_path))
    expect(done, 0, "verified")
    done = run("report", "verify", report, "--offline", "--cache=", f"--leaf={SHARED}/vcek.pem", f"--ca={SHARED}/milan-chain.pem",
               "--crl=off", "--insecure-any-report-data", "--", *words({**case, "vcpus": 3}, tmp_path))
    expect(done, 3, "measurement")


def test_every_golden_folder_says_where_it_comes_from():
    table = dict(line.strip("| ").split(" | ", 1) for line in (GOLDEN / "README.md").read_text().splitlines() if line.startswith("| ") and "folder" not in line)
    assert sorted(table) == sorted(p.name for p in GOLDEN.iterdir() if p.is_dir() and not p.name.startswith("__"))
    assert all(origin.startswith(("self-made", "a peer's", "from hardware")) for origin in table.values())
