# SPDX-License-Identifier: LGPL-2.1-or-later
"""./demo attest, from where everything is built."""

import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="the simulated /dev/sev is root's, as on a host")
def test_demo(artifacts, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([SOURCE / "tools/demo-attest"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    before, _, after = done.stdout.partition("The same with a kernel that has one more byte")
    # the table: its GUID first, then the passphrase
    assert "000000 42 f5 74 1e dd 71 66 4d" in before and ">........open ses<" in before
    assert "recorded digest = predicted digest" in before
    assert "the launch did not finish" in after and "Refused" in after and "SIMULATED" in before + after
    assert "refused (measurement-mismatch)" in done.stderr
    assert list(tmp_path.iterdir()) == []
