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
DISK = ["-blockdev", "driver=null-co,node-name=d,size=1048576,read-zeroes=on", "-device", "virtio-blk-pci,drive=d"]
NET = ["-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,romfile="]
RNG = ["-device", "virtio-rng-pci"]
PORTS = ["-device", "virtio-serial-pci"]


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


def matrix():
    """(firmware, kernel, memory, devices, command line, size of the initrd or None): six that run always, then forty."""
    first = [("keyless", "debian", 1024, [], "console=ttyS0 quiet", 1024), ("keyless", "longer", 2048, DISK + NET, "quiet init=/bin/sh a=\"b c\"", 5000000),
             ("x64", "debian", 3072, RNG, "", None), ("x64", "longer", 512, [], "console=ttyS0", 511),
             ("older", "debian", 2816, PORTS + RNG, "ro root=/dev/vda quiet äöü", 1), ("older", "longer", 1024, [], "x" * 1500, 70000)]
    memories, devices = [512, 2047, 2815, 2816, 3072, 4096, 8192], [[], RNG, DISK, PORTS + RNG, DISK + NET + RNG]
    words = ["console=ttyS0", "", "x" * 1500, "ro root=/dev/vda quiet äöü"]
    initrds, images = [None, 1, 511, 70000], list(PROFILES)
    rest = [(images[i % 3], ("debian", "longer")[i // 2 % 2], memories[i % 7], devices[i % 5], words[i % 4], initrds[i // 4 % 4]) for i in range(40)]
    return first + (rest if td_guest.soak() else [])


@pytest.fixture(scope="module", name="kernels")
def fixture_kernels(kernel, tmp_path_factory):
    """Debian's kernel, and the same with bytes after it, which its digest covers and nothing reads."""
    longer = tmp_path_factory.mktemp("kernel") / "longer"
    longer.write_bytes(kernel.read_bytes() + bytes(range(256)) * 2)
    return {"debian": kernel, "longer": longer}


@pytest.mark.parametrize("image,kernel_name,memory,devices,words,size", matrix())
def test_registers_are_predicted(qemu, images, kernels, tables, tmp_path, image, kernel_name, memory, devices, words, size):
    """Each event of RTMR0 to RTMR2 and MRTD, in the module's record and in the firmware's own log."""
    initrd = tmp_path / "initrd"
    if size:
        initrd.write_bytes(bytes(range(256)) * (size // 256) + b"end")
    boot = Boot(images(image), kernels[kernel_name], initrd if size else None, words, memory, devices, PROFILES[image][0])
    predicted, guest = check(boot, tables, qemu, tmp_path / "td")
    ours = [[e["digest"] for e in predicted["events"] if e["rtmr"] == n] for n in range(3)]
    assert guest.extended() == [*ours, []]
    assert {**guest.registers(), "mrtd": predicted["registers"]["mrtd"]} == {**predicted["registers"], "rtmr3": "0" * 96}
    log = tmp_path / "ccel"
    log.write_bytes(guest.event_log())
    guest.ram.unlink()
    done = boot.measure(tables, f"--from-ccel={log}")
    assert (done.returncode, done.stdout) == (0, "equal: all events of the log are as predicted\n"), done.stdout + done.stderr


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


LIES = [
    ("-acpitable", lambda folder: [f"sig=OEM1,data={folder / 'table'}"], "rtmr0, event", "ACPI"),
    ("-smbios", lambda folder: ["type=1,manufacturer=Another"], "rtmr0, event", "SMBIOS"),
    ("-boot", lambda folder: ["menu=on"], "rtmr0, event 3", "fw_cfg BootMenu"),
    ("-device", lambda folder: ["virtio-rng-pci"], "rtmr0, event", "ACPI"),
    ("-append", lambda folder: ["quiet systemd.unit=rescue.target"], "rtmr2, event 1", "kernel command line"),
    ("hob", None, "rtmr0, event 1", "list of memory"),
]


@pytest.mark.parametrize("option,values,place,name", LIES, ids=[lie[0] for lie in LIES])
def test_a_lying_host_is_named(qemu, firmware, kernel, tables, tmp_path, option, values, place, name):
    """The host gives the guest something else than what was predicted: the first event that differs says what."""
    (tmp_path / "table").write_bytes(b"\x10\x20\x30\x40")
    boot = Boot(firmware["keyless"], kernel)
    lie = [option, *values(tmp_path)] if values else []
    predicted, guest = check(boot, tables, qemu, tmp_path / "td", None if values else other_hob(boot), lie)
    assert guest.registers() != predicted["registers"]
    log = tmp_path / "ccel"
    log.write_bytes(guest.event_log())
    guest.ram.unlink()
    done = boot.measure(tables, f"--from-ccel={log}")
    assert done.returncode == 3 and done.stdout.startswith(f"different: {place}") and name in done.stdout.splitlines()[0], done.stdout
