# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of cvmspawn(1), 'Other systems', letter for letter, through a shell: the first three boot real guests, and a stand-in for QEMU shows what
the cloud image's kernel would get."""

import os
import re
import subprocess

import disk_image
import pytest
from conftest import SOURCE
from disk_image import Part, debian, disk, qcow2, uki
from sevsim_host import build_folder
from test_adapter import adapter, release  # noqa: F401
from test_launcher_shares import make_root

BOOT = 300
WORDS = "root=/dev/vda1 ro console=tty0"


def examples():
    text = (SOURCE / "man/cvmspawn.1.scd").read_text()
    section = text[text.index("## Other systems"):text.index("## On an AMD host")]
    return re.findall(r"^\$ (cvmspawn .*)$", section, re.M)


def shell(line, folder, *paths):
    (folder / "home").mkdir()
    environment = {**os.environ, "PATH": ":".join(map(str, [build_folder() / "programs", *paths, os.environ["PATH"]])), "HOME": str(folder / "home")}
    return subprocess.run(["sh", "-c", line], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BOOT, check=False)


def test_these_are_all():
    kinds = ["--initrd", "guest.efi", "--directory", "--image"]
    assert len(examples()) == len(kinds) and all(kind in line for kind, line in zip(kinds, examples(), strict=True))


@pytest.mark.full
@pytest.mark.parametrize("release", ["trixie"], indirect=True)
def test_a_distribution(release, qemu, adapter, tmp_path):  # noqa: F811
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz").symlink_to(release / "vmlinuz")
    (tmp_path / "boot/initrd.img").symlink_to(release / "initramfs-tools.cpio")
    done = shell(examples()[0], tmp_path, qemu.parent)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("rdinit=/.cvmspawn/adapter"), done.stderr
    assert "the adapter that is added" in done.stderr


@pytest.mark.full
def test_a_unified_kernel_image(kernel, initrd, qemu, tmp_path):
    (tmp_path / "guest.efi").write_bytes(uki(kernel.read_bytes(), initrd.read_bytes(), "quiet from.image=1"))
    done = shell(examples()[1], tmp_path, qemu.parent)
    assert done.returncode == 0 and "quiet from.image=1" in done.stdout, done.stderr


@pytest.mark.full
def test_a_directory(kernel, qemu, artifacts, tmp_path):
    root = make_root(tmp_path / "rootfs", kernel)
    done = shell(examples()[2], tmp_path, qemu.parent, artifacts["VIRTIOFSD"].parent)
    assert done.returncode == 0, done.stderr
    assert "root / " in (root / "result").read_text() or "/dev/root" in (root / "result").read_text()


def test_a_cloud_image(fake, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    files = debian() | {"/boot/grub/grub.cfg": disk_image.debian_grub(root=WORDS)}
    qcow2(disk(folder / "cloud.raw", [Part("root", "ext4", files, 24)]), "-c")
    before = (folder / "cloud.qcow2").read_bytes()
    program = fake.qemu("open(os.environ['HOME'] + '/argv', 'w').write('\\n'.join(arguments))")  # it has no disks
    (folder / "bin").mkdir()
    (folder / "bin/qemu-system-x86_64").symlink_to(program)
    folder.chmod(0o777)
    done = shell(examples()[3], folder, folder / "bin")
    assert "kernel, initrd and command line are taken from 'cloud.qcow2'" in done.stderr, done.stderr
    argv = (folder / "home/argv").read_text().split("\n")
    assert argv[argv.index("-append") + 1] == f"console=ttyS0 {WORDS}" and any("2222" in word for word in argv)
    assert (folder / "cloud.qcow2").read_bytes() == before
