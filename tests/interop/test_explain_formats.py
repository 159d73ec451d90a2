# SPDX-License-Identifier: LGPL-2.1-or-later
"""The format strings that 'cvmspawn explain' knows, in the programs that print them: QEMU of tools/fetch-artifacts always, Debian's kernels
and the newest QEMU in the full suite. A version of sid that no line names yet is reported, not failed: the shipped lines are the judge."""

import shlex
import subprocess

import pytest
from conftest import SOURCE, cache_folder, private_apt, skip_or_fail

MODULES = ("ccp", "kvm-amd", "kvm", "dm-verity", "sev-guest", "virtio", "virtio_pci")
FORMATS = SOURCE / "tests/golden/explain/formats.txt"


@pytest.fixture(scope="module")
def artifacts():
    done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip_or_fail(done.stderr.strip())
    words = (shlex.split(line)[0].partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in words}


def known(project):
    rows = [line.split("\t") for line in FORMATS.read_text().splitlines() if line and not line.startswith("#")]
    return {version for source, versions, _ in rows if source.split()[0] == project and "source" not in versions
            for version in versions.split()}


def check(project, version, *files):
    done = subprocess.run([SOURCE / "tools/check-formats", project, version, *files], capture_output=True, text=True, timeout=300,
                          check=False)
    print(f"{project} {version}\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    if version not in known(project):
        newest = max(known(project), key=lambda v: [int(n) for n in v.split(".")])
        assert done.stdout.count("\nalso in") > len(known(project)), f"almost nothing of {newest} is in {version}"


def unpacked(suites, folder, *packages):
    folder = cache_folder("peers") / folder
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        private_apt(suites, "unpack", folder, *packages)
        (folder / "complete").touch()
    return folder


def upstream(version):
    """1:11.1.3+ds-1 is 11.1.3."""
    return version.partition(":")[2].partition("+")[0] if ":" in version else version.partition("-")[0].partition("+")[0]


def qemu_version(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()[3]


def kernel(suites, form, *images):
    version = upstream(private_apt(suites, "version", "linux-image-amd64"))
    folder = cache_folder("peers") / f"linux-{version}"
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        for release in range(12, 16):  # Debian's number is in the name, and in no version
            done = subprocess.run([SOURCE / "tools/private-apt", suites, "unpack", folder, form.format(f"{version}+deb{release}")],
                                  capture_output=True, text=True, check=False)
            if done.returncode == 0:
                (folder / "complete").touch()
                break
        else:
            skip_or_fail(f"no package like {form} of Linux {version}: {done.stderr.strip()[-300:]}")
    modules = [path for name in MODULES for path in folder.rglob(f"{name}.ko*")]
    assert modules
    check("linux", version, *images, *folder.rglob("vmlinuz-*"), *modules)


@pytest.mark.full
def test_qemu(artifacts):
    check("qemu", qemu_version(artifacts["QEMU"]), artifacts["QEMU"])


@pytest.mark.full
def test_qemu_of_sid():
    version = upstream(private_apt("sid", "version", "qemu-system-x86"))
    folder = unpacked("sid", f"qemu-{version}", "qemu-system-x86")
    check("qemu", version, folder / "usr/bin/qemu-system-x86_64")


@pytest.mark.full
def test_kernel_of_sid(artifacts):
    kernel("sid", "linux-modules-{}-amd64", artifacts["KERNEL"])


@pytest.mark.full
def test_kernel_of_backports():
    kernel("bookworm,bookworm-backports", "linux-image-{}-amd64-unsigned")
