# SPDX-License-Identifier: LGPL-2.1-or-later
"""--fw-cfg=auto: the tables that cvmspawn reads from an unmodified QEMU, without running anything in it, are those that real firmware measures when it
boots the same machine as a TD under TCG (simulation). RTMR0 to RTMR2 predicted so are the ones extended."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
import td_guest
from conftest import BUILD
from td_guest import TdGuest, model
from test_td_guest import fixture_firmware, fixture_kernel, fixture_qemu  # noqa: F401

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 180
WORDS = "console=ttyS0 systemd.import_credentials=no"
CAPS = {"kvm": True, "sev": False, "sev-es": False, "sev-snp": False, "tdx": True, "cbitpos": 0, "reduced-phys-bits": 0}
# Hot-plug ports come with consent to disks, and have large windows; a network device has a BAR of another size.
MACHINES = [(1024, []), (3072, ["--cpus=3", "--allow-untrusted=disk", "--network=user"])]
if td_guest.soak():
    MACHINES += [(512, ["--network=user"]), (2816, ["--allow-untrusted=disk"]), (2048, ["--cpus=2", "--console-transport=virtio"]), (8192, ["--cpus=8"])]


class Launch:
    """One launch of cvmspawn, never started: what is predicted of it, and QEMU's arguments for the same machine under TCG."""

    def __init__(self, qemu, folder, firmware, kernel, memory, options):
        (folder / "caps").write_text(json.dumps(CAPS))
        # A QEMU of this test's own, which its entries in the cache name.
        self.folder, self.memory, self.qemu = folder, memory, folder / "qemu"
        self.qemu.write_text(f'#!/bin/sh\nexec {qemu} "$@"\n')
        self.qemu.chmod(0o755)
        self.argv = [CVMSPAWN, "--coco=tdx", f"--host-caps={folder / 'caps'}", f"--qemu={self.qemu}", f"--firmware={firmware}", f"--linux={kernel}",
                     f"--ram={memory}M", "--fw-cfg=auto", "--print=digest", "--json=short", *options]

    def ask(self, *more, status=0):
        done = subprocess.run([*map(str, self.argv), *more], capture_output=True, text=True, check=False, timeout=SECONDS,
                              env={"XDG_CACHE_HOME": str(self.folder / "cache"), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)}, cwd=self.folder)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)["digest"]["registers"] if status == 0 else done.stderr

    def kept(self):
        """Its entries in the cache: root's is the system's."""
        cache = pathlib.Path("/var/cache/cvmspawn") if os.geteuid() == 0 else self.folder / "cache/cvmspawn"
        return sorted(key for key in cache.glob("tables/*/key") if f"\n{self.qemu}\n" in key.read_text())

    def forget(self):
        for key in self.kept():
            shutil.rmtree(key.parent)

    def machine(self):
        """Its arguments without what reads the tables."""
        words = self.kept()[0].read_text().splitlines()[3:]  # after its format, QEMU's identity and QEMU
        out = []
        while words:
            word = words.pop(0)
            if word in ("-qtest", "-qtest-log", "-bios"):
                words.pop(0)
            elif word == "-object" and '"ram0"' in words[0]:
                words.pop(0)
            elif word not in ("-S",):
                out.append(word)
        return out


@pytest.fixture(name="launches")
def fixture_launches(qemu, firmware, kernel, tmp_path):
    made = []

    def make(memory, options):
        made.append(Launch(qemu, tmp_path, firmware["keyless"], kernel, memory, options))
        return made[-1]
    yield make
    for launch in made:
        launch.forget()


@pytest.mark.parametrize("memory,options", MACHINES)
def test_without_running_the_firmware(qemu, firmware, kernel, launches, tmp_path, memory, options):
    launch = launches(memory, options)
    # This release does not measure SMBIOS, so that it needs no name of the firmware.
    launch.ask("--edk2=202502-inteltdx")
    assert len(launch.kept()) == 1

    guest = TdGuest(qemu, tmp_path / "td", firmware["keyless"], memory)
    loader = guest.argv[guest.argv.index("-device"):guest.argv.index("-device") + 2]
    guest.argv = [qemu, *launch.machine(), "-bios", firmware["keyless"], *loader, *guest.argv[guest.argv.index("-plugin"):],
                  "-object", f"memory-backend-file,id=ram0,size={memory}M,mem-path={guest.ram},share=on"]
    guest.start("-kernel", kernel, "-append", WORDS if "--console-transport=virtio" not in options else "console=ttyS0").until_kernel().end()
    bios = td_guest.bios_words(guest.ram)
    guest.ram.unlink()

    words = ["--edk2=202608-inteltdx", f"--bios={bios}"] + (["--exact-words", "console=ttyS0"] if "--console-transport=virtio" in options else [])
    predicted = launch.ask(*words)
    assert predicted == {"mrtd": model.mrtd(firmware["keyless"].read_bytes()), **{k: v for k, v in guest.registers().items() if k != "rtmr3"}}
    # From the cache, and not for another machine.
    assert len(launch.kept()) == 1
    assert launch.ask(*words, "--cpus=4")["rtmr0"] != predicted["rtmr0"]
    assert len(launch.kept()) == 2


def test_broken_cache_and_refusals(launches, tmp_path):
    launch = launches(512, ["--edk2=202502-inteltdx"])
    first = launch.ask()
    key = launch.kept()[0]
    key.write_text(key.read_text() + "x\n")
    (key.parent / "etc/acpi/tables").write_bytes(b"another one's")
    assert launch.ask() == first
    (tmp_path / "tpm").write_text(json.dumps({**CAPS, "swtpm": "/bin/true"}))
    assert "tables are not read for guests with disks, a TPM" in launch.ask("--tpm=yes", "--host-caps=./tpm", status=125)
    (tmp_path / "dumb").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "dumb").chmod(0o755)
    assert "--fw-cfg=auto: QEMU does not answer over -qtest" in launch.ask(f"--qemu={tmp_path / 'dumb'}", status=125)
    assert len(launch.kept()) == 1
