# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd-vmspawn 262 of Debian sid, with a stand-in for QEMU that keeps the initrd, and initrd_merge() give the same bytes
for the same credentials."""

import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
sys.path.insert(0, str(SOURCE / "tests/lib"))
import vmspawn_peer  # noqa: E402

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
