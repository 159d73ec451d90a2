# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn extract: the same bytes come out that went in, whatever the distribution, the table, the file system and the image format; and
what is damaged, hostile or unclear is one error message, with nothing written."""

import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from disk_image import MIB, Part, debian, debian_grub, disk, initrd, kernel, qcow2, run, uki
from sevsim_host import build_folder

VERSION, OLD = "6.12.1-test", "6.9.3-test"


def extract(*argv, status=0):
    done = subprocess.run([build_folder() / "programs/verb-extract", *map(str, argv)], capture_output=True, timeout=300)
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, done.err
    return done


def check(image, tmp_path, linux, init, words, *options):
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    found = json.loads(extract(image, "-o", out, "--json", *options).out)
    assert (out / "vmlinuz").read_bytes() == linux
    assert (out / "initrd.img").read_bytes() == init if init else not (out / "initrd.img").exists()
    assert (out / "cmdline").read_text() == words + "\n" if words else not (out / "cmdline").exists()
    assert found["written"] == [f"{out}/{name}" for name in ["vmlinuz", "initrd.img", "cmdline"] if (out / name).exists()]
    return found


def refused(image, tmp_path, *says, options=()):
    """One line, status 1, and nothing is left behind."""
    out = tmp_path / "refused"
    done = extract(image, "-o", out, *options, status=1)
    assert done.out == "" and not out.exists()
    errors = [line for line in done.err.splitlines() if line]
    assert len(errors) == 1, done.err
    for what in says:
        assert what in errors[0]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Debian's cloud image: root with /boot, BIOS boot, an ESP whose grub.cfg leads to the other one."""
    stub = "search.fs_uuid 0815 root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    parts = [Part("root", "ext4", debian(), 24), Part("bios", None, mib=1), Part("esp", "vfat", {"/EFI/debian/grub.cfg": stub}, 8)]
    return disk(tmp_path_factory.mktemp("cloud") / "cloud.raw", parts)


WORDS = "root=PARTUUID=0815-01 ro console=tty0 console=ttyS0,115200"


def test_debian_in_every_format(cloud, tmp_path):
    images = [cloud, qcow2(cloud), qcow2(shutil.copy(cloud, tmp_path / "packed"), "-c")]
    images += [qcow2(shutil.copy(cloud, tmp_path / "small"), "-o", "cluster_size=512"), qcow2(shutil.copy(cloud, tmp_path / "old"), "-o", "compat=0.10")]
    images += [qcow2(shutil.copy(cloud, tmp_path / "zstd"), "-c", "-o", "compression_type=zstd,cluster_size=2M")]
    for image in images:
        found = check(image, tmp_path, kernel(), initrd(), WORDS)
        assert found["kernel"] | {"sha256": 0} == {
            "path": f"/boot/vmlinuz-{VERSION}", "partition": 1, "filesystem": "ext4", "size": 40000, "sha256": 0,
            "bzimage": True, "version": VERSION, "efi-stub": True, "sev-guest-driver": "m"}
        assert found["initrd"]["size"] == len(initrd())
        chosen = [e for e in found["entries"] if e["chosen"]]
        assert [e["id"] for e in chosen] == ["gnulinux-simple-0815"] and found["table"] == "gpt"
        assert [p["content"] for p in found["partitions"]] == ["ext4", None, "vfat"]


def test_other_tables_and_file_systems(tmp_path):
    bare = disk(tmp_path / "bare.raw", [Part("root", "ext4", debian(), 24)], table=None)
    assert check(bare, tmp_path, kernel(), initrd(), WORDS)["table"] == "none"
    mbr = disk(tmp_path / "mbr.raw", [Part("linux", "ext2", {"/x": "y"}, 8), Part("root", "ext4", debian(), 24, options=("-b", "1024", "-O", "inline_data"))], "mbr")
    assert check(mbr, tmp_path, kernel(), initrd(), WORDS)["table"] == "mbr"
    # A damaged first copy of the table; then both.
    gpt = disk(tmp_path / "gpt.raw", [Part("root", "ext4", debian(), 24)])
    with open(gpt, "r+b") as f:
        f.seek(512 + 60)
        f.write(b"\xff")
    check(gpt, tmp_path, kernel(), initrd(), WORDS)
    with open(gpt, "r+b") as f:
        f.seek(gpt.stat().st_size - 512 + 60)
        f.write(b"\xff")
    refused(gpt, tmp_path, "the partition table (GPT) is damaged")


def test_fedora(tmp_path):
    """BLS entries in a separate /boot; grubenv says which is saved, and what $kernelopts is."""
    entry = "title Fedora Linux ({0})\nversion {0}\nlinux /vmlinuz-{0}\ninitrd /initramfs-{0}.img $tuned_initrd\noptions {1} $tuned_params\ngrub_users $grub_users\n"
    boot = {f"/loader/entries/abc-{v}.conf": entry.format(v, "$kernelopts" if v == OLD else "root=UUID=1 ro") for v in [VERSION, OLD]}
    boot |= {f"/vmlinuz-{v}": kernel(v) for v in [VERSION, OLD]} | {f"/initramfs-{v}.img": initrd(v) for v in [VERSION, OLD]}
    boot |= {"/vmlinuz-0-rescue-abc": kernel("0"), "/grub2/grub.cfg": "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n"}
    parts = lambda: [Part("esp", "vfat", {"/EFI/fedora/grub.cfg": "configfile $prefix/grub.cfg\n"}, 8), Part("xbootldr", "ext4", boot, 24), Part("root", "ext4", {"/etc/fstab": ""}, 8)]
    newest = disk(tmp_path / "newest.raw", parts())
    check(newest, tmp_path, kernel(), initrd(), "root=UUID=1 ro")
    boot["/grub2/grubenv"] = ("# GRUB Environment Block\nsaved_entry=abc-" + OLD + "\nkernelopts=root=UUID=1 rhgb quiet\n").ljust(1024, "#")
    saved = disk(tmp_path / "saved.raw", parts())
    check(saved, tmp_path, kernel(OLD), initrd(OLD), "root=UUID=1 rhgb quiet")
    check(saved, tmp_path, kernel(), initrd(), "root=UUID=1 ro", "--kernel", VERSION)
    check(saved, tmp_path, kernel(), initrd(), "root=UUID=1 ro", "--entry", f"abc-{VERSION}.conf")
    refused(saved, tmp_path, "no entry is of the version '1.2'", f"'abc-{OLD}' ({OLD}, partition 2)", options=["--kernel=1.2"])


def test_ubuntu_with_a_separate_boot(tmp_path):
    """Paths begin at /boot's own root; the initrd comes in the branch that is taken."""
    config = f"""
set partuuid=4711
menuentry 'Ubuntu' --class ubuntu $menuentry_id_option 'gnulinux-simple-4711' {{
        if [ "${{initrdfail}}" = 1 ]; then
          linux /vmlinuz-{OLD} root=PARTUUID=${{partuuid}} ro
        else
          linux /vmlinuz-{VERSION} root=PARTUUID=${{partuuid}} ro "a b=c d" console=tty1   \\
            console=ttyS0
          initrd /initrd.img-{VERSION}
        fi
}}
"""
    boot = {"/grub/grub.cfg": config} | {f"/vmlinuz-{v}": kernel(v) for v in [VERSION, OLD]} | {f"/initrd.img-{VERSION}": initrd()}
    image = disk(tmp_path / "ubuntu.raw", [Part("root", "ext4", {"/etc/hostname": "x"}, 8), Part("xbootldr", "ext4", boot, 24)])
    check(image, tmp_path, kernel(), initrd(), 'root=PARTUUID=4711 ro "a b=c d" console=tty1 console=ttyS0')


def test_suse_and_arch(tmp_path):
    config = f"menuentry 'openSUSE Tumbleweed' {{\n  linux${{x}}efi /boot/vmlinuz-{VERSION} root=UUID=2 ${{extra_cmdline}} splash=silent\n  initrdefi /boot/initrd-{VERSION}\n}}\n"
    suse = {"/boot/grub2/grub.cfg": config, f"/usr/lib/modules/{VERSION}/vmlinuz": kernel(), f"/boot/initrd-{VERSION}": initrd(),
            f"/boot/vmlinuz-{VERSION}": Path(f"../usr/lib/modules/{VERSION}/vmlinuz")}
    check(disk(tmp_path / "suse.raw", [Part("root", "ext4", suse, 24)]), tmp_path, kernel(), initrd(), "root=UUID=2 splash=silent")
    config = "menuentry 'Arch Linux' {\n  linux ($root)/boot/vmlinuz-linux root=UUID=3 rw\n  initrd /boot/intel-ucode.img /boot/initramfs-linux.img\n}\n"
    arch = {"/boot/grub/grub.cfg": config, "/boot/vmlinuz-linux": kernel(), "/boot/intel-ucode.img": b"ucode", "/boot/initramfs-linux.img": initrd()}
    check(disk(tmp_path / "arch.raw", [Part("root", "ext4", arch, 24)]), tmp_path, kernel(), b"ucode\0\0\0" + initrd(), "root=UUID=3 rw")


@pytest.mark.parametrize("bits", ["12", "16", "32"])
def test_kernel_install_and_uki(tmp_path, bits):
    """Boot counting: what has no tries left is used last. A UKI comes before loader entries."""
    size, options = {"12": (8, ("-F", "12", "-s", "8")), "16": (24, ("-F", "16")), "32": (40, ("-F", "32"))}[bits]
    token = "4098b3f648d74c13b1f04ccfba7798e8"
    files = {f"/{token}/{v}/linux": kernel(v) for v in [VERSION, OLD]} | {f"/{token}/{v}/initrd": initrd(v) for v in [VERSION, OLD]}
    for v, name in [(VERSION, f"{token}-{VERSION}+0-3.conf"), (OLD, f"{token}-{OLD}.conf")]:
        files[f"/loader/entries/{name}"] = f"# comment\ntitle Test\nversion {v}\nsort-key test\nlinux /{token}/{v}/linux\ninitrd /{token}/{v}/initrd\noptions root=LABEL=r\noptions quiet\n"
    image = disk(tmp_path / "bls.raw", [Part("esp", "vfat", files, size, options=options)])
    check(image, tmp_path, kernel(OLD), initrd(OLD), "root=LABEL=r quiet")
    if bits == "12":
        return
    files["/EFI/Linux/test.efi"] = uki(kernel(), initrd(), "root=LABEL=uki \t quiet\n\0\0")
    image = disk(tmp_path / "uki.raw", [Part("esp", "vfat", files, size, options=options)])
    found = check(image, tmp_path, kernel(), initrd(), "root=LABEL=uki quiet")
    assert [e["title"] for e in found["entries"] if e["chosen"]] == ["Test OS"]
    listed = extract(image, "--list").out
    assert "* uki" in listed and "id: test" in listed and listed.count("bls ") == 2


def test_files_without_a_loader(tmp_path):
    """The newest by the rules for versions, not by the alphabet; a command line is missing, which is said."""
    versions = ["6.9.3-test", "6.12.1~rc1-test", VERSION]
    boot = {f"/boot/vmlinuz-{v}": kernel(v) for v in versions} | {f"/boot/initrd.img-{v}": initrd(v) for v in versions}
    image = disk(tmp_path / "files.raw", [Part("root", "ext4", boot, 24)])
    check(image, tmp_path, kernel(), initrd(), None)
    assert "has no kernel command line for this kernel" in extract(image).err


def test_old_and_strange_kernels_are_named(tmp_path):
    files = {"/boot/vmlinuz-5.18.0": kernel("5.18.0"), "/boot/config-5.18.0": "# CONFIG_SEV_GUEST is not set\n"}
    err = extract(disk(tmp_path / "old.raw", [Part("root", "ext4", files, 24)])).err
    assert "SEV-SNP guests need Linux 5.19" in err and "without CONFIG_SEV_GUEST" in err
    files = {"/boot/vmlinuz-6.1": b"\x1f\x8b" + bytes(9999)}
    assert "not a bzImage" in extract(disk(tmp_path / "gz.raw", [Part("root", "ext4", files, 24)])).err


def test_files_stay_with_their_list(tmp_path):
    """A list that is lost leaves nothing, so that the same command works once it can be printed."""
    image = disk(tmp_path / "one.raw", [Part("root", "ext4", debian(), 24)])
    out = tmp_path / "out"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([build_folder() / "programs/cvmspawn", "extract", image, "-o", out], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr and not out.exists(), done
    extract(image, "-o", out)
    assert (out / "vmlinuz").exists()


# --- bad input ---------------------------------------------------------------------------------------------------------


def test_links_that_lead_nowhere(tmp_path):
    loop = debian() | {f"/boot/vmlinuz-{VERSION}": Path("again"), "/boot/again": Path(f"vmlinuz-{VERSION}")}
    refused(disk(tmp_path / "loop.raw", [Part("root", "ext4", loop, 24)]), tmp_path, "a cycle of symbolic links")
    # An absolute link stays in the image; the host's file of that name is not what comes out.
    secret = tmp_path / "secret"
    secret.write_bytes(kernel("9.9.9"))
    away = debian() | {f"/boot/vmlinuz-{VERSION}": secret}
    refused(disk(tmp_path / "away.raw", [Part("root", "ext4", away, 24)]), tmp_path, "is not in the image")
    for path in [f"../../../{secret}", f"/boot/../../{secret}"]:
        config = f"menuentry 'x' {{\n linux {path} root=/dev/vda1\n}}\n"
        image = disk(tmp_path / "up.raw", [Part("root", "ext4", debian() | {"/boot/grub/grub.cfg": config}, 24)])
        refused(image, tmp_path, "leads out of its file system ('..')")


def test_the_partition_that_grub_means_is_not_guessed(tmp_path):
    """os-prober's entries set $root by a search: with the same names in two partitions the first one would be taken, wrong in silence."""
    other = {path: data for path, data in debian().items() if path.startswith("/boot/") and "grub" not in path}
    other[f"/boot/vmlinuz-{VERSION}"] = kernel(OLD)
    two = [Part("root", "ext4", debian(), 24), Part("linux", "ext4", other, 24)]
    refused(disk(tmp_path / "two.raw", two), tmp_path, f"partitions 1 and 2 both have '/boot/vmlinuz-{VERSION}'", "--partition=")
    check(disk(tmp_path / "two.raw", two), tmp_path, kernel(), initrd(), WORDS, "--partition=1")
    # Nor is one file taken from here and one from there.
    half = [Part("root", "ext4", {p: d for p, d in debian().items() if "vmlinuz" not in p}, 24),
            Part("linux", "ext4", {p: d for p, d in other.items() if "vmlinuz" in p}, 24)]
    refused(disk(tmp_path / "half.raw", half), tmp_path, "are in different partitions")
    # All in the other one.
    away = [Part("root", "ext4", {p: d for p, d in debian().items() if "initrd" not in p}, 24), Part("linux", "ext4", other, 24)]
    check(disk(tmp_path / "away.raw", away), tmp_path, kernel(OLD), initrd(), WORDS)


def test_two_systems_and_missing_files(tmp_path):
    two = disk(tmp_path / "two.raw", [Part("root", "ext4", debian(), 24), Part("linux", "ext4", debian(OLD), 24)])
    refused(two, tmp_path, "partitions 1 and 2 both have a system that boots", "--partition=")
    check(two, tmp_path, kernel(OLD), initrd(OLD), WORDS, "--partition=2")
    gone = debian()
    del gone[f"/boot/initrd.img-{VERSION}"]
    refused(disk(tmp_path / "gone.raw", [Part("root", "ext4", gone, 24)]), tmp_path, f"'/boot/initrd.img-{VERSION}', which '/boot/grub/grub.cfg' names, is not in the image")
    refused(disk(tmp_path / "empty.raw", [Part("root", "ext4", {"/x": "y"}, 8)]), tmp_path, "no kernel was found")


def test_what_is_not_supported_is_named(tmp_path):
    for raw, says in [(b"LUKS\xba\xbe\0\2" + bytes(4096), "partition 1: an encrypted volume (LUKS) is not supported"),
                      (bytes(512) + b"LABELONE" + bytes(16) + b"LVM2 001", "partition 1: a physical volume of LVM is not supported")]:
        refused(disk(tmp_path / "other.raw", [Part("linux", None, raw=raw)]), tmp_path, says)
    (tmp_path / "noise.raw").write_bytes(random.Random(1).randbytes(MIB))
    refused(tmp_path / "noise.raw", tmp_path, "neither a partition table nor a known file system")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", tmp_path, "not a regular file")
    refused(tmp_path, tmp_path, "is a directory")
    refused(tmp_path / "absent", tmp_path, "cannot open")


def test_format_is_not_taken_from_the_content(cloud, tmp_path):
    """A guest that writes a qcow2 header to its raw disk does not choose what the host reads."""
    image = qcow2(shutil.copy(cloud, tmp_path / "image"))
    disguised = Path(shutil.copy(image, tmp_path / "disk.raw"))
    refused(disguised, tmp_path, "begins with the signature of a qcow2 image, which a guest can write", "--format=qcow2")
    check(disguised, tmp_path, kernel(), initrd(), WORDS, "--format=qcow2")
    refused(cloud, tmp_path, "not a qcow2 image", options=["--format=qcow2"])


def test_qcow2_that_is_damaged_or_names_others(cloud, tmp_path):
    image = qcow2(shutil.copy(cloud, tmp_path / "image"))
    run("qemu-img", "create", "-f", "qcow2", "-b", image, "-F", "qcow2", tmp_path / "backed.qcow2")
    refused(tmp_path / "backed.qcow2", tmp_path, "has a backing file, which is not opened")
    run("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={tmp_path}/data,data_file_raw=on", tmp_path / "outside.qcow2", "1M")
    refused(tmp_path / "outside.qcow2", tmp_path, "has an external data file, which is not opened")
    whole = image.read_bytes()
    for size in [0, 50, 104, 65536, 300000, len(whole) // 2]:
        (tmp_path / "cut.qcow2").write_bytes(whole[:size])
        refused(tmp_path / "cut.qcow2", tmp_path, "cut.qcow2'")
    for offset, value, says in [(20, b"\0\0\0\xff", "damaged"), (36, b"\0\0\0\0", "damaged"), (24, b"\xff" * 8, "damaged"),
                                (79, b"\2", "marked as corrupt"), (79, b"\x10", "subclusters"), (78, b"\1", "unknown features"), (32, b"\0\0\0\1", "encrypted")]:
        (tmp_path / "header.qcow2").write_bytes(whole[:offset] + value + whole[offset + len(value):])
        refused(tmp_path / "header.qcow2", tmp_path, says)


def test_outputs_are_not_replaced(cloud, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "cmdline").write_text("mine")
    done = extract(cloud, "-o", out, status=1)
    assert "exists: remove it, or choose another directory" in done.err
    assert sorted(p.name for p in out.iterdir()) == ["cmdline"] and (out / "cmdline").read_text() == "mine"
    (out / "cmdline").unlink()
    (out / "vmlinuz").symlink_to(tmp_path / "elsewhere")
    extract(cloud, "-o", out, status=1)
    assert not (tmp_path / "elsewhere").exists()
    extract(cloud, "-o", tmp_path / "a/b", status=1)


def test_texts_of_the_image_do_not_reach_the_terminal(tmp_path):
    config = debian_grub().replace("Debian GNU/Linux' --class", "Evil \x1b]0;title\x07\x1b[2J' --class")
    image = disk(tmp_path / "evil.raw", [Part("root", "ext4", debian() | {"/boot/grub/grub.cfg": config}, 24)])
    for options in [[], ["--list"], ["--json"]]:
        done = extract(image, *options)
        assert "\x1b" not in done.out + done.err and "\x07" not in done.out + done.err
    config = debian_grub(root="root=/dev/vda1 \x01")
    image = disk(tmp_path / "control.raw", [Part("root", "ext4", debian() | {"/boot/grub/grub.cfg": config}, 24)])
    assert all("\x01" not in (e["cmdline"] or "") for e in json.loads(extract(image, "--json").out)["entries"])


@pytest.mark.full
def test_damage_anywhere_is_an_answer(cloud, tmp_path):
    """Each damaged image gives status 0 or 1, one line for 1, and in time; the reader never ends by a signal."""
    dice = random.Random(17)
    images = [cloud.read_bytes(), qcow2(shutil.copy(cloud, tmp_path / "image"), "-c").read_bytes()]
    for i in range(60):
        data = bytearray(images[i % 2])
        for _ in range(dice.randint(1, 40)):
            at = dice.randrange(len(data)) if i % 4 else dice.randrange(MIB) + (i % 3) * MIB // 2
            data[at % len(data)] = dice.randrange(256)
        image = tmp_path / ("x.qcow2" if i % 2 else "x.raw")
        image.write_bytes(data)
        done = subprocess.run([build_folder() / "programs/verb-extract", image], capture_output=True, text=True, timeout=200)
        assert done.returncode in (0, 1), done.stderr
        assert "ended by signal" not in done.stderr and (done.returncode == 0 or done.stderr.strip())


def test_a_directory_with_many_names(tmp_path):
    """A million files are more than anybody looks at; the limit is far below. mkfs would take minutes for so many: a file becomes the directory."""
    names = [b"%06d" % i for i in range(66048)]
    entries = b"".join(struct.pack("<IHBB", 12, 16, len(name), 1) + name + bytes(2) for name in names)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/boot").write_bytes(entries)  # blocks of 1024 bytes, each full
    image = tmp_path / "many.raw"
    with open(image, "wb") as f:
        f.truncate(8 * MIB)
    run("mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "^metadata_csum,^dir_index", "-d", tmp_path / "tree", image)
    run("debugfs", "-w", "-R", "set_inode_field /boot mode 040755", image)
    refused(image, tmp_path, "'/boot' has more than 65536 entries")


def test_partitions_that_are_not_meant(cloud, tmp_path):
    refused(cloud, tmp_path, "--partition: expected the number of a partition, from 1, not '0'", options=["--partition=0"])
    refused(cloud, tmp_path, "no entry is in partition 3", "partition 1)", options=["--partition=3"])
    refused(cloud, tmp_path, "no entry is named 'nothing'", options=["--entry=nothing"])
