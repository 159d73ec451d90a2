# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a policy asks of TD quotes beyond test_td_verify.py: XFAM, statuses that no level has, and every violation in one answer. All of it is SIMULATED: a
made-up Intel with throw-away keys."""

import json
import struct

import td_chain as chain
from test_td_verify import judge, world  # noqa: F401


def test_levels_with_computed_statuses(tmp_path, world):
    """Intel's levels never have them: such a statement is malformed."""
    for status in ("TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded", "NotSupported", "Fine"):
        done = judge(tmp_path, {**world.files(), "tcb.json": world.sign("tcbInfo", world.tcb_info(levels=[chain.level(status)]))})
        assert done.returncode == 4 and f"unknown status '{status}'" in done.stdout, done.stdout


def test_xfam(tmp_path, world):
    files = world.files()
    value = hex(int.from_bytes(world.body()["xfam"], "little"))
    done = judge(tmp_path, files, f"--expect=xfam:{value}")
    assert done.returncode == 0 and "xfam" not in done.stdout.split("not checked:")[1]
    assert judge(tmp_path, files, "--expect=xfam:0x3", f"--expect=xfam:{value}").returncode == 0
    done = judge(tmp_path, files, "--expect=xfam:0x3")
    assert done.returncode == 3 and f"violation: xfam: expected 0x3, got {value}\n" in done.stdout
    assert "expected one of the accepted values: 2, got" in judge(tmp_path, files, "--expect=xfam:0x3", "--expect=xfam:0x7").stdout
    assert judge(tmp_path, files, "--expect=xfam:any").returncode == 0
    for wrong in ("3", "0x", "", "0x1ffffffffffffffff"):
        assert "--expect=xfam: expected a number such as 0x602e7" in judge(tmp_path, files, f"--expect=xfam:{wrong}").stderr
    policy = tmp_path / "policy.json"
    for member, status in ((value, 0), ([value, "0x3"], 0), ("any", 0), ("0x3", 3), ([], 1), (3, 1)):
        policy.write_text(json.dumps({"schema": "cvmspawn-tdx-policy-1", "xfam": member}))
        assert judge(tmp_path, files, f"--policy={policy}").returncode == status, member


def test_all_violations_are_listed(tmp_path, world):
    """Not the first only: each rule that the quote breaks has its line."""
    quote = world.quote(attributes=struct.pack("<Q", 1 | 1 << 29), rest=b"x", **{"tee-tcb-svn": bytes([2, 1]) + bytes([2] * 14)})
    wrong = [f"--expect={name}:{'00' * 47}01" for name in ("rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig", "mrseam")]
    done = judge(tmp_path, {**world.files(), "quote": quote}, *wrong, "--expect=xfam:0x3", policy=[f"--measurement={'00' * 47}01", f"--report-data={'00' * 63}01"])
    rules = [line.split(":")[1].strip() for line in done.stdout.splitlines() if line.startswith("  violation:")]
    assert done.returncode == 3 and rules == ["measurement", "rtmr0", "rtmr1", "rtmr2", "report_data", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig", "mrseam",
                                              "debug", "migration_agent", "xfam", "tcb_status", "trailing_bytes"]  # fmt: skip
