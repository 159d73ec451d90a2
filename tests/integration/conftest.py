# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures that the suites share."""

import os
import subprocess

import pytest
import sevsim_host


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long; runs with CVMSPAWN_FULL=1 only")


def pytest_collection_modifyitems(items):
    if os.environ.get("CVMSPAWN_FULL") == "1":
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes long: CVMSPAWN_FULL=1, as ./check --full sets it, runs it"))


@pytest.fixture
def sim(tmp_path):
    """A simulated SEV host with an empty record."""
    return sevsim_host.SimHost(tmp_path)


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """The folder of a freshly made-up platform identity."""
    folder = tmp_path_factory.mktemp("platform")
    tool = sevsim_host.build_folder() / "tests" / "sevsim" / "sevsim-identity"
    if not tool.exists():
        sevsim_host.skip_or_fail(f"the identity tool is not built: {tool} is missing")
    subprocess.run([tool, folder], check=True, timeout=120)
    return folder
