# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other people's launches on the simulated SEV host: systemd-vmspawn 262 of Debian sid, command lines as libvirt makes them, and
sid's own QEMU under our launcher. The digest that is recorded is the one that `cvmspawn measure` says.

A simulation: nothing here says anything about a machine with an AMD processor."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, skip_or_fail
from test_vmspawn_cpio import peer  # noqa: F401

sys.path.insert(0, str(SOURCE / "tests/integration"))
import sevsim_host  # noqa: E402
import sevsim_model as model  # noqa: E402

pytestmark = pytest.mark.full

# Each launch takes about a second; a loaded machine may take many times that.
SECONDS = 180
CVMSPAWN = BUILD / "programs/cvmspawn"
FIRMWARE = model.make_firmware(seed=71)
KERNEL = model.make_kernel(seed=72)
INITRD = model.make_initrd(seed=73)
WORDS = "console=ttyS0 root=/dev/vda1 'a b'"
# Only in a simulation is the device everybody's.
NODE = [] if os.geteuid() == 0 else ["--sev-node=0666"]


@pytest.fixture
def files(tmp_path):
    """The folder with what is launched."""
    for path in CVMSPAWN, BUILD / "programs/verb-sevsim", BUILD / "programs/verb-measure", BUILD / "sevsim/sevsim.so":
        if not path.exists():
            skip_or_fail(f"{path} is not built")
    for name, data in ("firmware.fd", FIRMWARE), ("kernel", KERNEL), ("initrd", INITRD):
        (tmp_path / name).write_bytes(data)
    return tmp_path


def pinned(mode):
    if mode != "sev-snp" and os.geteuid() != 0:
        skip_or_fail("SEV and SEV-ES lock guest memory, which needs root")


def sevsim(command, **options):
    """Runs the command on the simulated host; what was recorded of its one launch, which nothing was refused of."""
    done = subprocess.run([CVMSPAWN, "sevsim", "--json", *NODE, "--", *command], capture_output=True, text=True, check=False,
                          timeout=SECONDS, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert len(answer["launches"]) == 1, done.stdout + done.stderr
    (launch,) = answer["launches"]
    assert launch["finished"] is True and launch["refused"] == [], done.stderr
    return answer, launch


def measure(*arguments, **options):
    done = subprocess.run([CVMSPAWN, "measure", *arguments], capture_output=True, text=True, check=False, timeout=SECONDS,
                          **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- systemd-vmspawn -------------------------------------------------------------------------------------------------------

# It asks for the unit that it runs in, which a container or a shell may not have: it sees a made-up one.
IN_A_UNIT = ["unshare", "--mount", "sh", "-c",
             'echo 0::/system.slice/vmspawn.service > cgroup && mount --bind cgroup /proc/$$/cgroup && exec "$@"', "sh"]


@pytest.mark.parametrize(
    "options, words",
    [([], ["quiet", "root=/dev/vda2"]),
     (["--cpus=3", "--set-credential=foo:hello", "--set-credential=bar:a b"], ["root=/dev/vda2", "panic=1"])],
    ids=["plain", "credentials"],
)
def test_vmspawn(files, peer, options, words):  # noqa: F811
    """The peer starts the real QEMU; its options and arguments give us the same digest."""
    if os.geteuid() != 0 or subprocess.run([*IN_A_UNIT, "true"], cwd=files, capture_output=True, check=False).returncode != 0:
        pytest.skip("systemd-vmspawn wants to run in a unit, and this user may not mount one's name over /proc/self/cgroup")
    qemu = sevsim_host.find_qemu() or skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    kernel, initrd = sevsim_host.artifact("KERNEL"), sevsim_host.artifact("INITRD")
    (peer.folder / "bin/qemu").write_text(f'#!/bin/sh\nexec {shlex.quote(str(qemu))} "$@"\n')
    options = ["--image=image.raw", f"--linux={kernel}", f"--initrd={initrd}", "--coco=sev-snp", "--ram=256M", "--tpm=no",
               "--vsock=no", "--pass-ssh-key=no", "--console=headless", "--register=no", "--keep-unit", "--notify-ready=no",
               *options, *words]
    _, launch = sevsim([*IN_A_UNIT, *peer.command, *options], env=peer.env, cwd=peer.folder)
    line = shlex.join(["systemd-vmspawn", *options])
    assert measure(f"--from-vmspawn={line}", env=peer.env, cwd=peer.folder) == launch["digest"]
    assert measure(f"--from-vmspawn={line} more", env=peer.env, cwd=peer.folder) != launch["digest"]


# --- libvirt ---------------------------------------------------------------------------------------------------------------

DOMAIN = """<domain type='kvm'><name>coco</name><memory unit='KiB'>262144</memory>
<vcpu placement='static' current='{cpus}'>4</vcpu>
<os><type arch='x86_64' machine='pc-q35-9.1'>hvm</type>{loader}
<kernel>{folder}/kernel</kernel><initrd>{folder}/initrd</initrd><cmdline>{words}</cmdline></os>
<cpu mode='custom' match='exact'><model fallback='forbid'>{cpu}</model></cpu>
<launchSecurity type='{kind}' kernelHashes='yes'><policy>{policy:#x}</policy></launchSecurity></domain>
"""


def libvirt_line(qemu, folder, kind, policy, cpu, cpus):
    """What libvirt 11 makes of the domain: firmware of SNP is read-only memory, of SEV it is flash."""
    sev = {"qom-type": f"{kind}-guest", "id": "lsec0", "cbitpos": 51, "reduced-phys-bits": 1, "policy": policy,
           "kernel-hashes": True}
    ram = {"qom-type": "memory-backend-memfd", "id": "pc.ram", "share": True, "x-use-canonical-path-for-ramblock-id": False,
           "size": 256 << 20}
    firmware, flash = ["-bios", f"{folder}/firmware.fd"], ""
    if kind == "sev":
        store = {"driver": "file", "filename": f"{folder}/firmware.fd", "node-name": "libvirt-pflash0-storage",
                 "auto-read-only": True, "discard": "unmap"}
        image = {"node-name": "libvirt-pflash0-format", "read-only": True, "driver": "raw", "file": "libvirt-pflash0-storage"}
        firmware, flash = ["-blockdev", json.dumps(store), "-blockdev", json.dumps(image)], ",pflash0=libvirt-pflash0-format"
    port = {"driver": "pcie-root-port", "port": 16, "chassis": 1, "id": "pci.1", "bus": "pcie.0", "multifunction": True,
            "addr": "0x2"}
    return [str(qemu), "-name", "guest=coco,debug-threads=on", "-machine",
            f"pc-q35-9.1,usb=off,smm=off,dump-guest-core=off,memory-backend=pc.ram{flash},"
            "confidential-guest-support=lsec0,acpi=on",
            "-accel", "kvm", "-cpu", cpu, *firmware, "-m", "size=262144k", "-object", json.dumps(ram),
            "-overcommit", "mem-lock=off", "-smp", f"{cpus},maxcpus=4,sockets=4,cores=1,threads=1",
            "-uuid", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "-display", "none", "-no-user-config", "-nodefaults",
            "-rtc", "base=utc", "-boot", "strict=on", "-kernel", f"{folder}/kernel", "-initrd", f"{folder}/initrd",
            "-append", WORDS, "-device", json.dumps(port),
            "-device", json.dumps({"driver": "virtio-serial-pci", "id": "virtio-serial0", "bus": "pci.1", "addr": "0x0"}),
            "-object", json.dumps(sev),
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-msg", "timestamp=on"]


@pytest.mark.parametrize("cpu, cpus", [("EPYC-Milan-v2", 3), ("EPYC-Genoa", 1)])
@pytest.mark.parametrize("mode, kind, policy", [("sev-snp", "sev-snp", 0x30000), ("sev", "sev", 3), ("sev-es", "sev", 7)])
def test_libvirt_style(files, mode, kind, policy, cpu, cpus):
    """A log of libvirt and the domain that it was made of say the digest of what was launched."""
    pinned(mode)
    qemu = sevsim_host.find_qemu() or skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    argv = libvirt_line(qemu, files, kind, policy, cpu, cpus)
    _, launch = sevsim(argv)
    words = ["LC_ALL=C", "HOME=/var/lib/libvirt/qemu/domain-1-coco", *map(shlex.quote, argv)]
    (files / "coco.log").write_text(" \\\n".join(words))
    assert measure(f"--from-qemu={files / 'coco.log'}") == launch["digest"]
    assert measure(f"--from-qemu={files / 'coco.log'}", "--append=other") != launch["digest"]

    place = f"{files}/firmware.fd</loader>"
    loader = f"<loader readonly='yes' type='pflash'>{place}"
    if kind == "sev-snp":
        loader = f"<loader type='rom' stateless='yes'>{place}"
    (files / "coco.xml").write_text(
        DOMAIN.format(folder=files, kind=kind, policy=policy, cpu=cpu, cpus=cpus, loader=loader, words=WORDS))
    assert measure(f"--from-libvirt={files / 'coco.xml'}") == launch["digest"]


# --- QEMU of sid -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--cpus=1"], ["--cpus=3", "--cpu=EPYC-Genoa", "--ram=3G"]], ids=["plain", "larger"])
@pytest.mark.parametrize("mode", ["sev-snp", "sev", "sev-es"])
def test_sid_qemu(files, sid_qemu, mode, options):
    pinned(mode)
    answer, launch = sevsim([CVMSPAWN, f"--qemu={sid_qemu}", f"--firmware={files / 'firmware.fd'}", f"--linux={files / 'kernel'}",
                             f"--initrd={files / 'initrd'}", "--ram=256M", f"--coco={mode}", "--exact-words", *options,
                             "--", "quiet"])
    assert answer["predicted"] == launch["digest"] and answer["equal"] is True
    cpus, cpu = (1, "EPYC-v4") if options == ["--cpus=1"] else (3, "EPYC-Genoa")
    parts = {"kernel": KERNEL, "initrd": INITRD, "words": "quiet"}
    if mode == "sev-snp":
        assert launch["digest"] == model.snp_digest(FIRMWARE, cpus, cpu, **parts)
    else:
        assert launch["digest"] == model.sev_digest(FIRMWARE, cpus if mode == "sev-es" else 0, cpu, fpu=True, **parts)
