# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pin for clevis in a guest: real clevis, jose, cryptsetup and device-mapper open a volume whose key the attestation service gave to the
attested guest. The secure processor is SIMULATED (guest_device.py). The programs are this machine's, beside the guest's own."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sevsim_host import skip_or_fail
from test_clevis import CONFIG, PINS, run
from test_snp_attest_guest import BOOT, GuestDevice, service, unpack, words  # noqa: F401

pytestmark = pytest.mark.full  # clevis comes with tools/setup full

PLACE = "usr/lib/clevis-test"
SCRIPTS = ("clevis", "clevis-decrypt", "clevis-luks-common-functions", "clevis-luks-list", "clevis-luks-pass", "clevis-luks-unlock")

STEPS = f"""\
{GuestDevice.start()}
mkdir -p /run/out
modprobe -a loop dm-crypt
PATH=/{PLACE}:$PATH
cp /{PLACE}/volume /run/volume
device=$(losetup -f --show /run/volume)
systemctl start cvmspawn-guest-attest.service; echo $? >/run/out/attested
clevis luks unlock -d "$device" -n data 2>/run/out/unlock.err; echo $? >/run/out/unlocked
cryptsetup status data >/run/out/mapping
printf 'what the guest writes' | dd of=/dev/mapper/data conv=fsync status=none
head -c 21 /dev/mapper/data >/run/out/inside
cryptsetup close data; sync
grep -c 'what the guest writes' /run/volume >/run/out/outside
tar -C /run/out -cf - .
"""


def programs():
    """jose and cryptsetup of this machine, with their libraries but those of libc, which are the guest's."""
    files = {}
    for name in ("jose", "cryptsetup"):
        path = shutil.which(name)
        files[f"{PLACE}/real/{name}"] = Path(path).read_bytes()
        files[f"{PLACE}/{name}"] = f'#!/bin/sh\nLD_LIBRARY_PATH=/{PLACE}/lib exec /{PLACE}/real/{name} "$@"\n'.encode()
        listed = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"=> (/\S+)", listed):
            if not re.match(r"(libc|libm|libpthread|libdl|librt)\.so", Path(library).name):
                files[f"{PLACE}/lib/{Path(library).name}"] = Path(library).read_bytes()
    files.update({f"{PLACE}/{name}": Path(shutil.which(name)).read_bytes() for name in SCRIPTS})
    files[f"{PLACE}/clevis-decrypt-cvmspawn"] = (PINS / "clevis-decrypt-cvmspawn").read_bytes()
    return files


def test_a_volume_opens_in_the_guest(cvmspawn, artifacts, service, platform, tmp_path):  # noqa: F811
    for tool in ("clevis", "jose", "cryptsetup"):
        if not shutil.which(tool):
            skip_or_fail(f"{tool} is not installed: tools/setup full")
    volume = tmp_path / "volume"
    with open(volume, "wb") as f:
        f.truncate(4 << 20)
    run(tmp_path, "cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
        "--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m", "volume", "-", stdin=b"first")  # fmt: skip
    run(tmp_path, "clevis", "luks", "bind", "-y", "-k", "-", "-d", "volume", "cvmspawn", CONFIG, stdin=b"first")

    device, launch = words(cvmspawn, artifacts, service, platform, tmp_path, STEPS, **programs(),
                           **{f"{PLACE}/volume": volume.read_bytes()})  # fmt: skip
    digest = json.loads(cvmspawn.boot("--print=digest", "--json=short", *launch).out)["digest"]["digest"]
    device.write(digest)
    status, body = service.post("/vm/guest-1", {
        "scheme": "amd-sev-snp", "policy": 0x30000, "launch-digests": [digest], "report-policy": {"minimum_tcb": "any"},
        "secrets": [{"type": "credential", "name": "disk-key", "data": base64.b64encode((tmp_path / "disk.key").read_bytes()).decode()}]},
        *service.owner())  # fmt: skip
    assert status == 201, body

    files = unpack(cvmspawn.boot(f"--expect={digest}", *launch, timeout=BOOT))
    assert (files["attested"], files["unlocked"]) == (b"0\n", b"0\n"), files
    assert re.search(rb"type: +LUKS2", files["mapping"]) and b"is active" in files["mapping"]
    assert files["inside"] == b"what the guest writes" and files["outside"] == b"0\n"
