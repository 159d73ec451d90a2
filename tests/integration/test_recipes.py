# SPDX-License-Identifier: LGPL-2.1-or-later
"""The recipes of data/initrd: initrds that Debian's own tools make have the guest's programs, and what starts them; one of them runs them."""

import os
import shutil
import subprocess

import pytest
from conftest import SOURCE
from sevsim_host import build_folder, skip_or_fail
from test_adapter import adapter  # noqa: F401

BOOT = 240
PROGRAMS = {"usr/bin/cvmspawn-guest", "usr/bin/cvmspawn-guest-attest"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the package cvmspawn-guest has, where Debian has it."""
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", build_folder(), "--no-rebuild", "--quiet", "--destdir", folder / "all"], capture_output=True, text=True,
                          timeout=300, check=False)
    if done.returncode != 0:
        skip_or_fail("meson install: " + done.stderr[-500:])
    prefix = next(p for p in (folder / "all").rglob("cvmspawn-guest") if p.parent.name == "bin").parents[1]
    for line in (SOURCE / "debian/cvmspawn-guest.install").read_text().splitlines():
        (folder / line).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(prefix / line.removeprefix("usr/"), folder / line)
    unit = folder / "usr/lib/systemd/system/cvmspawn-guest-attest.service"
    unit.write_text(unit.read_text().replace("/usr/local/bin", "/usr/bin"))
    shutil.rmtree(folder / "all")
    return folder


@pytest.fixture(scope="module")
def initrds(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("initrds")
    done = subprocess.run([SOURCE / "tools/build-recipe-initrds", "trixie", installed, folder], capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode != 0:
        skip_or_fail("tools/build-recipe-initrds: " + done.stderr[-2000:])
    return folder


def members(path):
    done = subprocess.run([build_folder() / "programs/cvmspawn", "inspect", "cpio", path], capture_output=True, text=True, timeout=120, check=True)
    return {word.removeprefix("path=").removeprefix("./").replace("//", "/") for line in done.stdout.splitlines() for word in line.split() if "/" in word}


@pytest.mark.full
def test_initrds(cvmspawn, qemu, initrds, adapter):  # noqa: F811
    found = {p.name: members(p) for p in initrds.glob("*.cpio")}
    assert len(found) == 3
    wants = "initrd.target.wants/cvmspawn-guest-attest.service"
    for name, files in found.items():
        programs = {f for f in files if os.path.basename(f) in ("cvmspawn-guest", "cvmspawn-guest-attest") and "bin" in f.split("/")}
        assert programs == PROGRAMS, name
        assert any("libcrypto.so.3" in f for f in files), name
        assert any("/sev-guest.ko" in f for f in files), name  # virtio_console is built in
        assert any(f.endswith(wants) for f in files) == (name == "dracut.cpio"), name
        assert ("scripts/init-premount/cvmspawn-guest-attest" in files) == (name == "initramfs-tools.cpio"), name
        assert any("hooks/pre-trigger/20-" in f and "attest" in f for f in files) == (name == "dracut-sh.cpio"), name

    # And they run there: nothing answers in this guest, which is what they say.
    command = "cvmspawn-guest ok; cvmspawn-guest-attest --service-key=/none; echo status-$?"
    result = cvmspawn.run(f"--qemu={qemu}", "--kvm=no", "--ram=1G", f"--linux={initrds / 'vmlinuz'}", f"--initrd={initrds / 'initramfs-tools.cpio'}",
                          f"--run={command}", timeout=BOOT)
    assert result.status == 0 and "status-1" in result.out and "'/none'" in result.err, (result.out, result.err)


@pytest.mark.full
def test_mkosi_fragment(installed):
    """What it names is what is installed; mkosi itself reads it."""
    text = (installed / "usr/share/cvmspawn/mkosi/cvmspawn-guest.conf").read_text()
    sources = [line.strip().split(":")[0] for line in text.splitlines() if ":/usr/" in line]
    assert len(sources) == 4
    for source in sources:
        assert (installed / source.replace("/usr/local/", "/usr/").lstrip("/")).is_file(), source
