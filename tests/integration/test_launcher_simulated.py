# SPDX-License-Identifier: LGPL-2.1-or-later
"""--coco= with --simulate: the real AmdSev firmware checks the kernel hashes. What was measured boots; one bit off does not."""

import json
import sys
import textwrap

import pytest
from launcher_fake import newc, said

BOOT = 240
REFUSED = "the firmware refused to boot: kernel, initrd or command line do not match the hashes in the table"

# Stands between the launcher and QEMU, as a host that is not honest would: what it changes goes to the real QEMU in a memory
# file under the number of the measured one.
TAMPER = """\
    #!{python}
    import os, sys

    def changed(number, change):
        with open(f"/proc/self/fd/{{number}}", "rb") as file:
            data = bytearray(file.read())
        memory = os.memfd_create("changed")
        os.write(memory, change(data))
        os.dup2(memory, number, inheritable=True)

    def flip(at, bit=1):
        def change(data):
            data[at] ^= bit
            return bytes(data)
        return change

    arguments = sys.argv[1:]
    {change}
    os.execv({qemu!r}, [{qemu!r}, *arguments])
"""


@pytest.fixture
def tampered(tmp_path, qemu):
    def make(change):
        path = tmp_path / "qemu-tampered"
        path.write_text(textwrap.dedent(TAMPER).format(python=sys.executable, qemu=str(qemu), change=change))
        path.chmod(0o755)
        return path

    return make


def simulated(cvmspawn, qemu, kernel, initrd, firmware, *options, **more):
    return cvmspawn.run(
        "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--qemu={qemu}", "--kvm=no", f"--linux={kernel}",
        f"--initrd={initrd}", "--set-credential=demo:sesame", *options, timeout=BOOT, **more,
    )


def test_what_was_measured_boots(cvmspawn, qemu, kernel, initrd, firmware):
    """And says that it is not a confidential guest; with the digest that hardware would report."""
    result = simulated(
        cvmspawn, qemu, kernel, initrd, firmware, "--status-fd=2",
        "--run=cat /proc/cmdline /run/credentials/@system/demo; exit 3", "--", "quiet",
    )
    assert result.status == 3, result.err
    # The firmware puts its own word in front.
    assert result.out == "initrd=initrd console=ttyS0 quiet\nsesame"
    lines = result.err.splitlines()
    (digest,) = [event for event in map(json.loads, (line for line in lines if line.startswith("{")))
                 if event["event"] == "digest"]
    assert digest["simulated"] is True and digest["mode"] == "sev-snp" and len(digest["digest"]) == 96
    assert "cvmspawn: SIMULATED sev-snp: the firmware checks the kernel hashes, but nothing is encrypted or confidential" \
        in lines
    assert result.leftovers == []

    # The same launch, printed instead of run, has the same digest.
    printed = simulated(
        cvmspawn, qemu, kernel, initrd, firmware, "--print=digest", "--json=short",
        "--run=cat /proc/cmdline /run/credentials/@system/demo; exit 3", "--", "quiet",
    )
    assert json.loads(printed.out)["digest"]["digest"] == digest["digest"]
    other = simulated(cvmspawn, qemu, kernel, initrd, firmware, f"--expect={digest['digest']}", "--", "quiet")
    assert other.status == 125
    assert any(line.startswith("cvmspawn: --expect: launch digest mismatch: got ") for line in said(other))
    assert other.seconds < 20


CHANGES = {
    "kernel-bit": "changed(112, flip(0x100000))",
    "initrd-bit": "changed(113, flip(0x1000, 0x80))",
    "credential-bit": "changed(113, lambda data: data.replace(b'sesame', b'sesamf'))",
    "words": "i = arguments.index('-append') + 1; arguments[i] += ' '",
    "table-bit": "changed(115, flip(100))",
    "no-initrd": "i = arguments.index('-initrd'); del arguments[i : i + 2]",
    "initrd-longer": "changed(113, lambda data: bytes(data) + b'\\0')",
}
FULL = {"credential-bit", "no-initrd", "initrd-longer"}


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=pytest.mark.full if name in FULL else ()) for name in CHANGES]
)
def test_one_bit_off_is_refused(cvmspawn, tampered, kernel, initrd, firmware, change):
    result = simulated(cvmspawn, tampered(CHANGES[change]), kernel, initrd, firmware, "--run=true", "--status-fd=1")
    assert result.status == 125
    assert f"cvmspawn: {REFUSED}" in result.err
    assert result.leftovers == []
    events = [json.loads(line) for line in result.out.splitlines()]
    assert {k: v for k, v in events[-1].items() if k != "time"} == {"event": "exit", "source": "guest", "status": 125, "cause": REFUSED}
    assert result.seconds < 60  # an idle machine takes 4


def test_no_table_is_refused_by_the_firmware(cvmspawn, tampered, kernel, initrd, firmware):
    """It says so itself on the console, which is shown; the guest never runs."""
    result = simulated(
        cvmspawn, tampered("i = next(i for i, a in enumerate(arguments) if '\"loader\"' in a); del arguments[i - 1 : i + 1]"),
        kernel, initrd, firmware, "--run=true", "--timeout=20s",
    )
    assert result.status in (124, 125)
    assert result.out == ""
    assert "No bootable option" in result.err or REFUSED in result.err


def test_an_initrd_that_cannot_import_is_refused(cvmspawn, tmp_path, qemu, kernel, firmware):
    """Under --coco= there is no falling back: what the host passes outside the initrd is not measured."""
    initrd = tmp_path / "old"
    initrd.write_bytes(newc({"init": b"#!/bin/sh\n"}))
    result = simulated(cvmspawn, qemu, kernel, initrd, firmware, "-q", "--adapter=no")
    assert result.status == 125
    assert said(result) == [
        "cvmspawn: the initrd has no etc/initrd-release: its PID 1 is not systemd and imports no credentials"
    ]
    assert result.seconds < 20
    assert result.leftovers == []
