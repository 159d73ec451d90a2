# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn-guest where it belongs, in a guest, with a simulated secure processor that signs by a made-up chain: launch, report, verdict,
end to end without hardware. All of it is SIMULATED; the bytes and the kernel's interfaces are what is proven."""

import io
import json
import re
import subprocess
import tarfile

import pytest
from guest_device import GuestDevice
from sevsim_host import build_folder

BOOT = 240

# Each step's streams and status go into files, and all of them home in one archive: the ports carry bytes unchanged.
STEPS = """\
mkdir -p /run/out; cd /run/out
t() { n=$1; shift; "$@" >$n.out 2>$n.err </dev/null; echo $? >$n.status; }
"""
HOME = "\ntar -C /run/out -cf - .\n"


class Steps:
    def __init__(self, result):
        assert result.status == 0, result.err[-3000:]
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
            self.files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        self.result = result

    def status(self, name):
        return int(self.files[f"{name}.status"])

    def out(self, name):
        return self.files[f"{name}.out"]

    def err(self, name):
        return self.files[f"{name}.err"].decode()

    def good(self, name):
        """Its output, if it succeeded without a word."""
        assert (self.status(name), self.err(name)) == (0, ""), name
        return self.out(name)


@pytest.fixture
def device(platform, tmp_path):
    return GuestDevice(platform, tmp_path)


def verify(report, platform, *words):
    done = subprocess.run([build_folder() / "cli/cvmspawn", "report", "verify", report, "--certs", platform, "--insecure-root",
                           platform / "ark.pem", "--offline", "--cache=", *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


BOUND = "/etc/os-release"
END_TO_END = STEPS + f"""\
{GuestDevice.start()}
cp {BOUND} bound
t tsm cvmspawn-guest report --interface=tsm --bind={BOUND} --certs=tsm.certs
t ioctl cvmspawn-guest report --interface=ioctl --bind={BOUND} --certs=ioctl.certs
t both cvmspawn-guest report --bind={BOUND} --with-certs
""" + HOME


def test_launch_report_verdict(cvmspawn, device, platform, tmp_path, artifacts):
    """The digest predicted for this launch is what the report in the guest shows, and `report verify` says so."""
    launch = ["--coco=sev-snp", "--simulate", f"--firmware={artifacts['FIRMWARE']}", *device.options(coco=True), f"--run={END_TO_END}"]
    printed = cvmspawn.boot("--print=digest", "--json=short", *launch)
    digest = json.loads(printed.out)["digest"]["digest"]
    assert re.fullmatch("[0-9a-f]{96}", digest)
    device.write(digest)
    result = cvmspawn.boot(f"--expect={digest}", *launch, timeout=BOOT)
    steps = Steps(result)
    assert "SIMULATED sev-snp" in result.err

    bound = tmp_path / "bound"
    bound.write_bytes(steps.files["bound"])
    for name in ("tsm", "ioctl", "both"):
        report = tmp_path / f"{name}.bin"
        report.write_bytes(steps.good(name))
        status, text = verify(report, platform, f"--measurement={digest}", "--bound-to", bound)
        assert status == 0 and text.endswith("verified against a root that is not AMD's\n"), text
    # Another digest, other bound data, AMD's own root.
    assert verify(report, platform, f"--measurement={'0' * 96}", "--bound-to", bound)[0] == 3
    assert verify(report, platform, f"--measurement={digest}", "--bound-to", report)[0] == 3
    done = subprocess.run([build_folder() / "cli/cvmspawn", "report", "verify", report, "--certs", platform, "--offline", "--cache=",
                           f"--measurement={digest}", "--bound-to", bound], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
