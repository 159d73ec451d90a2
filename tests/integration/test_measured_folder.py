# SPDX-License-Identifier: LGPL-2.1-or-later
"""--bind-ro= with --coco=: a directory as an archive behind the initrd, which is measured."""

import json
import os
import socket
import subprocess

import pytest
from launcher_fake import said, small_initrd  # noqa: F401

BOOT = 240


@pytest.fixture
def predict(cvmspawn, kernel, firmware, small_initrd):  # noqa: F811
    def run(*arguments, measure=False):
        options = ["--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={small_initrd}", *arguments]
        if measure:
            return cvmspawn.run("measure", *options, timeout=120)
        return cvmspawn.run("--print=digest", "--json=short", *options, timeout=120)

    return run


def fill(folder, names, mode, when):
    """The same content, made in another order, by another umask, at another time."""
    before = os.umask(mode)
    try:
        folder.mkdir()
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("link"):
                path.symlink_to("../text")
            else:
                path.write_text(f"content of {name}\n")
                if name.endswith("tool"):
                    path.chmod(0o700)
            os.utime(path, (when, when), follow_symlinks=False)
        (folder / "empty").mkdir()
    finally:
        os.umask(before)
    return folder


NAMES = ["text", "b/tool", "b/link", "B/z", "a-b", "a/b", "ä"]


def test_the_same_files_give_the_same_digest(predict, tmp_path):
    one = fill(tmp_path / "one", NAMES, 0o022, 1000000000)
    other = fill(tmp_path / "other", NAMES[::-1], 0o007, 1700000000)
    if os.geteuid() == 0:
        os.chown(other / "text", 1234, 5678)
    digests = []
    for folder in one, other:
        result = predict(f"--bind-ro={folder}:/srv/data")
        assert result.status == 0, result.err
        answer = json.loads(result.out)["digest"]
        (part,) = [p for p in answer["parts"]["initrd"]["parts"] if p["label"] == str(folder)]
        digests.append((answer["digest"], part["sha256"], part["size"]))
        measured = predict(f"--bind-ro={folder}:/srv/data", measure=True)
        assert measured.status == 0 and measured.out.strip() == answer["digest"]
    assert digests[0] == digests[1]

    for change in (lambda: (other / "text").write_text("else\n"), lambda: (other / "a-b").chmod(0o755), lambda: (other / "empty").rmdir()):
        change()
        changed = json.loads(predict(f"--bind-ro={other}:/srv/data").out)["digest"]["digest"]
        assert changed not in {d for d, _, _ in digests}
        digests.append((changed, None, None))
    elsewhere = json.loads(predict(f"--bind-ro={one}:/srv/other").out)["digest"]["digest"]
    assert elsewhere != digests[0][0]


def test_refusals(predict, tmp_path):
    folder = fill(tmp_path / "folder", NAMES, 0o022, 1)

    def refused(*arguments):
        result = predict(*arguments)
        assert result.status == 125 and result.out == ""
        (line,) = said(result)
        return line

    for place in "/bin/x", "/lib", "/run/x", "/tmp/x/y":
        assert f"'{place}' would be hidden in the guest" in refused(f"--bind-ro={folder}:{place}")
    assert "cannot open" in refused(f"--bind-ro={tmp_path / 'missing'}:/srv/x")
    assert "cannot open" in refused(f"--bind-ro={folder / 'text'}:/srv/x")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(folder / "socket"))
        line = refused(f"--bind-ro={folder}:/srv/x")
        assert "srv/x/socket" in line and "only files, folders and symbolic links" in line
    (folder / "socket").unlink()
    with open(folder / "large", "wb") as large:
        large.truncate((256 << 20) + 1)
    assert "use a disk" in refused(f"--bind-ro={folder}:/srv/x")
    (folder / "large").unlink()
    deep = folder
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    assert "too deep" in refused(f"--bind-ro={folder}:/srv/x")


@pytest.mark.full
def test_in_the_guest(cvmspawn, qemu, kernel, initrd, firmware, tmp_path):
    """Every name, mode and byte, on the real firmware, which is SIMULATED to be a confidential guest's; and standard input beside it."""
    folder = fill(tmp_path / "folder", NAMES, 0o022, 1000000000)
    result = cvmspawn.run(
        f"--qemu={qemu}", "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={initrd}",
        f"--bind-ro={folder}:/srv/data",
        "--run=cd /srv && find . | LC_ALL=C sort | while read -r f; do stat -c '%A %u %Y %n' \"$f\"; done; cat data/b/link; cat",
        stdin=subprocess.DEVNULL, timeout=BOOT,
    )
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert "-rwxr-xr-x 0 0 ./data/b/tool" in lines and "-rw-r--r-- 0 0 ./data/text" in lines and "drwxr-xr-x 0 0 ./data/empty" in lines
    assert "lrwxrwxrwx 0 0 ./data/b/link" in lines
    assert lines[-1] == "content of text"


@pytest.mark.full
def test_standard_input(cvmspawn):
    """A file, a pipe that ends, and none: byte for byte, and the command's end does not wait for it."""
    data = bytes(range(256)) * 200
    path = cvmspawn.directory / "input"
    path.write_bytes(data)
    with open(path, "rb") as file:
        result = cvmspawn.boot("--run=cat", stdin=file)
    assert result.status == 0 and result.stdout == data
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as r, os.fdopen(writer, "wb") as w:
        w.write(b"one line\nanother\n")
        w.flush()
        # The writer stays open: nobody waits for more than what the command takes.
        result = cvmspawn.boot("--run=read -r line; echo \"got $line\"; exit 3", stdin=r)
    assert result.status == 3 and result.out == "got one line\n"
