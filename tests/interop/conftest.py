# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the peer suites share. A peer is a program of another project with the same job; it is fetched into the cache, never installed, and
its version is printed, since it changes. With MUST_WORK=1 a peer that is not available is a failure, else a skip."""

import fcntl
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long or needs the network; runs with CVMSPAWN_FULL=1 only")


def pytest_collection_modifyitems(items):
    if os.environ.get("CVMSPAWN_FULL") == "1":
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(
                pytest.mark.skip(reason="needs a peer from the network: CVMSPAWN_FULL=1, as ./check --full sets it, runs it")
            )


def skip_or_fail(reason):
    if os.environ.get("MUST_WORK") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def cache_folder(name):
    done = subprocess.run(
        ["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True, check=True
    )
    folder = Path(done.stdout.strip()) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def private_apt(*arguments):
    done = subprocess.run([SOURCE / "tools/private-apt", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(f"the peer cannot be fetched: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path_factory, monkeypatch):
    """Guests of other tests may have the same name."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("runtime")))


@pytest.fixture(scope="session")
def program():
    def find(verb):
        path = BUILD / "programs" / f"verb-{verb}"
        if not path.exists():
            skip_or_fail(f"{path} is not built")
        return path

    return find


@pytest.fixture(scope="session")
def debian_qemu(tmp_path_factory):
    """QEMU of a suite with all that it links, its own C library included, run by its own dynamic linker: as one program."""

    def find(suites):
        if os.uname().machine != "x86_64":
            skip_or_fail("Debian's QEMU is fetched as a program for x86-64 only")
        name = suites.split(",")[-1]
        folder = cache_folder("peers") / f"qemu-{name}"
        with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                private_apt(suites, "closure", folder, "qemu-system-x86", "seabios")
                private_apt(suites, "unpack", folder, "libc6")
                (folder / "complete").touch()
        libraries = [path for path in (folder / "usr/lib/x86_64-linux-gnu", folder / "lib/x86_64-linux-gnu") if path.exists()]
        (linker,) = [path for path in (folder / "usr/lib64/ld-linux-x86-64.so.2", folder / "lib64/ld-linux-x86-64.so.2") if path.exists()]
        argv = [linker, "--library-path", ":".join(map(str, libraries)), folder / "usr/bin/qemu-system-x86_64",
                "-L", folder / "usr/share/qemu", "-L", folder / "usr/share/seabios"]
        program = tmp_path_factory.mktemp(name) / "qemu-system-x86_64"
        program.write_text(f"#!/bin/sh\nQEMU_MODULE_DIR={shlex.quote(f'{libraries[0]}/qemu')} "
                           f'exec {shlex.join(map(str, argv))} "$@"\n')
        program.chmod(0o755)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=180)
        if version.returncode != 0:
            skip_or_fail(f"QEMU of Debian {name} does not run here: {version.stderr.strip()}")
        print(version.stdout.splitlines()[0])
        return program

    return find


@pytest.fixture(scope="session")
def sid_qemu(debian_qemu):
    return debian_qemu("sid")
