# SPDX-License-Identifier: LGPL-2.1-or-later
"""EFI variables, a TPM and Secure Boot in real guests under TCG, with the OVMF of this machine's Debian release."""

import json
import subprocess

import pytest
from test_network_guest import unpacked

BOOT = 400  # seconds: the firmware alone takes twenty under TCG
TEST = "cvmspawn-5f3c8a14-6d2b-4e0f-9a71-c0a7d3e9b826"
# TPM2_ReadClock, and of its answer the number of resets (TCG TPM 2.0 part 3, 29.1; part 2, TPMS_TIME_INFO).
CLOCK = (
    "modprobe -a tpm_tis efivarfs; i=0; until [ -e /dev/tpm0 ]; do sleep 0.1; i=$((i+1)); [ $i -lt 300 ] || exit 99; done; "
    "exec 3<>/dev/tpm0; printf '\\200\\001\\000\\000\\000\\012\\000\\000\\001\\201' >&3; dd bs=64 count=1 <&3 2>/dev/null | od -An -tx1 -v | tr -d ' \\n'; echo; "
    "[ -d /sys/firmware/efi/efivars/ ] && mount -t efivarfs efivarfs /sys/firmware/efi/efivars; cd /sys/firmware/efi/efivars || exit 98; "
)


@pytest.fixture(scope="module")
def ovmf():
    return unpacked("ovmf", None, "ovmf") / "usr/share/OVMF"


@pytest.fixture
def descriptor(ovmf, tmp_path):
    """Debian's own descriptors name places in /usr/share."""

    def make(variables, *features):
        path = tmp_path / f"{variables}.json"
        path.write_text(json.dumps({
            "description": "OVMF", "interface-types": ["uefi"],
            "mapping": {"device": "flash", "mode": "split", "executable": {"filename": str(ovmf / "OVMF_CODE_4M.secboot.fd"), "format": "raw"},
                        "nvram-template": {"filename": str(ovmf / variables), "format": "raw"}},
            "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}], "features": ["secure-boot", "requires-smm", *features], "tags": [],
        }))  # fmt: skip
        return path

    return make


def resets(text):
    """Tag, size, code, time, clock, then the count."""
    answer = bytes.fromhex(text)
    assert answer[6:10] == bytes(4), answer.hex()
    return int.from_bytes(answer[26:30], "big")


@pytest.mark.full
def test_variables_and_tpm_survive(cvmspawn, descriptor, tmp_path):
    """The same machine twice; its variables are written by code in system management mode only."""
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    options = (f"--image={image}", f"--firmware={descriptor('OVMF_VARS_4M.fd')}", "--secure-boot=yes", "root=tmpfs", "--ram=1G")
    first = cvmspawn.boot(*options, f"--run={CLOCK}printf '\\007\\000\\000\\000kept' >{TEST}; ls {TEST}", timeout=BOOT)
    assert (first.status, first.leftovers) == (0, []), first.err + first.out
    assert sorted(path.name for path in tmp_path.glob("disk.raw*")) == ["disk.raw", "disk.raw.efinvramstate", "disk.raw.tpmstate"]
    second = cvmspawn.boot(*options, f"--run={CLOCK}tail -c 4 {TEST}", timeout=BOOT)
    assert (second.status, second.leftovers) == (0, []), second.err + second.out
    assert second.out.splitlines()[1] == "kept"
    assert resets(second.out.splitlines()[0]) > resets(first.out.splitlines()[0])


def first_words(cvmspawn, image, firmware, log, *options):
    """What the firmware says of a disk's boot program."""
    run = cvmspawn.start(f"--qemu={cvmspawn.artifacts['QEMU']}", "--kvm=no", f"--image={image}", f"--firmware={firmware}", "--tpm=no", "--ephemeral",
                         f"--console-log={log}", "--console=headless", f"--timeout={BOOT}", *options)  # fmt: skip
    words = (b"Access Denied", b"Security Violation", b"prohibited by secure boot policy", b"starting Boot0001")
    found = run.wait_for(lambda: log.exists() and next((w for w in words if w in log.read_bytes()), None), BOOT, "nothing was booted")
    run.signal()
    run.signal()
    assert run.wait(BOOT).leftovers == []
    return found


@pytest.mark.full
def test_secure_boot_refuses_an_unsigned_kernel(cvmspawn, descriptor, kernel, tmp_path):
    """From a disk, with the vendors' keys enrolled; the same firmware without keys starts it."""
    image = tmp_path / "disk.raw"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    for command in ("mformat", "-i", image, "-F", "::"), ("mmd", "-i", image, "::/EFI", "::/EFI/BOOT"), (
        "mcopy", "-i", image, kernel, "::/EFI/BOOT/BOOTX64.EFI"):  # fmt: skip
        subprocess.run(command, check=True, timeout=60)
    enrolled = descriptor("OVMF_VARS_4M.ms.fd", "enrolled-keys")
    refused = first_words(cvmspawn, image, enrolled, tmp_path / "refused", "--firmware-features=enrolled-keys", "--secure-boot=yes")
    assert refused in (b"Access Denied", b"Security Violation", b"prohibited by secure boot policy")
    started = first_words(cvmspawn, image, descriptor("OVMF_VARS_4M.fd"), tmp_path / "started", "--secure-boot=yes")
    assert started == b"starting Boot0001"
