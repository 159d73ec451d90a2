# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn extract with what it does not read by itself: formats that qemu-img converts, file systems that grub-fstest reads. Both are confined to
the files that the user named, whatever an image refers to."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from disk_image import MIB, Part, converted, debian, debian_grub, disk, initrd, kernel, qcow2, run
from sevsim_host import build_folder, skip_or_fail
from test_extract import OLD, VERSION, WORDS, check, cloud, extract, refused  # noqa: F401

FORMATS = {"vmdk": [()], "vhdx": [()], "vdi": [()], "vpc": [(), ("-o", "subformat=fixed")]}
FORMATS["vmdk"].append(("-o", "subformat=streamOptimized"))


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"] + ":/sbin:/usr/sbin")
    for program in "qemu-img", "grub-fstest", "mkfs.btrfs", "mkfs.xfs":
        if not shutil.which(program):
            skip_or_fail(f"{program} is not installed")


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form, cloud, tmp_path, monkeypatch):  # noqa: F811
    """By the file's ending, or --format; never by the content; nothing stays in the temporary directory."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    for options in FORMATS[form]:
        image = converted(shutil.copy(cloud, tmp_path / "cloud"), form, *options, ending="vhd" if form == "vpc" else None)
        found = check(image, tmp_path, kernel(), initrd(), WORDS)
        assert found["format"] == form
        unnamed = shutil.move(image, tmp_path / "unnamed")
        check(unnamed, tmp_path, kernel(), initrd(), WORDS, f"--format={form}")
        if options != ("-o", "subformat=fixed"):  # whose signature is at its end
            refused(unnamed, tmp_path, f"begins with the signature of a {form} image, which a guest can write", f"--format={form}")
    for size in 0, 100, 70000:
        (tmp_path / f"cut.{form}").write_bytes(unnamed.read_bytes()[:size])
        refused(tmp_path / f"cut.{form}", tmp_path, f"cut.{form}'", options=[f"--format={form}"])
    assert not list(temporary.iterdir())


def test_backing_files_are_those_that_were_named(cloud, tmp_path):  # noqa: F811
    base = shutil.copy(cloud, tmp_path / "base.raw")
    for form in "qcow2", "vmdk":
        lower = base if form == "qcow2" else converted(base, "vmdk")
        top = tmp_path / f"top.{form}"
        run("qemu-img", "create", "-f", form, "-b", lower, "-F", "raw" if form == "qcow2" else "vmdk", top)
        refused(top, tmp_path, "has a backing file, which is not opened")
        check(top, tmp_path, kernel(), initrd(), WORDS, f"--backing-file={lower}")
        refused(lower, tmp_path, "--backing-file: ", options=[f"--backing-file={top}"])
    # The user's file counts, not the name in the header.
    run("qemu-img", "create", "-f", "qcow2", "-b", tmp_path / "top.qcow2", "-F", "qcow2", tmp_path / "third.qcow2")
    other = disk(tmp_path / "other", [Part("root", "ext4", debian(OLD), 24), Part("bios", None, mib=1), Part("esp", "vfat", {}, 8)])
    check(tmp_path / "third.qcow2", tmp_path, kernel(OLD), initrd(OLD), WORDS, f"--backing-file={tmp_path}/top.qcow2", f"--backing-file=raw:{other}")
    refused(tmp_path / "third.qcow2", tmp_path, "has a backing file", options=[f"--backing-file={tmp_path}/top.qcow2"])
    refused(tmp_path / "third.qcow2", tmp_path, "--backing-file: cannot open", options=[f"--backing-file={tmp_path}/absent"])


def test_descriptors_that_name_other_files(cloud, tmp_path):  # noqa: F811
    """A VMDK can be a list of files of the host, as a text or behind a header without a capacity."""
    flat = converted(shutil.copy(cloud, tmp_path / "cloud"), "vmdk", "-o", "subformat=monolithicFlat")
    refused(flat, tmp_path, "a descriptor that names other files is not followed")
    text = flat.read_bytes()
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, 0, 128, 1, 20, 512, 0, 0, 128)
    (tmp_path / "away.vmdk").write_bytes((header.ljust(512, b"\0") + text).ljust(MIB, b"\0"))
    refused(tmp_path / "away.vmdk", tmp_path, "names other files, which is not followed")


def test_a_subvolume_needs_btrfs(cloud, tmp_path):  # noqa: F811
    refused(cloud, tmp_path, "--subvolume: the image has no btrfs file system", options=["--subvolume=@"])


def test_without_the_programs(cloud, tmp_path, monkeypatch):  # noqa: F811
    image = converted(shutil.copy(cloud, tmp_path / "cloud"), "vdi")
    btrfs = disk(tmp_path / "b.raw", [Part("root", "btrfs", debian(), 200)])
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    refused(image, tmp_path, "qemu-img is not installed: install the Debian package qemu-utils")
    refused(btrfs, tmp_path, "btrfs is not supported: install the package grub-common")


# --- btrfs and xfs -----------------------------------------------------------------------------------------------------


def below(prefix, files):
    return {prefix + name: content for name, content in files.items()}


@pytest.mark.full
def test_debian_on_btrfs_and_xfs(tmp_path):
    """A root file system without subvolumes, and with the installer's: GRUB's paths begin at the top level."""
    files = debian() | {"/etc/hostname": "x"}
    plain = disk(tmp_path / "plain.raw", [Part("root", "btrfs", files, 200)])
    found = check(plain, tmp_path, kernel(), initrd(), WORDS)
    assert found["kernel"]["filesystem"] == "btrfs" and found["kernel"]["sev-guest-driver"] == "m"
    check(qcow2(plain), tmp_path, kernel(), initrd(), WORDS)
    check(converted(plain, "vmdk"), tmp_path, kernel(), initrd(), WORDS)
    grub = {"/boot/grub/grub.cfg": debian_grub().replace("/boot/", "/@rootfs/boot/")}
    volumes = below("/@rootfs", files | grub) | {"/@home/user/x": "y"}
    check(disk(tmp_path / "sub.raw", [Part("root", "btrfs", volumes, 200)]), tmp_path, kernel(), initrd(), WORDS)
    xfs = disk(tmp_path / "xfs.raw", [Part("root", "xfs", files, 320)], "mbr")
    assert check(xfs, tmp_path, kernel(), initrd(), WORDS)["kernel"]["filesystem"] == "xfs"
    bare = disk(tmp_path / "bare.raw", [Part("root", "xfs", files, 320)], table=None)
    check(bare, tmp_path, kernel(), initrd(), WORDS)


@pytest.mark.full
def test_fedora_on_btrfs_with_boot_on_xfs(tmp_path):
    entry = f"title Fedora\nversion {VERSION}\nlinux /vmlinuz-{VERSION}\ninitrd /initramfs-{VERSION}.img\noptions root=UUID=1 ro rootflags=subvol=root\n"
    boot = {"/loader/entries/a.conf": entry, f"/vmlinuz-{VERSION}": kernel(), f"/initramfs-{VERSION}.img": initrd()}
    parts = [Part("esp", "vfat", {"/EFI/fedora/x": "y"}, 8, options=("-F", "12")), Part("xbootldr", "xfs", boot, 320), Part("root", "btrfs", {"/root/etc/fstab": "", "/home/u/x": ""}, 200)]
    check(disk(tmp_path / "fedora.raw", parts), tmp_path, kernel(), initrd(), "root=UUID=1 ro rootflags=subvol=root")


def suse(version):
    config = f"menuentry 'openSUSE' {{\n  linux /boot/vmlinuz-{version} root=UUID=2\n  initrd /boot/initrd-{version}\n}}\n"
    return {"/boot/grub2/grub.cfg": config, f"/boot/vmlinuz-{version}": kernel(version), f"/boot/initrd-{version}": initrd(version), "/etc/fstab": ""}


@pytest.mark.full
def test_suse_boots_a_snapshot(tmp_path):
    """One snapshot is the root directory. Which of several is, only the file system's default says, which GRUB does not show: so the user has to."""
    others = {"/@/boot/grub2/x86_64-efi/x": "", "/@/usr/local/x": "", "/@/home/x": ""}
    one = others | below("/@/.snapshots/1/snapshot", suse(VERSION))
    check(disk(tmp_path / "one.raw", [Part("root", "btrfs", one, 200)]), tmp_path, kernel(), initrd(), "root=UUID=2")
    two = disk(tmp_path / "two.raw", [Part("root", "btrfs", one | below("/@/.snapshots/2/snapshot", suse(OLD)), 200)])
    refused(two, tmp_path, "several subvolumes have a root directory", "--subvolume=", "/@/.snapshots/1/snapshot", "/@/.snapshots/2/snapshot")
    check(two, tmp_path, kernel(OLD), initrd(OLD), "root=UUID=2", "--subvolume=@/.snapshots/2/snapshot")
    refused(two, tmp_path, "it has no subvolume '@/.snapshots/3/snapshot'", options=["--subvolume=@/.snapshots/3/snapshot"])


@pytest.mark.full
def test_links_of_such_file_systems_stay_inside(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(kernel("9.9.9"))
    for fs, mib in ("btrfs", 200), ("xfs", 320):
        for link in secret, Path(f"vmlinuz-{VERSION}"), Path("../../../.." + str(secret)):
            away = debian() | {f"/boot/vmlinuz-{VERSION}": link}
            refused(disk(tmp_path / "away.raw", [Part("root", fs, away, mib)]), tmp_path, f"/boot/vmlinuz-{VERSION}'")


@pytest.mark.full
def test_a_helper_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    """The raw copy of a qcow2 has a name while grub-fstest reads it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    image = qcow2(disk(tmp_path / "b.raw", [Part("root", "btrfs", debian(), 200)]))
    slow = tmp_path / "bin/grub-fstest"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 2\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    child = subprocess.Popen([build_folder() / "programs/verb-extract", image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if any(p.is_dir() for p in temporary.iterdir()):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    child.kill()
    child.wait()
    for _ in range(100):
        if not list(temporary.iterdir()):
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail(f"left behind: {list(temporary.rglob('*'))}")
