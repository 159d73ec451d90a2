# SPDX-License-Identifier: LGPL-2.1-or-later
"""A made-up Intel: root, CAs, PCK, signing key, quotes and statements about TCB levels, with throw-away keys. Nothing of it is a default root anywhere.

Written from Intel's PCK Certificate and CRL Profile Specification, the Provisioning Certification Service API (version 4) and the quote format of DCAP."""

import datetime
import hashlib
import json
import struct

import tdx_model as model
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

START, END, NOW = datetime.datetime(2026, 1, 1), datetime.datetime(2033, 1, 1), "2026-06-01"
SGX = "1.2.840.113741.1.13.1"
FMSPC, PCEID, MRSIGNER = "50806f000000", "0000", "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5"
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def raw_sign(key, data):
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]


def der(tag, data):
    size = len(data)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + struct.pack(">H", size)
    return bytes([tag]) + head + data


def oid(*more):
    return der(6, bytes.fromhex("2a864886f84d010d01") + bytes(more))


def number(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def sgx_extension(svn=(5,) * 16, pcesvn=11, fmspc=FMSPC, pceid=PCEID):
    levels = b"".join(der(0x30, oid(2, i) + number(v)) for i, v in enumerate((*svn, pcesvn), 1))
    tcb = der(0x30, levels + der(0x30, oid(2, 18) + der(4, bytes(svn))))
    members = [(1, der(4, bytes(16))), (2, tcb), (3, der(4, bytes.fromhex(pceid))), (4, der(4, bytes.fromhex(fmspc))), (5, der(10, b"\x01"))]
    return der(0x30, b"".join(der(0x30, oid(i) + value) for i, value in members))


def certificate(name, key, issuer_name, issuer_key, ca=None, extension=None, start=START, end=END):
    b = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(issuer_name)).public_key(key.public_key())
    b = b.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    b = b.add_extension(x509.BasicConstraints(ca is not None, ca), True)
    b = b.add_extension(x509.KeyUsage(ca is None, False, False, False, False, ca is not None, ca is not None, False, False), True)
    if extension is not None:
        b = b.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX), extension), False)
    return b.sign(issuer_key, hashes.SHA256())


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def crl(issuer_name, key, revoked=(), end=END):
    b = x509.CertificateRevocationListBuilder().issuer_name(_name(issuer_name)).last_update(START).next_update(end)
    for c in revoked:
        b = b.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(c.serial_number).revocation_date(START).build())
    return b.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pem(*certificates):
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


ROOT, CA, LEAF, SIGNER = "Intel SGX Root CA", "Intel SGX PCK Platform CA", "Intel SGX PCK Certificate", "Intel SGX TCB Signing"


def level(status="UpToDate", sgx=5, tdx=(0, 0) + (2,) * 14, pcesvn=11, advisories=()):
    tcb = {"sgxtcbcomponents": [{"svn": sgx}] * 16, "pcesvn": pcesvn, "tdxtcbcomponents": [{"svn": n} for n in tdx]}
    return {"tcb": tcb, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status, **({"advisoryIDs": list(advisories)} if advisories else {})}


def isv_level(isvsvn, status="UpToDate"):
    return {"tcb": {"isvsvn": isvsvn}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}


class World:
    """Everything of one made-up Intel; arguments of the methods spoil single things."""

    def __init__(self):
        self.root_key, self.ca_key, self.pck_key, self.signer_key, self.quote_key = (new_key() for _ in range(5))
        self.root = certificate(ROOT, self.root_key, ROOT, self.root_key, ca=1)
        self.ca = certificate(CA, self.ca_key, ROOT, self.root_key, ca=0)
        self.pck = certificate(LEAF, self.pck_key, CA, self.ca_key, extension=sgx_extension())
        self.signer = certificate(SIGNER, self.signer_key, ROOT, self.root_key)

    def body(self, td15=False, **values):
        body = model.make_body(td15=td15)
        body.update({"mrsignerseam": bytes(48), "seam-attributes": bytes(8), "tee-tcb-svn": bytes([3, 1]) + bytes([2] * 14)})
        body.update(values)
        return body

    def quote(self, version=4, td15=False, chain=None, vendor=VENDOR, rest=b"", qe=None, qe_key=None, data=None, sign_key=None, flip=None, **values):
        body = b"".join(self.body(td15, **values).values())
        head = struct.pack("<HHIHH", version, 2, 0x81, 0, 0) + vendor + bytes(20)
        if version == 5:
            head += struct.pack("<HI", 3 if td15 else 2, len(body))
        auth = bytes(range(32))
        report = bytearray(384)
        report[48:64] = bytes([0x15]) + bytes(15)
        report[128:160] = bytes.fromhex(MRSIGNER)
        report[256:260] = struct.pack("<HH", 2, 4)
        report[320:352] = hashlib.sha256(point(self.quote_key) + auth).digest() if data is None else data
        for offset, value in (qe or {}).items():
            report[offset:offset + len(value)] = value
        chain = pem(self.pck, self.ca, self.root) + b"\0" if chain is None else chain
        certification = bytes(report) + raw_sign(qe_key or self.pck_key, bytes(report)) + struct.pack("<H", 32) + auth + struct.pack("<HI", 5, len(chain)) + chain
        signed = raw_sign(sign_key or self.quote_key, head + body) + point(self.quote_key) + struct.pack("<HI", 6, len(certification)) + certification
        return head + body + struct.pack("<I", len(signed)) + signed + rest

    def tcb_info(self, levels=None, modules=None, **members):
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        modules = [("TDX_03", [isv_level(3)]), ("TDX_01", [isv_level(3), isv_level(1, "OutOfDate")])] if modules is None else modules
        info = {"id": "TDX", "version": 3, "issueDate": "2026-05-20T00:00:00Z", "nextUpdate": "2026-06-20T00:00:00Z", "fmspc": FMSPC.upper(), "pceId": PCEID,
                "tcbType": 0, "tcbEvaluationDataNumber": 18, "tdxModule": module,
                "tdxModuleIdentities": [{"id": name, **module, "tcbLevels": found} for name, found in modules],
                "tcbLevels": levels or [level(), level("OutOfDate", sgx=1, tdx=(0,) * 16, pcesvn=1, advisories=["INTEL-SA-00001", "INTEL-SA-00002"])]}
        return {**info, **members}

    def qe_identity(self, **members):
        identity = {"id": "TD_QE", "version": 2, "issueDate": "2026-05-20T00:00:00Z", "nextUpdate": "2026-06-20T00:00:00Z", "tcbEvaluationDataNumber": 18,
                    "miscselect": "00000000", "miscselectMask": "FFFFFFFF", "attributes": "11" + "00" * 15, "attributesMask": "FB" + "FF" * 7 + "00" * 8,
                    "mrsigner": MRSIGNER.upper(), "isvprodid": 2, "tcbLevels": [isv_level(4), isv_level(2, "OutOfDate")]}
        return {**identity, **members}

    def sign(self, name, statement, key=None):
        inner = json.dumps(statement, separators=(",", ":"))
        return f'{{"{name}":{inner},"signature":"{raw_sign(key or self.signer_key, inner.encode()).hex()}"}}'.encode()

    def files(self):
        """What a verifier needs: name -> bytes."""
        return {"root.pem": pem(self.root), "signer.der": self.signer.public_bytes(serialization.Encoding.DER),
                "tcb.json": self.sign("tcbInfo", self.tcb_info()), "qe.json": self.sign("enclaveIdentity", self.qe_identity()),
                "root.crl": crl(ROOT, self.root_key), "pck.crl": crl(CA, self.ca_key), "quote": self.quote()}
