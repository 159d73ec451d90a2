# SPDX-License-Identifier: LGPL-2.1-or-later
"""An independent reading of the TDX specifications, in Python: MRTD, the TD HOB and small firmware images with TDX metadata.

Written from Intel 348549 and 348551 (TDH.MEM.PAGE.ADD, TDH.MR.EXTEND), Intel 344991 (TDVF metadata) and QEMU's hw/i386/tdvf-hob.c; shares
nothing with the C code."""

import hashlib
import random
import struct
import uuid

PAGE = 4096
VARIABLES = 2 * PAGE
BFV, CFV, TD_HOB, TEMP_MEM = range(4)
EXTEND = 1


def guid(text):
    return uuid.UUID(text).bytes_le


def usual_sections(size):
    """Where edk2 has them, with a variable store of two pages; (offset, raw, gpa, size, type, attributes)."""
    base, variables = (1 << 32) - size, VARIABLES
    return [(variables, size - variables, base + variables, size - variables, BFV, EXTEND),
            (0, variables, base, variables, CFV, 0),
            (0, 0, 0x810000, 0x10000, TEMP_MEM, 0),
            (0, 0, 0x80B000, 0x2000, TEMP_MEM, 0),
            (0, 0, 0x809000, 0x2000, TD_HOB, 0),
            (0, 0, 0x800000, 0x6000, TEMP_MEM, 0)]


GLOBAL, SECURITY = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def variable_store(variables):
    """edk2's: a volume header, a store header, variables; a deleted one and one of another vendor among them."""
    def variable(vendor, name, data, state=0x3F):
        text = name.encode("utf-16-le") + b"\0\0"
        head = struct.pack("<HBBIQ16sIII", 0x55AA, state, 0, 7, 0, bytes(16), 0, len(text), len(data)) + guid(vendor)
        entry = head + text + data
        return entry + b"\xff" * (-len(entry) % 4)

    body = variable(GLOBAL, "PK", b"deleted", 0x3D) + variable(SECURITY, "PK", b"not the one")
    body += b"".join(variable(SECURITY if name.startswith("d") else GLOBAL, name, data) for name, data in variables.items())
    store = bytes(16) + struct.pack("<IBBHI", VARIABLES - 0x48, 0x5A, 0xFE, 0, 0) + body
    return (bytes(0x30) + struct.pack("<H", 0x48) + bytes(0x16) + store).ljust(VARIABLES, b"\xff")


def make_kernel(seed=3):
    """A PE image that is a bzImage, too: Linux Documentation/arch/x86/boot.rst."""
    image = bytearray(make_pe(seed)[0])
    image[0x1F1] = 1
    image[0x202:0x208] = b"HdrS\x0f\x02"
    image[0x211] = 1  # loaded high
    struct.pack_into("<I", image, 0x22C, 0x7FFFFFFF)  # initrd_addr_max
    struct.pack_into("<I", image, 0x238, 2047)  # cmdline_size
    return bytes(image)


def make_pe(seed=3):
    """A PE image with its sections in another order than in the file and a certificate behind them, with the mark of Linux, and its
    Authenticode digest."""
    noise = random.Random(seed)
    certificate = noise.randbytes(64)
    sections = [(0x800, noise.randbytes(0x400)), (0x400, noise.randbytes(0x400))]
    optional = struct.pack("<H", 0x20B) + noise.randbytes(58) + struct.pack("<II", 0x400, 0x12345678) + noise.randbytes(40) + struct.pack("<I", 16)
    directories = bytearray(noise.randbytes(128))
    directories[32:40] = struct.pack("<II", 0xC10, len(certificate))
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional) + 128, 0)
    table = b"".join(bytes(16) + struct.pack("<II", len(data), at) + bytes(16) for at, data in sections)
    head = (b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40) + coff + optional + directories + table).ljust(0x202, b"\0") + b"HdrS"
    head = head.ljust(0x400, b"\0")
    body = b"".join(data for _, data in sorted(sections))
    image = head + body + b"overlay, measured" [:16] + certificate
    checksum = 0x40 + 24 + 64
    security = 0x40 + 24 + 112 + 32
    hashed = head[:checksum] + head[checksum + 4:security] + head[security + 8:] + body + b"overlay, measured" [:16]
    return image, hashlib.sha384(hashed).digest()


def make_tdvf(seed=1, size=0x20000, sections=None, version=1, variables=None):
    """An image with nothing in it but the tables that QEMU reads, and variables if they are given."""
    image = bytearray(random.Random(seed).randbytes(size))
    if variables is not None:
        image[:VARIABLES] = variable_store(variables)
    sections = usual_sections(size) if sections is None else sections
    meta = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), version, len(sections))
    meta += b"".join(struct.pack("<IIQQII", *s) for s in sections)
    image[size - 0x800:size - 0x800 + len(meta)] = meta
    table = struct.pack("<I", 0x800) + struct.pack("<H", 22) + guid("e47a6535-984a-4798-865e-4685a7bf8ec2")
    table += struct.pack("<H", len(table) + 18) + guid("96b582de-1fb2-45f7-baea-a366c55a082d")
    image[size - 32 - len(table):size - 32] = table
    return bytes(image)


def sections_of(image):
    distance = struct.unpack_from("<I", image, image.rindex(guid("e47a6535-984a-4798-865e-4685a7bf8ec2")) - 6)[0]
    at = len(image) - distance
    count = struct.unpack_from("<I", image, at + 12)[0]
    return [struct.unpack_from("<IIQQII", image, at + 16 + 32 * i) for i in range(count)]


def mrtd_stream(image, two_pass=False):
    """The bytes that the TDX module hashes."""
    def block(name, gpa):
        return name.ljust(16, b"\0") + struct.pack("<Q", gpa) + bytes(104)

    def extend(gpa, page):
        return b"".join(block(b"MR.EXTEND", gpa + at) + page[at:at + 256] for at in range(0, PAGE, 256))

    stream = []
    for offset, raw, gpa, size, _, attributes in sections_of(image):
        data = image[offset:offset + raw].ljust(size, b"\0")
        pages = [(gpa + at, data[at:at + PAGE]) for at in range(0, size, PAGE)]
        for where, page in pages:
            stream.append(block(b"MEM.PAGE.ADD", where))
            if attributes & EXTEND and not two_pass:
                stream.append(extend(where, page))
        for where, page in pages if attributes & EXTEND and two_pass else []:
            stream.append(extend(where, page))
    return b"".join(stream)


def mrtd(image, two_pass=False):
    return hashlib.sha384(mrtd_stream(image, two_pass)).hexdigest()


def td_hob(image, ram):
    """As it lies in the guest's memory, its end entry included."""
    low = ram if ram < 0xB0000000 else 0x80000000
    ram_ranges = [(0, low)] + ([(1 << 32, (1 << 32) + ram - low)] if ram > low else [])
    accepted = sorted((s[2], s[2] + s[3]) for s in sections_of(image) if s[4] in (TD_HOB, TEMP_MEM))
    ranges = []
    for begin, end in ram_ranges:
        for a, b in [piece for piece in accepted if begin <= piece[0] < end]:
            ranges += [(begin, a, 7)] * (a > begin) + [(a, b, 0)]
            begin = b
        ranges += [(begin, end, 7)] * (end > begin)
    place = next(s[2] for s in sections_of(image) if s[4] == TD_HOB)
    total = 56 + 48 * len(ranges) + 8
    head = struct.pack("<HHIII4QQ", 1, 56, 0, 9, 0, 0, 0, 0, 0, place + total)
    body = b"".join(struct.pack("<HHI16xIIQQ", 3, 48, 0, kind, 7, a, b - a) for a, b, kind in ranges)
    return head + body + struct.pack("<HHI", 0xFFFF, 8, 0)


FIELDS = ("tee-tcb-svn", 16), ("mrseam", 48), ("mrsignerseam", 48), ("seam-attributes", 8), ("attributes", 8), ("xfam", 8), ("mrtd", 48), \
    ("mrconfigid", 48), ("mrowner", 48), ("mrownerconfig", 48), ("rtmr0", 48), ("rtmr1", 48), ("rtmr2", 48), ("rtmr3", 48), ("report-data", 64)
LATER = ("tee-tcb-svn2", 16), ("mrservicetd", 48)


def make_body(seed=7, td15=False, attributes=1 << 28):
    """The members of a quote's body in its order: {name: bytes}."""
    noise = random.Random(seed)
    body = {name: noise.randbytes(size) for name, size in FIELDS + (LATER if td15 else ())}
    body["attributes"] = struct.pack("<Q", attributes)
    return body


def make_quote(version=4, td15=False, rest=b"", **values):
    """A quote as far as its form goes: nothing in it is signed."""
    body = b"".join(make_body(td15=td15, **values).values())
    head = struct.pack("<HHI", version, 2, 0x81) + bytes(40)
    if version == 5:
        head += struct.pack("<HI", 3 if td15 else 2, len(body))
    chain = b"-----BEGIN CERTIFICATE-----\n\0"
    qe = bytes(384 + 64) + struct.pack("<H", 32) + bytes(range(32)) + struct.pack("<HI", 5, len(chain)) + chain
    data = bytes(128) + struct.pack("<HI", 6, len(qe)) + qe
    return head + body + struct.pack("<I", len(data)) + data + rest


def make_td_report(td15=True):
    body = make_body(td15=td15)
    tee = bytes(8) + body["tee-tcb-svn"] + body["mrseam"] + body["mrsignerseam"] + body["seam-attributes"] + body.get("tee-tcb-svn2", bytes(16))
    info = b"".join(body[name] for name, _ in FIELDS[4:14]) + body.get("mrservicetd", bytes(48))
    return (bytes([0x81, 0, int(td15), 0]).ljust(128, b"\0") + body["report-data"]).ljust(256, b"\0") + tee.ljust(256, b"\0") + info.ljust(512, b"\0")
