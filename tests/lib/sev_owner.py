# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest owner's arithmetic once more, in Python's own words, from AMD 55766: an opinion independent of the C code. Needs
nothing but the standard library and python3-cryptography (for AES)."""

import base64
import hashlib
import hmac
import struct
import uuid


def kernel_table(kernel, initrd=b"", words=b""):
    def entry(guid, data):
        return uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(data).digest()

    entries = (
        entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", words + b"\0")
        + entry("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd)
        + entry("4de79437-abd2-427f-b835-d5b172d2045b", kernel)
    )
    return uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168) + entries + bytes(8)


def measurement(tik, digest, policy, api=(1, 55), build=21, nonce=bytes(range(0xA0, 0xB0))):
    message = struct.pack("<BBBBI", 4, *api, build, policy) + digest + nonce
    return base64.b64encode(hmac.digest(tik, message, "sha256") + nonce).decode()


def aes_ctr(key, iv, data):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def open_packet(tik, tek, reported, header64, payload64):
    """The plain table; raises ValueError if the packet is not authentic."""
    header, payload = base64.b64decode(header64, validate=True), base64.b64decode(payload64, validate=True)
    if len(header) != 52 or header[:4] != bytes(4) or len(payload) % 16:
        raise ValueError("malformed packet")
    size = struct.pack("<I", len(payload))
    mac = hmac.digest(tik, b"\1" + header[:20] + size + size + payload + reported[:32], "sha256")
    if mac != header[20:]:
        raise ValueError("the packet is not authentic")
    return aes_ctr(tek, header[4:20], payload)


def secret_table(secrets, pad_always=False):
    entries = b"".join(uuid.UUID(g).bytes_le + struct.pack("<I", 20 + len(d)) + d for g, d in secrets)
    table = uuid.UUID("1e74f542-71dd-4d66-963e-ef4287ff173b").bytes_le + struct.pack("<I", 20 + len(entries)) + entries
    pad = -len(table) % 16
    return table + bytes(16 if pad_always and not pad else pad)


def firmware(entries, body=b"firmware" * 64, footer="96b582de-1fb2-45f7-baea-a366c55a082d", length=None):
    """An image with a GUID table at its end: entries are (GUID, data), the first the nearest to the beginning."""
    table = b"".join(d + struct.pack("<H", len(d) + 18) + uuid.UUID(g).bytes_le for g, d in entries)
    total = len(table) + 18 if length is None else length
    return body + table + struct.pack("<H", total) + uuid.UUID(footer).bytes_le + bytes(32)


RESET_BLOCK = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
HASHES_BLOCK = "7255371f-3a3b-4b04-927b-1da6efa8d454"
SECRET_BLOCK = "4c2eb361-7d9b-4cc3-8081-127c90d3d294"


def vmsa(signature, reset=None, fpu=False, features=0):
    """The initial VMSA of a QEMU vCPU (AMD 24593, table B-4): of an application processor if a reset address is given."""
    page = bytearray(4096)

    def put(offset, size, value):
        page[offset : offset + size] = value.to_bytes(size, "little")

    address = 0xFFFFFFF0 if reset is None else reset
    for offset, attributes in zip(range(0, 0xA0, 0x10), (0x93, 0x9B, 0x93, 0x93, 0x93, 0x93, 0, 0x82, 0, 0x8B)):
        put(offset + 2, 2, attributes)
        put(offset + 4, 4, 0xFFFF)
    put(0x10, 2, 0xF000)
    put(0x18, 8, address & 0xFFFF0000)
    for offset, value in ((0xD0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400), (0x168, 0xFFFF0FF0), (0x170, 2), (0x178, address & 0xFFFF),
                          (0x268, 0x0007040600070406), (0x310, signature), (0x3B0, features), (0x3E8, 1)):  # fmt: skip
        put(offset, 8, value)
    if fpu:
        put(0x408, 4, 0x1F80)
        put(0x410, 2, 0x37F)
    return bytes(page)


def open_session(pdh_key, godh, session, policy):
    """(TEK, TIK) as the platform with this PDH finds them (AMD 55766, LAUNCH_START); raises ValueError if it would refuse."""
    from cryptography.hazmat.primitives.asymmetric import ec

    def kdf(key, label, context=b""):
        return hmac.digest(key, struct.pack("<I", 1) + label + b"\0" + context + struct.pack("<I", 128), "sha256")[:16]

    x, y = (int.from_bytes(godh[at : at + 72], "little") for at in (20, 92))
    shared = pdh_key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key())
    master = kdf(shared, b"sev-master-secret", session[:16])
    if hmac.digest(kdf(master, b"sev-kik"), session[16:48], "sha256") != session[64:96]:
        raise ValueError("the session was made for another platform, or is damaged")
    keys = aes_ctr(kdf(master, b"sev-kek"), session[48:64], session[16:48])
    if hmac.digest(keys[16:], struct.pack("<I", policy), "sha256") != session[96:]:
        raise ValueError("the session was made for another policy")
    return keys[:16], keys[16:]
