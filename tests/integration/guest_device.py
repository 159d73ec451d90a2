# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest with a simulated secure processor in it: what starts sevsim-guest-device (sevsim) under `cvmspawn --run=`.

The program comes in an initrd behind the guest's and is measured with it. The platform (made-up keys and certificates of sevsim-identity)
and the digest that the reports are to show come on a disk, which no digest covers: so a report can show the digest that was predicted
for this very launch. Everything that comes out of it is SIMULATED.

    device = GuestDevice(platform, tmp_path)
    cvmspawn.boot(*device.options(), f"--run={device.start()}; cvmspawn-guest report --bind=/etc/os-release")

With --coco=sev-snp --simulate: predict with --print=digest and the same words, device.write(digest), launch with the same words. Or launch
with the same words under `cvmspawn sevsim --record=` first, and device.write(launch=FOLDER): then the reports show what the simulated host's
processor measured, ID block included."""

import io
import tarfile

from sevsim_host import build_folder, skip_or_fail

PLACE = "usr/lib/sevsim"
NAMES = ("vcek.key", "vlek.key", "chip-id.bin", "ark.pem", "ask.pem", "asvk.pem", "vcek.der", "vlek.der")

# Sparse, with SEV_STATUS (AMD 24593, 15.34.10) of an SNP guest at its number: TCG answers zero for it.
START = f"""\
set -e
modprobe -a virtio_blk cuse tsm_report msr
i=0; until [ -b /dev/vda ]; do sleep 0.1; i=$((i + 1)); [ $i -lt 100 ] || exit 99; done
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
mkdir -p /run/sevsim
tar -xf /dev/vda -C /run/sevsim
if [ -c /dev/cpu/0/msr ]; then
        printf '\\007\\0\\0\\0\\0\\0\\0\\0' | dd of=/run/sevsim/msr bs=1 seek=$((0xc0010131)) status=none
        mount --bind /run/sevsim/msr /dev/cpu/0/msr
fi
if [ -e /run/sevsim/report.bin ]; then
        set -- --launch=/run/sevsim "$@"
else
        set -- --measurement="$(cat /run/sevsim/measurement)" "$@"
fi
/{PLACE}/sevsim-guest-device --faults=/run/sevsim/faults "$@" /run/sevsim
"""


def newc(files):
    """An archive of executable files, with the directories that they need: the kernel makes none by itself."""
    out, seen = bytearray(), set()

    def add(path, mode, data):
        nonlocal out
        name = path.encode() + b"\0"
        numbers = [len(seen) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        out += b"070701" + b"".join(b"%08x" % n for n in numbers) + name
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)

    for path, data in files.items():
        parts = path.split("/")
        for i in range(1, len(parts)):
            if (folder := "/".join(parts[:i])) not in seen:
                seen.add(folder)
                add(folder, 0o40755, b"")
        seen.add(path)
        add(path, 0o100755, data)
    add("TRAILER!!!", 0, b"")
    return bytes(out)


class GuestDevice:
    def __init__(self, platform, folder, files=()):
        """files: more programs for the guest, {path: bytes}."""
        program = build_folder() / "sevsim/sevsim-guest-device"
        if not program.exists():
            skip_or_fail(f"the simulated guest device is not built: {program} is missing")
        self.platform = platform
        self.initrd = folder / "guest-device.cpio"
        self.disk = folder / "platform.tar"
        self.initrd.write_bytes(newc({f"{PLACE}/sevsim-guest-device": program.read_bytes(),
                                      f"{PLACE}/start": START.encode(), **dict(files)}))
        self.write(digest="00" * 48)

    def write(self, digest=None, launch=None):
        """What the reports are to show: a digest, or all that a launch recorded by sevsim has. The disk may be written as long as no
        guest runs."""
        files = {name: (self.platform / name).read_bytes() for name in NAMES}
        files.update({"report.bin": (launch / "report.bin").read_bytes()} if launch else {"measurement": digest.encode()})
        with tarfile.open(self.disk, "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    def options(self, coco=False):
        """Of the launcher, after the guest's own --initrd=."""
        untrusted = ["--allow-untrusted=disk"] if coco else []
        return (f"--initrd={self.initrd}", f"--image={self.disk}", "--image-format=raw", *untrusted, "root=tmpfs")

    @staticmethod
    def start(*options):
        """The --run command that starts it: when it has ended, /dev/sev-guest and configfs-tsm answer."""
        return " ".join(["sh", f"/{PLACE}/start", *options, "||", "exit 98"])
