# SPDX-License-Identifier: LGPL-2.1-or-later
"""The second test image: the project's guest, its systemd changed to believe that it runs in a confidential VM (tests/lib/believe_cvm.py).
PID 1 there drops what a host passes by SMBIOS and fw_cfg and keeps what came in the measured initrd; this is told from inside the
guest, beside the unchanged guest that takes everything."""

import sys
from pathlib import Path

import pytest
from conftest import SOURCE, skip_or_fail
from launcher_fake import said

sys.path.insert(0, str(SOURCE / "tests/lib"))
import believe_cvm  # noqa: E402

BOOT = 240
# What the tools say, what PID 1 says on the bus, and the credentials that PID 1 took. `|| true`: --cvm answers 1 outside of one.
ASK = (
    "systemd-detect-virt --cvm || true; systemctl show -P ConfidentialVirtualization; "
    "cd /run/credentials/@system; for i in by.*; do echo \"$i $(cat $i)\"; done"
)
BY_HOST = [
    "--smbios11=io.systemd.credential:by.smbios=dropped", "--smbios11=io.systemd.credential.binary:by.smbios-binary=ZHJvcHBlZA==",
    "--qemu-arg=-fw_cfg", "--qemu-arg=name=opt/io.systemd.credentials/by.fw-cfg,string=dropped",
]
DROPPED = ["by.fw-cfg dropped", "by.smbios dropped", "by.smbios-binary dropped"]


@pytest.fixture(scope="session")
def believer(artifacts, tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("believer") / "initrd"
    try:
        path.write_bytes(believe_cvm.patch_initrd(artifacts["INITRD"].read_bytes()))
    except FileNotFoundError:
        skip_or_fail("zstd is not installed: the guest's initrd cannot be taken apart")
    return path


def ask(cvmspawn, qemu, kernel, initrd, *options):
    result = cvmspawn.run(
        f"--qemu={qemu}", "--kvm=no", "--tpm=no", f"--linux={kernel}", f"--initrd={initrd}", "--set-credential=by.initrd:kept",
        f"--run={ASK}", *options, "--", "quiet", timeout=BOOT,
    )
    assert result.status == 0, result.err
    assert result.leftovers == []
    return result.out.splitlines(), result


def test_a_confidential_guest_drops_what_the_host_says(cvmspawn, qemu, kernel, believer):
    """The initrd's credentials are kept, the ones of --run= with them: it is they that this very command came by."""
    answers, _ = ask(cvmspawn, qemu, kernel, believer, *BY_HOST)
    assert answers == ["sev-snp", "sev-snp", "by.initrd kept"]


@pytest.mark.full
def test_an_ordinary_guest_takes_it(cvmspawn, qemu, kernel, initrd):
    """The same strings do arrive where nobody thinks that he is confidential: they are well-formed."""
    answers, _ = ask(cvmspawn, qemu, kernel, initrd, *BY_HOST)
    assert answers[0] == "none" and answers[1] in ("", "none")
    assert answers[2:] == sorted(["by.initrd kept", *DROPPED])


@pytest.mark.full
@pytest.mark.parametrize("mode", ["sev", "sev-snp"])
def test_behind_the_firmware_that_checks(cvmspawn, qemu, kernel, believer, firmware, mode):
    """The whole way of a confidential launch but for the encryption: kernel hashes, merged initrd, import by a PID 1 that trusts
    nothing else. And even with consent to --qemu-arg= a string of the host does not get through."""
    answers, result = ask(
        cvmspawn, qemu, kernel, believer, f"--coco={mode}", "--simulate", f"--firmware={firmware}", "--allow-untrusted=qemu-arg",
        *BY_HOST[2:],
    )
    assert answers == ["sev-snp", "sev-snp", "by.initrd kept"]
    assert any(line.startswith(f"cvmspawn: SIMULATED {mode}: ") for line in said(result))


def test_smbios_credentials_are_refused_before(cvmspawn, qemu, kernel, believer, firmware):
    """A launcher that knows better than to lose them silently."""
    for option in (BY_HOST[0], "--credential-transport=smbios"):
        result = cvmspawn.run(
            f"--qemu={qemu}", "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}",
            f"--initrd={believer}", "--set-credential=by.initrd:kept", option,
        )
        assert result.status == 125
        assert len(said(result)) == 1 and "a confidential guest must not use them" in said(result)[0]
