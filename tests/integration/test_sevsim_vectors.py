# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Python model and the simulated host against numbers that others published: vectors of virtee's sev crate and sevctl,
digests of sev-snp-measure. They are read from the folder that CVMSPAWN_SHARED names, if it is set."""

import base64
import hashlib
import json
import os
import pathlib

import pytest
import sevsim_model as model
from sevsim_host import artifact

SHARED = os.environ.get("CVMSPAWN_SHARED")
pytestmark = pytest.mark.skipif(not SHARED, reason="CVMSPAWN_SHARED names no folder with published vectors")


def load(name):
    return json.loads((pathlib.Path(SHARED) / "testdata" / name).read_text())


def sessions():
    return load("attestation/session/vectors.json")


def session_file(name):
    return (pathlib.Path(SHARED) / "testdata" / "attestation" / name).read_bytes()


def test_session():
    pytest.importorskip("cryptography", reason="python3-cryptography wraps the keys")
    for v in sessions()["kdf"]:
        z, nonce, iv, tek, tik = (bytes.fromhex(v[n]) for n in ("Z", "nonce", "wrap_iv", "tek", "tik"))
        session = model.wrap_session(z, nonce, iv, tek, tik, v["policy"]).hex()
        assert session == v["nonce"] + v["wrap_tk"] + v["wrap_iv"] + v["wrap_mac"] + v["policy_mac"]


def test_measurement():
    checked = 0
    for v in sessions()["measure"]:
        tik = bytes.fromhex(v["tik"]) if "tik" in v else session_file(v["tik_file"])
        if "digest" in v:
            digest, nonce, wanted = (bytes.fromhex(v[n]) for n in ("digest", "mnonce", "measure"))
        else:
            blob = base64.b64decode(v["blob_b64"])
            wanted, nonce = blob[:32], blob[32:]
            measured = session_file(v["firmware_file"]) if "firmware_file" in v else b""
            if "kernel_file" in v:
                measured += model.hash_table_bytes(session_file(v["kernel_file"]), session_file(v["initrd_file"]), v["cmdline"])
            if "vmsa_cpu0_file" in v:
                measured += session_file(v["vmsa_cpu0_file"]) + session_file(v["vmsa_cpu1_file"]) * (v["num_cpus"] - 1)
            digest = hashlib.sha256(measured).digest() if measured else base64.b64decode(v["digest_b64"])
        api = v["api_major"], v["api_minor"]
        assert model.measurement(tik, api, v["build"], v["policy"], digest, nonce) == wanted
        checked += 1
    assert checked >= 5


def test_secret():
    pytest.importorskip("cryptography", reason="python3-cryptography seals the packet")
    for v in sessions()["secret"]:
        table = model.secret_table([(g, session_file(f)) for g, f in v["entries"]])
        header, packet = model.secret_packet(session_file(v["tek_file"]), session_file(v["tik_file"]),
                                             base64.b64decode(v["launch_measure_blob_b64"])[:32], table,
                                             base64.b64decode(v["iv_b64"]))
        assert base64.b64encode(header).decode() == v["header_b64"]
        assert base64.b64encode(packet).decode() == v["payload_b64"]


def real_cases():
    if not SHARED:
        return []
    cases = load("digest/real.json")["cases"]
    return [c for c in cases if c["mode"] in ("snp", "seves", "sev") and not c.get("with_kernel")
            and (c.get("vmm") or "qemu").lower() == "qemu" and c.get("guest_features", 1) in (0, 1, None)]


@pytest.mark.parametrize("case", real_cases(), ids=[c["name"] for c in real_cases()])
def test_real_firmware(sim, case):
    """What QEMU launches with Debian's firmware has the digest that sev-snp-measure printed for it."""
    firmware = artifact("FIRMWARE").read_bytes()
    if hashlib.sha256(firmware).hexdigest() != load("digest/real.json")["inputs"]["ovmf"]["sha256"]:
        pytest.skip("another version of the firmware is in the cache")
    models = {int(s): m for m, s in reversed(model.SIGNATURES.items())}
    signature = int(case.get("vcpu_sig") or "0x800f12", 16)
    if signature not in models:
        pytest.skip(f"no model of QEMU 10.0 has the signature {signature:#x}")
    vcpus = case.get("vcpus") or 1
    if case["mode"] == "snp":
        launch = sim.launch("snp", firmware, vcpus=vcpus, model=models[signature])
    else:
        policy = 5 if case["mode"] == "seves" else 1
        launch = sim.launch("sev", firmware, vcpus=vcpus, model=models[signature], policy=policy,
                            **{"legacy-vm-type": "off"})
    assert launch.digest == case["digest"]
