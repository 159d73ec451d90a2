# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every shell block of docs/sevsim.md, one after the other in one folder, as a reader would type them."""

import os
import re
import subprocess

import pytest
from conftest import SOURCE
from sevsim_host import build_folder, find_qemu, skip_or_fail

BLOCKS = re.findall(r"```sh\n(.*?)```", (SOURCE / "docs/sevsim.md").read_text(), re.S)


@pytest.mark.full
def test_blocks(artifacts, tmp_path):
    qemu = find_qemu() or skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qemu-system-x86_64").symlink_to(qemu)
    (tmp_path / "OVMF.amdsev.fd").symlink_to(artifacts["FIRMWARE"])
    path = f"{build_folder()}/programs:{build_folder()}/sevsim:{tmp_path}/bin:{os.environ['PATH']}"
    marks = "".join(f"echo block {n} >&2\n{block}\n" for n, block in enumerate(BLOCKS, 1))
    node = "" if os.geteuid() == 0 else "cvmspawn() { case $1 in sevsim) shift; command cvmspawn sevsim --sev-node=0666 \"$@\" ;; *) command cvmspawn \"$@\" ;; esac }\n"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", node + marks], cwd=tmp_path, env={**os.environ, "PATH": path, "HOME": str(tmp_path)}, capture_output=True, text=True,
                          timeout=300)  # fmt: skip
    assert done.returncode == 0 and len(BLOCKS) == 7, done.stderr[-3000:] + done.stdout[-2000:]
    assert "recorded digest = predicted digest" in done.stdout and "NOT AMD'S: a test key" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("sevsim") and "(simulation)" not in line] == []
