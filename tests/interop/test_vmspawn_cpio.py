# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd-vmspawn 262 of Debian sid, with a stand-in for QEMU that keeps the initrd, and initrd_merge() give the same bytes
for the same credentials.

The peer is unpacked by tools/private-apt, run by its own dynamic linker and never installed. It wants a D-Bus system
bus (a private one, which nobody answers on), a /dev/kvm node and QEMU's descriptor of the AmdSev firmware."""

import os
import pathlib
import shutil
import signal
import struct
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
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


def skip_or_fail(reason):
    if os.environ.get("MUST_WORK") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def cache_folder():
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/cvmspawn")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "cvmspawn"


def unpack_peer():
    """The folder with the peer and all that it links, its own C library included."""
    folder = cache_folder() / "peers" / "systemd-vmspawn"
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for verb, package in ("closure", "systemd-container"), ("unpack", "libc6"):
        done = subprocess.run([SOURCE / "tools/private-apt", "sid", verb, folder, package], capture_output=True, text=True,
                              check=False, timeout=300)
        if done.returncode != 0:
            skip_or_fail(f"{package} of Debian sid could not be fetched: {done.stderr.strip()}")
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

    def merge(self, initrd, credentials):
        self.output.unlink(missing_ok=True)
        arguments = ["--image=image.raw", "--linux=kernel", "--coco=sev-snp", "--tpm=no", "--vsock=no",
                     "--pass-ssh-key=no", "--console=headless", "--register=no", "--keep-unit", "--notify-ready=no"]
        if initrd:
            arguments.append(f"--initrd={initrd}")
        for number, (name, value) in enumerate(credentials):
            path = self.folder / f"credential-{number}"
            path.write_bytes(value)
            arguments.append(f"--load-credential={name}:{path}")
        done = self.run(*arguments, "root=/dev/vda2")
        if not self.output.exists():
            pytest.fail(f"systemd-vmspawn started no QEMU: {done.stderr}")
        return self.output.read_bytes()


@pytest.fixture
def peer(tmp_path):
    if os.uname().machine != "x86_64":
        skip_or_fail("systemd-vmspawn knows SEV-SNP on x86-64 only")
    if not os.path.exists("/dev/kvm"):
        skip_or_fail("systemd-vmspawn refuses --coco without a /dev/kvm node")
    daemon = shutil.which("dbus-daemon")
    if not daemon:
        skip_or_fail("systemd-vmspawn wants a system bus, and dbus-daemon is not installed (Debian package dbus-daemon)")
    peer = Peer(unpack_peer(), tmp_path)
    config = tmp_path / "bus.conf"
    config.write_text(BUS.format(tmp_path / "bus"))
    with subprocess.Popen([daemon, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"],
                          stdout=subprocess.PIPE) as bus:
        bus.stdout.readline()  # it listens
        print(peer.run("--version").stdout.splitlines()[0])
        try:
            yield peer
        finally:
            bus.send_signal(signal.SIGTERM)


def our_merge(folder, initrd, credentials):
    output = folder / "ours.out"
    text = "".join(f"{name} {value.hex()}\n" for name, value in credentials)
    subprocess.run([BUILD / "tests/lib/cpio-pack", initrd or "-", output], input=text, text=True, check=True,
                   timeout=SECONDS)
    return output.read_bytes()


GOLDEN = [("foo", b"hello"), ("bar", b"abc\0def")]
CASES = {
    "golden": GOLDEN,
    "empty": [("a", b"")],
    "every-length": [("n" * (1 + n), b"v" * n) for n in range(9)],
    "not-sorted": [("zz", b"1"), ("a", b"2"), ("mm", b"3")],
    "odd-names": [("with space", b"1"), ("a=b,c@d[e]{f}*", b"2"), ("-dash", b"3"), ("TRAILER!!!", b"4")],
    "longest-name": [("n" * 250, b"x")],
    "every-byte": [("bytes", bytes(range(256)) * 3)],
    "one-mebibyte": [("large", b"\x5a" * (1 << 20))],
    "many": [(f"credential-{n}", b"%d" % n) for n in range(200)],
}


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_same_bytes(peer, tmp_path, name):
    initrd = tmp_path / "initrd"
    for size in None, 0, 97, 4096:
        if size is not None:
            initrd.write_bytes(os.urandom(size))
        path = None if size is None else initrd
        theirs = peer.merge(path, CASES[name])
        assert our_merge(tmp_path, path, CASES[name]) == theirs
        if name == "golden":
            assert len(theirs) == 692 + (size or 0) + -(size or 0) % 4
