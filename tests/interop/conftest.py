# SPDX-License-Identifier: LGPL-2.1-or-later
"""The suites here all take long or need the network: they run with CVMSPAWN_FULL=1 only."""

import os

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long; runs with CVMSPAWN_FULL=1 only")


def pytest_collection_modifyitems(items):
    for item in items:
        if "full" in item.keywords and os.environ.get("CVMSPAWN_FULL") != "1":
            item.add_marker(pytest.mark.skip(reason="takes long: CVMSPAWN_FULL=1, as ./check --full sets it, runs it"))
