# SPDX-License-Identifier: LGPL-2.1-or-later
"""An oracle for `cvmspawn measure --mode=tdx`: Debian's firmware and Linux run as a TD under TCG, where a plug-in plays the TDX module (simulation), and
extend RTMR0 to RTMR2. Each event must be the predicted one, in the module's record and in the firmware's own log.

A boot ends when the kernel has left the firmware's boot services: all that is predicted has happened then. QEMU's tables are read from the same machine
after that; QEMU freezes them when the firmware reads them. Rows are spread over firmware, kernel, initrd, words, memory, vCPUs, devices and options; the first
ones run always and have each value at least once, the others with CVMSPAWN_SOAK=1."""

import pathlib
import subprocess

import pytest
import td_guest
from conftest import BUILD
from td_guest import TdGuest
from test_td_guest import PROFILES, fixture_firmware, fixture_images, fixture_kernel, fixture_qemu  # noqa: F401

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 600
DISK = ["-blockdev", "driver=null-co,node-name=d,size=1048576,read-zeroes=on", "-device", "virtio-blk-pci,drive=d"]
NVME = ["-blockdev", "driver=null-co,node-name=n0,size=1048576,read-zeroes=on", "-device", "nvme,drive=n0,serial=a"]
DEVICES = {
    "": [],
    "rng": ["-device", "virtio-rng-pci"],
    "disk": DISK,
    "net": ["-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,romfile="],
    "ports": ["-device", "virtio-serial-pci"],
    "nvme": NVME,
    "scsi": ["-device", "virtio-scsi-pci"],
    "usb": ["-device", "qemu-xhci"],
    "bridge": ["-device", "pcie-root-port,id=r1,slot=1", "-device", "virtio-rng-pci,bus=r1"],
    "root": ["-device", "pxb-pcie,id=x,bus_nr=0x80,bus=pcie.0"],
    "genid": ["-device", "vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"],
}
OPTIONS = {
    "": [],
    "menu": ["-boot", "menu=on,splash-time=3000"],
    "slots": ["-m", "slots=2,maxmem=32G"],
    "window": ["-fw_cfg", "name=opt/ovmf/X-PciMmio64Mb,string=65536"],
    "no-hpet": ["-machine", "hpet=off"],
    "system": ["-smbios", "type=1,manufacturer=A,product=B,version=C,serial=D,uuid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87,sku=E,family=F",
               "-smbios", "type=2,manufacturer=A,serial=B,location=C", "-smbios", "type=3,manufacturer=A,serial=B,asset=C"],
    "bios": ["-smbios", "type=0,vendor=V,version=1,date=01/02/2020"],
    "strings": ["-smbios", "type=11,value=first,value=second"],
    "memory": ["-smbios", "type=17,manufacturer=A,serial=B,asset=C,part=D,speed=100", "-smbios", "type=4,manufacturer=A,serial=B"],
    "table": ["-acpitable", "sig=OEM1,data=/dev/null"],
}
WORDS = ["console=ttyS0 quiet", "", "x" * 1500, "ro root=/dev/vda quiet äöü €", "quiet init=/bin/sh a=\"b c\"  d", "initrd=other"]
INITRDS = [1024, None, 1, 511, 70000, 5000000]
MEMORIES = [1024, 512, 2047, 2815, 2816, 2817, 3072, 4096, 8192]
VCPUS = [1, 2, 3, 4, 8]
KERNELS = ["debian", "longer"]


def first():
    """(firmware, kernel, memory, vCPUs, devices, options, words, initrd): each value at least once."""
    names, options = list(DEVICES), list(OPTIONS)
    return [(list(PROFILES)[i % 3], KERNELS[i % 2], MEMORIES[i % 9], VCPUS[i % 5], names[i % 11], options[i % 10], WORDS[i % 6], INITRDS[i % 6])
            for i in range(11)]


def rest():
    names, options, images = list(DEVICES), list(OPTIONS), list(PROFILES)
    rows = [(images[i * 2 % 3], KERNELS[i // 3 % 2], MEMORIES[i * 5 % 9], VCPUS[i * 3 % 5], names[i * 7 % 11], options[(i * 3 + i // 10) % 10], WORDS[i * 5 // 3 % 6],
             INITRDS[(i + i // 6) % 6]) for i in range(1, 38)]
    # Without the initrd that is named, Linux goes back to the firmware.
    return [(*row[:7], 1) if row[6:] == ("initrd=other", None) else row for row in rows]


ROWS = first() + (rest() if td_guest.soak() else [])


@pytest.fixture(scope="module", name="kernels")
def fixture_kernels(kernel, tmp_path_factory):
    """Debian's kernel, and the same with bytes after it, which its digest covers and nothing reads."""
    longer = tmp_path_factory.mktemp("kernel") / "longer"
    longer.write_bytes(kernel.read_bytes() + bytes(range(256)) * 2)
    return {"debian": kernel, "longer": longer}


def test_rows():
    """At least forty different boots, and those that run always have each value of each column."""
    rows = first() + rest()
    assert len(set(rows)) == len(rows) >= 40
    for column, values in enumerate((PROFILES, KERNELS, MEMORIES, VCPUS, DEVICES, OPTIONS, WORDS, INITRDS)):
        assert {row[column] for row in first()} == set(values)


def measure(row, image, kernel, initrd, folder, bios, *more):
    argv = [CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={image}", f"--memory={row[2]}M", f"--edk2={PROFILES[row[0]][0]}", f"--fw-cfg={folder}", f"--kernel={kernel}",
            f"--append={row[6]}", *([f"--bios={bios}"] if bios else []), *([f"--initrd={initrd}"] if initrd else []), *more]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)


def boot(row, qemu, image, kernel, initrd, folder):
    """The guest, which has ended, and its tables are in FOLDER/fw_cfg."""
    _, _, memory, vcpus, devices, options, words, _ = row
    guest = TdGuest(qemu, folder, image, memory)
    path = folder / "qtest"
    guest.start("-smp", vcpus, *DEVICES[devices], *OPTIONS[options], "-kernel", kernel, "-append", words, *(["-initrd", initrd] if initrd else []),
                "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none").until_kernel()
    td_guest.save_files(path, folder / "fw_cfg")
    guest.end()
    return guest


@pytest.mark.parametrize("row", ROWS, ids=["-".join(map(str, (*row[:6], len(row[6]), row[7]))) for row in ROWS])
def test_registers_are_predicted(qemu, images, kernels, tmp_path, row):
    initrd, image, kernel = tmp_path / "initrd", images(row[0]), kernels[row[1]]
    if row[7]:
        initrd.write_bytes((bytes(range(256)) * (row[7] // 256 + 1))[:row[7]])
    guest = boot(row, qemu, image, kernel, initrd if row[7] else None, tmp_path / "td")
    bios = None if row[5] == "bios" else td_guest.bios_words(guest.ram)
    words = row, image, kernel, initrd if row[7] else None, tmp_path / "td/fw_cfg", bios
    td_guest.compare(guest, tmp_path, lambda *more: measure(*words, *more))
