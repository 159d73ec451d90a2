# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scan of initrds against kernels: each form of initrd_forms.py, merged with a credential as the launcher does it, is booted,
and the guest says whether it found the credential. CVMSPAWN_KERNELS adds kernels to the one of tools/fetch-artifacts
(a colon between them): all of them have to agree with the scan."""

import os
import shutil
import struct
import subprocess

import pytest
from initrd_forms import FORMS, SAMPLE, STRICT
from sevsim_host import build_folder, skip_or_fail

SECONDS = 300
# On a busy host TCG may be too slow for the kernel's test of the timer.
KERNEL_WORDS = "console=ttyS0 panic=-1 quiet no_timer_check"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("forms")


def merged(name, folder):
    """The initrd that the guest gets, and why it is refused (None: it is not)."""
    given, initrd = folder / name, folder / f"{name}.merged"
    given.write_bytes(FORMS[name][1]())
    tools = build_folder() / "tests/lib"
    subprocess.run([tools / "cpio-pack", given, initrd], input=b"foo 626172\n", check=True, timeout=SECONDS)
    scan = subprocess.run([tools / "initrd-dump", initrd], capture_output=True, text=True, errors="replace", check=False,
                          timeout=SECONDS)
    assert scan.returncode in (0, 1), scan.stderr
    return initrd, scan.stderr.strip() if scan.returncode else None


@pytest.mark.parametrize("name", FORMS)
def test_scan(name, folder):
    _, refused = merged(name, folder)
    assert (refused is None) == FORMS[name][0], refused


def unpacked_kernel(path, folder):
    """The ELF file inside of a bzImage, which QEMU starts without the time that the kernel takes to unpack itself; the bzImage if
    its compressor is not available. Offsets: Documentation/arch/x86/boot.rst."""
    data = path.read_bytes()
    setup, = struct.unpack_from("<B", data, 0x1F1)
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = ((setup or 4) + 1) * 512 + offset
    payload = data[start:start + length - 4]
    tools = {b"\x28\xb5": ["zstd", "-dc"], b"\xfd7": ["xz", "-dc", "--single-stream"], b"\x1f\x8b": ["gzip", "-dc"]}
    tool = tools.get(payload[:2])
    if not tool or not shutil.which(tool[0]):
        return path
    done = subprocess.run(tool, input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                          timeout=SECONDS)
    if not done.stdout.startswith(b"\x7fELF"):
        return path
    elf = folder / f"{path.name}.elf"
    elf.write_bytes(done.stdout)
    return elf


@pytest.fixture(scope="module")
def kernels(kernel, folder):
    paths = [kernel, *(type(kernel)(p) for p in os.environ.get("CVMSPAWN_KERNELS", "").split(":") if p)]
    for path in paths:
        if not path.is_file():
            skip_or_fail(f"the kernel {path} does not exist")
    return [unpacked_kernel(path, folder) for path in paths]


def finds_credential(qemu, kernel, initrd):
    """Whether a guest found foo, and what its console said."""
    done = subprocess.run(
        [qemu, "-machine", "pc", "-accel", "tcg", "-cpu", "qemu64", "-m", "256", "-nodefaults", "-no-user-config", "-display",
         "none", "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", KERNEL_WORDS],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=SECONDS)
    said = done.stdout.decode(errors="replace")
    assert "FORM " in said or "Kernel panic" in said, said
    return "FORM foo=bar" in said, said


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.full) for name in FORMS])
def test_boot(name, folder, qemu, kernels):
    initrd, refused = merged(name, folder)
    for kernel in kernels:
        found, said = finds_credential(qemu, kernel, initrd)
        if name in STRICT:
            assert refused and found, f"{STRICT[name]}: no longer needed, or refused by the kernel, too"
        else:
            assert found == (refused is None), f"{kernel.name}: {refused}\n{said}"


def test_table():
    """At least 70 forms; the sample has some of both kinds."""
    assert len(FORMS) >= 70
    assert {FORMS[name][0] for name in SAMPLE} == {True, False}
    assert set(SAMPLE) <= set(FORMS) and set(STRICT) <= set(FORMS)
