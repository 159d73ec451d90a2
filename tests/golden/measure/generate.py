#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Computes launch digests a second time, in another language and from the specifications, for the golden test of measure/."""

import hashlib
import json
import pathlib
import struct
import sys
import uuid
import zlib

PAGE = 4096
FOUR_GIB = 1 << 32

# --- synthetic inputs ------------------------------------------------------------------------------------------------

AMDSEV = [(0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3),
          (0x80F000, 0x1000, 4), (0x811000, 0xF000, 1), (0x810000, 0x1000, 0x10)]
PLAIN = [(0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3), (0x810000, 0x10000, 1)]


def entry(guid, data):
    return data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le


def image(pages, sections, hash_table, reset=0x80B004, fill=0xFF, svsm_entry=None):
    """Content: a pattern in the first and last page, `fill` between them, table and metadata at their place."""
    size = pages * PAGE
    data = bytearray((i * 13 + i // 253) & 0xFF if i < PAGE or i >= size - PAGE else fill for i in range(size))
    meta = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), 1, len(sections))
    meta += b"".join(struct.pack("<III", *s) for s in sections)
    at = size - 2000
    data[at:at + len(meta)] = meta
    table = entry("e47a6535-984a-4798-865e-4685a7bf8ec2", struct.pack("<I", 0x777))
    table += entry("dc886566-984a-4798-a75e-5585a7bf67cc", struct.pack("<I", 2000))
    table += entry("7255371f-3a3b-4b04-927b-1da6efa8d454", struct.pack("<II", *hash_table))
    table += entry("4c2eb361-7d9b-4cc3-8081-127c90d3d294", struct.pack("<II", 0x810000, 0xC00))
    table += entry("00f771de-1a7e-4fcb-890e-68c77e2fb44e", struct.pack("<I", reset))
    if svsm_entry is not None:
        table += entry("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd", struct.pack("<I", svsm_entry))
    table += struct.pack("<H", len(table) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    data[size - 32 - len(table):size - 32] = table
    return bytes(data)


FILES = {
    "amdsev.fd": image(8, AMDSEV, (0x810C00, 0x400)),
    "shifted.fd": image(3, AMDSEV, (0x810A30, 0x100), reset=0x00ABCDE0, fill=0),
    "plain.fd": image(4, PLAIN, (0, 0)),
    "svsm.bin": image(6, [(0xFFE00000 - 0x10000, 0x1000, 2), (0xFFE00000 - 0xF000, 0x1000, 3), (0x10000, 0x4000, 1)],
                      (0, 0), fill=0x5A, svsm_entry=0x3000),
    "kernel": bytes((i * i) & 0xFF for i in range(70001)),
    "initrd": bytes((i * 7 + i // 11) & 0xFF for i in range(300003)),
    "empty": b"",
}

# --- IGVM -------------------------------------------------------------------------------------------------------------

SNP_MASK, ES_MASK = 1, 2


def header(kind, body):
    return struct.pack("<II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def igvm(directives, expected=None):
    """directives: (kind, mask, gpa, data or size, flags, data type)"""
    heads = [header(1, struct.pack("<IBBHQ", SNP_MASK, 2, 2, 1, 0)), header(1, struct.pack("<IBBHQ", ES_MASK, 0, 5, 1, 0)),
             header(0x101, struct.pack("<QII", 0x30000, SNP_MASK, 0))]
    blobs, places, areas = [], [], 0
    for kind, mask, gpa, data, flags, data_type in directives:
        if kind == "pages":
            places.append((len(heads), len(blobs) if data else None))
            heads.append([0x302, gpa, mask, flags, data_type])
            if data:
                blobs.append(data)
        elif kind == "insert":
            heads.append(header(0x301, struct.pack("<QII", data, areas, 0)))
            heads.append(header(0x303, struct.pack("<QII", gpa, mask, areas)))
            areas += 1
        else:
            places.append((len(heads), len(blobs)))
            heads.append([0x304, gpa, mask, 0, 0])
            blobs.append(data)
    if expected:
        heads.append(header(0x30B, struct.pack("<IB3x", SNP_MASK, 0) + expected + bytes(16 + 16 + 16 + 4 * 144 + 16)))
    size = sum(len(h) if isinstance(h, bytes) else 32 for h in heads)
    offset, offsets = 24 + size, []
    for blob in blobs:
        offsets.append(offset)
        offset += len(blob)
    for at, blob in places:
        kind, gpa, mask, flags, data_type = heads[at]
        where = 0 if blob is None else offsets[blob]
        if kind == 0x302:
            heads[at] = header(kind, struct.pack("<QIIIHH", gpa, mask, where, flags, data_type, 0))
        else:
            heads[at] = header(kind, struct.pack("<QIIHHI", gpa, mask, where, 0, 0, 0))
    variable = b"".join(heads)
    fixed = struct.pack("<IIIIII", 0x4D564749, 1, 24, len(variable), offset, 0)
    crc = zlib.crc32(fixed + variable)
    return fixed[:20] + struct.pack("<I", crc) + variable + b"".join(blobs)


def page(n):
    return bytes((i * n + i // 77) & 0xFF for i in range(PAGE))


IGVM = [
    ("pages", SNP_MASK | ES_MASK, 0x100000, page(3), 0, 0),
    ("pages", SNP_MASK | ES_MASK, 0x101000, None, 0, 0),
    ("pages", SNP_MASK, 0x102000, page(5), 2, 0),  # unmeasured
    ("pages", SNP_MASK, 0x103000, None, 0, 1),
    ("pages", SNP_MASK, 0x104000, page(7), 0, 2),
    ("pages", SNP_MASK, 0x105000, None, 0, 3),
    ("pages", ES_MASK, 0x106000, page(9), 0, 0),
    ("insert", SNP_MASK, 0x107000, 0x2001, 0, 0),
    ("pages", SNP_MASK, 0x200000, page(11) * 512, 1, 0),  # 2 MiB
    ("pages", SNP_MASK, 0x10B000, page(13), 4, 0),  # shared
    ("vp", SNP_MASK | ES_MASK, 0xFFFFFFFFF000, page(15), 0, 0),
]


def igvm_digest(mode):
    chain, stream = Chain(), hashlib.sha256()
    for kind, mask, gpa, data, flags, data_type in IGVM:
        if not mask & (SNP_MASK if mode == "snp" else ES_MASK) or flags & 4:
            continue
        if mode != "snp":
            if kind != "insert" and data and not flags & 2:
                stream.update(data)
        elif kind == "insert":
            for at in range(0, data, PAGE):
                chain.page(4, gpa + at)
        elif kind == "vp":
            chain.page(2, gpa, data)
        elif data_type:
            chain.page(5 if data_type == 1 else 6, gpa)
        elif flags & 2:
            chain.page(4, gpa)
        else:
            chain.image(data or bytes(PAGE), gpa)
    return chain.digest.hex() if mode == "snp" else stream.hexdigest()


# --- VMSA ------------------------------------------------------------------------------------------------------------

# name: code of BSP, code of AP, stack, TR attributes, PAT, RDX (None: signature), MXCSR, FCW
REAL = {
    "qemu": (0x9B, 0x9B, 0x93, 0x8B, 0x0007040600070406, None, 0x1F80, 0x37F),
    "qemu-pre-6.10": (0x9B, 0x9B, 0x93, 0x8B, 0x0007040600070406, None, 0, 0),
    "ec2": (0x9A, 0x9B, 0x92, 0x83, 0x0007040600070406, 0x600, 0, 0),
    "ec2-2023": (0x9A, 0x9B, 0x92, 0x83, 0x0007040600070406, 0, 0, 0),
    "gce": (0x9B, 0x9B, 0x93, 0x8B, 0x00070106, 0x600, 0, 0),
    "krun": (0x9A, 0x9A, 0x92, 0x83, 0x0007040600070406, 0, 0, 0),
}


def put(page, offset, form, value):
    struct.pack_into("<" + form, page, offset, value)


def segment(page, offset, selector, attributes, limit, base=0):
    struct.pack_into("<HHIQ", page, offset, selector, attributes, limit, base)


def common(page, signature, features):
    segment(page, 0x60, 0, 0, 0xFFFF)
    segment(page, 0x70, 0, 0x82, 0xFFFF)
    segment(page, 0x80, 0, 0, 0xFFFF)
    for offset, value in ((0xD0, 0x1000), (0x148, 0x40), (0x160, 0x400), (0x168, 0xFFFF0FF0), (0x170, 2), (0x310, signature),
                          (0x3B0, features), (0x3E8, 1)):
        put(page, offset, "Q", value)


def vmsa(flavour, first, reset, signature, features):
    page = bytearray(PAGE)
    if flavour.startswith("svsm"):
        common(page, signature, 1)
        for offset in (0x00, 0x20, 0x30, 0x40):
            segment(page, offset, 0x10, 0xC93, 0xFFFFFFFF)
        segment(page, 0x10, 8, 0xC9B, 0xFFFFFFFF)
        segment(page, 0x50, 0, 0x93, 0xFFFF)
        segment(page, 0x90, 0, 0x8B, 0xFFFF)
        put(page, 0x158, "Q", 0x11)
        put(page, 0x178, "Q", reset)
        put(page, 0x268, "Q", 0x0007040600070406)
        put(page, 0x408, "I", 0x1F80 if flavour == "svsm" else 0)
        return bytes(page)

    code0, code1, stack, tr, pat, rdx, mxcsr, fcw = REAL[flavour]
    eip = 0xFFFFFFF0 if first else reset
    common(page, signature if rdx is None else rdx, features)
    for offset in (0x00, 0x30, 0x40, 0x50):
        segment(page, offset, 0, 0x93, 0xFFFF)
    segment(page, 0x10, 0xF000, code0 if first else code1, 0xFFFF, eip & 0xFFFF0000)
    segment(page, 0x20, 0, stack, 0xFFFF)
    segment(page, 0x90, 0, tr, 0xFFFF)
    put(page, 0x158, "Q", 0x10)
    put(page, 0x178, "Q", eip & 0xFFFF)
    put(page, 0x268, "Q", pat)
    put(page, 0x408, "I", mxcsr)
    put(page, 0x410, "H", fcw)
    return bytes(page)


# --- digests ---------------------------------------------------------------------------------------------------------


def kernel_table(kernel, initrd, words):
    def item(guid, digest):
        return uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + digest

    items = item("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", hashlib.sha256((words or "").encode() + b"\0").digest())
    items += item("44baf731-3a2f-4bd7-9af1-41e29169781d", hashlib.sha256(initrd or b"").digest())
    items += item("4de79437-abd2-427f-b835-d5b172d2045b", hashlib.sha256(kernel).digest())
    table = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 18 + len(items)) + items
    return table + b"\0" * (-len(table) % 16)


class Chain:
    def __init__(self, seed=bytes(48)):
        self.digest = seed

    def page(self, kind, gpa, contents=None):
        digest = hashlib.sha384(contents).digest() if contents is not None else bytes(48)
        self.digest = hashlib.sha384(self.digest + digest + struct.pack("<HBBIQ", 0x70, kind, 0, 0, gpa)).digest()

    def image(self, data, gpa):
        for at in range(0, len(data), PAGE):
            self.page(1, gpa + at, data[at:at + PAGE])


def parse(data):
    """Entries by GUID, and the sections: only what these images hold."""
    end, entries = len(data) - 50, {}
    start = len(data) - 32 - struct.unpack_from("<H", data, end)[0]
    while end > start:
        length = struct.unpack_from("<H", data, end - 18)[0]
        entries[str(uuid.UUID(bytes_le=data[end - 16:end]))] = data[end - length:end - 18]
        end -= length
    at = len(data) - struct.unpack("<I", entries["dc886566-984a-4798-a75e-5585a7bf67cc"])[0]
    count = struct.unpack_from("<I", data, at + 12)[0]
    return entries, [struct.unpack_from("<III", data, at + 16 + 12 * i) for i in range(count)]


def sections_into(chain, sections, table, table_gpa, flavour):
    late = []
    for gpa, size, kind in sections:
        if kind == 2:
            chain.page(5, gpa)
        elif kind == 3:
            late.append(gpa)
            if not flavour.startswith("ec2"):
                chain.page(6, late.pop())
        elif kind == 0x10 and table:
            offset = table_gpa % PAGE
            chain.page(1, gpa, bytes(offset) + table + bytes(PAGE - offset - len(table)))
        else:
            for page in range(gpa, gpa + size, PAGE):
                chain.page(4 if kind == 1 and flavour == "gce" else 3, page)
    for gpa in late:
        chain.page(6, gpa)


def digest(mode, firmware, flavour="qemu", vcpus=1, signature=0x800F12, features=1, kernel=None, initrd=None, words=None,
           svsm=None, vars_size=0):
    data = FILES[firmware]
    entries, sections = parse(data)
    reset = struct.unpack("<I", entries["00f771de-1a7e-4fcb-890e-68c77e2fb44e"])[0]
    table_gpa = struct.unpack("<II", entries["7255371f-3a3b-4b04-927b-1da6efa8d454"])[0]
    table = kernel_table(FILES[kernel], FILES[initrd] if initrd else None, words) if kernel else None

    if mode in ("sev", "seves"):
        h = hashlib.sha256(data + (table or b""))
        for i in range(vcpus if mode == "seves" else 0):
            h.update(vmsa(flavour, i == 0, reset, signature, 0))
        return h.hexdigest()

    chain = Chain()
    chain.image(data, FOUR_GIB - len(data))
    if mode == "snp:ovmf-hash":
        return chain.digest.hex()
    if mode == "snp:svsm":
        inner = FILES[svsm]
        gpa = FOUR_GIB - len(data) - vars_size - len(inner)
        chain.image(inner, gpa)
        entries, sections = parse(inner)
        reset = gpa + struct.unpack("<I", entries["a789a612-0597-4c4b-a49f-cbb1fe9d1ddd"])[0]
    sections_into(chain, sections, table, table_gpa, flavour)
    for i in range(vcpus):
        chain.page(2, 0xFFFFFFFFF000, vmsa(flavour, i == 0, reset, signature, features))
    return chain.digest.hex()


def case(mode, firmware, **p):
    args = ["--mode", mode, "--ovmf", firmware]
    if mode != "snp:ovmf-hash" and mode != "sev":
        args += ["--vcpus", str(p.get("vcpus", 1)), "--vcpu-sig", hex(p.get("signature", 0x800F12))]
        args += ["--vmsa", p.get("flavour", "svsm" if mode == "snp:svsm" else "qemu")]
    if mode == "snp":
        args += ["--guest-features", hex(p.get("features", 1))]
    for name in ("kernel", "initrd", "svsm"):
        if name in p:
            args += ["--" + name, p[name]]
    if "words" in p:
        args += ["--append=" + p["words"]]
    if "vars_size" in p:
        args += ["--vars-size", str(p["vars_size"])]
    if mode == "snp:svsm":
        p.setdefault("flavour", "svsm")
    return {"args": args, "digest": digest(mode, firmware, **p)}


def cases():
    boot = {"kernel": "kernel", "initrd": "initrd", "words": "console=ttyS0 root=/dev/vda"}
    for firmware in ("amdsev.fd", "shifted.fd", "plain.fd"):
        yield case("snp:ovmf-hash", firmware)
        yield case("sev", firmware)
        yield case("snp", firmware)
        yield case("seves", firmware, vcpus=3)
    for firmware in ("amdsev.fd", "shifted.fd"):
        for mode in ("sev", "seves", "snp"):
            yield case(mode, firmware, **boot)
            yield case(mode, firmware, kernel="kernel")
            yield case(mode, firmware, kernel="empty", initrd="empty", words=" blanks stay  ")
    for flavour in REAL:
        for vcpus in (0, 1, 2, 17):
            yield case("snp", "amdsev.fd", flavour=flavour, vcpus=vcpus, **boot)
        yield case("seves", "amdsev.fd", flavour=flavour, vcpus=2)
    for features in (0, 0x21, 0x201, 0xFFFFFFFFFFFFFFFF):
        yield case("snp", "amdsev.fd", features=features, vcpus=2)
    for signature in (0x830F10, 0xA00F11, 0xA10F10, 0xB00F00, 0xFFFFFFFF):
        yield case("snp", "amdsev.fd", signature=signature, vcpus=2)
    for flavour in ("svsm", "svsm-pre-6.10"):
        yield case("snp:svsm", "amdsev.fd", flavour=flavour, vcpus=2, svsm="svsm.bin", vars_size=0x84000)


    for mode in ("snp", "seves"):
        yield {"args": ["--mode", mode, "--igvm", "guest.igvm"], "digest": igvm_digest(mode)}


def main():
    FILES["guest.igvm"] = igvm(IGVM, bytes.fromhex(igvm_digest("snp")))
    FILES["resigned.igvm"] = igvm(IGVM, bytes(48))
    if len(sys.argv) == 3 and sys.argv[1] == "--images":
        for name, data in FILES.items():
            (pathlib.Path(sys.argv[2]) / name).write_bytes(data)
        return
    json.dump(list(cases()), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
