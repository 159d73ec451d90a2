# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reference rows of TDs say what becomes of credentials that a host adds; `report verify` refuses a row that does not keep them out, or measures them, unless the relying
party acknowledges that by name. Quotes are of a made-up Intel (SIMULATED)."""

import json

import pytest
import td_chain as chain
from test_measure_rtmr import BUILD, Boot, measure
from test_measure_stub import KERNEL, MAGIC, OSREL, make_uki
from test_td_refs import NAMES, SHIELD, fixture_world, judged, refs  # noqa: F401

ALLOW = "--allow-host-credentials"
SAID = "host_credentials"


@pytest.fixture(scope="module", name="rows")
def fixture_rows(tmp_path_factory):
    """Name: a bundle with one launch, and its registers."""
    rows = {}
    for name, uki, words in (("imported", False, "quiet"), ("ignored", False, f"a {SHIELD}"), ("like", False, f"x{SHIELD}"), ("rtmr0", True, "console=ttyS0"),
                             ("stub-ignored", True, f"console=ttyS0 {SHIELD}")):
        folder = tmp_path_factory.mktemp(name)
        boot = Boot(folder)
        changed = {"append": words}
        if uki:
            (folder / "uki").write_bytes(make_uki(MAGIC, KERNEL, OSREL))
            changed.update(kernel=folder / "uki", initrd=None)
        done = measure(*boot.options("202608-inteltdx", **changed), "--json=short")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        (folder / "answer").write_text(done.stdout)
        refs("build", "--name=td", "--sequence=1", f"--issued={chain.NOW}", folder / "answer", "-o", folder / "bundle")
        rows[name] = folder / "bundle", {n: bytes.fromhex(answer["registers"][n]) for n in NAMES}
    return rows


def written(rows, name):
    return json.loads(rows[name][0].read_text())["launches"][0].get("host-credentials")


def test_rows_say_it(rows):
    assert {name: written(rows, name) for name in rows} == {
        "imported": "imported", "ignored": "ignored", "like": "imported", "rtmr0": "rtmr0", "stub-ignored": "ignored"}


@pytest.mark.parametrize("name,good", [("imported", False), ("like", False), ("ignored", True), ("rtmr0", True), ("stub-ignored", True)])
def test_unshielded_rows_are_refused(rows, world, tmp_path, name, good):
    bundle, values = rows[name]
    done = judged(tmp_path, world, values, f"--reference={bundle}")
    assert (done.returncode, SAID in done.stdout) == ((0, False) if good else (3, True)), done.stdout + done.stderr
    done = judged(tmp_path, world, values, f"--reference={bundle}", ALLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "policy").write_text(json.dumps({"schema": "cvmspawn-tdx-policy-1", "allow_host_credentials": True}))
    done = judged(tmp_path, world, values, f"--reference={bundle}", f"--policy={tmp_path / 'policy'}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_old_bundles_are_unknown(rows, world, tmp_path):
    bundle, values = rows["ignored"]
    old = json.loads(bundle.read_text())
    del old["launches"][0]["host-credentials"]
    (tmp_path / "old").write_text(json.dumps(old))
    done = judged(tmp_path, world, values, f"--reference={tmp_path / 'old'}", "--json=short")
    assert done.returncode == 3 and [v["rule"] for v in json.loads(done.stdout)["violations"]] == [SAID], done.stdout
    done = judged(tmp_path, world, values, f"--reference={tmp_path / 'old'}", ALLOW, "--json=short")
    assert done.returncode == 0 and SAID in done.stdout, done.stdout
    for value in ("unknown", "", 1):
        old["launches"][0]["host-credentials"] = value
        (tmp_path / "bad").write_text(json.dumps(old))
        assert "host-credentials" in refs("show", tmp_path / "bad", status=1).stderr


@pytest.mark.parametrize("name,waived,good", [("ignored", "rtmr2", False), ("ignored", "rtmr0", True), ("rtmr0", "rtmr0", False), ("rtmr0", "rtmr1", True)])
def test_a_waived_register_proves_nothing(rows, world, tmp_path, name, waived, good):
    bundle, values = rows[name]
    done = judged(tmp_path, world, values, f"--reference={bundle}", f"--expect={waived}:any")
    assert (done.returncode, SAID in done.stdout) == ((0, False) if good else (3, True)), done.stdout + done.stderr
