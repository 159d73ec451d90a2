# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Linux refuses, the simulated host refuses: a monitor that breaks each rule once."""

import subprocess

from sevsim_host import SECONDS, Launch, build_folder, skip_or_fail


def test_rules(sim):
    program = build_folder() / "sevsim" / "sim-rules"
    if not program.exists():
        skip_or_fail(f"the monitor is not built: {program} is missing")
    result = subprocess.run([program], env=sim.env(), capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert result.returncode == 0 and len(lines) >= 70

    # Each refusal inside a launch stands in its record with its reason, and on standard error.
    launches = [Launch(folder) for folder in sim.record.glob("launch-*")]
    refused = [line for launch in launches for line in launch.refused]
    assert len(refused) >= 30
    assert all(line["refused"] and line["error"] for line in refused)
    said = [line for line in result.stderr.splitlines() if line.startswith("sevsim (simulation): refused: ")]
    assert len(said) >= len(refused)
