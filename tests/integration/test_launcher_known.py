# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a scan finds in a large initrd is kept under the digest of its bytes: another launch of the same bytes does not decompress
them again, and one of other bytes does."""

import bz2
import hashlib
import json
import os
import random
from pathlib import Path

import pytest
from launcher_fake import events, newc, said

SIZE = 2 << 20
NOISE = random.Random(1).randbytes(SIZE)  # bzip2 takes a tenth of a second to decompress it
RUN = "vm.start(); vm.power_off()"


def folder():
    if os.geteuid() == 0:
        return Path("/var/cache/cvmspawn/initrds")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cvmspawn/initrds"


def compressed(systemd, mark):
    files = {"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", f"usr/lib/systemd/libsystemd-shared-{systemd}.so": b"ELF",
             "mark": mark, "large": NOISE}
    return bz2.compress(newc(files))


class Large:
    """Initrds of this test, and what is known of each."""

    def __init__(self, path):
        self.path = path
        self.kept = []

    def write(self, data):
        self.path.write_bytes(data)
        kept = folder() / f"{len(data)}-{hashlib.sha256(data).hexdigest()}"
        self.kept.append(kept)
        return kept


@pytest.fixture
def large(tmp_path):
    large = Large(tmp_path / "large")
    yield large
    for path in large.kept:
        path.unlink(missing_ok=True)


def launch(fake, large, *arguments):
    """The phases, and the launcher's lines."""
    result = fake.run(RUN, "--json=short", f"--initrd={large.path}", "--set-credential=a:b", "--ram=512M", *arguments)
    assert result.status == 0, result.err
    assert result.leftovers == []
    (started,) = [event for event in events(result) if event["event"] == "started"]
    return [mark["phase"] for mark in started["phases"]], said(result)


def test_known_at_the_second_time(fake, large):
    kept = large.write(compressed(262, b"0123456789abcdef"))
    phases, lines = launch(fake, large)
    assert "scan" in phases and "known" not in phases and lines == []
    facts = json.loads(kept.read_text())
    assert facts.pop("content") > SIZE
    assert facts == {"format": "cvmspawn-initrd/1", "initrd-release": True, "sh": True, "systemd": 262}

    # Also with other credentials.
    phases, lines = launch(fake, large, "--set-credential=another:one")
    assert "known" in phases and "scan" not in phases and lines == []
    # What is known of memory is judged against each launch's.
    phases, lines = launch(fake, large, "--ram=64M")
    assert "known" in phases and len(lines) == 1 and "--ram=64M is too little" in lines[0]


def test_what_is_known_counts(fake, large):
    """As it would be found: an initrd whose PID 1 cannot import them gets the credentials as strings."""
    kept = large.write(compressed(255, b"0123456789abcdef"))
    for phase in "scan", "known":
        result = fake.run(RUN, "--json=short", f"--initrd={large.path}", "--set-credential=a:b", "--ram=512M")
        assert result.status == 0 and len(said(result)) == 1 and "systemd 255" in said(result)[0]
        (started,) = [event for event in events(result) if event["event"] == "started"]
        assert [mark["phase"] for mark in started["phases"]].count(phase) == 1
    assert kept.exists()


@pytest.mark.parametrize("text", ["", "{", '{"format":"other"}', '{"format":"cvmspawn-initrd/1","systemd":262}', "x" * 10000])
def test_what_is_damaged_is_not_known(fake, large, text):
    kept = large.write(compressed(262, b"0123456789abcdef"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text)
    phases, lines = launch(fake, large)
    assert "scan" in phases and "known" not in phases and lines == []
    assert json.loads(kept.read_text())["systemd"] == 262


def test_other_bytes_of_the_same_size(fake, large):
    """Nothing is known of them."""
    first = compressed(262, b"0123456789abcdef")
    second = compressed(262, b"fedcba9876543210")
    length = max(len(first), len(second))
    kept = [large.write(data + bytes(length - len(data))) for data in (first, second)]
    large.path.write_bytes(first + bytes(length - len(first)))
    launch(fake, large)
    assert kept[0].exists() and not kept[1].exists()
    large.path.write_bytes(second + bytes(length - len(second)))
    phases, _ = launch(fake, large)
    assert "scan" in phases and "known" not in phases
    assert kept[1].exists()


def test_what_depends_on_the_credentials_is_not_kept(fake, large):
    """A hard link that one credential's name would meet."""
    data = newc({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF", "other.cred": b"", "large": NOISE})
    at = data.index(b"other.cred") - 110
    kept = large.write(bz2.compress(data[:at + 38] + b"00000002" + data[at + 46:]))
    phases, _ = launch(fake, large)
    assert "scan" in phases
    assert not kept.exists()


def test_of_several_files_nothing_is_kept(fake, large, small_initrd):
    kept = large.write(compressed(262, b"0123456789abcdef"))
    phases, _ = launch(fake, large, f"--initrd={small_initrd}")
    assert "scan" in phases
    assert not kept.exists()
