# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which files of the host a disk image gets: those that the command line names, and no others."""

import shutil
import struct
import subprocess

import pytest
from conftest import skip_or_fail
from launcher_fake import Fake, said, small_initrd  # noqa: F401
from test_launcher_disks import wait_for

CLUSTER = 65536
SIZE = 16 * CLUSTER
BOOT = 240
DISK = "modprobe virtio_blk; " + wait_for("[ -b /dev/vda ]")


@pytest.fixture
def fake(cvmspawn, tmp_path, kernel):
    return Fake(cvmspawn, tmp_path, kernel)


def qcow2(path, backing=None, backing_format="raw", data=None):
    """An empty image of version 3 (QEMU docs/interop/qcow2.txt): header, refcount table, refcount block, L1 table, each a cluster."""
    extensions = b""
    for kind, text in (0xE2792ACA, backing and backing_format), (0x44415441, data):
        if text:
            extensions += struct.pack(">II", kind, len(text)) + text.encode().ljust(-(-len(text) // 8) * 8, b"\0")
    extensions += bytes(8)
    name = (backing or "").encode()
    head = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 104 + len(extensions) if backing else 0, len(name), 16, SIZE, 0,
        1, 3 * CLUSTER, CLUSTER, 1, 0, 0, 4 if data else 0, 0, 0, 4, 104,
    )  # fmt: skip
    image = bytearray(4 * CLUSTER)
    image[: len(head) + len(extensions) + len(name)] = head + extensions + name
    struct.pack_into(">Q", image, CLUSTER, 2 * CLUSTER)
    struct.pack_into(">4H", image, 2 * CLUSTER, 1, 1, 1, 1)
    path.write_bytes(image)
    return path


def test_files_that_the_command_line_names(cvmspawn, tmp_path):
    """A chain of backing files is read, a data file is written, and what the headers name otherwise changes nothing."""
    base, middle = tmp_path / "base.raw", qcow2(tmp_path / "middle.qcow2", "base.raw")
    base.write_bytes(b"from the base".ljust(SIZE, b"\0"))
    data = tmp_path / "data.raw"
    data.write_bytes(bytes(SIZE))
    top = qcow2(tmp_path / "top.qcow2", str(middle), "qcow2")
    outside = qcow2(tmp_path / "outside.qcow2", data="data.raw")
    before = middle.read_bytes()
    result = cvmspawn.boot(
        f"--image={top}", "--image-format=qcow2", f"--extra-drive=qcow2:{outside}", f"--backing-file=qcow2:{middle}",
        f"--backing-file={base}", f"--data-file={data}", "root=tmpfs", timeout=BOOT,
        *["--run=" + DISK + wait_for("[ -b /dev/vdb ]") + "head -c 13 /dev/vda; echo top >/dev/vda; echo data >/dev/vdb; sync"],
    )
    assert (result.status, result.out, result.leftovers) == (0, "from the base", []), result.err
    assert base.read_bytes().startswith(b"from the base") and middle.read_bytes() == before
    assert b"top\n" in top.read_bytes() and data.read_bytes().startswith(b"data\n")

    again = cvmspawn.boot(
        f"--image={top}", "--image-format=qcow2", "--ephemeral", f"--backing-file=qcow2:{middle}", f"--backing-file={base}",
        "root=tmpfs", "--run=" + DISK + "head -c 3 /dev/vda; echo gone >/dev/vda; sync", timeout=BOOT,
    )
    assert (again.status, again.out) == (0, "top"), again.err
    assert b"gone" not in top.read_bytes()


@pytest.mark.parametrize("form", ["vmdk", *(pytest.param(form, marks=pytest.mark.full) for form in ("vhdx", "vdi", "vpc"))])
def test_other_formats_are_read_only(cvmspawn, tmp_path, form):
    """The guest sees the disk in the image and writes elsewhere; without --ephemeral it is not started."""
    raw = tmp_path / "disk"
    raw.write_bytes(b"inside".ljust(8 << 20, b"\0"))
    image = made(raw, form)
    before = image.read_bytes()
    options = [f"--image={image}", f"--image-format={form}", "root=tmpfs"]
    result = cvmspawn.boot(*options, "--ephemeral", "--run=" + DISK + "head -c 6 /dev/vda; echo gone >/dev/vda; sync; head -c 4 /dev/vda", timeout=BOOT)
    assert (result.status, result.out, result.leftovers) == (0, "insidegone", []), result.err
    assert image.read_bytes() == before
    refused = cvmspawn.boot(*options, "--run=true")
    assert refused.status == 125 and f"guests cannot write to {form} images: add --ephemeral" in refused.err


def made(raw, form, *options):
    if not shutil.which("qemu-img"):
        skip_or_fail("qemu-img is not installed")
    image = raw.with_suffix(f".{form}")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, raw, image], check=True, timeout=60)
    return image


def test_images_that_name_other_files(fake, small_initrd, tmp_path):  # noqa: F811
    """QEMU would open what a VMDK lists, and takes the changes to another disk for a whole one."""
    raw = tmp_path / "disk"
    raw.write_bytes(bytes(2 << 20))
    flat = made(raw, "vmdk", "-o", "subformat=monolithicFlat").rename(tmp_path / "flat.vmdk")
    away = tmp_path / "away.vmdk"
    away.write_bytes((struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20).ljust(512, b"\0") + flat.read_bytes()).ljust(1 << 20, b"\0"))
    base = made(raw, "vmdk").rename(tmp_path / "base.vmdk")
    over = tmp_path / "over.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", over], check=True, timeout=60)
    nameless = tmp_path / "nameless.vmdk"
    nameless.write_bytes(over.read_bytes().replace(b"parentFileNameHint", b"nothingnothingnoth"))
    changes = made(raw, "vpc", "-o", "subformat=fixed")
    footer = bytearray(changes.read_bytes())
    footer[-512 + 60 : -512 + 64] = struct.pack(">I", 4)
    changes.write_bytes(footer)
    raw_as_vpc = tmp_path / "raw.vhd"
    raw_as_vpc.write_bytes(bytes(1 << 20))
    for image, form, why in (
        (flat, "vmdk", "is not a VMDK image of one file"), (away, "vmdk", "is not a VMDK image of one file"), (raw, "vmdk", "is not a VMDK image of one file"),
        (over, "vmdk", "has only the changes to another VMDK image"), (nameless, "vmdk", "has only the changes to another VMDK image"),
        (changes, "vpc", "is not a VHD image that stands alone"), (raw_as_vpc, "vpc", "is not a VHD image that stands alone"),
    ):  # fmt: skip
        result = fake.run("", f"--image={image}", f"--image-format={form}", f"--initrd={small_initrd}", "--ephemeral", "root=tmpfs")
        assert result.status == 125 and why in result.err, (image, result.err)
    unsaid = fake.run("", f"--image={base}", f"--initrd={small_initrd}", "--ephemeral", "root=tmpfs")
    assert unsaid.status == 125 and "--image-format=vmdk only if it was made as vmdk" in unsaid.err


SWAPS = {
    "backing": "has a backing file, '/etc/passwd'",
    "data": "has an external data file, '/etc/passwd'",
    "raw": "is not a qcow2 image",
    "pipe": "is neither a regular file nor a block device",
    "directory": "is a directory",
}


@pytest.mark.parametrize("kind", SWAPS)
def test_a_file_swapped_between_look_and_launch(fake, small_initrd, tmp_path, kind):  # noqa: F811
    """QEMU is there already when somebody puts another file in the place of the image: it gets nothing."""
    image, other = qcow2(tmp_path / "disk.qcow2"), tmp_path / "other"
    if kind == "pipe":
        make = f"os.mkfifo({str(other)!r})"
    elif kind == "directory":
        make = f"os.unlink({str(image)!r}); os.mkdir({str(other)!r})"
    else:
        qcow2(other, **({} if kind == "raw" else {kind: "/etc/passwd"}))
        if kind == "raw":
            other.write_bytes(bytes(SIZE))
        make = "pass"
    scenario = f"""
        {make}
        os.rename({str(other)!r}, {str(image)!r})
        vm.greet()
        vm.answer_until("query-version")
        if line := vm.lines.readline():
            open({str(tmp_path / "told")!r}, "w").write(line)
    """
    result = fake.run(scenario, f"--image={image}", "--image-format=qcow2", f"--initrd={small_initrd}", "--ephemeral", "root=tmpfs")
    assert (result.status, result.leftovers) == (125, []), result.err
    assert SWAPS[kind] in result.err and len(said(result)) == 1
    assert not (tmp_path / "told").exists()


def test_a_backing_file_swapped_between_look_and_launch(fake, small_initrd, tmp_path):  # noqa: F811
    """The file that was allowed by name names a further one by now."""
    middle, evil = qcow2(tmp_path / "middle.qcow2"), qcow2(tmp_path / "evil", "/etc/passwd")
    image = qcow2(tmp_path / "disk.qcow2", "middle.qcow2", "qcow2")
    scenario = f"""
        os.rename({str(evil)!r}, {str(middle)!r})
        vm.greet()
        vm.answer_until("cont")
    """
    result = fake.run(scenario, f"--image={image}", "--image-format=qcow2", f"--backing-file=qcow2:{middle}",
                      f"--initrd={small_initrd}", "root=tmpfs")
    assert (result.status, result.leftovers) == (125, []), result.err
    assert "--backing-file: '" in result.err and "has a backing file, '/etc/passwd'" in result.err
