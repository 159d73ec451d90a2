# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tap interfaces and passt around a stand-in for QEMU: what is there while the guest runs, what is refused, and what is left."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import descendants_of, name_of, skip_or_fail
from launcher_fake import TOOK_TOO_LONG, said

WAITS = "vm.start(); vm.answer_until('system_powerdown'); vm.power_off()"
PASST = """\
import os, sys
open({log!r}, "w").write(" ".join(sys.argv[1:]))
fd = int(next(word for word in sys.argv if word.startswith("--fd="))[5:])
{behaviour}
while os.read(fd, 4096):
    pass
"""


@pytest.fixture
def passt(tmp_path):
    """A PATH with a passt that notes its arguments and behaves as a test says."""

    def make(behaviour=""):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "passt"
        program.write_text(f"#!{sys.executable}\n" + PASST.format(log=str(tmp_path / "passt.log"), behaviour=behaviour))
        program.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}

    return make


@pytest.fixture
def namespace():
    if os.geteuid() != 0:
        skip_or_fail("making network namespaces needs root here")
    if not shutil.which("ip"):
        skip_or_fail("ip is missing: install iproute2")
    return ("unshare", "--net")


def test_passt_gets_the_published_ports(fake, passt, tmp_path):
    run = fake.start(WAITS, "--network=passt", "--publish=2222:22", "--publish=0.0.0.0:53:53/udp", "--json=short", env=passt())
    run.wait_for_output(b'"started"')
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, [])
    words = (tmp_path / "passt.log").read_text().split()
    assert words[:2] == ["--foreground", "--quiet"] and words[2].startswith("--fd=")
    assert words[3:] == ["-t", "127.0.0.1/2222:22", "-u", "0.0.0.0/53:53"]


def test_the_end_of_passt_ends_the_guest(fake, passt):
    run = fake.start("vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')", "--network=passt", "--json=short", env=passt())
    run.wait_for_output(b'"started"')
    victim = next(pid for pid in descendants_of(run.pid) if name_of(pid) == "passt")
    os.kill(victim, signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (125, [])
    assert said(result)[-1] == "cvmspawn: passt ended while the guest was running"


def test_what_passt_says_is_passed_on(fake, passt):
    result = fake.run("vm.start(); vm.answer_until('quit'); vm.power_off('host-qmp-quit')", "--network=passt",
                      env=passt("sys.exit('no interface to copy')"))
    assert result.status == 125 and result.leftovers == []
    assert said(result)[-1] == "cvmspawn: passt ended while the guest was running: no interface to copy"


def test_a_missing_passt_is_named(fake, tmp_path):
    result = fake.run(WAITS, "--network=passt", env={"PATH": str(tmp_path)})
    assert result.status == 125
    assert said(result)[-1] == "cvmspawn: --network=passt: passt was not found in PATH: install passt, or use --network-user-mode"


def interfaces(run):
    listed = subprocess.run(["nsenter", f"--net=/proc/{run.pid}/ns/net", "ip", "-o", "link"], capture_output=True, text=True, timeout=60, check=True)
    return listed.stdout


def test_the_tap_interface_goes_with_the_guest(fake, namespace):
    """A second guest of the same name is told; in another namespace nothing is left either way."""
    run = fake.start(WAITS, "--network-tap", "--machine=same", "--json=short", prefix=namespace)
    run.wait_for_output(b'"started"')
    assert "vt-same" in interfaces(run)
    second = fake.run(WAITS, "--network-tap", "--machine=same", prefix=("nsenter", f"--net=/proc/{run.pid}/ns/net"))
    assert second.status == 125
    assert said(second)[-1] == "cvmspawn: --network-tap: 'vt-same' exists already: another guest of this name runs; use another --machine="
    keep = os.open(f"/proc/{run.pid}/ns/net", os.O_RDONLY)
    run.signal(signal.SIGKILL)
    assert run.wait(TOOK_TOO_LONG).leftovers == []
    left = subprocess.run(["nsenter", f"--net=/proc/{os.getpid()}/fd/{keep}", "ip", "-o", "link"], capture_output=True, text=True, timeout=60,
                          check=True)  # fmt: skip
    os.close(keep)
    assert "vt-same" not in left.stdout


def test_a_tap_interface_needs_a_capability(fake, namespace):
    prefix = (*namespace, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    result = fake.run(WAITS, "--network-tap", "--machine=d", prefix=prefix)
    assert (result.status, result.leftovers) == (125, [])
    assert said(result)[-1] == "cvmspawn: --network-tap: making 'vt-d' needs CAP_NET_ADMIN: start as root, or use --network-user-mode"


def test_a_wrong_mac_address_is_named(fake):
    result = fake.run(WAITS, "--network-tap", env={"SYSTEMD_VMSPAWN_NETWORK_MAC": "01:00:00:00:00:00"})
    assert result.status == 125
    assert said(result)[-1].startswith("cvmspawn: $SYSTEMD_VMSPAWN_NETWORK_MAC: '01:00:00:00:00:00' is not a MAC address of one station")
