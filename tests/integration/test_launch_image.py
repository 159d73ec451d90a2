# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is in a disk image, measured and launched in one command: the same digest as for the extracted files."""

import json
import re
import shlex
import shutil
from pathlib import Path

import disk_image
import pytest
from disk_image import Part, debian, disk, qcow2
from sevsim_host import skip_or_fail

WORDS = "root=/dev/vda1 ro console=tty0"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    files = debian() | {"/boot/grub/grub.cfg": disk_image.debian_grub(root=WORDS)}
    return qcow2(disk(tmp_path_factory.mktemp("cloud") / "cloud.raw", [Part("root", "ext4", files, 24)]), "-c")


def digest(result):
    assert result.status == 0, result.err
    return result.out.split()[0]


def test_image_and_extracted_files_measure_the_same(cvmspawn, cloud, firmware, tmp_path):
    out = tmp_path / "out"
    assert cvmspawn.run("extract", cloud, "-o", out).status == 0
    words = shlex.split((out / "cmdline").read_text())
    assert " ".join(words) == WORDS
    common = ["measure", "--coco=sev-snp", f"--firmware={firmware}"]
    files = [f"--linux={out}/vmlinuz", f"--initrd={out}/initrd.img"]
    apart = digest(cvmspawn.run(*common, *files, "--", *words))
    measured = cvmspawn.run(*common, f"--image={cloud}")
    assert digest(measured) == apart
    assert "kernel, initrd and command line are taken from" in measured.err and "not the rest of the image" in measured.err
    assert "the launch digest does not cover" in measured.err
    # Further words come after those of the image; another format of the same disk is the same launch.
    more = digest(cvmspawn.run(*common, f"--image={cloud}", "--linux=from-image", "--", "quiet"))
    assert more == digest(cvmspawn.run(*common, *files, "--", *words, "quiet")) != apart
    raw = shutil.copy(cloud.with_suffix(".raw"), tmp_path / "raw")
    assert digest(cvmspawn.run(*common, f"--image={raw}")) == apart


def test_launcher_predicts_the_same_and_wants_consent(cvmspawn, cloud, firmware, qemu, tmp_path):
    launch = ["--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--qemu={qemu}", "--kvm=no", f"--image={cloud}", "--print=digest"]
    measured = digest(cvmspawn.run("measure", "--coco=sev-snp", f"--firmware={firmware}", f"--image={cloud}"))
    refused = cvmspawn.run(*launch)
    assert refused.status == 125 and "add --allow-untrusted=disk" in refused.err
    assert measured in cvmspawn.run(*launch, "--allow-untrusted=disk").out


def test_what_cannot_be_taken_is_refused(cvmspawn, cloud, firmware, tmp_path):
    empty = disk(tmp_path / "empty.raw", [Part("root", "ext4", {"/x": "y"}, 8)])
    common = ["--coco=sev-snp", f"--firmware={firmware}", "--print=digest"]
    asked = cvmspawn.run(*common, f"--image={empty}", "--linux=from-image")
    assert asked.status == 125 and "no kernel was found" in asked.err
    # Without being asked for, the disk is one without a kernel, as before.
    assert "needs --linux=" in cvmspawn.run(*common, f"--image={empty}").err
    two = disk(tmp_path / "two.raw", [Part("root", "ext4", debian(), 24), Part("linux", "ext4", debian("6.9.3-test"), 24)])
    for options in [[], ["--linux=from-image"]]:
        assert "both have a system that boots" in cvmspawn.run(*common, f"--image={two}", *options).err
    # A guest that writes a qcow2 header to its raw disk.
    disguised = shutil.copy(cloud, tmp_path / "disk.raw")
    refused = cvmspawn.run(*common, f"--image={disguised}")
    assert refused.status == 125 and "begins with the signature of a qcow2 image" in refused.err


def test_other_formats_are_the_same_launch(cvmspawn, cloud, firmware, qemu, tmp_path):
    if not shutil.which("qemu-img"):
        skip_or_fail("qemu-img is not installed")
    image = disk_image.converted(shutil.copy(cloud.with_suffix(".raw"), tmp_path / "cloud.raw"), "vmdk")
    common = ["--coco=sev-snp", f"--firmware={firmware}"]
    expected = digest(cvmspawn.run("measure", *common, f"--image={cloud}"))
    assert digest(cvmspawn.run("measure", *common, f"--image={image}")) == expected
    unnamed = shutil.copy(image, tmp_path / "unnamed")
    assert digest(cvmspawn.run("measure", *common, f"--image={unnamed}", "--image-format=vmdk")) == expected
    launch = [*common, "--simulate", f"--qemu={qemu}", "--kvm=no", f"--image={image}", "--allow-untrusted=disk", "--print=digest"]
    refused = cvmspawn.run(*launch)
    assert refused.status == 125 and "guests cannot write to vmdk images: add --ephemeral" in refused.err
    assert expected in cvmspawn.run(*launch, "--ephemeral").out
    found = json.loads(cvmspawn.run("inspect", "image", image, "--json").out)
    assert found["format"] == "vmdk" and found["cmdline"] == WORDS
    exported = cvmspawn.run("export", "libvirt", *common, "--cpu=EPYC-Milan", "--allow-untrusted=disk", f"--image={image}", f"--output={tmp_path}/export")
    assert exported.status == 0, exported.err
    assert "type='vmdk'" in exported.out


def test_inspect_shows_the_same(cvmspawn, cloud):
    found = json.loads(cvmspawn.run("inspect", "image", cloud, "--json").out)
    extracted = json.loads(cvmspawn.run("extract", cloud, "--json").out)
    assert found["kernel"] == extracted["kernel"] and found["initrd"] == extracted["initrd"] and found["cmdline"] == WORDS
    assert extracted["kernel"]["sha256"] in cvmspawn.run("inspect", "image", cloud).out


def test_old_kernels_are_named(cvmspawn, firmware, tmp_path):
    """Where the image is measured and inspected as where it is extracted; SEV has no such limit."""
    old = disk(tmp_path / "old.raw", [Part("root", "ext4", debian("5.18.0"), 24)])
    for words in (["measure", "--coco=sev-snp", f"--firmware={firmware}", f"--image={old}"], ["inspect", "image", str(old)], ["inspect", str(old)]):
        result = cvmspawn.run(*words)
        assert result.status == 0 and "the kernel is Linux 5.18.0: SEV-SNP guests need Linux 5.19" in result.err, result
    assert "5.19" not in cvmspawn.run("measure", "--coco=sev", f"--firmware={firmware}", f"--image={old}").err


def test_a_damaged_image_has_no_digest(cvmspawn, cloud, firmware, tmp_path):
    """Not that of the firmware alone, which would be another guest's."""
    raw = bytearray(cloud.with_suffix(".raw").read_bytes())
    for at in (512, len(raw) - 512):
        raw[at + 24] ^= 1  # the place of this header, covered by its checksum
    table = tmp_path / "table.raw"
    table.write_bytes(raw)
    cut = tmp_path / "cut.qcow2"
    cut.write_bytes(cloud.read_bytes()[:70000])
    for image, why in ((table, "the partition table (GPT) is damaged"), (cut, "")):
        measured = cvmspawn.run("measure", "--coco=sev-snp", f"--firmware={firmware}", f"--image={image}")
        assert measured.status == 1 and not measured.out and f"--image: '{image}'" in measured.err and why in measured.err, measured
        launched = cvmspawn.run("--coco=sev-snp", f"--firmware={firmware}", "--print=digest", f"--image={image}")
        assert launched.status == 125 and not launched.out and why in launched.err, launched


@pytest.mark.soak
def test_an_entry_that_leads_nowhere_is_no_disk_like_others(cvmspawn, firmware, tmp_path):
    """extract names what is missing; the digest of a launch without a kernel would hide it."""
    gone = {path: data for path, data in disk_image.debian().items() if "initrd" not in path}
    torn = {"/EFI/Linux/a.efi": b"MZ" + bytes(500)}
    for name, part, why in (("gone", disk_image.Part("root", "ext4", gone, 24), "is not in the image"), ("torn", disk_image.Part("esp", "vfat", torn, 48), "a.efi")):
        image = disk_image.disk(tmp_path / f"{name}.raw", [part])
        for words in (["measure"], ["--print=digest", "--allow-untrusted=disk"]):
            done = cvmspawn.run(*words, "--coco=sev-snp", f"--firmware={firmware}", f"--image={image}", "--cpu=EPYC-v4")
            assert done.status != 0 and not done.out and why in done.err, done.err


def test_what_is_extracted_boots(cvmspawn, artifacts, firmware, tmp_path):
    """The kernel and initrd of a compressed qcow2, measured, verified by the firmware (simulated: nothing is encrypted) and booted with the
    image's command line; and again from the extracted files, with the same digest."""
    version = "6.12.9-image"
    files = {"/boot/grub/grub.cfg": disk_image.debian_grub(version, "root=/dev/vda1 from=image"),
             f"/boot/vmlinuz-{version}": Path(artifacts["KERNEL"]).read_bytes(), f"/boot/initrd.img-{version}": Path(artifacts["INITRD"]).read_bytes()}  # fmt: skip
    image = qcow2(disk(tmp_path / "real.raw", [Part("root", "ext4", files, 128)]), "-c")
    common = [f"--qemu={artifacts['QEMU']}", "--kvm=no", "--coco=sev-snp", "--simulate", f"--firmware={firmware}", "--run=cat /proc/cmdline"]
    ran = cvmspawn.run(*common, f"--image={image}", "--linux=from-image", "--allow-untrusted=disk", "--ephemeral", timeout=300)
    assert ran.status == 0, ran.err
    assert "root=/dev/vda1 from=image" in ran.out
    out = tmp_path / "out"
    assert cvmspawn.run("extract", image, "-o", out).status == 0
    assert (out / "vmlinuz").read_bytes() == files[f"/boot/vmlinuz-{version}"] and (out / "initrd.img").read_bytes() == files[f"/boot/initrd.img-{version}"]
    apart = cvmspawn.run(*common, f"--linux={out}/vmlinuz", f"--initrd={out}/initrd.img", "--print=digest", "--", *shlex.split((out / "cmdline").read_text()))
    assert apart.status == 0, apart.err
    assert re.search("[0-9a-f]{96}", apart.out)[0] in ran.out + ran.err
