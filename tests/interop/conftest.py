# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the peer suites share. A peer is another program with the same job; it is fetched into the cache, never installed, and
its version is printed, for it moves on. With MUST_WORK=1 a peer that cannot be had is a failure, else a skip."""

import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long or needs the network; runs with CVMSPAWN_FULL=1 only")


def pytest_collection_modifyitems(items):
    if os.environ.get("CVMSPAWN_FULL") == "1":
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(
                pytest.mark.skip(reason="needs a peer from the network: CVMSPAWN_FULL=1, as ./check --full sets it, runs it")
            )


def skip_or_fail(reason):
    if os.environ.get("MUST_WORK") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def cache_folder(name):
    done = subprocess.run(
        ["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True, check=True
    )
    folder = Path(done.stdout.strip()) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def private_apt(*arguments):
    done = subprocess.run([SOURCE / "tools/private-apt", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(f"the peer cannot be fetched: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


@pytest.fixture(scope="session")
def program():
    def find(verb):
        path = BUILD / "cli" / f"verb-{verb}"
        if not path.exists():
            skip_or_fail(f"{path} is not built")
        return path

    return find
