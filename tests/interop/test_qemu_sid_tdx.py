# SPDX-License-Identifier: LGPL-2.1-or-later
"""TD launches by an unmodified QEMU of Debian sid (11.1 when this was written) on the simulated host: what it hands to KVM has the MRTD that
was predicted, and the list of memory that was predicted. Nothing of it is a real TD."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt

sys.path.insert(0, str(SOURCE / "tests/integration"))
import tdx_model as model  # noqa: E402

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 180
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"], "testdata/tdx") if os.environ.get("CVMSPAWN_SHARED") else None
MIB = 1 << 20
# Debian's packages and what they measure: computed by two programs and equal to the pages that QEMU handed over when this was written.
KNOWN = {"a265075b4147a096109e501e76196df1ec8a18659c26f7401492c597ec88f312":
         "a7a1f751abc454f9cbab198ca8d2edb2821935df525c74182b5e776cb0929e8c59aefecce725b0d08a5e9d3d3183bd08"}


@pytest.fixture(scope="module", name="qemu")
def fixture_qemu(sid_qemu):
    version = subprocess.run([sid_qemu, "--version"], capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    if int(version.split("version ")[1].split(".")[0]) < 11:
        pytest.skip("this QEMU cannot reset a TD: it is older than 11.0")
    return sid_qemu


@pytest.fixture(scope="module", name="debian")
def fixture_debian():
    """Debian's own image for TDX."""
    folder = cache_folder("peers") / "ovmf-inteltdx"
    image = folder / "usr/share/ovmf/OVMF.inteltdx.ms.fd"
    if not image.exists():
        folder.mkdir(exist_ok=True)
        private_apt("sid", "unpack", folder, "ovmf-inteltdx")
    return image


def predict(image, *options):
    return subprocess.run([CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={image}", *options], capture_output=True, text=True, check=True,
                          timeout=SECONDS).stdout.strip()


def launch(qemu, folder, image, *arguments, tdx="", ram="256M", sim=()):
    """One launch: the line of the simulated host's answer, and its folder."""
    argv = [CVMSPAWN, "sevsim", f"--record={folder}", "--json=short", f"--expect-digest={predict(image)}", *sim, "--", qemu,
            "-object", f"tdx-guest,id=tdx0{tdx}", "-machine", "q35,confidential-guest-support=tdx0,kernel-irqchip=split",
            "-accel", "kvm", "-cpu", "host", "-bios", image, "-m", ram, "-nodefaults", "-display", "none", "-vga", "none", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)


def recorded(folder):
    place = sorted(folder.glob("launch-*"))[-1]
    return place, [json.loads(line) for line in (place / "commands.jsonl").read_text().splitlines()]


@pytest.fixture(name="image")
def fixture_image(tmp_path):
    path = tmp_path / "tdvf.fd"
    path.write_bytes(model.make_tdvf(seed=5))
    return path


@pytest.mark.parametrize("ram", [16, 512, 2047, 2048, 2815, 2816, 2817, 4096, 5000])
@pytest.mark.parametrize("vcpus", [1, 3])
def test_mrtd_and_list_of_memory(qemu, image, tmp_path, ram, vcpus):
    """Neither vCPUs nor memory enter MRTD; the list of memory depends on the second."""
    done = launch(qemu, tmp_path / "record", image, "-smp", str(vcpus), ram=f"{ram}M")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    data = image.read_bytes()
    assert answer["equal"] is True and answer["launches"][0]["digest"] == model.mrtd(data) and answer["launches"][0]["vm-type"] == "TDX"
    place, lines = recorded(tmp_path / "record")
    hob = model.td_hob(data, ram * MIB)
    assert (place / "td-hob.bin").read_bytes().startswith(hob)
    assert [line["value"] for line in lines if line["command"] == "TDX_INIT_VCPU"] == ["0x809000"] * vcpus


def test_debian_firmware(qemu, debian, tmp_path):
    done = launch(qemu, tmp_path / "record", debian, "-kernel", debian, ram="1G")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["equal"] is True
    place, _ = recorded(tmp_path / "record")
    hob = (place / "td-hob.bin").read_bytes()
    assert hob.startswith(model.td_hob(debian.read_bytes(), 1024 * MIB))
    expected = KNOWN.get(hashlib.sha256(debian.read_bytes()).hexdigest())
    assert expected in (None, predict(debian)) and predict(debian) == model.mrtd(debian.read_bytes())
    assert predict(debian, "--page-order=two-pass") == model.mrtd(debian.read_bytes(), True)


def test_words_arrive_and_change_nothing(qemu, image, tmp_path):
    """MRCONFIGID, MROWNER, MROWNERCONFIG and the attributes are members of the report, not of MRTD."""
    values = {name: bytes([n]) * 48 for n, name in enumerate(("mrconfigid", "mrowner", "mrownerconfig"), 1)}
    words = "".join(f",{name}={base64.b64encode(value).decode()}" for name, value in values.items())
    done = launch(qemu, tmp_path / "record", image, tdx=words)
    assert json.loads(done.stdout.splitlines()[-1])["equal"] is True, done.stderr
    _, lines = recorded(tmp_path / "record")
    init = next(line for line in lines if line["command"] == "TDX_INIT_VM")
    assert {name: init[name] for name in values} == {name: value.hex() for name, value in values.items()}
    assert init["attributes"] == "0x10000000"


def test_another_firmware_differs(qemu, image, tmp_path):
    """The control: a byte of the measured volume."""
    other = tmp_path / "other.fd"
    data = bytearray(image.read_bytes())
    data[0x3000] ^= 1
    other.write_bytes(data)
    done = launch(qemu, tmp_path / "record", image, "-bios", other)
    assert done.returncode == 3 and json.loads(done.stdout.splitlines()[-1])["equal"] is False


@pytest.mark.parametrize("sections,said", [
    (model.usual_sections(0x20000)[:4], "TD_HOB"),
    ([(0, 0x2000, 0xFFFE0000, 0x2000, 4, 0), *model.usual_sections(0x20000)[2:]], ""),
])
def test_both_refuse(qemu, tmp_path, sections, said):
    """What QEMU does not launch has no digest here."""
    image = tmp_path / "tdvf.fd"
    image.write_bytes(model.make_tdvf(sections=sections))
    ours = subprocess.run([CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={image}"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert ours.returncode == 1 and said in ours.stderr
    done = subprocess.run([CVMSPAWN, "sevsim", "--", qemu, "-object", "tdx-guest,id=tdx0", "-machine",
                           "q35,confidential-guest-support=tdx0,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host", "-bios", image,
                           "-m", "256M", "-nodefaults", "-display", "none"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode != 0


def test_reset_is_the_same_launch(qemu, image, tmp_path):
    """QEMU makes a new TD for each reset. The guest of the simulated host resets at once, until QEMU is ended."""
    done = launch(qemu, tmp_path / "record", image, "-no-reboot", sim=("--guest=reset",))
    assert json.loads(done.stdout.splitlines()[-1])["equal"] is True, done.stderr


def test_what_people_read(qemu, image):
    done = subprocess.run([CVMSPAWN, "sevsim", f"--expect-digest={predict(image)}", "--", qemu, "-object", "tdx-guest,id=tdx0", "-machine",
                           "q35,confidential-guest-support=tdx0,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host", "-bios", image,
                           "-m", "256M", "-nodefaults", "-display", "none"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "sevsim (simulation): recorded MRTD = predicted MRTD"


def launcher(qemu, folder, image, *options, sim=(), status=0):
    """cvmspawn's own launch on the simulated host: the runner's answer, and what the launcher said."""
    (folder / "kernel").write_bytes(model.make_kernel())
    argv = [CVMSPAWN, "sevsim", f"--record={folder / 'record'}", "--json=short", *sim, "--", CVMSPAWN, "--coco=tdx", f"--qemu={qemu}",
            f"--firmware={image}", "--ram=256M", f"--linux={folder / 'kernel'}", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=folder)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_own_launcher(qemu, image, tmp_path):
    """What is predicted is what QEMU hands over, and the owner's values arrive."""
    values = {name: bytes([n]) * 48 for n, name in enumerate(("mrconfigid", "mrowner", "mrownerconfig"), 1)}
    words = [f"--{name}={value.hex()}" for name, value in values.items()]
    answer, said = launcher(qemu, tmp_path, image, *words, "--edk2=202608-inteltdx", "--cpus=2",
                            f"--expect=mrtd:{model.mrtd(image.read_bytes())}", "--lock=lock")
    assert answer["equal"] is True and answer["launches"][0]["digest"] == model.mrtd(image.read_bytes())
    assert "cvmspawn: predicted rtmr1: " in said and "cvmspawn: predicted rtmr2: " in said and "MRTD, of the firmware only" in said
    place, lines = recorded(tmp_path / "record")
    init = next(line for line in lines if line["command"] == "TDX_INIT_VM")
    assert {name: init[name] for name in values} == {name: value.hex() for name, value in values.items()}
    assert init["attributes"] == "0x10000000" and len([line for line in lines if line["command"] == "TDX_INIT_VCPU"]) == 2
    assert (place / "td-hob.bin").read_bytes().startswith(model.td_hob(image.read_bytes(), 256 * MIB))
    # The lock knows what MRTD does not.
    for change, word in (("--ram=512M", "memory was 268435456, now 536870912"), ("--cpus=3", "vcpus was 2, now 3")):
        _, said = launcher(qemu, tmp_path, image, "--cpus=2", change, "--lock=lock", status=125)
        assert f"--lock: the launch differs from the one in 'lock'; {word}" in said
    _, said = launcher(qemu, tmp_path, image, "--cpus=2", "--lock=lock", "quiet", status=125)
    assert "the kernel command line was 'console=ttyS0 systemd.impor" in said and "quiet'" in said, said


def test_own_launcher_refuses(qemu, image, tmp_path):
    """A register that is not the expected one starts nothing."""
    answer, said = launcher(qemu, tmp_path, image, "--edk2=202608-inteltdx", f"--expect=rtmr1:{'00' * 48}", status=125)
    assert "--expect: rtmr1 mismatch: got " in said and answer["launches"] == []
    _, said = launcher(qemu, tmp_path, image, f"--expect=rtmr2:{'00' * 48}", status=125)
    assert "--expect: rtmr2 is not predicted: add --edk2=" in said
    _, said = launcher(qemu, tmp_path, image, "--coco-policy=debug", status=125)
    assert "bit 0" in said


def test_own_launcher_with_a_disk(qemu, image, tmp_path):
    """The firmware would boot it, and measure what it loads."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    argv = [CVMSPAWN, "sevsim", "--json=short", "--", CVMSPAWN, "--coco=tdx", f"--qemu={qemu}", f"--firmware={image}", "--ram=256M",
            f"--image={tmp_path / 'disk'}", "--image-format=raw", "--allow-untrusted=disk", "--quote-socket=no"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["equal"] is True, done.stderr
    assert "cvmspawn: the launch digest does not cover the disk" in done.stderr


def test_automatic(qemu, image, tmp_path):
    """A host with all technologies, and a firmware for one."""
    _, said = launcher(qemu, tmp_path, image, "--coco=auto")
    assert "--coco=auto: this guest is launched with tdx" in said


def test_debian_firmware_is_named(qemu, debian, tmp_path):
    _, said = launcher(qemu, tmp_path, debian)
    assert f"'{debian}' has Secure Boot keys: a kernel or boot loader that is not signed for them does not boot" in said


def vectors():
    if not SHARED or not (SHARED / "index.json").exists():
        return []
    index = json.loads((SHARED / "index.json").read_text())
    return [v for v in index["vectors"] if v["kind"] == "tcg" and v.get("boot") == "direct" and "inteltdx" in v["profile"]]


@pytest.mark.parametrize("vector", vectors(), ids=lambda v: v["id"] if isinstance(v, dict) else "none")
def test_registers_of_debian_firmware(debian, tmp_path, vector):
    """RTMR0 and RTMR2 that Debian's firmware, Linux and this QEMU extended as a TD under TCG. The kernel's own event is taken from the vector's
    log: its package is not fetched here."""
    image = bytearray(debian.read_bytes())
    if not vector["keys"]:
        image[0x64:0x40000] = b"\xff" * (0x40000 - 0x64)
    if hashlib.sha256(image).hexdigest() != vector["image_sha256"]:
        pytest.skip("Debian's firmware is newer than the vector")
    (tmp_path / "firmware.fd").write_bytes(image)
    for name, file in vector["files"].items():
        if not name.startswith("etc/"):
            continue
        path = tmp_path / "fw_cfg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((SHARED / file).read_bytes().ljust(vector["pad"].get(name, 0), b"\0"))
    (tmp_path / "initrd").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "kernel").write_bytes(model.make_pe()[0])
    done = subprocess.run([CVMSPAWN, "measure", "--mode=tdx", f"--ovmf={tmp_path / 'firmware.fd'}", f"--memory={vector['memory_mib']}M",
                           "--edk2=202608-inteltdx", f"--fw-cfg={tmp_path / 'fw_cfg'}", f"--kernel={tmp_path / 'kernel'}",
                           "--bios=Debian distribution of EDK II,2026.08+ds-2,09/26/2026", f"--initrd={tmp_path / 'initrd'}",
                           f"--append={vector['cmdline']}", "--json=short"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["registers"]["mrtd"] == vector["mrtd"]
    assert [answer["registers"][f"rtmr{n}"] for n in (0, 2)] == [vector["expect"]["rtmr"][n] for n in (0, 2)]
    ours = [[e["rtmr"], e["type"], e["digest"]] for e in answer["events"] if e["rtmr"] == 1]
    theirs = [e[:3] for e in vector["expect"]["events"] if e[0] == 1]
    assert [e[:2] for e in ours] == [e[:2] for e in theirs] and ours[1:] == theirs[1:]
