# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mirror's cache by hand: list, export and import."""

import json
import subprocess
from pathlib import Path

from collateral_mirror import BUILD
from test_collateral import CHAIN, FAST, amd, collateral, kds, start  # noqa: F401


def test_what_is_not_there_is_not_made(amd, tmp_path):  # noqa: F811
    """A mistyped --cache= is an error of list and export, which create nothing; and so is a cache with nothing in it."""
    root = f"--insecure-root={amd}/ark.der"
    for words in (["list"], ["export", tmp_path / "bundle"], ["export", "-"]):
        done = collateral(*words, f"--cache={tmp_path}/mistyped", root)
        assert done.returncode == 1 and f"cannot read the cache '{tmp_path}/mistyped': No such file" in done.stderr and not done.stdout, done
    done = collateral("import", tmp_path / "no-bundle", f"--cache={tmp_path}/mistyped", root)
    assert done.returncode == 1 and "no-bundle" in done.stderr
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    assert collateral("list", f"--cache={tmp_path}/empty", root).returncode == 0
    done = collateral("export", tmp_path / "bundle", f"--cache={tmp_path}/empty", root)
    assert done.returncode == 1 and "contains nothing to export" in done.stderr and not (tmp_path / "bundle").exists()


def test_bundle_through_a_pipe(amd, kds, start, tmp_path):  # noqa: F811
    mirror = start(*FAST)
    assert mirror.get_until(CHAIN)[0] == 200
    mirror.stop()
    root, near = f"--insecure-root={amd}/ark.der", f"--cache={tmp_path}/cache"
    bundle = collateral("export", "-", near, root)
    assert bundle.returncode == 0 and json.loads(bundle.stdout)["files"] and not Path("-").exists()
    done = subprocess.run([BUILD / "programs/cvmspawn-collateral", "import", "-", f"--cache={tmp_path}/far", root], input=bundle.stdout, capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0 and "imported 1 files" in done.stderr, done
    assert (tmp_path / "far/milan-vcek-chain.pem").read_bytes() == (tmp_path / "cache/milan-vcek-chain.pem").read_bytes()
    full = open("/dev/full", "w")
    assert subprocess.run([BUILD / "programs/cvmspawn-collateral", "export", "-", near, root], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode == 1
    full.close()
