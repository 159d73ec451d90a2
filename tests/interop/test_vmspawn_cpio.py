# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd-vmspawn 262 of Debian sid, with a stand-in for QEMU that keeps the initrd, and initrd_merge() give the same bytes
for the same credentials; so do --bind=, --bind-ro= and --bind-user= of both, which add credentials."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
sys.path.insert(0, str(SOURCE / "tests/lib"))
sys.path.insert(0, str(SOURCE / "tests/golden/launcher"))
import vmspawn_peer  # noqa: E402
import world  # noqa: E402

SECONDS = vmspawn_peer.SECONDS


@pytest.fixture
def peer(tmp_path):
    try:
        with vmspawn_peer.started(tmp_path) as peer:
            print(peer.run("--version").stdout.splitlines()[0])
            yield peer
    except vmspawn_peer.Missing as e:
        if os.environ.get("MUST_WORK") == "1":
            pytest.fail(str(e))
        pytest.skip(str(e))


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


# vmspawn interprets "\\:" in the first path only, unlike its manual, and leaves doubled slashes in the second: not compared.
BINDS = [
    ["--bind=directory:/src"],
    ["--bind=directory:/a b/\\c", "--bind-ro=with\\:colon:/d", "--bind-ro=/usr"],
    ["--set-credential=a:1", "--set-credential=fstab.extra:tmpfs /x tmpfs", "--set-credential=b:2", "--bind=directory:/src"],
    ["--set-credential=fstab.extra:# no more\\n", "--bind-ro=directory:/src"],
]


def virtiofsd():
    done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True, check=False)
    return pathlib.Path(dict(line.split("=", 1) for line in done.stdout.splitlines())["VIRTIOFSD"])


@pytest.mark.full
@pytest.mark.parametrize("arguments", BINDS, ids=["one", "names", "in-between", "last-newline"])
def test_same_fstab(peer, tmp_path, arguments):
    folder = tmp_path / "world"
    folder.mkdir()
    world.build(folder)
    for name in "directory", "with:colon":
        (tmp_path / name).mkdir()
    peer.env["PATH"] = f"{virtiofsd().parent}:{peer.env['PATH']}"
    theirs = peer.merge(folder / "initrd", [], *arguments)
    same_archive(folder, theirs, arguments)


def same_archive(folder, theirs, arguments):
    size = (folder / "initrd").stat().st_size
    done = subprocess.run(
        [BUILD / "programs/cvmspawn", "--print=credentials", "--json=short", "--linux=vmlinuz", "--initrd=initrd", "--host-caps=host.json", *arguments],
        cwd=folder, capture_output=True, text=True, check=True, timeout=SECONDS)
    archive = json.loads(done.stdout)["credentials"]["archive"]
    theirs = theirs[size + -size % 4:]
    assert (archive["size"], archive["sha256"]) == (len(theirs), hashlib.sha256(theirs).hexdigest()), theirs


@pytest.mark.full
def test_same_users(peer, tmp_path):
    """The records of --bind-user= and the lines that mount the home directories."""
    folder = tmp_path / "world"
    folder.mkdir()
    world.build(folder)
    options = ["--bind-user=daemon", "--bind-user=games", "--bind-user-shell=/bin/zsh", "--bind-user-group=wheel"]
    peer.env["PATH"] = f"{virtiofsd().parent}:{peer.env['PATH']}"
    theirs = peer.merge(folder / "initrd", [], *options)
    assert theirs.count(b"userdb.transient.") == 4 and b'"memberOf":["wheel"]' in theirs
    same_archive(folder, theirs, options)
