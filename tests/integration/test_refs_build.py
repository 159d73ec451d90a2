# SPDX-License-Identifier: LGPL-2.1-or-later
"""refs: options that contradict each other, and what a bundle that is built from bundles keeps of them."""

import json

import pytest
from snp_world import expect, run
from test_refs import ISSUED, PLATFORM, TCB, build, bundle, launch, signed, signers, world  # noqa: F401


@pytest.mark.parametrize("option", ["--max-age=0", "--max-age=0s", "--max-age=0d", "--max-age=500ms", "--valid=0", "--valid=0d", "--threshold=0", "--vcpus=0"])
def test_zero_is_not_the_same_as_not_given(world, bundle, signed, option):  # noqa: F811
    words = {"--max-age": ["verify", signed, *signers(world, "ed")], "--threshold": ["verify", signed, *signers(world, "ed")],
             "--valid": ["build", bundle], "--vcpus": ["show", bundle]}[option.split("=")[0]]
    done = expect(run("refs", *words, option), 1, option.split("=")[0] + ": expected a", "at least 1 s" if "age" in option or "valid" in option else "from 1 to")
    assert done.stdout == ""


@pytest.mark.parametrize("command, first, second", [
    ("build", "--platform=smt=on", "--platform=tsme=on"), ("build", "--guest-policy=0x30000", "--guest-policy=0x130000"), ("build", "--sequence=1", "--sequence=2"),
    ("build", "--valid=1d", "--valid=2d"), ("verify", "--max-age=1d", "--max-age=900d"), ("verify", "--state=/a", "--state=/b"),
    ("verify", "--previous=/a", "--previous=/b"), ("verify", "--time=@1", "--time=@2"), ("verify", "--threshold=2", "--threshold=1"), ("show", "--vcpus=1", "--vcpus=2")])
def test_no_option_replaces_an_earlier_one(world, signed, command, first, second):  # noqa: F811
    more = signers(world, "ed", "p256") if command == "verify" else []
    done = expect(run("refs", command, signed, *more, first, second), 1, first.split("=")[0] + ": given twice")
    assert done.stdout == ""


@pytest.mark.parametrize("options, part", [
    (["--platform=smt=on,smt=off"], "--platform: smt is given twice"), (["--platform=tsme=on,smt=on,tsme=on"], "--platform: tsme is given twice"),
    ([TCB + ",microcode=4"], "--tcb: microcode is given twice"), ([TCB, TCB], "--tcb: milan is given twice")])
def test_contradictory_expectations(world, options, part):  # noqa: F811
    expect(run("refs", "build", *options, *launch(world)), 1, part)


EXPECTED = ("name", "expires", "tcb", "platform", "guest-policy", "launches")


def test_a_bundle_from_a_bundle_keeps_what_it_expects(world, tmp_path):  # noqa: F811
    full = build(world, "full.json", "--name=full", "--valid=9d", "--guest-policy=0x130000", TCB, "--tcb=genoa:bootloader=9,tee=0,snp=21,microcode=72", PLATFORM)
    source = json.loads(full.read_text())
    assert all(source[m] for m in EXPECTED)
    for words in ([full], [full, full]):
        kept = json.loads(build(world, "kept.json", words=words).read_text())
        assert {m: kept[m] for m in EXPECTED[:-1]} == {m: source[m] for m in EXPECTED[:-1]}
        assert kept["launches"][0] == source["launches"][0]
    # In place, and beside what has no expectations.
    before = full.read_bytes()
    assert build(world, "full.json", words=[full]).read_bytes() == before
    mixed = json.loads(build(world, "mixed.json", words=[build(world, "mixed-sev.json", words=launch(world, "sev")), full]).read_text())
    assert {m: mixed[m] for m in EXPECTED[:-1]} == {m: source[m] for m in EXPECTED[:-1]}
    # An option replaces its member; floors by generation.
    for option, member, value in (("--name=x", "name", "x"), ("--valid=1d", "expires", ISSUED + 86400), ("--guest-policy=0x30000", "guest-policy", 0x30000),
                                  ("--platform=smt=off", "platform", {"smt": False}),
                                  (TCB.replace("24", "1"), "tcb", {**source["tcb"], "milan": {**source["tcb"]["milan"], "snp": 1}})):
        new = json.loads(build(world, "replaced.json", option, words=[full]).read_text())
        assert {m: new[m] for m in EXPECTED} == {**{m: source[m] for m in EXPECTED}, member: new[member]}
        assert new[member] == value or int(str(new[member]), 0) == value
        # Bundles that differ in it are refused, unless the option decides.
        other = world / "replaced.json"
        done = expect(run("refs", "build", f"--issued=@{ISSUED}", full, other, "-o", tmp_path / "none"), 1, str(other), f"'{member}' differs", option.split("=")[0])
        assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "none").exists()
        expect(run("refs", "build", f"--issued=@{ISSUED}", full, other, option, "-o", tmp_path / "decided"), 0)
    expect(run("refs", "build", f"--issued=@{ISSUED + 10 * 86400}", full), 1, "has expired", "--valid=")
