# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files that the golden command lines name, made for each test in its own directory: small, and no more real
than the launcher looks at."""

import json
import lzma
import struct
import uuid
import zlib

KIB = 1024
ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")  # Discoverable Partitions Specification: x86-64 root
USR = uuid.UUID("8484680c-9521-48c6-9c11-b0720656f69e")  # and x86-64 /usr
ROOT_VERITY = uuid.UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")  # and the hash trees of the two
USR_VERITY = uuid.UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6")
SWAP = uuid.UUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")


def qcow2_header(backing=None, backing_format=None, data=None, crypt=0, incompatible=0):
    """Version 3 (QEMU docs/interop/qcow2.txt): magic, version, backing file's offset and size, cluster bits, size, encryption ...
    incompatible features ... header length, extensions, names."""
    extensions = b""
    for kind, text in (0xE2792ACA, backing_format), (0x44415441, data):
        if text is not None:
            extensions += struct.pack(">II", kind, len(text)) + text.encode().ljust(-(-len(text) // 8) * 8, b"\0")
    extensions += bytes(8)
    name = (backing or "").encode()
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, 104 + len(extensions) if backing else 0, len(name), 16, 1 << 20, crypt)
    head = head.ljust(72, b"\0") + struct.pack(">Q", incompatible | (4 if data is not None else 0))
    return (head.ljust(100, b"\0") + struct.pack(">I", 104) + extensions + name).ljust(64 * KIB, b"\0")


def bzimage():
    """Linux Documentation/arch/x86/boot.rst: "HdrS" at 0x202, boot protocol at 0x206."""
    image = bytearray(b"\x11" * 8 * KIB)
    image[0x1F1] = 4
    image[0x202:0x208] = b"HdrS\x0f\x02"
    return bytes(image)


def portable_executable(*sections):
    """A PE file of nothing but headers: Microsoft PE format, "COFF File Header"."""
    image = bytearray(b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40))
    image += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0, 0)
    for name in sections:
        image += name.encode().ljust(40, b"\0")
    return bytes(image.ljust(4 * KIB, b"\0"))


def newc(files):
    """An archive of (path, content), as `cpio -H newc` makes it."""
    out = bytearray()
    for path, data in [*files, ("TRAILER!!!", b"")]:
        name = path.encode() + b"\0"
        numbers = [1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        out += b"070701" + b"".join(b"%08x" % n for n in numbers) + name
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initrd(version=262):
    files = [("etc/initrd-release", b"ID=test\n"), ("bin/sh", b"#!"), ("init", b"#!")]
    if version:
        files.append((f"usr/lib/systemd/libsystemd-shared-{version}.so", b"ELF"))
    return newc(files)


def gpt(*types, entries=128):
    """UEFI specification, 5.3: a header at sector 1, entries from sector 2 on."""
    table = b"".join(
        kind.bytes_le + uuid.UUID(int=0x1000 + i).bytes_le + struct.pack("<QQ", 40 + i, 40 + i) + bytes(80)
        for i, kind in enumerate(types)
    )
    # Both checksums, the header's with zero in its place.
    checked = zlib.crc32(table.ljust(min(entries, 128) * 128, b"\0"))
    head = struct.pack("<QQQQ", 1, 0, 34, 2014) + bytes(16) + struct.pack("<QIII", 2, entries, 128, checked)
    begin = b"EFI PART" + struct.pack("<II", 0x10000, 92)
    header = begin + struct.pack("<II", zlib.crc32(begin + bytes(8) + head), 0) + head
    image = bytes(512) + header.ljust(512, b"\0") + table
    return image.ljust(1024 * KIB, b"\0")


def verity(*types, algorithm=b"sha256", signature=b"verity"):
    """An image whose partitions all begin with a verity superblock: cryptsetup's wiki, "DMVerity"."""
    image = bytearray(gpt(*types))
    block = signature.ljust(8, b"\0") + struct.pack("<II16s32s", 1, 1, bytes(16), algorithm)
    for i in range(len(types)):
        image[(40 + i) * 512 : (40 + i) * 512 + len(block)] = block
    return bytes(image)


def ovmf(hash_table=0x810C00, metadata=True, secret=True):
    """An image with the GUID table of edk2's AmdSevX64 build at its end, and its SEV metadata."""
    size, entries = 64 * KIB, b""
    sections = [
        (0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3),
        (0x80F000, 0x1000, 4), (0x811000, 0xF000, 1), (0x810000, 0x1000, 0x10),
    ]

    def entry(guid, data):
        return data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le

    if metadata:
        entries += entry("dc886566-984a-4798-a75e-5585a7bf67cc", struct.pack("<I", 2 * KIB))
    if hash_table:
        entries += entry("7255371f-3a3b-4b04-927b-1da6efa8d454", struct.pack("<II", hash_table, 0x400))
    if secret:
        entries += entry("4c2eb361-7d9b-4cc3-8081-127c90d3d294", struct.pack("<II", 0x810000, 0xC00))
    entries += entry("00f771de-1a7e-4fcb-890e-68c77e2fb44e", struct.pack("<I", 0x80B004))
    table = entries + struct.pack("<H", len(entries) + 18)
    table += uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le

    image = bytearray(i * 7 & 0xFF for i in range(size))
    image[size - 32 - len(table) : size - 32] = table
    if metadata:
        asev = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), 1, len(sections))
        asev += b"".join(struct.pack("<III", *section) for section in sections)
        image[size - 2 * KIB : size - 2 * KIB + len(asev)] = asev
    return bytes(image)


def tdvf():
    """An image with TDX metadata only: Intel 344991; volumes for code and variables, the list of memory, memory that is used early."""
    size = 64 * KIB
    base = (1 << 32) - size
    sections = [(4 * KIB, size - 4 * KIB, base + 4 * KIB, size - 4 * KIB, 0, 1), (0, 4 * KIB, base, 4 * KIB, 1, 0),
                (0, 0, 0x809000, 0x2000, 2, 0), (0, 0, 0x810000, 0x10000, 3, 0)]
    entries = struct.pack("<IH", 2 * KIB, 22) + uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
    table = entries + struct.pack("<H", len(entries) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    image = bytearray(i * 5 & 0xFF for i in range(size))
    image[size - 32 - len(table) : size - 32] = table
    metadata = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<IIQQII", *section) for section in sections)
    image[size - 2 * KIB : size - 2 * KIB + len(metadata)] = metadata
    return bytes(image)


def volume(size, files):
    """A firmware volume with an FFS2 file system: UEFI PI specification 1.7, volume 3, 3.2."""
    guid = uuid.UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3").bytes_le
    header = bytes(16) + guid + struct.pack("<Q4sIHHHBBIIQ", size, b"_FVH", 0x800, 72, 0, 0, 0, 2, 1, size, 0)
    checksum = -sum(struct.unpack("<36H", header)) & 0xFFFF
    image = bytearray(header[:50] + struct.pack("<H", checksum) + header[52:])
    for name, kind, content in files:
        start = uuid.UUID(name).bytes_le + b"\0\0" + bytes([kind, 0]) + (24 + len(content)).to_bytes(3, "little") + b"\0"
        image += b"\xff" * (-len(image) % 8)
        image += start[:16] + bytes([-sum(start) & 0xFF, 0xAA]) + start[18:23] + b"\xf8" + content
    return bytes(image.ljust(size, b"\xff"))


def section(kind, content):
    return ((4 + len(content)).to_bytes(3, "little") + bytes([kind]) + content).ljust(-(-(4 + len(content)) // 4) * 4, b"\0")


def ovmf_with(loader, name="b5ae312c-bc8a-43b1-9c62-ebb826dd5d07", **parts):
    """An AmdSev image whose inner volume, compressed as edk2 does it, has the file for GRUB."""
    inner = section(0x17, volume(32 * KIB, [(name, 9, section(0x10, loader) + section(0x15, b"G\0r\0\0\0"))]))
    packed = lzma.compress(inner, format=lzma.FORMAT_ALONE, preset=6)
    packed = packed[:5] + struct.pack("<Q", len(inner)) + packed[13:]  # edk2 names the size
    guided = uuid.UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le + struct.pack("<HH", 24, 1) + packed
    plain = ovmf(**parts)
    image = bytearray(volume(64 * KIB, [("9e21fd93-9c72-4c15-8c4b-e77f1db2d792", 0xB, section(2, guided))]))
    image[-2 * KIB :] = plain[-2 * KIB :]
    return bytes(image)


def descriptor(image, features, template=None):
    """QEMU docs/interop/firmware.json."""
    mapping = {"device": "memory", "filename": image}
    if template:
        mapping = {
            "device": "flash",
            "mode": "split",
            "executable": {"filename": image, "format": "raw"},
            "nvram-template": {"filename": template, "format": "raw"},
        }
    return json.dumps({
        "description": "made for a test",
        "interface-types": ["uefi"],
        "mapping": mapping,
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": features,
        "tags": [],
    })


def id_auth(algorithm=1):
    """SEV-SNP firmware ABI (AMD 56860), "ID Authentication Information Structure": algorithms, and keys of curve P-384."""
    image = bytearray(4096)
    struct.pack_into("<II", image, 0, algorithm, 1)
    struct.pack_into("<I", image, 0x240, 2)
    struct.pack_into("<I", image, 0x880, 2)
    return bytes(image)


def host(**changes):
    """What --host-caps= reads. A host that can do everything has the numbers of a Milan processor."""
    caps = {
        "kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1,
        "qemu": "/usr/bin/qemu-system-x86_64", "swtpm": "/usr/bin/swtpm",
        "virtiofsd": "/usr/libexec/virtiofsd",
    }
    return json.dumps({**caps, **changes})


def files(directory):
    """name: content (bytes or text) of every file that a golden command line may name."""
    return {
        "vmlinuz": bzimage(),
        "uki.efi": portable_executable(".text", ".osrel", ".cmdline", ".linux"),
        "addon.efi": portable_executable(".text", ".cmdline"),
        "vmlinux": b"\x7fELF" + bytes(8 * KIB),
        "empty": b"",
        "initrd": initrd(),
        "initrd-252": initrd(252),
        "microcode": newc([("kernel/x86/microcode/AuthenticAMD.bin", b"ucode")]),
        "root.img": gpt(SWAP, ROOT),
        "usr.img": gpt(USR),
        "verity.img": verity(SWAP, ROOT, ROOT_VERITY),
        "verity-usr.img": verity(USR_VERITY, USR),
        "verity-both.img": verity(ROOT, ROOT_VERITY, USR, USR_VERITY),
        "verity-two.img": verity(ROOT, ROOT_VERITY, ROOT, ROOT_VERITY),
        "verity-alone.img": verity(ROOT_VERITY),
        "verity-sha512.img": verity(ROOT, ROOT_VERITY, algorithm=b"sha512"),
        "verity-none.img": verity(ROOT, ROOT_VERITY, signature=b""),
        "two-roots.img": gpt(ROOT, ROOT),
        "no-root.img": gpt(SWAP),
        "huge-table.img": gpt(ROOT, entries=2048),
        "no-table.img": bytes(64 * KIB),
        "disk.qcow2": qcow2_header(),
        "backed.qcow2": qcow2_header(backing="root.img"),
        "backed-qcow2.qcow2": qcow2_header(backing="disk.qcow2", backing_format="qcow2"),
        "backed-url.qcow2": qcow2_header(backing="nbd://evil.example/disk"),
        "backed-json.qcow2": qcow2_header(backing='json:{"driver":"file","filename":"secret"}'),
        "backed-loop.qcow2": qcow2_header(backing="backed-loop.qcow2", backing_format="qcow2"),
        "backed-broken.qcow2": qcow2_header(backing="\0"),
        "data-file.qcow2": qcow2_header(data="no-table.img"),
        "data-file-none.qcow2": qcow2_header(incompatible=4),
        "encrypted.qcow2": qcow2_header(crypt=2),
        "disk.vmdk": b"KDMV".ljust(64 * KIB, b"\0"),
        "short.img": b"QF",
        "OVMF.amdsev.fd": ovmf(),
        "OVMF.no-table.fd": ovmf(hash_table=None),
        "OVMF.no-metadata.fd": ovmf(metadata=False),
        "OVMF.tdx.fd": tdvf(),
        "OVMF.grub.fd": ovmf_with(portable_executable(".text")),
        "OVMF.grub-empty.fd": ovmf_with(b""),
        "OVMF.grub-none.fd": ovmf_with(portable_executable(".text"), str(uuid.UUID(int=1))),
        "OVMF.grub-elf.fd": ovmf_with(b"\x7fELF" + bytes(range(64))),
        "OVMF.grub-no-secret.fd": ovmf_with(portable_executable(".text"), secret=False),
        "OVMF.no-secret.fd": ovmf(secret=False),
        "OVMF.plain.fd": bytes(64 * KIB),
        "OVMF.odd.fd": bytes(1000),
        "OVMF_CODE.fd": bytes(64 * KIB),
        "OVMF_VARS.fd": bytes(64 * KIB),
        "amdsev.json": descriptor(f"{directory}/OVMF.amdsev.fd", ["amd-sev", "amd-sev-es", "amd-sev-snp"]),
        "plain.json": descriptor(f"{directory}/OVMF_CODE.fd", ["acpi-s3"], f"{directory}/OVMF_VARS.fd"),
        "descriptor.fd": descriptor(f"{directory}/secret-1M", [], f"{directory}/secret-1M"),
        "broken.json": '{"description": 1}',
        "firmware/qemu/firmware/40-broken.json": '{"description": ',
        "firmware/qemu/firmware/50-plain.json": descriptor(
            f"{directory}/OVMF_CODE.fd", ["acpi-s3"], f"{directory}/OVMF_VARS.fd"
        ),
        "firmware/qemu/firmware/55-secure.json": descriptor(
            f"{directory}/OVMF_CODE.fd", ["acpi-s3", "requires-smm", "secure-boot"], f"{directory}/OVMF_VARS.fd"
        ),
        "firmware/qemu/firmware/58-keys.json": descriptor(
            f"{directory}/OVMF_CODE.fd", ["enrolled-keys", "requires-smm", "secure-boot"], f"{directory}/OVMF_VARS.fd"
        ),
        "firmware/qemu/firmware/60-amdsev.json": descriptor(
            f"{directory}/OVMF.amdsev.fd", ["amd-sev", "amd-sev-es", "amd-sev-snp"]
        ),
        "firmware/qemu/firmware/70-tdx-keys.json": descriptor(
            f"{directory}/OVMF.tdx.fd", ["enrolled-keys", "intel-tdx", "secure-boot"]
        ),
        "host.json": host(),
        "host-tdx.json": host(**{"sev": False, "sev-es": False, "sev-snp": False, "tdx": True, "cbitpos": 0, "reduced-phys-bits": 0}),
        "host-tdx-quotes.json": host(**{"sev": False, "sev-es": False, "sev-snp": False, "tdx": True, "cbitpos": 0,
                                        "reduced-phys-bits": 0, "quote-socket": "/run/tdx-qgs/qgs.socket"}),
        "host-plain.json": host(**{"kvm": False, "kvm-reason": "this CPU reports neither SVM nor VMX", "sev": False,
                                   "sev-es": False, "sev-snp": False, "cbitpos": 0, "reduced-phys-bits": 0}),
        "host-bare.json": host(kvm=False, sev=False, cbitpos=0, qemu=None, swtpm=None, virtiofsd=None),
        "host-rome.json": host(**{"sev-snp": False}),
        "host-6.18.json": host(**{"snp-policy-bits": 0x1BFFFF}),
        "host-11.json": host(**{"monitor-object": True}),
        "host-vsock.json": host(vsock=True),
        "key.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhdW5jaGVyIGdvbGRlbiBrZXksIG5vdCBhIHJlYWwg user\n",
        "key": "-----BEGIN OPENSSH PRIVATE KEY-----\nsesame\n-----END OPENSSH PRIVATE KEY-----\n",
        "host-broken.json": '{"kvm": true, "sev": 1}',
        "host-garbage.json": "kvm: yes\n",
        "secret": b"sesame\0open",
        "secret-1M": b"x" * 1024 * KIB,
        "secret-over": b"x" * (1024 * KIB + 1),
        "host-data": bytes(range(32)),
        "owner-48": bytes(range(48)),
        "id-block": bytes(range(80)) + struct.pack("<IIQ", 1, 0, 0x30000),
        "id-auth": id_auth(),
        "id-auth-algorithm": id_auth(algorithm=3),
        "id-block-version": bytes(range(96)),
        "godh": bytes(i & 0xFF for i in range(2084)),
        "session": bytes(range(128)),
        "with,comma": b"",
        "directory/": None,
        "with:colon/": None,
        "debian/boot/vmlinuz-6.1.0-9-amd64": b"an older one",
        "debian/boot/vmlinuz-6.1.0-10-amd64": bzimage(),
        "debian/boot/initrd.img-6.1.0-9-amd64": b"an older one",
        "debian/boot/initrd.img-6.1.0-10-amd64": initrd(),
        "entry/boot/vmlinuz-9": b"has no entry",
        "entry/boot/m/6.9/linux": bzimage(),
        "entry/boot/m/6.9/initrd": initrd(),
        "entry/boot/loader/entries/m-6.8.conf": "linux /m/6.8/linux\n",
        "entry/boot/loader/entries/m-6.9.conf":
            "# comment\ntitle Test\nlinux /m/6.9/linux \n\tinitrd\t/m/6.9/initrd\r\noptions root=/dev/sda1 quiet\n",
        "uki/efi/EFI/Linux/test-1.efi": portable_executable(".text", ".osrel", ".cmdline", ".linux"),
        "uki/boot/vmlinuz-9": b"comes later",
        "linked/boot/vmlinuz-6": "/../../vmlinuz",  # a link
    }


def build(directory):
    for name, content in files(directory).items():
        path = directory / name
        if content is None:
            path.mkdir()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("linked/"):
            path.symlink_to(content)
            continue
        path.write_bytes(content.encode() if isinstance(content, str) else content)
