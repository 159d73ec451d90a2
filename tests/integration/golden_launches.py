# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launches the golden command lines of all modes with a real QEMU on a host that has no SEV: everything is accepted up to the
point where KVM is asked for a confidential machine, and the one complaint is about that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sevsim_host import SECONDS, build_folder

GOLDEN = Path(__file__).resolve().parents[1] / "golden/launcher"
sys.path.insert(0, str(GOLDEN))
import world  # noqa: E402

ALL = sorted(path for path in (GOLDEN / "argv").glob("coco-*.args"))
# Those of TDX need QEMU 10.1.
TDX_CASES = [path for path in ALL if "--host-caps=host-tdx" in path.read_text()]
CASES = [path for path in ALL if path not in TDX_CASES]
# QEMU's words for a host without KVM, and for a KVM without this kind of machine: a CPU without SEV answers CPUID 0x8000001f with
# whatever its last leaf holds. Any other word is a failure.
NO_KVM = ["Could not access KVM kernel module", "failed to initialize kvm", "VM type", "vm-type SEV-SNP not supported by KVM", "vm-type TDX not supported by KVM",
          "cbitpos check failed, host '"]


def arguments(path):
    """The golden launch's own, with what would end it for another reason left out: a TPM's program or the device of sockets may be
    missing here."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "--host-caps=", "--tpm", "--vsock"))]
    return [line for line in lines if not line.startswith("--print")]


def only_kvm_is_missing(path, folder, qemu, **caps):
    if Path("/sys/module/kvm_amd/parameters/sev").exists():
        pytest.skip("this host may have SEV: the launches would go further than this test looks")
    world.build(folder)
    known = {"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "tdx": True, "cbitpos": 51, "reduced-phys-bits": 1, "qemu": str(qemu)}
    (folder / "caps.json").write_text(json.dumps({**known, **caps}))
    words = arguments(path)
    if any(word.startswith("--id-block=") for word in words):
        # The golden pair is for no launch at all; one for this very launch has the same arguments.
        subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", folder / "key.pem"],
                       check=True, capture_output=True)
        words = ["--id-key=key.pem", "--author-key=key.pem",
                 *(word for word in words if not word.startswith(("--id-block=", "--id-auth=")))]
    argv = [build_folder() / "programs/cvmspawn", "--host-caps=caps.json", "--ram=64M", f"--qemu={qemu}", *words]
    if "--" in argv:
        end = argv.index("--")
        argv[end:end] = ["--ram=64M"]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, "XDG_DATA_DIRS": str(folder / "firmware")},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    said = [line for line in done.stderr.splitlines() if "QEMU: " in line]
    assert done.returncode == 125 and said, done.stderr
    assert all(any(text in line for text in NO_KVM) for line in said), done.stderr
    # The cause and the remedy, not a guess about the version; and nothing is told to be deprecated.
    assert "of version" not in done.stderr and "deprecated" not in done.stderr, done.stderr
