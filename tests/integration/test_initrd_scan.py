# SPDX-License-Identifier: LGPL-2.1-or-later
"""The initrd scan against other readers of the same bytes: cpio for the members, the compressors for where a part ends, and
the kernel itself for what arrives in a guest."""

import os
import re
import shutil
import stat
import subprocess

import pytest
from sevsim_host import build_folder, skip_or_fail

SECONDS = 60

COMPRESSORS = {
    "gzip": ["gzip", "-9"],
    "bzip2": ["bzip2"],
    "lzma": ["xz", "--format=lzma"],
    "xz": ["xz", "--check=crc32"],
    "xz-blocks": ["xz", "--check=none", "-T2", "--block-size=200KiB"],
    "lz4": ["lz4", "-l", "-9"],
    "zstd": ["zstd", "-19"],
    "zstd-threads": ["zstd", "-1", "--no-check", "-T2", "-B100KiB"],
}
# lz4 ends where a block size of zero stands.
GAP = {"lz4": 4}


def compress(name, data):
    command = COMPRESSORS[name]
    if not shutil.which(command[0]):
        skip_or_fail(f"the program {command[0]} is not installed")
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                          timeout=SECONDS).stdout


def align(data, to=4, least=0):
    data += b"\0" * least
    return data + b"\0" * (-len(data) % to)


def newc(*members, trailer=True):
    """An archive of (path, mode, data), written without anybody's help."""
    out = b""
    for number, (path, mode, data) in enumerate((*members, *([("TRAILER!!!", 0, b"")] if trailer else []))):
        name = path.encode() + b"\0"
        numbers = (number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        out = align(align(out + b"070701" + b"".join(b"%08x" % n for n in numbers) + name) + data)
    return out


class Scan:
    def __init__(self, data, folder, *options):
        path = folder / "scanned.img"
        path.write_bytes(data)
        done = subprocess.run([build_folder() / "tests/lib/initrd-dump", *options, path], capture_output=True, text=True,
                              errors="surrogateescape", check=False, timeout=SECONDS)
        lines = [line.split(" ") for line in done.stdout.splitlines()]
        self.error = done.stderr.strip() if done.returncode else None
        self.parts = [(int(line[1]), int(line[2]), line[3]) for line in lines if line[0] == "part"]
        self.members = [line.split(" ", 4)[4] for line in done.stdout.splitlines() if line.startswith("member ")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """What initrds hold, compressed things in the midst of it included."""
    root = tmp_path_factory.mktemp("tree")
    (root / "etc").mkdir()
    (root / "etc/initrd-release").write_text("NAME=test\n")
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/libsystemd-shared-262.so").write_bytes(os.urandom(100_001))
    shell = (shutil.which("sh") and open("/bin/sh", "rb").read()) or b""
    (root / "usr/bin").mkdir()
    (root / "usr/bin/sh").write_bytes(shell)
    for name in COMPRESSORS:
        if shutil.which(COMPRESSORS[name][0]):
            (root / f"module.{name}").write_bytes(compress(name, shell))
    (root / "link").symlink_to("etc")
    os.link(root / "usr/bin/sh", root / "usr/bin/other-name")
    return root


@pytest.fixture(scope="module")
def archive(tree):
    if not shutil.which("cpio"):
        skip_or_fail("the program cpio is not installed")
    return subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=tree, stdout=subprocess.PIPE, check=True,
                          timeout=SECONDS).stdout


def cpio_list(data):
    return subprocess.run(["cpio", "-t", "--quiet"], input=data, capture_output=True, check=True,
                          timeout=SECONDS).stdout.decode(errors="surrogateescape").splitlines()


def test_members(archive, tmp_path):
    scan = Scan(archive, tmp_path)
    assert scan.error is None
    assert scan.members == cpio_list(archive)


@pytest.mark.parametrize("pad", [4, 512])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressors(name, pad, archive, tmp_path):
    """Compressed, padded, the plain archive of the launcher, compressed again: each part ends where it was made to end."""
    extra = newc((".extra", 0o40555, b""))
    part = compress(name, archive)
    first = align(part, pad, GAP.get(name, 0))
    scan = Scan(first + extra + part, tmp_path)
    kind = name.partition("-")[0]
    assert scan.error is None
    assert scan.parts == [(0, len(part), kind), (len(first), len(extra), "none"),
                          (len(first) + len(extra), len(part), kind)]
    assert scan.members == cpio_list(archive) + [".extra"] + cpio_list(archive)


def test_real_initrd(initrd, tmp_path):
    """The guest, and right after it our programs."""
    data = initrd.read_bytes()
    scan = Scan(data, tmp_path)
    assert scan.error is None
    (at, size, kind), (behind, rest, second) = scan.parts
    assert (at, kind, behind, second, behind + rest) == (0, "zstd", size, "zstd", len(data))
    plain = [subprocess.run(["zstd", "-dc"], input=part, capture_output=True, check=True, timeout=SECONDS).stdout
             for part in (data[:size], data[size:])]
    assert scan.members == cpio_list(plain[0]) + cpio_list(plain[1])
    assert "usr/bin/cvmspawn-guest" in cpio_list(plain[1])


def test_credentials_unpack(tmp_path):
    """Our archive through cpio -i: names, modes, bytes."""
    if not shutil.which("cpio"):
        skip_or_fail("the program cpio is not installed")
    values = {"empty": b"", "text": b"hello", "bytes": bytes(range(256)) * 41}
    text = "".join(f"{name} {value.hex()}\n" for name, value in values.items())
    subprocess.run([build_folder() / "tests/lib/cpio-pack", "-", tmp_path / "out.cpio"], input=text, text=True, check=True,
                   timeout=SECONDS)
    data = (tmp_path / "out.cpio").read_bytes()
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], cwd=root, input=data, check=True, timeout=SECONDS)
    folder = root / ".extra/system_credentials"
    mode = {path: stat.S_IMODE(path.stat().st_mode) for path in (root / ".extra", folder)}
    os.chmod(root / ".extra", 0o700)
    assert list(mode.values()) == [0o555, 0o500]
    for name, value in values.items():
        path = folder / f"{name}.cred"
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert path.read_bytes() == value
    assert len(list(folder.iterdir())) == len(values)
    os.chmod(folder, 0o700)


# --- the kernel ------------------------------------------------------------------------------------------------------

INIT = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>
int main(void) {
        int fd = open("/dev/console", O_RDWR);
        char path[16];
        for (int i = 0; i < 3; i++)
                dup2(fd, i);
        printf("ARRIVED:");
        for (int i = 0; i < 3; i++) {
                snprintf(path, sizeof(path), "/marker%d", i);
                if (access(path, F_OK) == 0)
                        printf(" marker%d", i);
        }
        printf(" END\\n");
        fflush(stdout);
        reboot(RB_POWER_OFF);
}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Members whose /init says which markers have arrived."""
    folder = tmp_path_factory.mktemp("init")
    (folder / "init.c").write_text(INIT)
    done = subprocess.run([os.environ.get("CC", "cc"), "-O1", "-static", "-o", folder / "init", folder / "init.c"],
                          capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        skip_or_fail(f"no static program can be built here: {done.stderr.strip()}")
    return [("init", 0o100755, (folder / "init").read_bytes())]


def marker(number):
    return newc((f"marker{number}", 0o100644, b"x"))


def make(case, base):
    plain = newc(*base)
    if case in COMPRESSORS:
        return align(compress(case, plain), 4, GAP.get(case, 0)) + marker(0) + compress(case, marker(1)) + b"\0" * 5
    return {
        "plain": lambda: plain + marker(0),
        "without-trailer": lambda: newc(*base, trailer=False) + marker(0) + marker(1),
        "misaligned": lambda: plain + b"\0" + marker(0),
        "misaligned-behind-gzip": lambda: align(compress("gzip", plain)) + b"\0\0" + marker(0),
        "misaligned-inside-gzip": lambda: compress("gzip", plain + b"\0" + marker(0)),
        "gzip-gzip": lambda: compress("gzip", plain) + compress("gzip", marker(0)),
        "zstd-zstd": lambda: compress("zstd", plain + b"\0" * 7) + compress("zstd", marker(0)),
        "lz4-without-gap": lambda: align(compress("lz4", plain)) + marker(0),
        "lz4-frame": lambda: plain + subprocess.run(["lz4", "-c"], input=marker(0), capture_output=True,
                                                    check=True).stdout,
        "xz-crc64": lambda: plain + subprocess.run(["xz", "--check=crc64"], input=marker(0), capture_output=True,
                                                   check=True).stdout,
        "damaged-zstd": lambda: plain + compress("zstd", marker(0))[:-1] + b"?",
        "last-padding-missing": lambda: plain + marker(0)[:-3],
        "odc": lambda: plain + b"070707" + marker(0)[6:],
    }[case]()


CASES = [*COMPRESSORS, "plain", "without-trailer", "misaligned", "misaligned-behind-gzip", "misaligned-inside-gzip",
         "gzip-gzip", "zstd-zstd", "lz4-without-gap", "lz4-frame", "xz-crc64", "damaged-zstd", "last-padding-missing", "odc"]


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_kernel_agrees(case, base, kernel, qemu, tmp_path):
    """Where the scan is content, all that it lists arrives; where it is not, the kernel complains as well."""
    data = make(case, base)
    scan = Scan(data, tmp_path)
    done = subprocess.run(
        [qemu, "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nodefaults", "-display", "none", "-serial", "stdio",
         "-no-reboot", "-kernel", kernel, "-initrd", tmp_path / "scanned.img", "-append", "console=ttyS0 panic=-1 no_timer_check"],
        capture_output=True, check=False, timeout=2 * SECONDS)
    console = done.stdout.decode(errors="replace")
    complaints = re.findall(r"Initramfs unpacking failed: (.*)", console)
    arrived = re.search(r"ARRIVED:(.*) END", console)
    assert arrived, console[-2000:]
    listed = [name for name in scan.members if name.startswith("marker")]
    if scan.error is None:
        assert not complaints
        assert arrived.group(1).split() == listed
    else:
        assert complaints
    assert (scan.error is None) == (case not in (
        "misaligned", "misaligned-behind-gzip", "misaligned-inside-gzip", "lz4-without-gap", "lz4-frame", "xz-crc64",
        "damaged-zstd", "odc"))


@pytest.mark.parametrize(("head", "known"), [
    (b"hello\n", False), (b"\x7fELF", False), (b"PK\3\4", False), (b"070701", True), (b"\0\0\0\0", True), (b"\x1f\x8b\x08", True), (b"\x28\xb5\x2f\xfd", True)])
def test_a_file_that_is_no_initrd_is_named(cvmspawn, kernel, firmware, tmp_path, head, known):
    """Its digest is right, and the guest's kernel ignores it: both are said where nothing has to be appended to it."""
    (tmp_path / "file").write_bytes(head + bytes(600))
    options = ["--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={tmp_path}/file"]
    measured = cvmspawn.run("measure", *options, timeout=60)
    printed = cvmspawn.run("--kvm=no", "--tpm=no", "--print=digest", *options, timeout=60)
    with_more = cvmspawn.run("measure", "--set-credential=a:b", *options, timeout=60)
    assert measured.status == 0 and measured.out and measured.out.split()[-1] == printed.out.split()[-1]
    for result in measured, printed, with_more:
        assert ("begins neither like a cpio archive nor like compressed data" in result.err) is not known, result.err
