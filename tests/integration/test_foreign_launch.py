# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU command lines as `cvmspawn measure --from-qemu` reads them, against an unmodified QEMU that launches the same arguments on the
simulated host: the same digest, or a refusal on both sides.

A simulation: nothing here says anything about a machine with an AMD processor."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import sevsim_host
import sevsim_model as model

MEASURE = sevsim_host.build_folder() / "programs/verb-measure"
SNP = "sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1"
SEV = "sev-guest,id=sev0,policy=1,cbitpos=51,reduced-phys-bits=1"
ES = "sev-guest,id=sev0,policy=5,cbitpos=51,reduced-phys-bits=1"
BASE = ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"]
Q35 = ["-M", "q35,confidential-guest-support=sev0", "-accel", "kvm", "-m", "512M"]
HOST_DATA = base64.b64encode(bytes(32)).decode()
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="SEV and SEV-ES lock guest memory, which needs root")


def lines(common, tails):
    return [common + tail.split("|") for tail in tails]


BIOS = ["-bios", "firmware.fd", "-cpu", "EPYC-v4"]
KERNEL = [*Q35, *BIOS, "-object", SNP + ",kernel-hashes=on"]
CASES = {
    "smp": lines([*Q35, *BIOS, "-object", SNP], [
        "-smp|cores=2,maxcpus=4", "-smp|maxcpus=4", "-smp|modules=2,cores=2", "-smp|2|-smp|maxcpus=4", "-smp|0", "-smp|2,cores=0",
        "-smp|sockets=2,cores=2,threads=2", "-smp|3,sockets=2,maxcpus=4", "-smp|4,maxcpus=2", "-smp|cpus=2,clusters=2", "-smp|0x2",
        "-smp|010", "-smp|5,sockets=2", "-smp|2,foo=1", "-smp|cpus=2|-smp|cpus=3", "-smp|threads=2,cores=2,dies=2",
        "-machine|smp.cpus=3", "-machine|smp.cores=3,smp.threads=2", "-smp|1|-machine|smp.cpus=2", "-smp|,cpus=2", "-smp|+2", "-smp| 2",
        '-smp|{"cpus":2}', "-smp|2,", "-smp|2,,", "-smp|", "-smp|08", "-smp|2K", "-smp|modules=2", "-smp|5,maxcpus=6,cores=2"]),
    "cpu": lines([*Q35, "-bios", "firmware.fd", "-object", SNP], [
        "-cpu|EPYC-v4,family=25,model=17,stepping=1", "-cpu|EPYC-v4,stepping=0xf", "-cpu|EPYC-v4,stepping=16", "-cpu|EPYC-v4,family=270",
        "-cpu|base,family=25,model=1,stepping=1", "-cpu|base", "-cpu|Skylake-Server,model=7", "-cpu|EPYC-Milan|-cpu|EPYC-Rome-v4",
        "-cpu|EPYC-v4,+x2apic,-topoext,invtsc=on,enforce=off", "-cpu|epyc-v4", "-cpu|EPYC-v4,foo=1", "-cpu|EPYC-v4,+foo", "-cpu|qemu64",
        "-cpu|kvm64", "-cpu|Dhyana", "-cpu|EPYC-v4,check=off,l3-cache=on,host_phys_bits=off",
        "-global|EPYC-v4-x86_64-cpu.stepping=5|-cpu|EPYC-v4", "-global|EPYC-v4-x86_64-cpu.stepping=5|-cpu|EPYC-v4,stepping=7",
        "-global|driver=x86_64-cpu,property=family,value=6|-cpu|EPYC-v4", "-global|cpu.family=3|-cpu|EPYC-v4",
        "-global|EPYC-Milan-x86_64-cpu.stepping=5|-cpu|EPYC-v4", "-global|EPYC-x86_64-cpu.stepping=5|-cpu|EPYC-v4",
        "-global|device.family=3|-cpu|EPYC-v4", "-global|object.family=3|-cpu|EPYC-v4", "-global|x86-cpu.family=3|-cpu|EPYC-v4",
        "-global|EPYC-v4-x86_64-cpu.stepping=1|-global|x86_64-cpu.stepping=2|-global|EPYC-v4-x86_64-cpu.stepping=3|-cpu|EPYC-v4",
        "-global|x86_64-cpu.stepping=2|-global|cpu.stepping=4|-cpu|EPYC-v4,family=7", "-icount|3|-cpu|EPYC-v4", "-m|256",
        "-cpu|EPYC-v4,svm=1", "-cpu|EPYC-v4,svm=yes", "-cpu|EPYC-v4,feature-words=1", "-cpu|EPYC-v4,memory=x", "-cpu|EPYC-v4,stepping= 1",
        "-cpu|EPYC-v4,stepping=09", "-cpu|EPYC-v4,legacy-cache=on", "-cpu|EPYC-v4,kvm=off,hv_relaxed,hv_spinlocks=0x1fff", "-cpu|,stepping=1",
        "-global|x86_64-cpu.svm=1|-cpu|EPYC-v4"]),
    "machine": lines(["-accel", "kvm", "-m", "512M", *BIOS, "-object", SNP + ",kernel-hashes=on"], [
        "-M|q35,confidential-guest-support=sev0,kernel=kernel,initrd=initrd,append=x=1", "-M|q35|-machine|confidential-guest-support=sev0,"
        "kernel=kernel|-append|a", "-M|q35,memory-encryption=sev0|-kernel|kernel", "-M|q35,confidential_guest_support=sev0|-kernel|kernel",
        "-M|q35,confidential-guest-support=sev0,append=a,,b|-kernel|kernel", "-M|q35,confidential-guest-support=nope|-kernel|kernel",
        "-M|q35,confidential-guest-support=sev0,foo=1|-kernel|kernel", "-M|q35,confidential-guest-support=sev0,usb|-kernel|kernel",
        "-M|q35,confidential-guest-support=sev0,smm=on|-kernel|kernel", "-M|q35,confidential-guest-support=sev0,smm=off|-kernel|kernel",
        "-M|pc,confidential-guest-support=sev0|-kernel|kernel", "-M|q35,confidential-guest-support=sev0,kernel-irqchip=split|-kernel|kernel",
        "-M|q35,confidential-guest-support=sev0,accel=kvm|-kernel|kernel", "-M|pc-q35-9.1,confidential-guest-support=sev0,hpet=off|-kernel|kernel",
        *[f"-M|q35,confidential-guest-support=sev0,{p}|-kernel|kernel" for p in (
            "kernel-irqchip=", "usb=1", "memory-backend=r", "memory-backend=r|-object|memory-backend-ram,id=r,size=256M",
            "memory-backend=r|-object|memory-backend-ram,id=r,size=512M", "vmport=yes", "acpi=maybe", "hpet=maybe", "smm=auto",
            "memory.size=256M", "memory.max-size=1G,memory.slots=2", "memory.maxmem=1G", "firmware=odd.fd", ",usb=on", "usb=on,")],
        '-machine|{"type":"q35","confidential-guest-support":"sev0"}|-kernel|kernel']),
    "accel": lines(["-M", "q35,confidential-guest-support=sev0", "-m", "512M", *BIOS, "-object", SNP], [
        f"-accel|kvm,{p}" for p in ("kernel-irqchip=off", "kernel_irqchip=split", "foo=1", "thread=multi", "dirty-ring-size=4096",
                                    "notify-vmexit=disable", "device=/dev/kvm")] + ["-accel|help", "-accel|xen|-accel|kvm", "-accel|accel=kvm"]),
    "memory": lines(["-M", "q35,confidential-guest-support=sev0", "-accel", "kvm", *BIOS, "-object", SNP], [
        f"-m|{m}" for m in ("1", "8M", "16M", "512M,slots=2", "512M,slots=0", "512M,maxmem=256M", "512M,maxmem=1G", "512M,maxmem=512M",
                            "512M,slots=1,maxmem=512M", "512M,slots=256,maxmem=1G", "512M,slots=257,maxmem=1G", "512M,foo=1", "1e3", "0x200",
                            "0.5G", "1.5.5G", "512MB", ",size=512M", "")]),
    "hashes": lines([*Q35, *BIOS, "-kernel", "kernel", "-append", "x"], [
        f"-object|{SNP},kernel-hashes", f"-object|{SNP},nokernel-hashes", f"-object|{SNP},kernel-hashes=true", f"-object|{SNP},kernel-hashes=y",
        f"-object|{SNP},kernel-hashes=1", f"-object|{SNP},kernel-hashes=on,kernel-hashes=off", f"-object|{SNP},kernel-hashes=On",
        '-object|{"qom-type":"sev-snp-guest","id":"sev0","cbitpos":51,"reduced-phys-bits":1,"kernel-hashes":true}',
        '-object|{"qom-type":"sev-snp-guest","id":"sev0","cbitpos":51,"reduced-phys-bits":1,"kernel-hashes":"on"}',
        '-object|{"qom-type":"sev-snp-guest","id":"sev0","cbitpos":"51","reduced-phys-bits":1}',
        '-object|{"qom-type":"sev-snp-guest","id":"sev0","cbitpos":51,"reduced-phys-bits":1,"kernel-hashes":1}']),
    "boot": lines(KERNEL, [
        "-append|x", "-initrd|initrd", "-initrd|initrd|-append|x", "", "-kernel|kernel|-initrd|empty|-append|", "-kernel|kernel|-append|",
        "-append|", "-kernel|kernel|-only-migratable", "-kernel|kernel|-device|help", "-kernel|kernel|-append|x|-append|y",
        "-kernel|kernel", "-kernel|cut", "-kernel|kernel|-initrd|big", "-kernel|pe|-initrd|initrd", "-kernel|pe|-append|x", "-kernel|elf",
        "-kernel|kernel|-append|vga=foo", "-kernel|kernel|-append|vga=0x317 x", "-kernel|nothing", "-kernel|kernel|-kernel|pe"]),
    "firmware": lines([*Q35, "-cpu", "EPYC-v4"], [
        f"-bios|odd.fd|-object|{SNP}", f"-bios|nothing.fd|-object|{SNP}", f"-object|{SNP}", f"-L|share|-bios|other.fd|-object|{SNP}",
        f"-drive|if=pflash,format=raw,unit=0,file=firmware.fd,readonly=on|-object|{SNP}",
        f"-machine|firmware=firmware.fd|-object|{SNP}", f"-bios|firmware.fd|-bios|odd.fd|-object|{SNP}"]),
    "flash": lines([*Q35, "-cpu", "EPYC-v4", "-object", SEV], [
        "-bios|firmware.fd|-drive|if=pflash,format=raw,unit=0,file=vars.fd", "-bios|firmware.fd|-drive|if=pflash,format=raw,unit=1,file=vars.fd",
        "-drive|if=pflash,format=raw,file=firmware.fd,readonly|-drive|if=pflash,format=raw,file=vars.fd",
        "-drive|if=pflash,format=raw,unit=1,file=vars.fd|-drive|if=pflash,format=raw,file=firmware.fd,readonly=on",
        "-pflash|firmware.fd|-pflash|vars.fd", "-drive|if=pflash,format=raw,unit=2,file=vars.fd|-bios|firmware.fd",
        "-drive|if=pflash,format=raw,unit=0,file=firmware.fd|-drive|if=pflash,format=raw,unit=0,file=vars.fd",
        "-machine|pflash0=fw|-blockdev|driver=file,node-name=fw,read-only=on,filename=firmware.fd",
        "-machine|pflash0=fw|-blockdev|raw,node-name=fw,read-only=on,file.driver=file,file.filename=firmware.fd",
        "-machine|pflash0=fw|-drive|if=none,id=fw,format=raw,readonly=on,file=firmware.fd",
        "-drive|if=pflash,format=raw,unit=0,index=0,file=firmware.fd", "-drive|if=pflash,format=raw,bus=1,unit=0,file=firmware.fd",
        "-drive|if=pflash,format=raw,bus=0,unit=0,file=firmware.fd", "-drive|if=pflash,driver=raw,file.driver=file,file.filename=firmware.fd",
        "-drive|id=x,if=none,format=raw,file=firmware.fd|-blockdev|raw,node-name=n,file=x|-M|pflash0=n",
        "-blockdev|driver=host_device,node-name=n,filename=firmware.fd|-M|pflash0=n",
        "-machine|pflash0=nope", "-drive|if=pflash,format=raw,file=odd.fd", "-drive|if=pflash,format=raw,file=firmware.fd|-machine|max-fw-size=4096"]),
    "object": lines([*Q35, *BIOS], [
        f"-object|{SNP},foo=bar", "-object|sev-snp-guest,id=sev0,cbitpos=51", "-object|sev-snp-guest,id=sev0,reduced-phys-bits=1",
        f"-object|{SNP},policy=0x7", f"-object|{SNP},policy=0x30000", f"-object|{SNP},policy=196608", f"-object|{SNP},host-data={HOST_DATA}",
        f"-object|{SNP},host-data=AAAA", f"-object|{SNP},handle=1", f"-object|{SNP}|-object|{SEV.replace('sev0', 'other')}",
        f"-object|{SNP}|-object|{SNP}", "-object|memory-backend-ram,id=sev0,size=512M", f"-object|{SNP},sev-device=/dev/sev"]),
    "other": lines([*BASE, *BIOS, "-object", SNP], [
        "-M|q35,accel=kvm,confidential-guest-support=sev0|-m|512", "-M|q35,confidential-guest-support=sev0|-enable-kvm",
        "-M|q35,confidential-guest-support=sev0", "-M|q35,confidential-guest-support=sev0|-accel|tcg", "-M|q35|-accel|kvm",
        "-M|q35,confidential-guest-support=sev0|-accel|kvm|-nosuchoption", "-M|q35,confidential-guest-support=sev0,accel=kvm:tcg",
        "-M|q35,confidential-guest-support=sev0,accel=kvm|-accel|kvm", "-M|q35,confidential-guest-support=sev0,accel=kvm|-m|size=0.5G,slots=2,maxmem=2G",
        "-M|q35,confidential-guest-support=sev0,accel=kvm|-smp|1,maxcpus=2|-device|EPYC-v4-x86_64-cpu,socket-id=0,core-id=1,thread-id=0",
        "--machine|q35,confidential-guest-support=sev0|--enable-kvm|--name|x"]),
    "es": lines([*Q35, *BIOS, "-smp", "2"], [
        f"-object|{ES}", f"-object|{ES},legacy-vm-type=off", f"-object|{ES},legacy-vm-type=auto", f"-object|{ES},legacy-vm-type=no",
        f"-object|{ES},kernel-hashes=on|-kernel|kernel", f"-object|{ES}|-machine|smm=on", f"-object|{ES},host-data={HOST_DATA}"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign")
    firmware, kernel = model.make_firmware(seed=91), model.make_kernel(seed=92)
    pe = bytearray(kernel)
    pe[0x202:0x206] = bytes(4)
    for name, data in {"firmware.fd": firmware, "odd.fd": firmware + b"\n", "changed.fd": b"\1" + firmware[1:], "vars.fd": bytes(528 << 10), "kernel": kernel,
                       "initrd": model.make_initrd(seed=93), "empty": b"", "cut": kernel[:600], "pe": bytes(pe),
                       "elf": b"\177ELF" + kernel[4:0x202] + bytes(4) + kernel[0x206:]}.items():
        (path / name).write_bytes(data)
    with (path / "big").open("wb") as f:
        f.truncate(520 << 20)
    (path / "share").mkdir()
    (path / "share/other.fd").write_bytes(firmware)
    return path


def predict(folder, argv):
    (folder / "line").write_text(json.dumps(argv))
    done = subprocess.run([MEASURE, "--from-qemu=line"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return (done.stdout.strip() or None), done.stderr


def compare(folder, tmp_path, argv):
    """Both digests, None for a refusal, and what was said."""
    host = sevsim_host.SimHost(tmp_path)
    digest, said = predict(folder, [host.qemu, *argv])
    before = set(host.record.glob("launch-*"))
    # The directories of QEMU's own data, which -L hides nothing of.
    done = host.run([host.qemu, *[a for a in BASE if a not in argv], *argv], cwd=folder)
    new = sorted(set(host.record.glob("launch-*")) - before)
    launch = sevsim_host.Launch(new[-1]) if new else None
    return digest, (launch.digest if launch and done.returncode == 0 else None), said + done.stderr


# What this program refuses although QEMU launches it: with the reason.
STRICTER = {
    # It has no hashes then, and no firmware boots it.
    "-kernel|elf": "ELF or multiboot",
    # KVM reports no SMM for SEV-ES guests; the simulated host has it.
    "-machine|smm=on": "do not support SMM",
}


def check(folder, tmp_path, argvs):
    """All at once: an author who changes a table needs to see all that it breaks."""
    wrong = []
    for i, argv in enumerate(argvs):
        path = tmp_path / str(i)
        path.mkdir()
        ours, theirs, said = compare(folder, path, [a for a in argv if a or argv[argv.index(a) - 1] == "-append"])
        if ours != theirs and not (ours is None and any(name in "|".join(argv) and part in said for name, part in STRICTER.items())):
            wrong.append((argv, ours, theirs, said[-400:]))
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.full
@pytest.mark.parametrize("kind", [k for k in CASES if k not in ("flash", "es", "smp")])
def test_snp(folder, tmp_path, kind):
    check(folder, tmp_path, CASES[kind])


@pytest.mark.full
@NEEDS_ROOT
@pytest.mark.parametrize("kind", ["flash", "es"])
def test_sev(folder, tmp_path, kind):
    check(folder, tmp_path, CASES[kind])


def test_smp(folder, tmp_path):
    check(folder, tmp_path, CASES["smp"])


def test_verify_by_launch(folder):
    """The program asks a real QEMU itself, and says so."""
    qemu = sevsim_host.find_qemu() or sevsim_host.skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    argv = ["sudo", qemu, *KERNEL, "-kernel", "kernel", "-append", "a, b", "-smp", "2,maxcpus=4", "-netdev", "tap,id=n", "-daemonize"]
    (folder / "line").write_text(json.dumps(argv))
    done = subprocess.run([MEASURE, "--from-qemu=line", f"--qemu={qemu}", "--verify-by-launch"], cwd=folder, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert "launched the same digest" in done.stderr
    # A different command line makes a different launch: the computed digest is not the launched one.
    done = subprocess.run([MEASURE, "--from-qemu=line", f"--qemu={qemu}", "--verify-by-launch", "--append=other"], cwd=folder,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "but the computed digest is" in done.stderr
    assert re.search(r"the first difference is page \d+ \(SNP_KERNEL_HASHES, normal, address 0x[0-9a-f]+\): QEMU loaded other contents", done.stderr)
    # Another count of vCPUs: the pages are the same up to the last.
    for vcpus, part in ((3, "(vCPU 2, vmsa, address 0xfffffffff000): QEMU did not load it"), (1, "QEMU loaded more: vmsa, address 0xfffffffff000")):
        done = subprocess.run([MEASURE, "--from-qemu=line", f"--qemu={qemu}", "--verify-by-launch", f"--vcpus={vcpus}"], cwd=folder,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and part in done.stderr
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("cvmspawn-measure.*"))


@NEEDS_ROOT
@pytest.mark.parametrize("kind, obj", [("SEV", SEV), ("SEV-ES", ES)])
def test_verify_by_launch_says_what_differs(folder, kind, obj):
    qemu = sevsim_host.find_qemu() or sevsim_host.skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    (folder / "line").write_text(json.dumps([qemu, *Q35, *BIOS, "-object", obj + ",kernel-hashes=on", "-kernel", "kernel", "-append", "a"]))
    for args, status, part in (((), 0, "launched the same digest"),
                               (("--append=other",), 1, "QEMU loaded other contents"), (("--ovmf=changed.fd",), 1, "the first difference is page 0")):
        done = subprocess.run([MEASURE, "--from-qemu=line", f"--qemu={qemu}", "--verify-by-launch", *args], cwd=folder,
                              capture_output=True, text=True, check=False)
        assert done.returncode == status and part in done.stderr, kind + done.stderr
