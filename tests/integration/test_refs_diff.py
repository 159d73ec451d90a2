# SPDX-License-Identifier: LGPL-2.1-or-later
"""refs diff: which rows came, went and changed between two bundles, and which input did it."""

import json

from snp_world import expect, run
from test_refs import PLATFORM, TCB, build, bundle, launch, signed, signers, world  # noqa: F401


def diff(*words, status=0):
    return json.loads(expect(run("refs", "diff", *words, "--json"), status).stdout)


def test_diff_names_the_input(world, bundle):  # noqa: F811
    """One input at a time: each is named, with all rows that it changed."""
    (world / "kernel2").write_bytes(b"kernel2" * 1000)
    fewer = build(world, "fewer.json", "--name=web", TCB, PLATFORM, words=launch(world, "snp", "2-3"))
    assert diff(bundle, bundle) == {"launches": [], "expectations": [], "rows": {"same": 8, "changed": 0, "came": 0, "went": 0}, "complete": True}
    words = launch(world)
    firmware = sorted(world.glob("*.fd"))[0]
    (world / "other.fd").write_bytes(bytes([firmware.read_bytes()[0] ^ 1]) + firmware.read_bytes()[1:])
    for old, new, name in ((world / "kernel", world / "kernel2", "kernel"), (world / "initrd", world / "kernel2", "initrd"), ("quiet", "loud", "cmdline"),
                           (firmware, world / "other.fd", "firmware")):
        changed = diff(bundle, build(world, "changed.json", TCB, PLATFORM, words=[new if w == old else w for w in words]), status=3)
        assert [i["input"] for x in changed["launches"] for i in x["inputs"]] == [name]
        assert changed["rows"] == {"same": 0, "changed": 8, "came": 0, "went": 0} and len(changed["launches"][0]["changed"]) == 8
    for option, name in (("--guest-features=0x21", "features"), ("--vmsa=qemu-pre-6.10", "vmm")):
        changed = diff(bundle, build(world, "changed.json", TCB, PLATFORM, words=[*words, option]), status=3)
        assert [i["input"] for x in changed["launches"] for i in x["inputs"]] == [name]
    # Rows that the new bundle has by its family only are there; without a family they went.
    assert diff(bundle, fewer)["rows"] == {"same": 8, "changed": 0, "came": 0, "went": 0}
    none = build(world, "none.json", TCB, PLATFORM, "--family-vcpus=0", words=launch(world, "snp", "2-3"))
    assert diff(bundle, none, status=3)["rows"] == {"same": 4, "changed": 0, "came": 0, "went": 4}
    assert diff(none, bundle)["rows"] == {"same": 4, "changed": 0, "came": 4, "went": 0}
    text = expect(run("refs", "diff", bundle, build(world, "changed.json", TCB, PLATFORM, words=["loud" if w == "quiet" else w for w in words])), 3).stdout
    assert "kernel command line: " in text and text.splitlines()[-1].startswith("not every row of ")


def test_diff_pairs_launches(world, bundle):  # noqa: F811
    """Two launches of which one changed, in another order; and floors that fall."""
    sev = build(world, "sev.json", words=launch(world, "sev"))
    both = build(world, "both.json", TCB, PLATFORM, words=[bundle, sev])
    turned = build(world, "turned.json", TCB, PLATFORM, words=[sev, bundle])
    assert diff(both, turned)["launches"] == []
    alone = diff(both, bundle, status=3)
    assert [x["technology"] for x in alone["launches"]] == ["sev"] and "new" not in alone["launches"][0] and alone["rows"]["went"] == 1
    assert diff(bundle, both)["rows"]["came"] == 1
    lower = build(world, "lower.json", TCB.replace("snp=24", "snp=23"), "--platform=smt=on", words=[bundle])
    assert diff(bundle, lower)["expectations"] == [{"what": "tcb milan snp", "old": "24", "new": "23", "lowered": True},
                                                   {"what": "tsme", "old": "off", "new": None, "lowered": True}]
    assert "tcb milan snp: 24 -> 23 (LOWERED)" in expect(run("refs", "diff", bundle, lower), 0).stdout
    assert [x["lowered"] for x in diff(lower, bundle)["expectations"]] == [False, False]


def test_what_is_no_longer_expected(world, bundle):  # noqa: F811
    """Floors and an expiry that went, as words and dates."""
    short = build(world, "short.json", TCB, PLATFORM, "--valid=1d")
    bare = build(world, "bare.json", PLATFORM)
    text = expect(run("refs", "diff", short, bare), 0).stdout
    assert "tcb floors: given -> none (LOWERED)\n" in text and "tcb milan snp: 24 -> none\n" in text
    assert "expires: 2026-11-02T00:00:00Z -> never (LOWERED)\n" in text
    text = expect(run("refs", "diff", bare, short), 0).stdout
    assert "expires: never -> 2026-11-02T00:00:00Z\n" in text and "LOWERED" not in text and "none -> none" not in text


def test_diff_refuses_what_is_not_authentic(world, bundle, signed):  # noqa: F811
    expect(run("refs", "diff", bundle, signed, *signers(world, "ed")), 2, "not signed")
    expect(run("refs", "diff", signed, signed, *signers(world, "ed")), 0)
    expect(run("refs", "diff", bundle), 1, "expected two bundles")
    expect(run("refs", "diff", bundle, world / "kernel"), 1, "JSON")
