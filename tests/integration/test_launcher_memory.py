# SPDX-License-Identifier: LGPL-2.1-or-later
"""Too little memory for the initrd of a real guest: what is said last is that, not what follows from it (hashes that seem not to match, a reset,
a panic without /init); and where nothing is said, the guest runs."""

import re

import pytest

CAPS = ('{"simulation": true, "kvm": true, "kvm-reason": null, "sev": true, "sev-es": true, "sev-snp": true, "cbitpos": 51, '
        '"reduced-phys-bits": 1, "qemu": null, "swtpm": null}\n')
BOOT = 300


@pytest.fixture
def boot(cvmspawn, firmware, tmp_path):
    caps = tmp_path / "caps"
    caps.write_text(CAPS)

    def run(how, ram):
        coco = ("--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--host-caps={caps}") if how == "coco" else ()
        return cvmspawn.boot(*coco, "--tpm=no", f"--ram={ram}M", "--console=headless", "--timeout=200", "--set-credential=foo:bar", "--run=true",
                             timeout=BOOT)

    return run


@pytest.mark.parametrize(("how", "ram"), [
    ("plain", 64), pytest.param("plain", 128, marks=pytest.mark.full), ("coco", 64), ("coco", 128), ("coco", 192),
    pytest.param("coco", 240, marks=pytest.mark.full)])
def test_too_little(boot, how, ram):
    result = boot(how, ram)
    assert f"--ram={ram}M is too little, at least " in result.err
    last = result.err.splitlines()[-1]
    assert "too little memory; increase --ram=" in last and "hashes" not in last, result.err[-1500:]
    assert result.status in (125, 126)


@pytest.mark.parametrize("how", ["plain", "coco"])
def test_what_is_said_to_be_needed_is_enough(boot, how):
    needed = re.search(r"at least (\d+) MiB are needed", boot(how, 64).err)
    result = boot(how, int(needed[1]) + 1)
    assert result.status == 0 and "too little" not in result.err, result.err[-1500:]
