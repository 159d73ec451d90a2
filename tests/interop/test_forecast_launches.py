# SPDX-License-Identifier: LGPL-2.1-or-later
"""forecast against launches: every QEMU that Debian's suites carry, with every AmdSev firmware that they carry (sid's alone) and synthetic images that
differ as OVMF did over the years, on the simulated host. What is foretold of a bundle is what the simulated host records, for all of them. Nothing of
it is a real processor; its KVM is that of Linux 6.16."""

import json
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt

sys.path.insert(0, str(SOURCE / "tests/integration"))
import sevsim_model as model  # noqa: E402

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 180
KERNEL = "--kernel=6.16"
SUITES = ["bookworm", "bookworm,bookworm-backports", "trixie", "sid"]
# What changed in OVMF, in images with nothing else in them.
HISTORY = {
    "code": model.make_firmware(seed=2),
    "size": model.make_firmware(size=0x30000),
    "before the SVSM's calling area": model.make_firmware(sections=[s for s in model.SECTIONS if s[2] != model.META_CAA]),
    "other order of sections": model.make_firmware(sections=model.SECTIONS[::-1]),
    "memory split in two": model.make_firmware(sections=[(0x800000, 0x4000, model.SEC_MEM), (0x804000, 0x5000, model.SEC_MEM), *model.SECTIONS[1:]]),
    "another reset vector": model.make_firmware(reset=0x80B080),
    "table of hashes elsewhere": model.make_firmware(hash_table=(0x810800, 0x400)),
    "before kernel hashes": model.make_firmware(sections=[s for s in model.SECTIONS if s[2] not in (model.META_HASHES, model.META_CAA)], hash_table=None),
}
MODES = ["sev", "seves", "snp"]


def call(*argv, status=0):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module", name="world")
def fixture_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    for name, data in (("OVMF.amdsev.fd", model.make_firmware()), ("kernel", model.make_kernel()), ("initrd", model.make_initrd())):
        (folder / name).write_bytes(data)
    for mode in MODES:
        words = ["--mode", mode, "--ovmf", folder / "OVMF.amdsev.fd", "--kernel", folder / "kernel", "--initrd", folder / "initrd", "--append", "quiet"]
        words += [] if mode == "sev" else ["--vcpus=2-4", "--vcpu-type=EPYC-v3"]
        call(CVMSPAWN, "refs", "build", "-o", folder / f"{mode}.json", "--", *words)
    return folder


def firmware_images(folder):
    """(what it is, path): the bundle's image is the first one."""
    debian = cache_folder("peers") / "ovmf-amdsev"
    image = debian / "usr/share/ovmf/OVMF.amdsev.fd"
    if not image.exists():
        debian.mkdir(exist_ok=True)
        private_apt("sid", "unpack", debian, "ovmf-amdsev")
    images = [("the same", folder / "OVMF.amdsev.fd"), ("Debian sid", image)]
    for i, (what, data) in enumerate(HISTORY.items()):
        path = folder / f"history-{i}" / "OVMF.amdsev.fd"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        images.append((what, path))
    return images


def version_of(qemu):
    return call(qemu, "--version").split("version ")[1].split()[0]


def launched(qemu, version, mode, image, world, record):
    """The digest that the simulated host recorded; None: it was not launched."""
    sev = {"qom-type": "sev-snp-guest" if mode == "snp" else "sev-guest", "id": "sev0", "cbitpos": 51, "reduced-phys-bits": 1, "kernel-hashes": True}
    if mode != "snp":
        sev["policy"] = {"sev": 1, "seves": 5}[mode]
        if tuple(map(int, version.split(".")[:2])) >= (9, 1):
            sev["legacy-vm-type"] = "off"
    subprocess.run([CVMSPAWN, "sevsim", f"--record={record}", "--", qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none",
                    "-machine", "q35,accel=kvm,vmport=off,confidential-guest-support=sev0", "-cpu", "EPYC-v3", "-smp", "2", "-m", "256", "-bios", image,
                    "-kernel", world / "kernel", "-initrd", world / "initrd", "-append", "quiet", "-object", json.dumps(sev)],
                   capture_output=True, check=False, timeout=SECONDS)
    digests = sorted(record.glob("launch-*/digest"))
    return digests[-1].read_text().strip() if digests else None


@pytest.mark.parametrize("suites", SUITES)
def test_every_qemu_and_firmware(debian_qemu, world, suites, tmp_path):
    qemu = debian_qemu(suites)
    version = version_of(qemu)
    n, changed, refused = 0, 0, 0
    for what, image in firmware_images(world):
        for mode in MODES:
            done = subprocess.run([CVMSPAWN, "forecast", f"--against={world}/{mode}.json", KERNEL, f"--qemu={version}", f"--firmware={image}", "--json"],
                                  capture_output=True, text=True, check=False, timeout=SECONDS)
            assert done.stdout, (what, mode, done.stderr)
            changes = json.loads(done.stdout)["changes"]
            assert done.returncode == (3 if changes else 0), done.stderr
            expected = changes[0]["then"] if changes else json.loads((world / f"{mode}.json").read_text())["launches"][0]["rows"][0]["digests"][0]
            assert launched(qemu, version, mode, image, world, tmp_path / f"record-{n}") == expected, (version, what, mode, changes)
            n, changed, refused = n + 1, changed + bool(changes), refused + (expected is None)
    print(f"QEMU {version}: {n} launches as foretold, {changed} of them changed, {refused} of them not launched")
