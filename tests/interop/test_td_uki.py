# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unified kernel images made by ukify with the stubs of Debian, started as a TD under TCG, where a plug-in plays the TDX module (simulation): what
`cvmspawn measure --mode=tdx` predicts of RTMR0 to RTMR2 is what firmware, stub and kernel extend, event by event, by -kernel and from a disk."""

import os
import struct
import subprocess
import sys

import pytest
import td_guest
from conftest import BUILD, cache_folder, private_apt, skip_or_fail
from td_guest import TdGuest
from test_td_guest import PROFILES, fixture_firmware, fixture_images, fixture_kernel, fixture_qemu  # noqa: F401

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 600
OSREL = "ID=test\nVERSION_ID=1\n"
WORDS = "console=ttyS0 quiet"


def unpacked(suite, *packages):
    folder = cache_folder("peers") / f"{packages[0]}-{suite}"
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        private_apt(suite, "unpack", folder, *packages)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module", name="stubs")
def fixture_stubs():
    """Release: its stub."""
    places = {"262": unpacked("sid", "systemd-boot-efi"), "257": unpacked("trixie", "systemd-boot-efi")}
    stubs = {release: folder / "usr/lib/systemd/boot/efi/linuxx64.efi.stub" for release, folder in places.items()}
    for release, stub in stubs.items():
        if b"systemd-stub " + release.encode() + b"." not in stub.read_bytes():
            skip_or_fail(f"the stub of Debian is not one of systemd {release}: compare the newer one, and add it")
    return stubs


@pytest.fixture(scope="module", name="ukify")
def fixture_ukify(kernel, stubs, tmp_path_factory):
    """(release, **sections) -> the image."""
    tools = unpacked("sid", "systemd-ukify", "python3-pefile")
    environment = {**os.environ, "PYTHONPATH": str(tools / "usr/lib/python3/dist-packages")}

    def build(release, initrd=1021, words=WORDS, **sections):
        folder = tmp_path_factory.mktemp("uki")
        (folder / "initrd").write_bytes(bytes(i & 0xFF for i in range(initrd)))
        (folder / "words").write_text(words or "", encoding="ascii")
        argv = [sys.executable, tools / "usr/lib/systemd/ukify", "build", f"--stub={stubs[release]}", f"--linux={kernel}", f"--os-release={OSREL}",
                "--uname=7", f"--output={folder / 'uki'}", *([f"--initrd={folder / 'initrd'}"] if initrd else []),
                *([f"--cmdline=@{folder / 'words'}"] if words else [])]
        for name, content in sections.items():
            (folder / name).write_bytes(content)
            argv.append({"ucode": f"--microcode={folder / name}", "splash": f"--splash={folder / name}"}.get(name, f"--section=.{name}:@{folder / name}"))
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, env=environment, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return folder / "uki"
    return build


def disk_with(loader, folder):
    """A GPT with one EFI system partition, and the loader where the firmware looks for one."""
    disk, start, sectors = folder / "disk", 2048, 100000
    with open(disk, "wb") as f:
        f.truncate(64 << 20)
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    for argv, given in ((["sfdisk", "-q", disk], f"label: gpt\nstart={start}, size={sectors}, type=U, name=esp\n"),
                        (["mformat", "-i", f"{disk}@@{start * 512}", "-F", "-T", str(sectors), "-h", "255", "-s", "63", "::"], None),
                        (["mmd", "-i", f"{disk}@@{start * 512}", "::/EFI", "::/EFI/BOOT"], None),
                        (["mcopy", "-i", f"{disk}@@{start * 512}", loader, "::/EFI/BOOT/BOOTX64.EFI"], None)):
        done = subprocess.run(list(map(str, argv)), input=given, capture_output=True, text=True, check=False, env=environment, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
    return disk


STRINGS = ["-smbios", "type=1,serial=D,uuid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87", "-smbios", "type=2,manufacturer=A,serial=B",
           "-smbios", "type=11,value=first,value=second"]
ALL = {"ucode": bytes(range(250)), "splash": b"BM" + bytes(2000), "pcrpkey": b"key\n", "pcrsig": b"{}", "extra": b"of nobody"}
ODD = " quiet \n\tconsole=ttyS0\t x  y \n"
# Release of the stub, firmware, from which disk, what is built, -append, what else QEMU is told. The first ones always, the others with CVMSPAWN_SOAK=1.
ROWS = {
    "257-append": ("257", "x64", None, {}, "console=ttyS0 other", STRINGS),
    "262-disk": ("262", "keyless", "written", {"words": ODD, **ALL}, None, STRINGS),
}
MORE = {
    "262-all": ("262", "keyless", None, {"words": ODD, **ALL}, None, STRINGS),
    "262-append": ("262", "older", None, {"initrd": 0}, "console=ttyS0 other", []),
    "262-no-words": ("262", "keyless", None, {"words": None}, "console=ttyS0", []),
    "262-rng": ("262", "keyless", None, {}, None, ["-device", "virtio-rng-pci"]),
    "262-x64": ("262", "x64", None, {"words": ODD}, None, STRINGS),
    "257-all": ("257", "keyless", None, {"words": ODD, **ALL}, None, STRINGS),
    "257-no-words": ("257", "older", None, {"words": None, "initrd": 70000}, None, []),
    "257-no-console": ("257", "keyless", None, {"words": "quiet"}, None, []),
    "257-disk": ("257", "keyless", "read-only", {"words": "quiet"}, None, STRINGS),
    "262-disk-nic": ("262", "keyless", "read-only", ALL, None, ["-device", "virtio-rng-pci", "-netdev", "user,id=n,restrict=on",
                                                         "-device", "virtio-net-pci,netdev=n,romfile="]),
}
ROWS.update(MORE if td_guest.soak() else {})


def measure(row, image, booted, folder, bios, *more):
    argv = [CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={image}", "--memory=1024M", f"--edk2={PROFILES[row[1]][0]}", f"--fw-cfg={folder}", f"--bios={bios}",
            f"--{'disk' if row[2] else 'kernel'}={booted}", *([f"--append={row[4]}"] if row[4] else []),
            *(["--disk-read-only"] if row[2] == "read-only" else []), *more]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)


@pytest.mark.parametrize("name", ROWS)
def test_registers_are_predicted(qemu, images, ukify, tmp_path, name):
    row = ROWS[name]
    release, firmware, from_disk, sections, append, options = row
    image, booted = images(firmware), ukify(release, **sections)
    guest = TdGuest(qemu, tmp_path / "td", image)
    path = guest.folder / "qtest"
    if from_disk:
        booted = disk_with(booted, tmp_path)
        options = options + ["-blockdev", f"driver=file,node-name=d,filename={booted},read-only={'on' if from_disk == 'read-only' else 'off'}",
                             "-device", "virtio-blk-pci,drive=d,bootindex=1"]
    else:
        options = options + ["-kernel", booted, *(["-append", append] if append else [])]
    guest.start(*options, "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none").until_kernel()
    td_guest.save_files(path, tmp_path / "fw_cfg")
    guest.end()
    words = row, image, booted, tmp_path / "fw_cfg", td_guest.bios_words(guest.ram)
    td_guest.compare(guest, tmp_path, lambda *more: measure(*words, *more))


def without_stub(image):
    """As another stub would look: the section that names it, and its text."""
    data = bytearray(image.read_bytes())
    start, = struct.unpack_from("<I", data, 0x3C)
    at = data.index(b".sdmagic", start)
    data[at:at + 8] = b".another"
    return bytes(data)


@pytest.mark.parametrize("change,said", [
    (without_stub, "has a kernel in a section, but not systemd-stub"),
    (lambda image: image.read_bytes().replace(b"systemd-stub 262.", b"systemd-stub 263."), "'systemd-stub 263."),
    (lambda image: image.read_bytes().replace(b".uname\0\0", b".profile"), "section .profile: what the stub makes of it depends"),
    (lambda image: image.read_bytes().replace(b".uname\0\0", b".osrel\0\0"), "has two sections .osrel"),
    (lambda image: image.read_bytes().replace(b"console=", b"konsole="), "adds a console to a command line that names none"),
    (lambda image: image.read_bytes().replace(b"quiet", b"qu\xc3\xa4t"), "only ASCII characters are predicted"),
])
def test_what_is_not_known_is_refused(ukify, firmware, tmp_path, change, said):
    """Never a digest that may be wrong: no boot is needed to see that."""
    changed = tmp_path / "uki"
    changed.write_bytes(change(ukify("262")))
    for name in ("etc/table-loader", "etc/acpi/rsdp", "etc/acpi/tables", "etc/smbios/smbios-tables"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(128))
    done = measure(("262", "keyless", None, {}, None, []), firmware["keyless"], changed, tmp_path, "a,b,c")
    assert done.returncode == 1 and said in done.stderr and done.stdout == "", done.stderr
