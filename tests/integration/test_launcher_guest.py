# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real guests under TCG, booted by the launcher as a user boots them. A boot takes seconds, so each proves several things."""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import shutil
import signal
import struct
import subprocess
import uuid
from pathlib import Path

import pytest
from conftest import descendants_of, name_of, skip_or_fail
from launcher_fake import newc, said

BOOT = 240  # seconds: a busy machine needs many, an idle one five to ten
SUMS = "cd /run/credentials/@system && sha256sum -- *"


def sums(text):
    """{name: sha256} of what `sha256sum` printed."""
    return {line[66:]: line[:64] for line in text.splitlines() if re.match(r"[0-9a-f]{64}  ", line)}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def user_credentials(result):
    return {name: digest for name, digest in sums(result.out).items() if "cvmspawn" not in name and "systemd." not in name}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- credentials -----------------------------------------------------------------------------------------------------------


def test_credentials_arrive_unchanged(cvmspawn, tmp_path):
    """Empty, with every byte value, with strange names, and as many as the guest holds: 256 pages less the four of --run."""
    wanted = {
        "empty": b"", "nuls": b"\0\0a\0", "bytes": bytes(range(256)), "a name, with = [blanks]": b"x", "n" * 250: b"long",
        **{f"many.{i}": f"value {i}".encode() for i in range(247)},
    }
    options = []
    for i, (name, value) in enumerate(wanted.items()):
        path = tmp_path / f"value-{i}"
        path.write_bytes(value)
        options.append(f"--load-credential={name}:{path}")
    result = cvmspawn.boot(*options, f"--run={SUMS}; exit 255", timeout=BOOT)
    assert result.status == 255
    assert user_credentials(result) == {name: sha256(value) for name, value in wanted.items()}
    assert result.leftovers == []


PROBE = """\
[Unit]
DefaultDependencies=no
SuccessAction=poweroff-immediate
FailureAction=reboot-immediate
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/sh -c '{}'
"""


def probe(path, command):
    """An initrd part with a unit that does `command` and powers off, to be started by rd.systemd.unit=probe.service."""
    path.write_bytes(newc({"etc/systemd/system/probe.service": PROBE.format(command).encode()}))
    return f"--initrd={path}"


def test_a_credential_of_1_mib(cvmspawn, tmp_path):
    """The largest that PID 1 takes, alone, after two initrds; nothing says a word about a guest that powers off."""
    value = os.urandom(1 << 20)
    (tmp_path / "value").write_bytes(value)
    result = cvmspawn.boot(
        probe(tmp_path / "probe", SUMS), f"--load-credential=large:{tmp_path / 'value'}", "--console=read-only",
        "rd.systemd.unit=probe.service", "quiet", timeout=BOOT,
    )
    assert result.status == 0
    assert f"{sha256(value)}  large" in result.out
    assert said(result) == []
    assert result.leftovers == []


def lz4_legacy(data):
    """Of nothing but literals: Linux lib/decompress_unlz4.c, LZ4 block format."""
    rest = len(data) - 15
    block = b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block


def zstd(data):
    """One raw block: RFC 8878."""
    return b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data)) + struct.pack("<I", len(data) << 3 | 1)[:3] + data


COMPRESSIONS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lz4": lz4_legacy,
    "zstd": zstd,
    "raw": lambda data: data,
}


def parts(directory):
    for i, (name, compress) in enumerate(COMPRESSIONS.items()):
        path = directory / f"part.{name}"
        # Sizes that leave every remainder by four.
        path.write_bytes(compress(newc({f"part-{name}": name.encode() * (10 + i)})))
        yield f"--initrd={path}"


def test_initrds_of_every_compression_are_merged(cvmspawn, tmp_path, initrd):
    """After them all the credential arrives."""
    result = cvmspawn.run(
        *cvmspawn.guest, *parts(tmp_path), "--set-credential=last:sesame",
        "--run=ls -d /part-*; cat /run/credentials/@system/last", timeout=BOOT,
    )
    assert result.out == "".join(f"/part-{name}\n" for name in sorted(COMPRESSIONS)) + "sesame"
    assert result.status == 0


@pytest.mark.full
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_each_compression_in_front(cvmspawn, tmp_path, kernel, initrd, qemu, name):
    front = tmp_path / "front"
    front.write_bytes(COMPRESSIONS[name](newc({"front": b"front of " + name.encode() * 5})))
    result = cvmspawn.run(
        f"--qemu={qemu}", "--kvm=no", f"--linux={kernel}", f"--initrd={front}", f"--initrd={initrd}",
        "--set-credential=last:sesame", "--run=cat /front /run/credentials/@system/last", timeout=BOOT,
    )
    assert result.out == "front of " + name * 5 + "sesame"


def test_an_initrd_that_is_not_systemds_gets_smbios_strings(cvmspawn, tmp_path, initrd, qemu, kernel):
    """One line says so, and the guest finds the strings."""
    if not shutil.which("zstd"):
        skip_or_fail("zstd is not installed: the guest's initrd cannot be taken apart")
    plain = subprocess.run(["zstd", "-dc", initrd], capture_output=True, check=True, timeout=60).stdout
    assert b"etc/initrd-release\0" in plain
    other = tmp_path / "other"
    script = (
        "#!/bin/sh\nmount -t proc proc /proc; mount -t sysfs sysfs /sys\n"
        "grep -a -o 'io.systemd.credential.binary:[^ ]*=' /sys/firmware/dmi/tables/DMI\n"
        "echo o >/proc/sysrq-trigger; sleep 60\n"
    )
    other.write_bytes(plain.replace(b"etc/initrd-release\0", b"etc/initrd-relax!e\0") + newc({"probe": script.encode()}))
    result = cvmspawn.run(
        f"--qemu={qemu}", "--kvm=no", f"--linux={kernel}", f"--initrd={other}", "--set-credential=foo:hello, SMBIOS",
        "--console=read-only", "rdinit=/probe", "quiet", timeout=BOOT,
    )
    assert said(result) == ["cvmspawn: the initrd has no etc/initrd-release: its PID 1 is not systemd and imports no "
                            "credentials; passing them as SMBIOS strings instead"]
    assert "io.systemd.credential.binary:foo=aGVsbG8sIFNNQklPUw==" in result.out
    assert result.status == 0


# --- commands --------------------------------------------------------------------------------------------------------------


def test_a_commands_streams_and_children(cvmspawn):
    """stdout and stderr byte for byte, an empty stdin, what it leaves running ended, its arguments and quotes untouched."""
    command = (
        "dd if=/dev/zero bs=1M count=3 2>/dev/null | tr '\\0' '%'; printf 'e%%r\\0\"$HOME\"' >&2; cat; "
        "sleep 1000 & \n exit 7"
    )
    result = cvmspawn.boot(f"--run={command}", "-q", timeout=BOOT)
    assert result.status == 7
    assert result.stdout == b"%" * (3 << 20)
    assert [line for line in result.stderr.splitlines() if b"QEMU runs as this user" not in line] == [b'e%r\0"$HOME"']
    assert result.leftovers == []


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        pytest.param("echo c >/proc/sysrq-trigger", "the guest's kernel panicked", id="panic"),
        pytest.param("modprobe pvpanic-pci; echo c >/proc/sysrq-trigger", "the guest's kernel panicked", id="pvpanic",
                     marks=pytest.mark.full),
        pytest.param("echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger",
                     "the guest reset (reboot or triple fault)", id="panic-reboots", marks=pytest.mark.full),
        pytest.param("reboot -f", "the guest reset (reboot or triple fault)", id="reboot", marks=pytest.mark.full),
        pytest.param("echo b >/proc/sysrq-trigger", "the guest reset (reboot or triple fault)", id="reset",
                     marks=pytest.mark.full),
    ],
)
def test_a_guest_that_does_not_end_well(cvmspawn, command, sentence):
    result = cvmspawn.boot(f"--run={command}; sleep 100", timeout=BOOT)
    assert result.status == 126
    assert f"cvmspawn: {sentence}" in result.err or "cvmspawn: the guest's kernel panicked" in result.err
    assert "last lines of the guest's console (" in result.err
    assert result.leftovers == []


@pytest.mark.full
def test_a_command_that_takes_too_long(cvmspawn):
    result = cvmspawn.boot("--run=echo begun; sleep 1000", "--timeout=60s", timeout=BOOT)
    assert (result.status, result.out) == (124, "begun\n")
    assert result.leftovers == []


@pytest.mark.full
def test_power_off_without_a_word_is_no_success(cvmspawn):
    result = cvmspawn.boot("--run=poweroff -ff; sleep 100", timeout=BOOT)
    assert result.status == 125
    assert "the guest powered off before the --run= command reported an exit status" in result.err


# --- disks and TPM ---------------------------------------------------------------------------------------------------------

ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")  # Discoverable Partitions Specification: x86-64 root
MIB = 1 << 20


def gpt_image(path, partition):
    """4 MiB with one root partition from sector 2048 on; no checksums, which only the launcher's reading needs not."""
    import binascii

    entry = ROOT.bytes_le + partition.bytes_le + struct.pack("<QQ", 2048, 4095) + bytes(8) + bytes(72)
    table = entry.ljust(128 * 128, b"\0")

    def header(own, other, entries):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, own, other, 34, 8158,
                           uuid.UUID(int=1).bytes_le, entries, 128, 128, binascii.crc32(table))
        return (head[:16] + struct.pack("<I", binascii.crc32(head)) + head[20:]).ljust(512, b"\0")

    mbr = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 8191) + bytes(48) + b"\x55\xaa"
    image = mbr + header(1, 8191, 2) + table
    image = image.ljust(4 * MIB - 33 * 512, b"\0") + table + header(8191, 1, 8159)
    path.write_bytes(image)


def qcow2_image(path, size):
    """An empty one: QEMU docs/interop/qcow2.txt, version 2."""
    cluster = 65536
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, 1, 3 * cluster, cluster, 1, 0, 0)
    refcounts = struct.pack(">4H", 1, 1, 1, 1)
    image = head.ljust(cluster, b"\0") + struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    path.write_bytes(image + refcounts.ljust(cluster, b"\0") + bytes(cluster))


DISK = "modprobe virtio_blk; i=0; until [ -b /dev/vda ]; do sleep 0.1; i=$((i+1)); [ $i -lt 100 ] || exit 99; done; "


def test_a_disk_keeps_what_the_guest_writes_and_a_tpm_is_there(cvmspawn, tmp_path):
    """The root partition is found by its type; the TPM's state is in no file, where none is wanted."""
    if not shutil.which("swtpm"):
        skip_or_fail("swtpm is not installed")
    image, partition = tmp_path / "disk.img", uuid.uuid4()
    gpt_image(image, partition)
    run = cvmspawn.start_guest(
        f"--image={image}", "--tpm=yes", "--tpm-state=off",
        "--run=" + DISK + "cat /proc/cmdline; echo written >/dev/vda1; sync; cat /sys/class/tpm/tpm0/tpm_version_major; "
        "test -c /dev/tpm0 && echo tpm0; blockdev --getsize64 /dev/vda",
    )
    run.qemu_pid(timeout=30)
    (swtpm,) = [pid for pid in descendants_of(run.pid) if name_of(pid) == "swtpm"]
    assert "memfd:" in " ".join(os.readlink(fd) for fd in Path(f"/proc/{swtpm}/fd").iterdir())
    result = run.wait(BOOT)
    assert result.status == 0, result.err
    assert result.out.splitlines() == [f"console=ttyS0 root=PARTUUID={partition}", "2", "tpm0", str(4 * MIB)]
    assert image.read_bytes()[2048 * 512 :].startswith(b"written\n")
    assert not alive(swtpm)
    assert result.leftovers == []
    assert sorted(os.listdir(tmp_path)) == ["disk.img", "run-1"]


def test_an_ephemeral_disk_keeps_nothing(cvmspawn, tmp_path):
    """A qcow2 image, said to be one; the guest sees what it writes, the file does not."""
    image = tmp_path / "disk.qcow2"
    qcow2_image(image, 8 * MIB)
    image.chmod(0o444)
    before = image.read_bytes()
    result = cvmspawn.boot(
        f"--image={image}", "--image-format=qcow2", "-x", "--tpm=no", "root=/dev/vda",
        "--run=" + DISK + "echo written >/dev/vda; sync; echo 3 >/proc/sys/vm/drop_caches; "
        "dd if=/dev/vda bs=8 count=1 2>/dev/null; blockdev --getsize64 /dev/vda", timeout=BOOT,
    )
    assert (result.status, result.out) == (0, f"written\n{8 * MIB}\n"), result.err
    assert image.read_bytes() == before
    assert result.leftovers == []
    assert sorted(os.listdir(tmp_path)) == ["disk.qcow2", "run-1"]


@pytest.mark.full
@pytest.mark.parametrize(("kind", "ephemeral"), [("raw", True), ("qcow2", False)])
def test_the_other_disks(cvmspawn, tmp_path, kind, ephemeral):
    image = tmp_path / "disk"
    if kind == "raw":
        image.write_bytes(bytes(8 * MIB))
    else:
        qcow2_image(image, 8 * MIB)
    before = image.read_bytes()
    result = cvmspawn.boot(
        f"--image={image}", f"--image-format={kind}", *(["-x"] if ephemeral else []), "root=/dev/vda",
        "--run=" + DISK + "echo written >/dev/vda; sync", timeout=BOOT,
    )
    assert result.status == 0, result.err
    assert (image.read_bytes() == before) == ephemeral
    assert (b"written\n" in image.read_bytes()) != ephemeral


def test_a_guest_does_not_choose_how_the_host_opens_its_disk(cvmspawn, tmp_path):
    """A guest makes a qcow2 of its raw disk whose data are in a file of the host: the next launch does not open that file."""
    image, header, secret = tmp_path / "disk", tmp_path / "header", tmp_path / "secret"
    image.write_bytes(bytes(8 * MIB))
    secret.write_text("a secret of the host")
    name = str(secret).encode()
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, MIB, 0, 1, 3 << 16, 1 << 16, 1, 0, 0, 4, 0, 0, 4, 104)
    header.write_bytes(head + struct.pack(">II", 0x44415441, len(name)) + name)
    launch = (f"--image={image}", "root=/dev/vda", f"--load-credential=header:{header}")
    first = cvmspawn.boot(*launch, "--run=" + DISK + "cat /run/credentials/@system/header >/dev/vda; sync", timeout=BOOT)
    assert first.status == 0, first.err
    assert image.read_bytes().startswith(b"QFI\xfb")

    again = cvmspawn.boot(*launch, "--run=true", timeout=30)
    assert again.status == 125 and "begins with the signature of a qcow2 image" in again.err
    told = cvmspawn.boot(*launch, "--image-format=qcow2", "--run=true", timeout=30)
    assert told.status == 125 and "has an external data file" in told.err
    raw = cvmspawn.boot(*launch, "--image-format=raw", "--run=" + DISK + "head -c 3 /dev/vda", timeout=BOOT)
    assert (raw.status, raw.out) == (0, "QFI"), raw.err
    assert "it is opened as raw" in raw.err and secret.read_text() == "a secret of the host"


# --- consoles, signals, killing --------------------------------------------------------------------------------------------


def test_the_power_button(cvmspawn):
    """A guest without --run answers the first signal by powering off; its console is a virtio one here."""
    run = cvmspawn.start_guest("--console=read-only", "--console-transport=virtio", "--tpm=no",
                               "systemd.log_target=console", "systemd.show_status=yes")
    run.wait_for(lambda: re.search(rb"Started [^\n]*systemd-logind", run.output()), BOOT, "logind did not start")
    run.wait_for_output(b"Power Button", timeout=BOOT)
    run.signal(signal.SIGTERM)
    result = run.wait(60)
    assert result.status == 0, result.out[-2000:]
    assert said(result) == ["cvmspawn: asking the guest to power off; send the signal again to end it at once"]
    assert result.leftovers == []


@pytest.mark.parametrize("phase", ["qemu", "running"])
def test_a_killed_launcher_leaves_nothing(cvmspawn, tmp_path, phase):
    """SIGKILL: QEMU and swtpm go with it, whatever they were doing."""
    if not shutil.which("swtpm"):
        skip_or_fail("swtpm is not installed")
    marker = f"marker-{uuid.uuid4()}"
    run = cvmspawn.start_guest("--tpm=yes", "--status-fd=1", "-M", marker, f"--run=sleep 1000 # {marker}")
    run.qemu_pid(timeout=30)
    if phase == "running":
        run.wait_for_output(b'"started"', timeout=60)
    family = list(descendants_of(run.pid))
    assert {"swtpm"} < {name_of(pid) for pid in family}
    run.signal(signal.SIGKILL)
    result = run.wait(30)
    assert result.status == -signal.SIGKILL
    assert [name_of(pid) for pid in family if alive(pid)] == []
    assert result.leftovers == []
    assert [pid for pid in os.listdir("/proc") if pid.isdigit() and marker in cmdline(pid)] == []


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_a_killed_qemu_is_a_failure(cvmspawn):
    run = cvmspawn.start_guest("--status-fd=1", "--tpm=no", "--run=sleep 1000")
    qemu = run.qemu_pid(timeout=30)
    run.wait_for_output(b'"started"', timeout=60)
    os.kill(qemu, signal.SIGKILL)
    result = run.wait(30)
    assert result.status == 125
    assert "cvmspawn: QEMU was killed" in result.err
    assert '"source":"qemu"' in result.out
    assert result.leftovers == []


@pytest.mark.full
@pytest.mark.parametrize("phase", ["qemu", "running", "command"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_at_each_phase_of_a_real_launch(cvmspawn, phase, number):
    run = cvmspawn.start_guest("--status-fd=2", "--run=echo begun; sleep 1000")
    run.qemu_pid(timeout=30)
    if phase == "running":
        run.wait_for_output(b'"started"', "stderr", timeout=60)
    if phase == "command":
        run.wait_for_output(b"begun", timeout=BOOT)
    run.signal(number)
    result = run.wait(30)
    assert result.status == 128 + number
    assert result.leftovers == []


def test_nothing_is_left_in_the_usual_places(cvmspawn, tmp_path):
    """Neither in the working directory nor in /tmp, /run, /dev/shm, whatever TMPDIR says."""
    places = [Path(place) for place in ("/tmp", "/var/tmp", "/run", "/dev/shm") if os.access(place, os.R_OK)]
    marker = f"cvmspawn-{uuid.uuid4()}"
    before = {place: {entry.name for entry in place.iterdir()} for place in places}
    run = cvmspawn.start_guest("-M", marker, "--status-fd=1", "--set-credential=a:b", "--tpm=no", "--run=sleep 1000")
    run.wait_for_output(b'"started"', timeout=60)
    new = [place / name for place in places for name in {entry.name for entry in place.iterdir()} - before[place]]
    run.signal(signal.SIGTERM)
    result = run.wait(30)
    assert result.status == 143
    # Others use these places at the same time: what could be ours is what names us or our QEMU. cvmspawn-sevsim.* is a simulated
    # host of another test: this launch has none.
    ours = re.compile(r"cvmspawn-(?!sevsim\.)|(?<!c)vmspawn|qemu|swtpm|initrd")
    assert [path for path in new if ours.search(path.name)] == []
    assert result.leftovers == []


@pytest.mark.full
@pytest.mark.parametrize("transport", ["smbios", "fw_cfg", "cmdline"])
def test_the_other_transports(cvmspawn, tmp_path, transport):
    """PID 1 imports from there too, and nothing is appended to the initrd."""
    result = cvmspawn.boot(
        probe(tmp_path / "probe", SUMS), "--set-credential=a:sesame\\x00", f"--credential-transport={transport}",
        "--tpm=no", "--console=read-only", "rd.systemd.unit=probe.service", "quiet", timeout=BOOT,
    )
    assert result.status == 0, result.err
    assert f"{sha256(b'sesame' + bytes(1))}  a" in result.out
    assert ("are not secret" in result.err) == (transport == "cmdline")
