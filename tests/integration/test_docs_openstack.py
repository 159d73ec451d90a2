# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/openstack.md: its command blocks, in their order, in one shell's folder. Stand-ins take the place of a cloud (openstack) and of the guest
(snpguest): the report is that of the same images launched by a real QEMU on the simulated host, so that its measurement is not ours."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import disk_image
import pytest
import sevsim_model as model
from sevsim_host import build_folder

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = build_folder().resolve()
SECONDS = 120
FIRMWARE = model.make_firmware(seed=17)
KERNEL = model.make_kernel(seed=18)
CONSOLE = """[    1.151097] Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP
[    1.808678] SEV: SNP running at VMPL0.
"""
# The simulated processor's certificates in place of AMD's.
CVMSPAWN = """#!/bin/sh
if [ "$1 $2" = "report verify" ]; then
        set -- "$@" --offline --cache= --insecure-root={platform}/ark.pem --leaf={platform}/vcek.der --ca={platform}/vcek-chain.pem
fi
exec {program} "$@"
"""
SNPGUEST = """#!/bin/sh
# A stand-in: the guest's program, with the simulated processor.
[ "$1" = report ] || exit 0
exec {tool} {platform} {launch} "$(od -An -v -tx1 "$3" | tr -d ' \\n')" "$2"
"""


def blocks():
    return re.findall(r"^```sh\n(.*?)^```$", (SOURCE / "docs/openstack.md").read_text(), re.M | re.S)


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


class Place:
    def __init__(self, folder, platform):
        self.folder, self.platform = folder, platform
        self.state = folder / "state"
        self.work = folder / "work"
        for name in (self.state, self.work, folder / "bin"):
            name.mkdir()
        shutil.copy(SOURCE / "tests/lib/openstack-stand-in", folder / "bin/openstack")
        program(folder / "bin/cvmspawn", CVMSPAWN.format(platform=platform, program=BUILD / "programs/cvmspawn"))
        (self.state / "cpu-model").write_text("EPYC-Milan")
        (self.state / "console").write_text(CONSOLE)
        files = disk_image.debian() | {"/boot/vmlinuz-6.12.1-test": KERNEL}  # one that QEMU loads
        raw = disk_image.disk(folder / "cloud.raw", [disk_image.Part("root", "ext4", files, 24)])
        disk_image.qcow2(raw, "-c").rename(self.work / "debian-13.qcow2")
        (self.work / "OVMF.amdsev.fd").write_bytes(FIRMWARE)

    def image(self, name):
        found = [json.loads(p.read_text()) for p in self.state.glob("image-*.json")]
        return next(i for i in found if i["name"] == name)

    def data(self, ident):
        return (self.state / f"data-{ident}").read_bytes()

    def start(self, sim):
        """What the stand-in was told to start, launched on the simulated host: the guest's program."""
        properties = self.image("web")["properties"]
        flavor = json.loads(next(self.state.glob("flavor-*.json")).read_text())
        launch = sim.launch("snp", FIRMWARE, vcpus=flavor["vcpus"], model="EPYC-Milan", kernel=self.data(properties["kernel_id"]),
                            initrd=self.data(properties["ramdisk_id"]), words=properties["os_command_line"])
        program(self.folder / "bin/snpguest", SNPGUEST.format(tool=BUILD / "sevsim/sevsim-attest", platform=self.platform, launch=launch.folder))
        return launch.digest

    def shell(self, text):
        env = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "STAND_IN": str(self.state)}
        return subprocess.run(["sh", "-eu", "-c", text], cwd=self.work, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.full
def test_each_block(sim, platform, tmp_path):
    place, seen, digest = Place(tmp_path, platform), {}, None
    for text in blocks():
        if text.startswith("snpguest"):
            digest = place.start(sim)
        seen[text.split("\n")[0]] = done = place.shell(text)
        assert done.returncode == 0, text + done.stderr
    asked = [json.loads(line)[:2] for line in (place.state / "requests").read_text().splitlines()]
    assert asked == [["image", "create"]] * 3 + [["flavor", "create"], ["server", "create"], ["console", "log"], ["image", "show"], ["flavor", "show"],
                                                ["server", "show"], ["image", "save"], ["image", "save"]]
    assert (place.work / "digest").read_text().strip() == digest
    said = {first.split(" ")[0] + " " + " ".join(first.split(" ")[1:3]): done.stdout for first, done in seen.items()}
    assert "found SEV, SEV-ES, SEV-SNP active" in said["openstack console log"]
    assert "verified" in said["cvmspawn report verify"]
    assert said["cvmspawn report show"].strip() == digest
    assert (place.work / "parts/vmlinuz").read_bytes() == KERNEL == (place.work / "kernel").read_bytes()
    # The same comparison refuses another guest: one more vCPU.
    flavor = json.loads((place.work / "flavor.json").read_text())
    (place.work / "flavor.json").write_text(json.dumps({**flavor, "vcpus": 3}))
    server = json.loads((place.work / "server.json").read_text())
    (place.work / "server.json").write_text(json.dumps({k: v for k, v in server.items() if k != "flavor"}))
    again = [text for text in blocks() if "--from-openstack" in text or "report verify" in text]
    measure = "cvmspawn measure" + again[0].split("cvmspawn measure")[1]
    done = place.shell(measure + again[1])
    assert done.returncode == 3 and "measurement" in done.stdout + done.stderr


def test_every_step_of_the_recipe_is_there():
    text = (SOURCE / "docs/openstack.md").read_text()
    assert len(blocks()) >= 10
    for step in ("extract", "export openstack", "server create", "console log show", "snpguest report", "measure --from-openstack", "report verify"):
        assert step in text
