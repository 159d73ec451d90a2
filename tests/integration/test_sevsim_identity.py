# SPDX-License-Identifier: LGPL-2.1-or-later
"""The made-up platform: its chains hold together, in AMD's formats, and its reports verify with its own keys only."""

import hashlib
import struct
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import build_folder, text64

pytest.importorskip("cryptography", reason="python3-cryptography checks the signatures")

from cryptography import x509  # noqa: E402
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: E402

ARK, ASK, EMPTY, OCA, PEK, PDH, CEK = 0x0, 0x13, 0x1000, 0x1001, 0x1002, 0x1003, 0x1004
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)
FIRMWARE = model.make_firmware(seed=41)


def slots(cert):
    for at in (0x414, 0x61C):
        usage, algorithm = struct.unpack_from("<II", cert, at)
        yield usage, algorithm, cert[at + 8 : at + 520]


def ec_verify(cert, signer_usage, signer):
    (slot,) = [s for s in slots(cert) if s[0] == signer_usage]
    assert slot[1] == 0x2
    r, s = (int.from_bytes(slot[2][at : at + 72], "little") for at in (0, 72))
    model.ec_key_from_bytes(signer[16 : 16 + 1028]).verify(encode_dss_signature(r, s), cert[:0x414],
                                                          ec.ECDSA(hashes.SHA256()))


def rsa_key(ca):
    bits = struct.unpack_from("<I", ca, 0x3C)[0]
    assert bits == 4096 and len(ca) == 0x40 + 3 * 512
    e, n = (int.from_bytes(ca[at : at + 512], "little") for at in (0x40, 0x240))
    return rsa.RSAPublicNumbers(e, n).public_key()


def test_legacy_chain(platform):
    certs = {name: (platform / f"{name}.cert").read_bytes()
             for name in ("ark", "ask", "cek", "cek-signed", "oca", "pek", "pdh")}
    for name, usage in (("cek", CEK), ("oca", OCA), ("pek", PEK), ("pdh", PDH)):
        assert len(certs[name]) == 2084
        assert struct.unpack_from("<I", certs[name], 0)[0] == 1 and struct.unpack_from("<I", certs[name], 8)[0] == usage

    ark_key, ask_key = rsa_key(certs["ark"]), rsa_key(certs["ask"])
    assert certs["ark"][0x04:0x14] == certs["ark"][0x14:0x24] == certs["ask"][0x14:0x24]
    for ca in ("ark", "ask"):
        ark_key.verify(certs[ca][:-513:-1], certs[ca][:-512], PSS, hashes.SHA384())

    assert [s[0] for s in slots(certs["cek"])] == [EMPTY, EMPTY]
    assert certs["cek"][:0x414] == certs["cek-signed"][:0x414]
    usage, algorithm, signature = next(slots(certs["cek-signed"]))
    assert (usage, algorithm) == (ASK, 0x101)
    ask_key.verify(signature[::-1], certs["cek-signed"][:0x414], PSS, hashes.SHA384())

    ec_verify(certs["oca"], OCA, certs["oca"])
    ec_verify(certs["pek"], OCA, certs["oca"])
    ec_verify(certs["pek"], CEK, certs["cek"])
    ec_verify(certs["pdh"], PEK, certs["pek"])


def test_x509_chain(platform):
    ark, ask, asvk = (x509.load_pem_x509_certificate((platform / f"{n}.pem").read_bytes()) for n in ("ark", "ask", "asvk"))
    vcek, vlek = (x509.load_der_x509_certificate((platform / f"{n}.der").read_bytes()) for n in ("vcek", "vlek"))
    for cert, issuer in ((ark, ark), (ask, ark), (asvk, ark), (vcek, ask), (vlek, asvk)):
        assert cert.issuer == issuer.subject
        issuer.public_key().verify(cert.signature, cert.tbs_certificate_bytes, PSS, hashes.SHA384())
    crl = x509.load_der_x509_crl((platform / "crl.der").read_bytes())
    ark.public_key().verify(crl.signature, crl.tbs_certlist_bytes, PSS, hashes.SHA384())

    def extension(cert, suffix):
        return cert.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.4.1.3704.1." + suffix)).value.value

    assert extension(vcek, "4") == (platform / "chip-id.bin").read_bytes()
    assert extension(vlek, "5") == b"\x16\x11CN=sevsim.invalid"
    assert [extension(vcek, f"3.{n}") for n in (1, 2, 3, 8)] == [b"\x02\x01" + bytes([v]) for v in (10, 0, 23, 84)]
    # The legacy certificates carry the same keys, as AMD's do; and both authorities say what they are.
    assert ark.public_key().public_numbers() == rsa_key((platform / "ark.cert").read_bytes()).public_numbers()
    for cert in (ark, ask, asvk):
        comment = cert.extensions.get_extension_for_oid(x509.ObjectIdentifier("2.16.840.1.113730.1.13"))
        assert b"simulation" in comment.value.value


def test_each_identity_is_another(platform, tmp_path):
    tool = build_folder() / "sevsim" / "sevsim-identity"
    subprocess.run([tool, "--short", tmp_path / "short"], check=True, timeout=60)
    names = {path.name for path in (tmp_path / "short").iterdir()}
    assert names == {"chip-id.bin", "cek.cert", "oca.cert", "pek.cert", "pdh.cert", "cek.key", "oca.key", "pek.key",
                     "pdh.key", "vcek.key", "vlek.key", "generation"}
    for name in names - {"vcek.key", "generation"}:
        assert (tmp_path / "short" / name).read_bytes() != (platform / name).read_bytes()


@pytest.mark.parametrize("leaf", ["vcek", "vlek"])
def test_report(sim, platform, leaf):
    """A report of a recorded launch: the fields that the launch decides, signed by the made-up key."""
    digest, host_data = bytes.fromhex(model.snp_digest(FIRMWARE)), bytes(range(32))
    block, auth, id_digest, author_digest = model.make_id_block(digest, 0xB0000, svn=9)
    launch = sim.launch("snp", FIRMWARE, policy=0xB0000, **{"id-block": text64(block), "id-auth": text64(auth),
                        "author-key-enabled": True, "host-data": text64(host_data)})
    data = hashlib.sha512(b"nonce").digest()
    out = sim.folder / "report.bin"
    tool = build_folder() / "sevsim" / "sevsim-attest"
    subprocess.run([tool, *(["--vlek"] if leaf == "vlek" else []), "--vmpl=1", platform, launch.folder, data.hex(), out],
                   check=True, timeout=60)
    report = out.read_bytes()
    assert len(report) == 1184
    assert struct.unpack_from("<IIQ", report) == (3, 9, 0xB0000)
    assert struct.unpack_from("<I", report, 0x30)[0] == 1
    assert struct.unpack_from("<I", report, 0x48)[0] == (0x5 if leaf == "vlek" else 0x1)
    assert report[0x50:0x90] == data and report[0x90:0xC0] == digest and report[0xC0:0xE0] == host_data
    assert report[0xE0:0x110].hex() == id_digest and report[0x110:0x140].hex() == author_digest
    assert report[0x1A0:0x1E0] == (bytes(64) if leaf == "vlek" else (platform / "chip-id.bin").read_bytes())

    cert = x509.load_der_x509_certificate((platform / f"{leaf}.der").read_bytes())
    r, s = (int.from_bytes(report[at : at + 72], "little") for at in (0x2A0, 0x2E8))
    cert.public_key().verify(encode_dss_signature(r, s), report[:0x2A0], ec.ECDSA(hashes.SHA384()))
    with pytest.raises(InvalidSignature):
        cert.public_key().verify(encode_dss_signature(r, s), b"\1" + report[1:0x2A0], ec.ECDSA(hashes.SHA384()))


def test_no_report_of_a_refused_launch(sim):
    digest = bytes(48)
    block, auth, *_ = model.make_id_block(digest, 0x30000)
    launch = sim.launch("snp", FIRMWARE, expect=1, **{"id-block": text64(block), "id-auth": text64(auth),
                        "author-key-enabled": True})
    assert not (launch.folder / "report.bin").exists()


def test_keys_of_the_authorities_stay_closed(platform):
    for name in ("ark", "ask", "asvk", "cek", "oca"):
        path = platform / f"{name}.key"
        assert path.stat().st_mode & 0o777 == 0o600
        serialization.load_pem_private_key(path.read_bytes(), None)
