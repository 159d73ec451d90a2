# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd-vmspawn 262 of Debian sid beside this project, for tests and bench/.

It is unpacked by tools/private-apt, run by its own dynamic linker and never installed. It wants a D-Bus system
bus (a private one, which nobody answers on), a /dev/kvm node (it only looks whether there is one) and QEMU's descriptor of the
AmdSev firmware."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 30

STAND_IN = """#!/bin/sh
while [ $# -gt 1 ]; do
        [ "$1" != -initrd ] || cat "$2" > "$STAND_IN_OUTPUT"
        shift
done
exit 0
"""

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""

# A machine without KVM: the peer sees its own /dev, in which /dev/null stands for the node that it looks for.
WITH_NODE = ["unshare", "--mount", "sh", "-ec", """
mount -t tmpfs dev "$0"
for name in null zero full random urandom tty; do
        : >"$0/$name"
        mount --bind "/dev/$name" "$0/$name"
done
: >"$0/kvm"
mount --bind /dev/null "$0/kvm"
mkdir "$0/pts" "$0/shm"
mount --rbind /dev/pts "$0/pts"
mount --rbind /dev/shm "$0/shm"
ln -s pts/ptmx "$0/ptmx"
ln -s /proc/self/fd "$0/fd"
mount --move "$0" /dev
exec "$@"
"""]


class Missing(Exception):
    """Something that the peer needs is not here."""


def cache_folder():
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/cvmspawn")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "cvmspawn"


def unpack_peer():
    """The folder with the peer and all that it links, its own C library included."""
    folder = cache_folder() / "peers" / "systemd-vmspawn"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if (folder / "complete").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for verb, package in ("closure", "systemd-container"), ("unpack", "libc6"):
            done = subprocess.run([SOURCE / "tools/private-apt", "sid", verb, folder, package], capture_output=True,
                                  text=True, check=False, timeout=300)
            if done.returncode != 0:
                raise Missing(f"{package} of Debian sid could not be fetched: {done.stderr.strip()}")
        (folder / "complete").touch()
    return folder


def pe_without_sections():
    """Enough of a kernel for the peer, which looks at the headers only."""
    dos = b"MZ".ljust(0x3c, b"\0") + (0x40).to_bytes(4, "little")
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<H", 0x20b).ljust(68, b"\0") + struct.pack("<H", 10)  # subsystem: EFI application
    optional = optional.ljust(108, b"\0") + struct.pack("<I", 16)  # number of directories
    return (dos + coff + optional.ljust(240, b"\0")).ljust(4096, b"\0")


class Peer:
    """One folder for a run of the peer."""

    def __init__(self, unpacked, folder):
        libraries = unpacked / "usr/lib/x86_64-linux-gnu"
        self.command = [unpacked / "usr/lib64/ld-linux-x86-64.so.2", "--library-path",
                        f"{libraries}:{libraries}/systemd:{unpacked}/usr/lib/systemd",
                        unpacked / "usr/bin/systemd-vmspawn"]
        if not os.path.exists("/dev/kvm"):
            (folder / "dev").mkdir()
            self.command = [*WITH_NODE, folder / "dev", *self.command]
        self.folder = folder
        self.output = folder / "initrd.out"
        (folder / "bin").mkdir()
        stand_in = folder / "bin/qemu"
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        (folder / "runtime").mkdir()
        (folder / "image.raw").write_bytes(b"\0" * 4096)
        (folder / "kernel").write_bytes(pe_without_sections())
        self.env = {
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus",
            "XDG_RUNTIME_DIR": f"{folder}/runtime",
            "RUNTIME_DIRECTORY": f"{folder}/runtime",
            "XDG_DATA_DIRS": f"{cache_folder()}/firmware/share:/usr/share",
            "TMPDIR": str(folder),
            "STAND_IN_OUTPUT": str(self.output),
        }

    def run(self, *arguments):
        return subprocess.run([*self.command, *arguments], env=self.env, cwd=self.folder, capture_output=True, text=True,
                              check=False, timeout=SECONDS)

    def merge(self, initrd, credentials, *further):
        self.output.unlink(missing_ok=True)
        arguments = ["--image=image.raw", "--linux=kernel", "--coco=sev-snp", "--tpm=no", "--vsock=no",
                     "--pass-ssh-key=no", "--console=headless", "--register=no", "--keep-unit", "--notify-ready=no"]
        if initrd:
            arguments.append(f"--initrd={initrd}")
        for number, (name, value) in enumerate(credentials):
            path = self.folder / f"credential-{number}"
            path.write_bytes(value)
            arguments.append(f"--load-credential={name}:{path}")
        done = self.run(*arguments, *further, "root=/dev/vda2")
        if not self.output.exists():
            raise AssertionError(f"systemd-vmspawn started no QEMU: {done.stderr}")
        return self.output.read_bytes()


@contextlib.contextmanager
def started(folder):
    """A Peer in this folder, with a private bus; Missing says what is not here."""
    if os.uname().machine != "x86_64":
        raise Missing("systemd-vmspawn knows SEV-SNP on x86-64 only")
    if not os.path.exists("/dev/kvm") and os.geteuid() != 0:
        raise Missing("systemd-vmspawn refuses --coco without a /dev/kvm node, and only root can give it a separate one")
    daemon = shutil.which("dbus-daemon")
    if not daemon:
        raise Missing("systemd-vmspawn wants a system bus, and dbus-daemon is not installed (Debian package dbus-daemon)")
    peer = Peer(unpack_peer(), folder)
    config = folder / "bus.conf"
    config.write_text(BUS.format(folder / "bus"))
    with subprocess.Popen([daemon, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bus:
        bus.stdout.readline()  # it listens
        try:
            yield peer
        finally:
            bus.terminate()
