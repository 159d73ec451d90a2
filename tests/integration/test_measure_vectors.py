# SPDX-License-Identifier: LGPL-2.1-or-later

"""Digests against vectors of other tools (sev-snp-measure, the sev crate, sevctl, sev-tool, gce-tcb-verifier), where a
collection of them is available: $CVMSPAWN_SHARED/testdata/digest."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
MEASURE = BUILD / "programs" / "verb-measure"
SHARED = os.environ.get("CVMSPAWN_SHARED")
VECTORS = pathlib.Path(SHARED) / "testdata" / "digest" if SHARED else None
FIRMWARE = pathlib.Path("/var/cache/cvmspawn/firmware/OVMF.amdsev.fd")

if VECTORS is None or not VECTORS.is_dir():
    pytest.skip("no vectors of other tools here: $CVMSPAWN_SHARED is not set", allow_module_level=True)

CASES = json.loads((VECTORS / "index.json").read_text())["cases"]
REAL = json.loads((VECTORS / "real.json").read_text())

# Orders that only sev-snp-measure <= 0.0.5 computed, before its first release that agreed with hardware.
OBSOLETE = ("hashes-first", "metadata-nocheck")


def measure(*args, cwd=None):
    return subprocess.run([MEASURE, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, text=True)


def cases(*modes):
    return [pytest.param(c, id=c["name"]) for c in CASES if c["mode"] in modes]


def arguments(case):
    args = ["--mode", case["mode"]]
    profile = case.get("vmsa_profile")
    if profile:
        args += ["--vmsa", "krun" if profile == "krun-rust" else profile]
    if case.get("vcpus") is not None:
        args += ["--vcpus", case["vcpus"]]
    # Cases of modes whose digest holds no signature name none.
    args += ["--vcpu-sig", hex(case.get("vcpu_sig") or 0x800F12)]
    if case.get("guest_features_effective") and case["mode"] == "snp":
        args += ["--guest-features", hex(case["guest_features_effective"])]
    if case.get("ovmf"):
        args += ["--ovmf", VECTORS / case["ovmf"]]
    if case.get("metadata"):
        args += ["--ovmf-metadata", VECTORS / case["metadata"]]
    for name in ("kernel", "initrd"):
        if case.get(name):
            args += ["--" + name, "/dev/null" if case[name].startswith("/dev/null") else VECTORS / case[name]]
    if case.get("append") is not None:
        args += ["--append=" + case["append"]]
    if case.get("ovmf_hash_seed"):
        args += ["--snp-ovmf-hash", case["ovmf_hash_seed"]]
    if case.get("svsm"):
        args += ["--svsm", VECTORS / case["svsm"], "--vars-size", case["vars_size"]]
    return args


@pytest.mark.parametrize("case", cases("sev", "seves", "snp", "snp:ovmf-hash", "snp:svsm"))
def test_digest(case):
    if case.get("snp_page_order") in OBSOLETE and case["mode"] == "snp":
        pytest.skip("a page order that no launcher uses")
    for name in ("ovmf", "svsm"):
        if case.get(name) and not (VECTORS / case[name]).exists():
            pytest.skip(f"{case[name]} is not in the collection")
    args = arguments(case)
    r = measure(*args)
    if "expected_error" in case:
        assert r.returncode == 1 and r.stdout == "" and "ovmf-amdsev" in r.stderr
        return
    # The collection's stand-in for a kernel is measured all the same, with a warning.
    if "--kernel" in args and args[args.index("--kernel") + 1] == "/dev/null":
        assert len(r.stderr.splitlines()) == 1 and "warning: --kernel: '/dev/null' is not a bzImage" in r.stderr
    else:
        assert r.stderr == ""
    assert r.stdout.strip() == case["expected"]


@pytest.mark.parametrize("case", cases("sev-measurement-hmac"))
def test_launch_measure(case, tmp_path):
    tik = tmp_path / "tik"
    tik.write_bytes((VECTORS / case["tik"]).read_bytes() if "tik" in case else bytes.fromhex(case["tik_hex"]))
    nonce = case.get("nonce_b64") or base64.b64encode(bytes.fromhex(case["nonce_hex"])).decode()
    common = ["--tik", tik, "--nonce", nonce, "--policy", case["policy"], "--api-major", case["api_major"], "--api-minor",
              case["api_minor"], "--build-id", case["build_id"]]
    expected = case.get("expected_b64") or base64.b64encode(bytes.fromhex(case["expected"] + case["nonce_hex"])).decode()
    r = measure("--launch-digest", case["launch_digest"], *common)
    assert (r.stdout.strip(), r.stderr) == (expected, "")
    if "firmware" not in case:
        return

    if "vcpus" in case:
        full = ["--mode", "seves", "--vcpus", case["vcpus"], "--vcpu-type", "EPYC-Milan", "--vmsa", "qemu-pre-6.10"]
    else:
        full = ["--mode", "sev"]
    full += ["--ovmf", VECTORS / case["firmware"]]
    if "kernel" in case:
        full += ["--kernel", VECTORS / case["kernel"], "--initrd", VECTORS / case["initrd"], "--append", case["append"]]
    assert measure(*full).stdout.strip() == case["launch_digest"]
    assert measure(*full, *common).stdout.strip() == expected


@pytest.mark.parametrize("case", cases("vmsa-page"))
def test_vmsa(case, tmp_path):
    """Pages are written by --dump-vmsa; the reset address in the vectors is that of the firmware used here."""
    profile = case["vmsa_profile"]
    if profile.startswith("svsm"):
        pytest.skip("the SVSM image of these pages is not in the collection")
    sig = case.get("vcpu_sig", 0xA00F11)
    features = case.get("guest_features_effective", 0)
    mode = "snp" if features else "seves"
    r = measure("--mode", mode, "--vcpus", 2, "--vcpu-sig", hex(sig), "--vmsa", "krun" if profile == "krun-rust" else profile,
                "--ovmf", VECTORS / "fixtures" / "ovmf_AmdSev_suffix.bin", "--dump-vmsa", cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    application = case.get("eip", "0xfffffff0") != "0xfffffff0"
    page = (tmp_path / ("vmsa1.bin" if application else "vmsa0.bin")).read_bytes()
    assert page == (VECTORS / case["expected_file"]).read_bytes()
    assert case["expected"] in (hashlib.sha384(page).hexdigest(), hashlib.sha256(page).hexdigest())


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in REAL["cases"]])
def test_real(case):
    """Debian's firmware; kernel and initrd by the hashes that the collection names."""
    if not FIRMWARE.exists() or hashlib.sha256(FIRMWARE.read_bytes()).hexdigest() != REAL["inputs"]["ovmf"]["sha256"]:
        pytest.skip("the cached OVMF.amdsev.fd is not the one of the vectors")
    args, skip = [], False
    for i, a in enumerate(case["args"]):
        if skip:
            skip = False
        elif a == "--ovmf":
            args += ["--ovmf", FIRMWARE]
            skip = True
        elif a in ("--kernel", "--initrd"):
            args += [a + "-hash", REAL["inputs"][a[2:]]["sha256"]]
            skip = True
        else:
            args.append(a)
    r = measure(*args)
    assert (r.stdout.strip(), r.stderr) == (case["digest"], "")


def test_every_known_cpu():
    sigs = json.loads((VECTORS / "qemu_cpu_sigs.json").read_text())
    fw = VECTORS / "fixtures" / "ovmf_AmdSev_suffix.bin"
    for name, cpu in sigs.items():
        if cpu["sig"] == "0x0":  # "base" and "max" have no signature
            continue
        by_name = measure("--mode", "snp", "--vcpus", 1, "--vcpu-type", name, "--ovmf", fw)
        by_sig = measure("--mode", "snp", "--vcpus", 1, "--vcpu-sig", cpu["sig"], "--ovmf", fw)
        by_fms = measure("--mode", "snp", "--vcpus", 1, "--vcpu-family", cpu["family"], "--vcpu-model", cpu["model"],
                         "--vcpu-stepping", cpu["stepping"], "--ovmf", fw)
        assert by_name.returncode == 0 and by_name.stdout == by_sig.stdout == by_fms.stdout, name
