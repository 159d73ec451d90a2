# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU of Debian sid (11.1 when this was written) under the launcher: it accepts every composed line up to the point where KVM is asked,
its monitor is an object where it is known to have one, and nothing of that is measured."""

import json
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE

sys.path.insert(0, str(SOURCE / "tests/integration"))
import sevsim_model as model  # noqa: E402
from golden_launches import ALL, CASES, only_kvm_is_missing  # noqa: E402

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 180


def has_monitor_object(qemu):
    done = subprocess.run([qemu, "-object", "help"], capture_output=True, text=True, check=True, timeout=SECONDS)
    return "monitor-qmp" in done.stdout


def test_it_takes_no_certificate_table(sid_qemu):
    """What LIMITATIONS.md says: a guest's extended report comes without the host's certificates. Patches to QEMU call the property certs-path; once it is there, the
    launcher is to give it a table."""
    done = subprocess.run([sid_qemu, "-object", "sev-snp-guest,help"], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert "host-data=" in done.stdout and "cert" not in done.stdout, done.stdout


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_only_kvm_is_missing(path, tmp_path, sid_qemu):
    """With the option for the monitor, as a launch that knows nothing of this QEMU does it: its warning is not passed on."""
    only_kvm_is_missing(path, tmp_path, sid_qemu)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_only_kvm_is_missing_with_the_object(path, tmp_path, sid_qemu):
    if not has_monitor_object(sid_qemu):
        pytest.skip("this QEMU has no object for the monitor: it is older than 11.1")
    only_kvm_is_missing(path, tmp_path, sid_qemu, **{"monitor-object": True})


def test_check_host_finds_the_object(sid_qemu):
    """What --host-caps= takes tells the launcher."""
    done = subprocess.run([CVMSPAWN, "check-host", "--json", f"--qemu={sid_qemu}"], capture_output=True, text=True, check=False,
                          timeout=SECONDS)
    assert json.loads(done.stdout)["monitor-object"] is has_monitor_object(sid_qemu), done.stderr


@pytest.mark.parametrize("spelling", [False, True], ids=["option", "object"])
def test_the_monitor_is_not_measured(tmp_path, sid_qemu, spelling):
    """A whole launch on the simulated host in either spelling: one digest."""
    if spelling and not has_monitor_object(sid_qemu):
        pytest.skip("this QEMU has no object for the monitor: it is older than 11.1")
    firmware, kernel, initrd = model.make_firmware(seed=81), model.make_kernel(seed=82), model.make_initrd(seed=83)
    for name, data in ("firmware.fd", firmware), ("kernel", kernel), ("initrd", initrd):
        (tmp_path / name).write_bytes(data)
    caps = json.loads(subprocess.run([CVMSPAWN, "sevsim", "--print-host-caps"], capture_output=True, text=True, check=True,
                                     timeout=SECONDS).stdout)
    (tmp_path / "caps.json").write_text(json.dumps({**caps, "monitor-object": spelling}))
    launch = [CVMSPAWN, f"--qemu={sid_qemu}", "--coco=sev-snp", f"--host-caps={tmp_path / 'caps.json'}",
              f"--firmware={tmp_path / 'firmware.fd'}", f"--linux={tmp_path / 'kernel'}", f"--initrd={tmp_path / 'initrd'}",
              "--ram=256M", "--exact-words"]
    argv = json.loads(subprocess.run([*launch, "--print=argv", "--json=short"], capture_output=True, text=True, check=True,
                                     timeout=SECONDS).stdout)["argv"]
    assert ("-mon" in argv) is not spelling and any("monitor-qmp" in word for word in argv) is spelling
    done = subprocess.run([CVMSPAWN, "sevsim", "--json", "--sev-node=0666", "--", *launch], capture_output=True, text=True, check=False,
                          timeout=SECONDS)
    assert done.returncode == 0 and "deprecated" not in done.stderr, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert [record["digest"] for record in answer["launches"]] == [model.snp_digest(firmware, kernel=kernel, initrd=initrd, words="")]


def test_each_reset_is_the_same_launch(tmp_path, sid_qemu):
    """--reboot=reset: QEMU launches the guest again, and the secure processor sees the same digest each time. The guest of the simulated
    host resets at once, so it does that until the time is over."""
    version = subprocess.run([sid_qemu, "--version"], capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    if int(version.split("version ")[1].split(".")[0]) < 11:
        pytest.skip("this QEMU cannot reset a confidential guest: it is older than 11.0")
    firmware, kernel = model.make_firmware(seed=84), model.make_kernel(seed=85)
    for name, data in ("firmware.fd", firmware), ("kernel", kernel):
        (tmp_path / name).write_bytes(data)
    launch = [CVMSPAWN, f"--qemu={sid_qemu}", "--coco=sev-snp", f"--firmware={tmp_path / 'firmware.fd'}", f"--linux={tmp_path / 'kernel'}",
              "--ram=256M", "--exact-words", "--reboot=reset", "--timeout=5"]
    done = subprocess.run([CVMSPAWN, "sevsim", "--json", "--sev-node=0666", "--guest=reset", "--", *launch], capture_output=True, text=True,
                          check=False, timeout=SECONDS)
    assert done.returncode == 124 and "the guest reset and starts again" in done.stderr, done.stderr
    digests = [record["digest"] for record in json.loads(done.stdout.splitlines()[-1])["launches"] if record["finished"]]
    assert len(digests) >= 2 and set(digests) == {model.snp_digest(firmware, kernel=kernel, words="")}
