# SPDX-License-Identifier: LGPL-2.1-or-later
"""CVMSPAWN_SNAPSHOT: the guest of a time in the past has its own sources and its own place. That it is built is left to machines that reach
snapshot.debian.org."""

import os
import subprocess

import pytest
from conftest import SOURCE


def run(tmp_path, *argv, snapshot=""):
    done = subprocess.run([SOURCE / argv[0], *argv[1:]], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "CVMSPAWN_SNAPSHOT": snapshot, "CVMSPAWN_CACHE": str(tmp_path)})
    return done.returncode, done.stdout, done.stderr


def test_another_time_is_another_guest(tmp_path):
    keys = [run(tmp_path, "tools/artifacts", "--guest-key", snapshot=s)[1] for s in ("", "", "20260101T000000Z", "20260102T000000Z", "20260101T000000Z")]
    assert keys[0] == keys[1] and keys[2] == keys[4] and len(set(keys)) == 3 and all(len(k) == 13 for k in keys)


@pytest.mark.parametrize(("snapshot", "uri"), [
    ("20260101T000000Z", "https://snapshot.debian.org/archive/debian/20260101T000000Z/"), ("http://archive.example/debian", "http://archive.example/debian")])
def test_sources(tmp_path, snapshot, uri):
    status, out, err = run(tmp_path, "tools/private-apt", "sid", "sources", snapshot=snapshot)
    assert status == 0, err
    lines = out.splitlines()
    assert f"URIs: {uri}" in lines and "Suites: sid" in lines and "Check-Valid-Until: no" in lines and any(x.startswith("Signed-By: /") for x in lines)
    (state,) = (tmp_path / "apt").iterdir()
    assert state.name.startswith("sid@") and state.name != "sid@"


def test_what_is_no_time(tmp_path):
    status, _, err = run(tmp_path, "tools/private-apt", "sid", "sources", snapshot="yesterday")
    assert status == 1 and "expected a time such as 20260101T000000Z" in err
