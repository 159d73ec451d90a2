# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host and its secure processor as the attestation service meets them, without QEMU: from a made-up platform identity (sevsim-identity) whose
PDH key is known, it unwraps sessions and measures what it is told to have launched. Written from AMD 55766, chapter 2 and LAUNCH_MEASURE."""

import base64
import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

API, BUILD = (1, 55), 21


def kdf(key, label, context=b""):
    return hmac.digest(key, struct.pack("<I", 1) + label + b"\0" + context + struct.pack("<I", 128), "sha256")[:16]


def aes_ctr(key, iv, data):
    c = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return c.update(data) + c.finalize()


class Psp:
    def __init__(self, folder):
        self.folder = folder
        self.key = load_pem_private_key((folder / "pdh.key").read_bytes(), None)

    def file(self, *names):
        return b"".join((self.folder / f"{n}.cert").read_bytes() for n in names)

    def launch(self, cek="cek-signed", **more):
        """The body of a launch request."""
        return {"pdh": base64.b64encode(self.file("pdh")).decode(), "cert-chain": base64.b64encode(self.file("pek", "oca", cek)).decode(), **more}

    def keys(self, answer):
        """TEK and TIK of a launch's answer; that the session is whole is checked as the secure processor would."""
        session, cert = base64.b64decode(answer["session"]), base64.b64decode(answer["owner-cert"])
        x, y = (int.from_bytes(cert[at : at + 72], "little") for at in (20, 92))
        z = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key())
        master = kdf(z, b"sev-master-secret", session[:16])
        wrapped = session[16:48]
        if hmac.digest(kdf(master, b"sev-kik"), wrapped, "sha256") != session[64:96]:
            raise ValueError("the session's MAC is wrong")
        both = aes_ctr(kdf(master, b"sev-kek"), session[48:64], wrapped)
        if hmac.digest(both[16:], struct.pack("<I", answer["policy"]), "sha256") != session[96:]:
            raise ValueError("the policy's MAC is wrong")
        return both[:16], both[16:]

    def measured(self, answer, digest, policy=None, api=API, build=BUILD):
        """The body of a validate request, after this digest was launched."""
        nonce = os.urandom(16)
        policy = answer["policy"] if policy is None else policy
        message = bytes([4, *api, build]) + struct.pack("<I", policy) + bytes.fromhex(digest) + nonce
        blob = hmac.digest(self.keys(answer)[1], message, "sha256") + nonce
        return {"launch-id": answer["launch-id"], "api-major": api[0], "api-minor": api[1], "build-id": build,
                "measurement": base64.b64encode(blob).decode()}  # fmt: skip

    def unsealed(self, answer, said, packet):
        """The secret table as LAUNCH_SECRET would put it into the guest."""
        tek, tik = self.keys(answer)
        header, payload = (base64.b64decode(packet[k]) for k in ("secret-header", "secret-payload"))
        iv, mac = header[4:20], header[20:]
        sizes = struct.pack("<II", len(payload), len(payload))
        measure = base64.b64decode(said["measurement"])[:32]
        if hmac.new(tik, b"\x01" + header[:4] + iv + sizes + payload + measure, hashlib.sha256).digest() != mac:
            raise ValueError("the packet's MAC is wrong")
        return aes_ctr(tek, iv, payload)
