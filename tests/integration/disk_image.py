# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disk images with what distributions put in them, made by sfdisk, mkfs.ext4, mkfs.vfat and qemu-img without root: the layouts are generated,
the kernels are headers of bzImages with a version."""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
TYPES = {"esp": ("U", "ef"), "xbootldr": ("BC13C2FF-59E6-4262-A352-B275FD6F7172", "83"), "root": ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "83"),
         "linux": ("L", "83"), "bios": ("21686148-6449-6E6F-744E-656564454649", "83")}


def kernel(version="6.12.1-test", size=40000):
    """The beginning of a bzImage with an EFI stub (Linux, Documentation/arch/x86/boot.rst), filled with bytes that differ."""
    data = bytearray((i * 7 + len(version)) % 251 for i in range(size))
    data[0:2] = b"MZ"
    data[0x202:0x206] = b"HdrS"
    data[0x206:0x208] = b"\x0f\x02"
    data[0x20e:0x210] = struct.pack("<H", 0x3000 - 0x200)
    text = version.encode() + b" (test@test) #1\0"
    data[0x3000:0x3000 + len(text)] = text
    return bytes(data)


def initrd(version="6.12.1-test", size=70001):
    return bytes((i * 13 + len(version)) % 253 for i in range(size))


def uki(linux, initrd_, cmdline, uname="6.12.1-test", osrel="PRETTY_NAME=\"Test OS\"\n"):
    """A PE file with the sections of a unified kernel image."""
    sections = [(b".osrel", osrel.encode()), (b".cmdline", cmdline.encode()), (b".uname", uname.encode()), (b".linux", linux), (b".initrd", initrd_)]
    head = bytearray(0x40) + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0, 0x22)
    head[0:2], head[0x3c:0x40] = b"MZ", struct.pack("<I", 0x40)
    table, body, at = b"", b"", 0x400
    for name, data in sections:
        padded = data + bytes(-len(data) % 512)
        table += struct.pack("<8sIIIIIIHHI", name, len(data), at, len(padded), at, 0, 0, 0, 0, 0)
        body += padded
        at += len(padded)
    return (bytes(head) + table).ljust(0x400, b"\0") + body


@dataclass
class Part:
    kind: str  # of TYPES
    fs: str | None  # ext4, ext2, vfat, btrfs, xfs; None: the bytes of `raw`
    files: dict = field(default_factory=dict)  # path -> bytes, or a Path: a link
    mib: int = 16
    raw: bytes = b""
    options: tuple = ()


def run(*argv, **options):
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin", MTOOLS_SKIP_CHECK="1")
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, timeout=120, env=environment, **options)


def tree(directory, files):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, content in files.items():
        path = directory / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory


def xfs_files(directory):
    """What mkfs.xfs -p reads."""
    lines = []
    for path in sorted(directory.iterdir()):
        if path.is_symlink():
            lines.append(f"{path.name} l--777 0 0 {os.readlink(path)}")
        elif path.is_dir():
            lines += [f"{path.name} d--755 0 0", *xfs_files(path), "$"]
        else:
            lines.append(f"{path.name} ---644 0 0 {path}")
    return lines


def fill_large(image, part, offset, scratch):
    """File systems whose programs know no offset."""
    volume, files = scratch / "volume", tree(scratch / "tree", part.files)
    with open(volume, "wb") as f:
        f.truncate(part.mib * MIB)
    if part.fs == "btrfs":
        run("mkfs.btrfs", "-q", "--rootdir", files, *part.options, volume)
    else:
        (scratch / "files").write_text("\n".join(["/", "0 0", "d--755 0 0", *xfs_files(files), "$", "$", ""]))
        run("mkfs.xfs", "-q", "-p", scratch / "files", *part.options, volume)
    run("dd", f"if={volume}", f"of={image}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse", "status=none")


def fill(image, part, offset, scratch):
    if part.fs in ("btrfs", "xfs"):
        fill_large(image, part, offset, scratch)
    elif part.fs is None:
        with open(image, "r+b") as f:
            f.seek(offset)
            f.write(part.raw)
    elif part.fs == "vfat":
        run("mkfs.vfat", "--offset", offset // 512, *part.options, image, part.mib * 1024)
        where = f"{image}@@{offset}"
        made = set()
        for name, content in part.files.items():
            for parent in reversed(Path("/" + name.lstrip("/")).parents):
                if str(parent) != "/" and parent not in made:
                    run("mmd", "-i", where, f"::{parent}")
                    made.add(parent)
            (scratch / "file").write_bytes(content if isinstance(content, bytes) else content.encode())
            run("mcopy", "-i", where, scratch / "file", f"::{name}")
    else:
        run(f"mkfs.{part.fs}", "-q", "-F", "-d", tree(scratch / "tree", part.files), "-E", f"offset={offset}", *part.options, image, f"{part.mib}m")


def disk(image, parts, table="gpt"):
    """An image with these partitions; table=None: the first one fills it."""
    scratch = image.parent / (image.name + ".scratch")
    scratch.mkdir(exist_ok=True)
    start = 0 if table is None else 1
    with open(image, "wb") as f:
        f.truncate((start + sum(p.mib for p in parts) + 1) * MIB)
    if table:
        column = 0 if table == "gpt" else 1
        script = f"label: {'gpt' if table == 'gpt' else 'dos'}\n" + "".join(f"size={p.mib}MiB, type={TYPES[p.kind][column]}\n" for p in parts)
        run("sfdisk", "-q", image, input=script.encode())
    for part in parts:
        fill(image, part, start * MIB, scratch)
        start += part.mib
    shutil.rmtree(scratch)
    return image


def converted(image, form, *options, ending=None):
    out = image.with_suffix("." + (ending or form))
    run("qemu-img", "convert", "-f", "raw", "-O", form, *options, image, out)
    return out


def qcow2(image, *options):
    return converted(image, "qcow2", *options)


def debian_grub(version="6.12.1-test", root="root=PARTUUID=0815-01 ro console=tty0 console=ttyS0,115200"):
    """As grub-mkconfig of Debian writes it, shortened."""
    return f"""#
# DO NOT EDIT THIS FILE
#
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   set boot_once=true
else
   set default="0"
fi
if [ x"${{feature_menuentry_id}}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function savedefault {{
  if [ -z "${{boot_once}}" ]; then
    saved_entry="${{chosen}}"
    save_env saved_entry
  fi
}}
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-0815' {{
\tload_video
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root 0815
\techo\t'Loading Linux {version} ...'
\tlinux\t/boot/vmlinuz-{version} {root}
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/initrd.img-{version}
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-0815' {{
\tmenuentry 'Debian GNU/Linux, with Linux {version} (recovery mode)' $menuentry_id_option 'gnulinux-recovery-0815' {{
\t\tlinux\t/boot/vmlinuz-{version} {root} single
\t\tinitrd\t/boot/initrd.img-{version}
\t}}
}}
"""


def debian(version="6.12.1-test"):
    return {
        "/boot/grub/grub.cfg": debian_grub(version),
        f"/boot/vmlinuz-{version}": kernel(version),
        f"/boot/initrd.img-{version}": initrd(version),
        f"/boot/config-{version}": "CONFIG_AMD_MEM_ENCRYPT=y\nCONFIG_SEV_GUEST=m\n",
        "/vmlinuz": Path(f"boot/vmlinuz-{version}"),
    }
