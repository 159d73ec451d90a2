# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's firmware, Linux and QEMU as a TD under TCG, where a plug-in plays the TDX module (simulation). What `cvmspawn measure --mode=tdx` predicts
before the boot is what the firmware extends, event by event, and what it writes to its own event log. A host that gives other data is found."""

import json
import pathlib
import subprocess

import pytest
import td_guest
from conftest import BUILD, SOURCE, cache_folder, private_apt, skip_or_fail
from td_guest import TdGuest, model

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 600


@pytest.fixture(scope="module", name="qemu")
def fixture_qemu(sid_qemu):
    version = subprocess.run([sid_qemu, "--version"], capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    if int(version.split("version ")[1].split(".")[0]) < 11:
        pytest.skip("the plug-ins of this QEMU cannot set registers: it is older than 11.0")
    return sid_qemu


def debian_firmware(suite, package, name):
    folder = cache_folder("peers") / (package if suite == "sid" else f"{package}-{suite}")
    image = folder / "usr/share/ovmf" / name
    if not image.exists():
        folder.mkdir(exist_ok=True)
        private_apt(suite, "unpack", folder, package)
    return image


@pytest.fixture(scope="module", name="firmware")
def fixture_firmware(tmp_path_factory):
    """Debian's images. The one for TDX comes with enrolled keys only, so that it boots signed kernels only: its variables are emptied."""
    image = debian_firmware("sid", "ovmf-inteltdx", "OVMF.inteltdx.ms.fd")
    data = bytearray(image.read_bytes())
    data[0x64:0x40000] = b"\xff" * (0x40000 - 0x64)
    keyless = tmp_path_factory.mktemp("firmware") / "keyless.fd"
    keyless.write_bytes(data)
    return {"keys": image, "keyless": keyless}


# Name of the image: what --edk2= calls it, and where it comes from. The first one is that of the fixture above.
PROFILES = {"keyless": ("202608-inteltdx", None, None), "x64": ("202608-ovmfx64", "sid", "ovmf-generic"), "older": ("202502-ovmfx64", "trixie", "ovmf")}


@pytest.fixture(scope="module", name="images")
def fixture_images(firmware):
    """(name) -> the image."""
    def get(name):
        suite, package = PROFILES[name][1:]
        return debian_firmware(suite, package, "OVMF.fd") if suite else firmware[name]
    return get


@pytest.fixture(scope="module", name="kernel")
def fixture_kernel():
    done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        skip_or_fail(done.stderr.strip())
    return pathlib.Path(dict(line.split("=", 1) for line in done.stdout.splitlines())["KERNEL"])


@pytest.fixture(scope="module", name="tables")
def fixture_tables(qemu, tmp_path_factory):
    """Tables of a machine, as its firmware has placed the devices, read once for each: (folder, words for --bios)."""
    known = {}

    def get(image, memory=1024, devices=()):
        key = image, memory, tuple(devices)
        if key not in known:
            folder = tmp_path_factory.mktemp("tables")
            guest = TdGuest(qemu, folder / "run", image, memory)
            known[key] = folder / "fw_cfg", td_guest.read_tables(guest, folder / "fw_cfg", *devices)
            guest.ram.unlink()
        return known[key]
    return get


class Boot:
    """A direct boot: what is predicted, and what is started."""

    def __init__(self, firmware, kernel, initrd=None, words="console=ttyS0 quiet", memory=1024, devices=(), edk2="202608-inteltdx"):
        self.edk2 = edk2
        self.firmware, self.kernel, self.initrd, self.words, self.memory, self.devices = firmware, kernel, initrd, words, memory, devices

    def measure(self, tables, *more):
        folder, bios = tables(self.firmware, self.memory, self.devices)
        argv = [CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={self.firmware}", f"--memory={self.memory}M", f"--edk2={self.edk2}",
                f"--fw-cfg={folder}", f"--bios={bios}", f"--kernel={self.kernel}", f"--append={self.words}"]
        return subprocess.run([*argv, *([f"--initrd={self.initrd}"] if self.initrd else []), *more], capture_output=True, text=True, check=False,
                              timeout=SECONDS)

    def predict(self, tables):
        done = self.measure(tables, "--json=short")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def options(self):
        return [*self.devices, "-kernel", self.kernel, "-append", self.words, *(["-initrd", self.initrd] if self.initrd else [])]


def check(boot, tables, qemu, folder, hob=None, more=()):
    """Predicts, boots, and returns both: the prediction and the guest, which has ended."""
    predicted = boot.predict(tables)
    guest = TdGuest(qemu, folder, boot.firmware, boot.memory, {"mrtd": predicted["registers"]["mrtd"]}, hob)
    guest.start(*boot.options(), *more).until_kernel().end()
    return predicted, guest


def test_enrolled_keys(qemu, firmware, tmp_path):
    """Debian's own image, with nothing to boot: the variables' digests are in RTMR0, and the log replays to the registers."""
    guest = TdGuest(qemu, tmp_path / "td", firmware["keys"])
    guest.start().until_separator().end()
    log = tmp_path / "ccel"
    log.write_bytes(guest.event_log())
    done = subprocess.run([CVMSPAWN, "measure", f"--from-ccel={log}"], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert dict(line.split() for line in done.stdout.splitlines()[-4:]) == guest.registers()
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.split()[2:3] == ["variable"]][:5] == ["SecureBoot", "PK", "KEK", "db", "dbx"]


def other_hob(boot):
    return model.td_hob(boot.firmware.read_bytes(), boot.memory // 2 << 20)


def lie(*words):
    return lambda folder: [w.replace("FOLDER", str(folder)) for w in words]


# The first ones always, the others with CVMSPAWN_SOAK=1.
LIES = [
    ("table", lie("-acpitable", "sig=OEM1,data=FOLDER/file"), "rtmr0, event", "ACPI"),
    ("maker", lie("-smbios", "type=1,manufacturer=Another"), "rtmr0, event", "SMBIOS"),
    ("menu", lie("-boot", "menu=on"), "rtmr0, event 3", "fw_cfg BootMenu"),
    ("device", lie("-device", "virtio-rng-pci"), "rtmr0, event", "ACPI"),
    ("words", lie("-append", "quiet systemd.unit=rescue.target"), "rtmr2, event 1", "kernel command line"),
    ("hob", None, "rtmr0, event 1", "list of memory"),
]
MORE_LIES = [
    ("initrd", lie("-initrd", "FOLDER/file"), "rtmr2, event 1", "kernel command line"),
    ("kernel", lie("-kernel", "FOLDER/kernel"), "rtmr1, event 1", "kernel"),
    ("vcpus", lie("-smp", "2"), "rtmr0, event", "ACPI"),
    ("wait", lie("-boot", "menu=on,splash-time=1"), "rtmr0, event 3", "fw_cfg BootMenu"),
    ("window", lie("-fw_cfg", "name=opt/ovmf/X-PciMmio64Mb,string=65536"), "rtmr0, event 4", "fw_cfg"),
    ("bios", lie("-smbios", "type=0,vendor=Another"), "rtmr0, event", "SMBIOS"),
    ("length", lie("-smbios", "type=11,value=seen by its length"), "rtmr0, event", "SMBIOS"),
    ("generation", lie("-device", "vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"), "rtmr0, event", "ACPI"),
]
LIES += MORE_LIES if td_guest.soak() else []


def test_an_honest_host(qemu, firmware, kernel, tables, tmp_path):
    """What the lies below are compared with: predicted before the boot, from tables of another run."""
    predicted, guest = check(Boot(firmware["keyless"], kernel), tables, qemu, tmp_path / "td")
    assert {**guest.registers(), "mrtd": predicted["registers"]["mrtd"]} == {**predicted["registers"], "rtmr3": "0" * 96}
    guest.ram.unlink()


@pytest.mark.parametrize("values,place,name", [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_lying_host_is_named(qemu, firmware, kernel, tables, tmp_path, values, place, name):
    """The host gives the guest something else than what was predicted: the first event that differs says what."""
    (tmp_path / "file").write_bytes(b"\x10\x20\x30\x40")
    (tmp_path / "kernel").write_bytes(kernel.read_bytes() + b"another" + bytes(9))
    boot = Boot(firmware["keyless"], kernel)
    predicted, guest = check(boot, tables, qemu, tmp_path / "td", None if values else other_hob(boot), values(tmp_path) if values else ())
    assert guest.registers() != predicted["registers"]
    log = tmp_path / "ccel"
    log.write_bytes(guest.event_log())
    guest.ram.unlink()
    done = boot.measure(tables, f"--from-ccel={log}")
    assert done.returncode == 3 and done.stdout.startswith(f"different: {place}") and name in done.stdout.splitlines()[0], done.stdout
