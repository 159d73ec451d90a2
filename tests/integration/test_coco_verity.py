# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks of confidential guests: the root hash that cvmspawn assembles from a verity partition pair is the one that veritysetup
computed, it is in the measured words, and the guest opens the disk with it and notices a changed block."""

import json
import os
import shutil
import struct
import subprocess
import uuid
import zlib

import pytest
import sevsim_model as model
from sevsim_host import build_folder, skip_or_fail

SECTOR = 512
DATA_LBA, HASH_LBA, LAST_LBA = 2048, 6144, 8192  # of a 2 MiB data and a 1 MiB hash partition
ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
ROOT_VERITY = uuid.UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
USR = uuid.UUID("8484680c-9521-48c6-9c11-b0720656f69e")
USR_VERITY = uuid.UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6")
MARKER = b"what nobody can change unseen"


def partition_table(partitions, sectors):
    """Protective MBR and primary GPT with their checksums (UEFI specification, 5.2 and 5.3): (type, id, first, last)."""
    entries = b"".join(
        kind.bytes_le + own.bytes_le + struct.pack("<QQQ", first, last, 0) + bytes(72)
        for kind, own, first, last in partitions
    ).ljust(128 * 128, b"\0")

    def header(crc):
        return (b"EFI PART" + struct.pack("<IIIIQQQQ", 0x10000, 92, crc, 0, 1, sectors - 1, 34, sectors - 34)
                + uuid.UUID(int=7).bytes_le + struct.pack("<QIII", 2, 128, 128, zlib.crc32(entries)))

    mbr = bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1) + bytes(48)
    return mbr + b"\x55\xaa" + header(zlib.crc32(header(0))).ljust(SECTOR, b"\0") + entries


def make_image(folder, types=(ROOT, ROOT_VERITY), algorithm="sha256"):
    """An image with a verity pair, and its root hash as veritysetup says it."""
    tool = shutil.which("veritysetup", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not tool:
        skip_or_fail("veritysetup is not here: install cryptsetup-bin")
    data, tree = folder / "data", folder / "tree"
    data.write_bytes(MARKER.ljust(4096, b"\n") + b"".join(bytes([i & 0xFF]) * 4096 for i in range(511)))
    done = subprocess.run([tool, "format", f"--hash={algorithm}", "--salt=" + "5a" * 32, data, tree], capture_output=True,
                          text=True, check=True)
    root_hash = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Root hash"))
    ids = uuid.UUID(root_hash[:32]), uuid.UUID(root_hash[32:64])
    sectors = LAST_LBA + 2048
    image = bytearray(sectors * SECTOR)
    table = partition_table([(types[0], ids[0], DATA_LBA, HASH_LBA - 1), (types[1], ids[1], HASH_LBA, LAST_LBA - 1)],
                            sectors)
    image[: len(table)] = table
    for lba, path in ((DATA_LBA, data), (HASH_LBA, tree)):
        content = path.read_bytes()
        image[lba * SECTOR : lba * SECTOR + len(content)] = content
    path = folder / "disk.img"
    path.write_bytes(image)
    return path, root_hash


@pytest.fixture
def spawn(tmp_path):
    """cvmspawn with synthetic firmware and kernel; returns what --print=argv,digest says."""
    files = {"firmware.fd": model.make_firmware(seed=41), "kernel": model.make_kernel(seed=42)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    caps = tmp_path / "host.json"
    caps.write_text(json.dumps({"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51,
                                "reduced-phys-bits": 1, "qemu": "/usr/bin/qemu-system-x86_64"}))

    def run(*options, status=0):
        argv = [build_folder() / "programs/cvmspawn", f"--firmware={tmp_path / 'firmware.fd'}",
                f"--linux={tmp_path / 'kernel'}", "--coco=sev-snp", f"--host-caps={caps}",
                "--print=argv,digest", "--json=short", *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout) if status == 0 else done.stderr

    run.files = files
    return run


def words_of(answer):
    return answer["argv"][answer["argv"].index("-append") + 1]


@pytest.mark.parametrize("types, word", [((ROOT, ROOT_VERITY), "roothash"), ((USR, USR_VERITY), "usrhash")])
def test_root_hash_is_measured(spawn, tmp_path, types, word):
    image, root_hash = make_image(tmp_path, types)
    answer = spawn(f"--image={image}", "--", "quiet")
    assert words_of(answer) == f"console=ttyS0 quiet {word}={root_hash}"
    assert answer["digest"]["digest"] == model.snp_digest(
        spawn.files["firmware.fd"], 1, "EPYC-v4", kernel=spawn.files["kernel"], initrd=None, words=words_of(answer))
    assert spawn(f"--image={image}", "--", "quiet")["digest"] != spawn("--", "quiet")["digest"]


def test_measure_agrees(spawn, tmp_path):
    image, _ = make_image(tmp_path)
    answer = spawn(f"--image={image}")
    argv = [build_folder() / "programs/cvmspawn", "measure", "--coco=sev-snp", f"--firmware={tmp_path / 'firmware.fd'}",
            f"--linux={tmp_path / 'kernel'}", f"--image={image}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert answer["digest"]["digest"] in done.stdout and done.stderr == ""


def test_measure_names_a_disk_that_is_not_covered(spawn, tmp_path):
    """What a launch refuses is measured, with the same sentence as a warning."""
    image = tmp_path / "plain.img"
    image.write_bytes(bytes(1 << 20))
    argv = [build_folder() / "programs/cvmspawn", "measure", "--coco=sev-snp", f"--firmware={tmp_path / 'firmware.fd'}",
            f"--linux={tmp_path / 'kernel'}", f"--image={image}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    refused = spawn(f"--image={image}", status=125)
    sentence = refused.removeprefix("cvmspawn: ").strip()
    assert "the launch digest does not cover" in sentence and sentence in done.stderr


def test_another_disk_has_another_digest(spawn, tmp_path):
    image, _ = make_image(tmp_path)
    first = spawn(f"--image={image}")["digest"]["digest"]
    content = bytearray(image.read_bytes())
    # Another root hash: one digit of the data partition's GUID.
    content[2 * SECTOR + 16] ^= 1
    table = bytes(content[2 * SECTOR : 34 * SECTOR])
    content[SECTOR + 88 : SECTOR + 92] = struct.pack("<I", zlib.crc32(table))
    image.write_bytes(content)
    assert spawn(f"--image={image}")["digest"]["digest"] != first


def test_long_hashes_are_refused(spawn, tmp_path):
    image, _ = make_image(tmp_path, algorithm="sha512")
    assert "not hashed with sha256" in spawn(f"--image={image}", status=125)


# With --run= nothing but the command starts, so the command brings up what a whole boot would.
OPEN = ("cat /proc/cmdline; modprobe virtio_blk; modprobe dm-verity; systemctl start systemd-udevd; udevadm trigger --settle; "
        "timeout 60 systemctl start systemd-veritysetup@root.service || exit 7; "
        "head -c 29 /dev/mapper/root || exit 8; echo; dd if=/dev/mapper/root of=/dev/null bs=4096 || exit 9")


def boot(cvmspawn, firmware, image):
    return cvmspawn.boot("--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--image={image}", "--ephemeral",
                         f"--run={OPEN}", timeout=180)


@pytest.mark.full
def test_the_guest_opens_the_disk(cvmspawn, firmware, tmp_path):
    """The simulated guest: real firmware, real initrd; systemd-veritysetup finds both partitions by the measured word."""
    image, root_hash = make_image(tmp_path)
    result = boot(cvmspawn, firmware, image)
    assert result.status == 0, result.err
    assert f"roothash={root_hash}" in result.out and MARKER.decode() in result.out
    assert "does not cover" not in result.err


@pytest.mark.full
def test_the_guest_notices_a_changed_block(cvmspawn, firmware, tmp_path):
    image, _ = make_image(tmp_path)
    content = bytearray(image.read_bytes())
    content[DATA_LBA * SECTOR + 100 * 4096] ^= 1
    image.write_bytes(content)
    result = boot(cvmspawn, firmware, image)
    assert MARKER.decode() in result.out and result.status == 9, result.err
