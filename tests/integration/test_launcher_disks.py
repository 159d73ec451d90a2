# SPDX-License-Identifier: LGPL-2.1-or-later
"""Further disks and published ports, in real guests under TCG."""

import socket
import subprocess
import time

import pytest
from conftest import build_folder, skip_or_fail

MIB = 1 << 20
BOOT = 240  # seconds: a busy machine needs many, an idle one five to ten
LONG = "a-very-very-long-file-name-of-a-disk.raw"


def wait_for(what):
    return f"i=0; until {what}; do sleep 0.1; i=$((i+1)); [ $i -lt 200 ] || exit 99; done; "


def raw(path, size=8 * MIB):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def test_disks_of_every_type(cvmspawn, tmp_path):
    """Each is found by its serial, holds what the guest writes, and a CD refuses that."""
    image, blk, nvme, scsi, cd = (raw(tmp_path / name) for name in ("image.raw", "blk.raw", LONG, "scsi.raw", "cd.iso"))
    cd.write_bytes(b"on the CD".ljust(4 * MIB, b"\0"))
    script = (
        "modprobe -a virtio_blk virtio_scsi sd_mod; "
        + wait_for("[ -b /dev/vdb ] && [ -b /dev/nvme0n1 ] && [ -b /dev/sda ]")
        + "cat /sys/block/vda/serial; echo; cat /sys/block/vdb/serial; echo; cat /sys/block/nvme0n1/device/serial; "
        "cat /sys/block/vda/size; "
        "for d in vda vdb nvme0n1 sda; do echo disk-$d >/dev/$d; done; sync; "
        "grep -h . /sys/bus/scsi/devices/*:*/type | sort; "
        "grep -l sda /proc/partitions >/dev/null && head -c 0 /dev/sda"
    )
    result = cvmspawn.boot(
        f"--image={image}", "--grow-image=12M", f"--extra-drive={blk}", f"--extra-drive=nvme:{nvme}",
        f"--extra-drive=raw:virtio-scsi:{scsi}", f"--extra-drive=scsi-cd:{cd}", "root=tmpfs", "--run=" + script, timeout=BOOT,
    )
    assert (result.status, result.leftovers) == (0, []), result.err
    lines = [line.strip() for line in result.out.splitlines() if line.strip()]
    assert lines[:3] == ["image.raw", "blk.raw", "a-very-very-06f099c2"]
    assert lines[3:] == [str(12 * MIB // 512), "0", "5"]  # SCSI types: disk, CD
    for path, name in (image, "vda"), (blk, "vdb"), (nvme, "nvme0n1"), (scsi, "sda"):
        assert path.read_bytes().startswith(f"disk-{name}\n".encode())
    assert image.stat().st_size == 12 * MIB and cd.read_bytes().startswith(b"on the CD")


@pytest.mark.full
def test_a_scsi_image_beside_others(cvmspawn, tmp_path):
    """--image-disk-type= is the default of extra drives too; without discards nothing is unmapped."""
    image, extra = tmp_path / "image.raw", tmp_path / "extra.raw"
    for path in image, extra:
        path.write_bytes(b"\x5a" * (4 * MIB))
    script = (
        "modprobe -a virtio_scsi sd_mod virtio_blk; " + wait_for("[ -b /dev/sda ] && [ -b /dev/vda ]")
        + "blkdiscard -f /dev/vda; head -c 1 /dev/sda"
    )
    allocated = extra.stat().st_blocks
    result = cvmspawn.boot(
        f"--image={image}", "--image-disk-type=virtio-scsi", f"--extra-drive=virtio-blk:{extra}", "--discard-disk=no",
        "root=tmpfs", "--run=" + script, timeout=BOOT,
    )
    assert (result.status, result.out, result.leftovers) == (0, "Z", []), result.err
    assert extra.stat().st_blocks == allocated

    result = cvmspawn.boot(
        f"--image={image}", "--image-disk-type=virtio-scsi", f"--extra-drive=virtio-blk:{extra}", "root=tmpfs",
        "--run=" + script, timeout=BOOT,
    )
    assert (result.status, result.out) == (0, "Z"), result.err
    assert extra.stat().st_blocks < allocated


@pytest.mark.full
def test_an_image_in_use(cvmspawn, tmp_path):
    """A second guest does not get a disk that the first one writes to."""
    disk = raw(tmp_path / "disk.raw")
    first = cvmspawn.start_guest(f"--extra-drive={disk}", "--run=echo up; sleep 600")
    first.wait_for_output(b"up", timeout=BOOT)
    second = cvmspawn.boot(f"--extra-drive={disk}", "--run=true", timeout=60)
    assert (second.status, second.leftovers) == (125, [])
    assert f"--extra-drive: '{disk}' is in use, perhaps by another guest" in second.err
    grown = cvmspawn.boot(f"--image={disk}", "--grow-image=12M", "root=tmpfs", "--run=true", timeout=60)
    assert grown.status == 125 and f"'{disk}' is in use, perhaps by another guest" in grown.err
    assert disk.stat().st_size == 8 * MIB
    first.signal()
    assert first.wait(60).leftovers == []


def test_a_block_device(cvmspawn, tmp_path):
    disk = raw(tmp_path / "disk.raw")
    loop = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True, check=False)
    if loop.returncode != 0:
        pytest.skip(f"no loop device here: {loop.stderr.strip()}")
    device = loop.stdout.strip()
    try:
        result = cvmspawn.boot(
            f"--extra-drive={device}", timeout=BOOT,
            *["--run=modprobe virtio_blk; " + wait_for("[ -b /dev/vda ]") + "echo through the device >/dev/vda; sync"],
        )
        refused = cvmspawn.boot(f"--extra-drive=qcow2:{device}", "--run=true", timeout=60)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
    assert result.status == 0, result.err
    assert disk.read_bytes().startswith(b"through the device\n")
    assert refused.status == 125 and "only a regular file can be a qcow2 image" in refused.err


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def echo(port):
    """The guest's answer, or nothing: QEMU accepts for a guest that does not listen yet, and closes."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(20)
            s.sendall(b"hello, guest")
            return s.recv(100)
    except OSError:
        return b""


def test_a_published_port(cvmspawn):
    program = build_folder() / "tests/lib/guest-echo"
    if not program.exists():
        skip_or_fail("guest-echo is not built: it needs a static libc")
    port = free_port()
    run = cvmspawn.start_guest(
        "--network-user-mode", f"--publish={port}:7", f"--load-credential=echo:{program}",
        "--run=modprobe virtio_net; cp /run/credentials/@system/echo /run/echo; chmod +x /run/echo; "
        + wait_for("ls /sys/class/net | grep -q '^e'")
        + "mount -o remount,exec /run; /run/echo $(ls /sys/class/net | grep '^e') 7",
    )
    run.wait_for_output(b"listening", timeout=BOOT)
    deadline = time.monotonic() + 60
    while (answer := echo(port)) == b"" and time.monotonic() < deadline and run.process.poll() is None:
        time.sleep(0.2)
    result = run.wait(60)
    assert answer == b"hello, guest", result.err
    assert (result.status, result.leftovers) == (0, []), result.err


def test_a_port_in_use(cvmspawn):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        result = cvmspawn.boot("--network-user-mode", f"--publish={port}:22", "--run=true", timeout=60)
    assert (result.status, result.leftovers) == (125, [])
    assert "cannot open a published port of this host: another program uses it" in result.err
