# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service while its clock is set back and forward by a day between requests: limits, replays, expired launches and the audit
log. test-attestd-machine does the same by the thousand, on the store."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, made_up, registration
from sevsim_host import build_folder, skip_or_fail

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402

DAY = 86400


class World:
    def __init__(self, folder, platform):
        module = build_folder() / "tests/lib/clock-at.so"
        if not module.exists():
            skip_or_fail("the build has no tests/lib/clock-at.so")
        if b"libasan" in subprocess.run(["ldd", build_folder() / "programs/cvmspawn-attestd"], capture_output=True, check=False).stdout:
            pytest.skip("a program with the address sanitizer takes no preloaded module before it")
        self.file, self.psp = folder / "clock", Psp(platform)
        self.file.write_bytes(bytes(8))
        self.service = made_up(folder, platform, env={**os.environ, "LD_PRELOAD": str(module), "CLOCK_AT": str(self.file)})
        self.client = self.service.connect()
        status, answer = self.client.request("POST", "/vm/a", registration(), token=self.service.token)
        assert status == 201, answer

    def set_clock(self, off):
        """Days from the truth."""
        with open(self.file, "r+b") as f:
            f.write(struct.pack("=q", off * DAY))

    def launch(self):
        status, answer = self.client.request("POST", "/vm/a/launch", self.psp.launch())
        assert status == 200, answer
        return self.psp.measured(answer, DIGEST)

    def validate(self, said):
        status, answer = self.client.request("POST", "/vm/a/validate", said)
        return status, answer if status == 200 else answer["code"]

    def events(self):
        return self.client.request("GET", "/vm/a/events", token=self.service.token)[1]


@pytest.fixture
def world(tmp_path, platform):
    w = World(tmp_path, platform)
    yield w
    w.client.close()
    w.service.stop()


def test_a_clock_that_is_set(world):
    first = world.launch()
    status, packet = world.validate(first)
    assert status == 200
    # back: what was released in the future counts, and is said again
    world.set_clock(-1)
    assert world.validate(world.launch()) == (429, "too-many-instances")
    assert world.validate(first) == (200, packet)
    # forward: a window is over, and one instance more may have the secrets
    world.set_clock(1)
    second = world.launch()
    assert world.validate(second)[0] == 200
    assert world.validate(world.launch()) == (429, "too-many-instances")
    # and right again: the second one counts, though it had them in the future
    world.set_clock(0)
    for _ in range(3):
        assert world.validate(world.launch()) == (429, "too-many-instances")
    assert world.validate(second)[0] == 200
    released = [e for e in world.events() if e["event"] == "released"]
    assert len(released) == 2
    assert sorted(round((e["time"] - time.time()) / DAY) for e in released) == [0, 1]


@pytest.mark.parametrize("off", [-1, 1])
def test_an_open_launch_does_not_wait_for_a_day(world, off):
    said = world.launch()
    world.set_clock(off)
    assert world.validate(said) == (410, "launch-expired")
    assert world.validate(world.launch())[0] == 200
    world.set_clock(0)
    assert world.client.request("GET", "/health")[0] == 200
