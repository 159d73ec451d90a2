# SPDX-License-Identifier: LGPL-2.1-or-later
"""A third, independent reading of the launch specifications, in Python: what the simulated host should have recorded.

Written from AMD 56860 (SNP_LAUNCH_UPDATE, PAGE_INFO), AMD 55766 (LAUNCH_*), AMD 24593 (VMSA layout) and QEMU's
documentation of kernel-hashes; shares nothing with the C code. Also makes small firmware images and kernels, so that
the tests need no other file than QEMU's program.
"""

import hashlib
import hmac
import random
import struct
import uuid

PAGE = 4096
FOUR_GIB = 1 << 32
VMSA_GPA = 0xFFFFFFFFF000

# Family, model, stepping as QEMU's models have them.
SIGNATURES = {
    "EPYC": 0x800F12,
    "EPYC-v4": 0x800F12,
    "EPYC-Rome": 0x830F10,
    "EPYC-Rome-v4": 0x830F10,
    "EPYC-Milan": 0xA00F11,
    "EPYC-Milan-v2": 0xA00F11,
    "EPYC-Genoa": 0xA10F10,
    "EPYC-Genoa-v1": 0xA10F10,
}

NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = 1, 2, 3, 4, 5, 6
SEC_MEM, META_SECRETS, META_CPUID, META_CAA, META_HASHES = 1, 2, 3, 4, 0x10


def guid(text):
    return uuid.UUID(text).bytes_le


# --- inputs ---------------------------------------------------------------------------------------------------------

RESET_ADDRESS = 0x80B004
HASH_TABLE = (0x810C00, 0x400)
SECRET_AREA = (0x810000, 0xC00)

# Order and gaps on purpose: what a tool that sorts or merges gets wrong.
SECTIONS = [
    (0x800000, 0x9000, SEC_MEM),
    (0x80A000, 0x3000, SEC_MEM),
    (0x80D000, 0x1000, META_SECRETS),
    (0x80E000, 0x1000, META_CPUID),
    (0x80F000, 0x1000, META_CAA),
    (0x811000, 0xF000, SEC_MEM),
    (0x810000, 0x1000, META_HASHES),
]


def make_firmware(seed=1, size=0x20000, sections=None, reset=RESET_ADDRESS, hash_table=HASH_TABLE):
    """A firmware image with nothing in it but the tables that QEMU reads."""
    sections = SECTIONS if sections is None else sections
    image = bytearray(random.Random(seed).randbytes(size))

    meta_offset = 0x800
    meta = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), 1, len(sections))
    meta += b"".join(struct.pack("<III", *s) for s in sections)
    image[size - meta_offset : size - meta_offset + len(meta)] = meta

    def entry(data, name):
        return data + struct.pack("<H", len(data) + 18) + guid(name)

    table = entry(struct.pack("<I", meta_offset), "dc886566-984a-4798-a75e-5585a7bf67cc")
    table += entry(struct.pack("<II", *SECRET_AREA), "4c2eb361-7d9b-4cc3-8081-127c90d3d294")
    if hash_table:
        table += entry(struct.pack("<II", *hash_table), "7255371f-3a3b-4b04-927b-1da6efa8d454")
    table += entry(struct.pack("<I", reset), "00f771de-1a7e-4fcb-890e-68c77e2fb44e")
    table += struct.pack("<H", len(table) + 18) + guid("96b582de-1fb2-45f7-baea-a366c55a082d")
    image[size - 32 - len(table) : size - 32] = table
    return bytes(image)


def make_kernel(seed=2, size=20000):
    """A bzImage as far as QEMU's Linux loader looks: boot protocol 2.12, one setup sector."""
    image = bytearray(random.Random(seed).randbytes(size))
    image[0:0x400] = bytes(0x400)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x200:0x202] = b"\xeb\x66"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20C)
    image[0x211] = 1  # loaded high
    struct.pack_into("<I", image, 0x22C, 0x7FFFFFFF)  # initrd_addr_max
    struct.pack_into("<I", image, 0x238, 2047)  # cmdline_size
    return bytes(image)


def make_initrd(seed=3, size=30001):
    return random.Random(seed).randbytes(size)


# --- what is measured -----------------------------------------------------------------------------------------------


def hash_table_bytes(kernel, initrd, words):
    def sha(data):
        return hashlib.sha256(data).digest()

    entries = [
        ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", sha((words or "").encode() + b"\0")),
        ("44baf731-3a2f-4bd7-9af1-41e29169781d", sha(initrd or b"")),
        ("4de79437-abd2-427f-b835-d5b172d2045b", sha(kernel)),
    ]
    body = b"".join(guid(g) + struct.pack("<H", 50) + h for g, h in entries)
    table = guid("9438d606-4f22-4cc9-b479-a793d411fd21") + struct.pack("<H", 18 + len(body)) + body
    return table + bytes(-len(table) % 16)


def vmsa_page(signature, reset=None, features=1, fpu=True):
    page = bytearray(PAGE)

    def segment(at, selector, attributes, limit, base):
        struct.pack_into("<HHIQ", page, at, selector, attributes, limit, base)

    eip = 0xFFFFFFF0 if reset is None else reset
    segment(0x10, 0xF000, 0x9B, 0xFFFF, eip & 0xFFFF0000)
    for at in (0x00, 0x20, 0x30, 0x40, 0x50):
        segment(at, 0, 0x93, 0xFFFF, 0)
    segment(0x60, 0, 0, 0xFFFF, 0)
    segment(0x70, 0, 0x82, 0xFFFF, 0)
    segment(0x80, 0, 0, 0xFFFF, 0)
    segment(0x90, 0, 0x8B, 0xFFFF, 0)
    for at, value in (
        (0xD0, 0x1000),  # efer: SVME
        (0x148, 0x40),  # cr4: MCE
        (0x158, 0x10),  # cr0: ET
        (0x160, 0x400),  # dr7
        (0x168, 0xFFFF0FF0),  # dr6
        (0x170, 0x2),  # rflags
        (0x178, eip & 0xFFFF),  # rip
        (0x268, 0x0007040600070406),  # pat
        (0x310, signature),  # rdx
        (0x3B0, features),
        (0x3E8, 1),  # xcr0
    ):
        struct.pack_into("<Q", page, at, value)
    if fpu:
        struct.pack_into("<I", page, 0x408, 0x1F80)  # mxcsr
        struct.pack_into("<H", page, 0x410, 0x37F)  # fcw
    return bytes(page)


def vmsa_pages(vcpus, signature, reset, features, fpu):
    return [vmsa_page(signature, None if i == 0 else reset, features, fpu) for i in range(vcpus)]


class SnpChain:
    def __init__(self):
        self.digest = bytes(48)

    def page(self, kind, gpa, content=None):
        contents = hashlib.sha384(content).digest() if kind in (NORMAL, VMSA) else bytes(48)
        info = self.digest + contents + struct.pack("<HBBIQ", 0x70, kind, 0, 0, gpa)
        assert len(info) == 0x70
        self.digest = hashlib.sha384(info).digest()

    def data(self, gpa, data):
        for offset in range(0, len(data), PAGE):
            self.page(NORMAL, gpa + offset, data[offset : offset + PAGE])

    def range(self, kind, gpa, size):
        for offset in range(0, size, PAGE):
            self.page(kind, gpa + offset)


def snp_digest(firmware, vcpus=1, model="EPYC-v4", kernel=None, initrd=None, words=None, features=1, sections=None,
               reset=RESET_ADDRESS, hash_table=HASH_TABLE):
    chain = SnpChain()
    chain.data(FOUR_GIB - len(firmware), firmware)
    for gpa, size, kind in SECTIONS if sections is None else sections:
        if kind == META_HASHES and kernel is not None:
            page = bytearray(size)
            table = hash_table_bytes(kernel, initrd, words)
            at = hash_table[0] & 0xFFF
            page[at : at + len(table)] = table
            chain.data(gpa, bytes(page))
        elif kind == META_SECRETS:
            chain.range(SECRETS, gpa, size)
        elif kind == META_CPUID:
            chain.range(CPUID, gpa, size)
        else:
            chain.range(ZERO, gpa, size)
    for page in vmsa_pages(vcpus, SIGNATURES[model], reset, features, fpu=True):
        chain.page(VMSA, VMSA_GPA, page)
    return chain.digest.hex()


def sev_digest(firmware, vcpus=0, model="EPYC-v4", kernel=None, initrd=None, words=None, fpu=True,
               reset=RESET_ADDRESS):
    """vcpus is 0 for plain SEV, where no registers are measured."""
    measured = firmware
    if kernel is not None:
        measured += hash_table_bytes(kernel, initrd, words)
    measured += b"".join(vmsa_pages(vcpus, SIGNATURES[model], reset, 0, fpu))
    return hashlib.sha256(measured).hexdigest()


def recorded_snp_digest(lines, pages):
    """The digest once more, from nothing but the recorded commands and their bytes."""
    chain = SnpChain()
    kinds = {"NORMAL": NORMAL, "VMSA": VMSA, "ZERO": ZERO, "UNMEASURED": UNMEASURED, "SECRETS": SECRETS, "CPUID": CPUID}
    for line in lines:
        if line["command"] != "SNP_LAUNCH_UPDATE":
            continue
        kind, gpa = kinds[line["page_type"]], int(line["gpa"], 16)
        for offset in range(0, line["length"], PAGE):
            content = None
            if kind in (NORMAL, VMSA):
                at = line["pages_offset"] + offset
                content = pages[at : at + PAGE]
            chain.page(kind, gpa + offset, content)
    return chain.digest.hex()


def measurement(tik, api, build, policy, digest, nonce):
    message = bytes([4, api[0], api[1], build]) + struct.pack("<I", policy) + digest + nonce
    return hmac.new(tik, message, hashlib.sha256).digest()


# --- the owner's side -----------------------------------------------------------------------------------------------


def _kdf(key, label, context=b""):
    message = struct.pack("<I", 1) + label + b"\0" + context + struct.pack("<I", 128)
    return hmac.new(key, message, hashlib.sha256).digest()[:16]


def _aes_ctr(key, iv, data):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def ec_key_bytes(public):
    """AMD's form of a P-384 public key: curve 2, coordinates little-endian in 72 bytes each, zeros to 1028."""
    n = public.public_numbers()
    return (struct.pack("<I", 2) + n.x.to_bytes(72, "little") + n.y.to_bytes(72, "little")).ljust(1028, b"\0")


def ec_key_from_bytes(data):
    from cryptography.hazmat.primitives.asymmetric import ec

    assert struct.unpack_from("<I", data)[0] == 2
    x, y = (int.from_bytes(data[at : at + 72], "little") for at in (4, 76))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()


def wrap_session(z, nonce, iv, tek, tik, policy):
    master = _kdf(z, b"sev-master-secret", nonce)
    kek, kik = _kdf(master, b"sev-kek"), _kdf(master, b"sev-kik")
    wrapped = _aes_ctr(kek, iv, tek + tik)

    session = nonce + wrapped + iv + hmac.new(kik, wrapped, hashlib.sha256).digest()
    return session + hmac.new(tik, struct.pack("<I", policy), hashlib.sha256).digest()


def make_session(pdh_cert, policy, seed=7):
    """(certificate, session, TEK, TIK) for a launch on the platform with this PDH."""
    from cryptography.hazmat.primitives.asymmetric import ec

    rng = random.Random(seed)
    nonce, iv, tek, tik = (rng.randbytes(16) for _ in range(4))
    own = ec.generate_private_key(ec.SECP384R1())
    z = own.exchange(ec.ECDH(), ec_key_from_bytes(pdh_cert[16 : 16 + 1028]))
    session = wrap_session(z, nonce, iv, tek, tik, policy)
    cert = struct.pack("<IBBHII", 1, 0, 0, 0, 0x1003, 3) + ec_key_bytes(own.public_key())
    cert += (struct.pack("<II", 0x1000, 0) + bytes(512)) * 2
    assert len(session) == 128 and len(cert) == 2084
    return cert, session, tek, tik


def secret_table(entries):
    body = b"".join(guid(g) + struct.pack("<I", 20 + len(d)) + d for g, d in entries)
    table = guid("1e74f542-71dd-4d66-963e-ef4287ff173b") + struct.pack("<I", 20 + len(body)) + body
    return table + bytes(-len(table) % 16)


def secret_packet(tek, tik, measure, table, iv=None):
    iv = iv or random.Random(9).randbytes(16)
    sealed = _aes_ctr(tek, iv, table)
    size = struct.pack("<II", len(sealed), len(sealed))
    mac = hmac.new(tik, b"\x01" + bytes(4) + iv + size + sealed + measure, hashlib.sha256).digest()
    return bytes(4) + iv + mac, sealed


def ec_signature(key, data):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384())))
    return (r.to_bytes(72, "little") + s.to_bytes(72, "little")).ljust(512, b"\0")


def make_id_block(digest, policy, author=True, svn=0, version=1):
    """(ID block, ID authentication, ID key digest, author key digest or None)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    block = digest + bytes(range(16)) + bytes(range(16, 32)) + struct.pack("<IIQ", version, svn, policy)
    id_key = ec.generate_private_key(ec.SECP384R1())
    author_key = ec.generate_private_key(ec.SECP384R1())
    public, author_public = (ec_key_bytes(k.public_key()) for k in (id_key, author_key))

    auth = bytearray(4096)
    struct.pack_into("<II", auth, 0, 1, 1 if author else 0)
    auth[0x40:0x240] = ec_signature(id_key, block)
    auth[0x240 : 0x240 + 1028] = public
    if author:
        auth[0x680:0x880] = ec_signature(author_key, public)
        auth[0x880 : 0x880 + 1028] = author_public
    author_digest = hashlib.sha384(author_public).hexdigest() if author else None
    return block, bytes(auth), hashlib.sha384(public).hexdigest(), author_digest
