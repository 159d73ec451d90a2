# SPDX-License-Identifier: LGPL-2.1-or-later
"""SEV and SEV-ES without --linux=: a firmware with GRUB inside is launched for real on the simulated host, and the user is told
that the digest covers this firmware only. The firmware is made up (tests/golden/launcher/world.py): GRUB's file in it is a PE image."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder, find_qemu, skip_or_fail

GOLDEN = Path(__file__).resolve().parents[1] / "golden/launcher"
sys.path.insert(0, str(GOLDEN))
import world  # noqa: E402

COVERS = ("cvmspawn: the launch digest covers the firmware only: what it boots is on the disk, whose passphrase it reads from the "
          "injected secrets")
NO_AREA = "' has no secret area: its boot loader cannot receive a passphrase for the disk"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    loader = world.portable_executable(".text")
    (folder / "grub.fd").write_bytes(world.ovmf_with(loader))
    (folder / "no-secret.fd").write_bytes(world.ovmf_with(loader, secret=False))
    (folder / "no-grub.fd").write_bytes(world.ovmf_with(b""))
    (folder / "disk").write_bytes(world.gpt(world.ROOT))
    return folder


def launch(files, firmware, mode):
    """(what the runner of the simulation answers or None, what the launcher said, its events)"""
    program, qemu = build_folder() / "programs" / "cvmspawn", find_qemu()
    if not qemu:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    if os.geteuid() != 0:
        skip_or_fail("SEV and SEV-ES lock guest memory, which needs root")
    done = subprocess.run(
        [program, "sevsim", "--json", "--", program, f"--qemu={qemu}", f"--firmware={files / firmware}", f"--coco={mode}",
         f"--image={files / 'disk'}", "--allow-untrusted=disk", "--ram=256M", "--tpm=no", "--status-fd=2"],
        capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = done.stderr.splitlines()
    answer = json.loads(done.stdout.splitlines()[-1]) if done.stdout else None
    return answer, lines, [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("mode", ["sev", "sev-es"])
def test_the_banner_says_what_is_covered(files, mode):
    answer, lines, events = launch(files, "grub.fd", mode)
    (record,) = answer["launches"]
    digest = model.sev_digest((files / "grub.fd").read_bytes(), 1 if mode == "sev-es" else 0, fpu=True)
    assert record["finished"] is True and record["refused"] == [] and record["digest"] == digest, lines
    at = lines.index(COVERS)
    assert lines.index(f"cvmspawn: {mode} launch digest of the firmware only: {digest}") > at
    assert not any(NO_AREA in line for line in lines)
    (event,) = [event for event in events if event["event"] == "digest"]
    assert (event["covers"], event["digest"], event["simulated"]) == ("firmware", digest, False)


def test_no_area_for_secrets_is_told(files):
    answer, lines, _ = launch(files, "no-secret.fd", "sev")
    assert answer["launches"][0]["finished"] is True
    assert COVERS in lines and any(NO_AREA in line for line in lines)


@pytest.mark.parametrize(("firmware", "mode", "words"), [
    ("grub.fd", "sev-snp", "--coco=sev-snp needs --linux="),
    ("no-grub.fd", "sev", "is empty, as in Debian's OVMF.amdsev.fd; add --linux="),
])
def test_refused_before_anything_starts(files, firmware, mode, words):
    answer, lines, events = launch(files, firmware, mode)
    assert answer["status"] == 125 and answer["launches"] == []
    assert events[-1]["source"] == "launcher" and events[-1]["status"] == 125
    assert any(words in line for line in lines) and not any("digest of" in line for line in lines)
