# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launch, report, verdict, end to end without hardware: an unmodified QEMU launches on the simulated host with an ID block of ours, the
simulated platform signs the report, and cvmspawn report verifies it against what cvmspawn measure predicted. One unpredicted change anywhere
is noticed."""

import hashlib
import json
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import build_folder

FIRMWARE = model.make_firmware(seed=41)


def cvmspawn(*words):
    return subprocess.run([build_folder() / "programs/cvmspawn", *map(str, words)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def world(sim, platform, tmp_path):
    """(measure options, id-block result, platform folder, report data file)."""
    firmware = tmp_path / "firmware.fd"
    firmware.write_bytes(FIRMWARE)
    launch = ["--mode=snp", "--ovmf", firmware, "--vcpus=2", "--vcpu-type=EPYC-v4"]
    digest = cvmspawn("measure", *launch).stdout.strip()
    key = tmp_path / "id.pem"
    subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key], check=True, timeout=60)
    built = cvmspawn("id-block", "build", digest, "--id-key", key, "--author-key", key, "--svn=5", "--json=short")
    assert built.returncode == 0, built.stderr
    return launch, json.loads(built.stdout), tmp_path


def attest(sim, platform, launch, data, *words):
    out = sim.folder / "report.bin"
    tool = build_folder() / "sevsim/sevsim-attest"
    subprocess.run([tool, *words, platform, launch.folder, data.hex(), out], check=True, timeout=60)
    return out


@pytest.mark.parametrize("leaf", ["vcek", "vlek"])
def test_launch_report_verify(sim, platform, world, leaf):
    options, block, folder = world
    launch = sim.launch("snp", FIRMWARE, vcpus=2, **{"id-block": block["id-block"], "id-auth": block["id-auth"], "author-key-enabled": True})
    bound = folder / "key.pub"
    bound.write_bytes(b"ssh-ed25519 AAAA")
    report = attest(sim, platform, launch, hashlib.sha512(bound.read_bytes()).digest(), *(["--vlek"] if leaf == "vlek" else []))
    policy = folder / "policy.json"
    policy.write_text(json.dumps({"schema": "cvmspawn-snp-policy-1", "minimum_guest_svn": 5,
                                  "trusted_id_key_hashes": block["id-key-digest"], "require_author_key": True}))
    words = ["report", "verify", report, "--certs", platform, "--insecure-root", platform / "ark.pem", "--offline", "--cache=",
             "--policy", policy, "--crl=required"]
    good = cvmspawn(*words, "--bound-to", bound, "--", *options)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "2 vCPUs, EPYC-v4" in good.stdout and good.stdout.endswith("verified against a root that is not AMD's\n")

    assert cvmspawn(*words, "--bound-to", policy, "--", *options).returncode == 3
    other = cvmspawn(*words, "--bound-to", bound, "--", *options[:-2], "--vcpus=4", options[-1])
    assert other.returncode == 3 and "violation: measurement" in other.stdout
    no_root = [w for w in words if w not in ("--insecure-root", platform / "ark.pem")]
    done = cvmspawn(*no_root, "--bound-to", bound, "--", *options)
    assert done.returncode == 4 and "does not have AMD's key; " in done.stdout


def test_debuggable_guest_is_noticed(sim, platform, world):
    options, _, folder = world
    launch = sim.launch("snp", FIRMWARE, vcpus=2, policy=0xB0000)
    report = attest(sim, platform, launch, bytes(64))
    words = ["report", "verify", report, "--certs", platform, "--insecure-root", platform / "ark.pem", "--offline", "--cache=",
             "--report-data", "00" * 64]
    done = cvmspawn(*words, "--", *options)
    assert done.returncode == 3 and "violation: debug" in done.stdout
    assert cvmspawn(*words, "--allow-debug", "--", *options).returncode == 0
