# SPDX-License-Identifier: LGPL-2.1-or-later

"""Other launchers' lines, domains and processes as `cvmspawn measure` reads them: the digest is that of the options that mean the same."""

import base64
import os
import pathlib
import shlex
import struct
import subprocess
import time

import pytest
import sevsim_model as model
from test_measure import MEASURE, SNP, images, ok, run  # noqa: F401

# The texts that the readers understand and refuse are tables: tests/golden/foreign. Here: that the digest is that of the options.
SNP_ROM = (*SNP, "--ovmf=rom.fd")
BITS = "cbitpos=51,reduced-phys-bits=1"
QEMU_SNP = """LC_ALL=C \\
/usr/bin/qemu-system-x86_64 -nodefaults -accel kvm -machine q35,confidential-guest-support=sev0 \\
 -object '{"qom-type":"sev-snp-guest","id":"sev0","cbitpos":51,"reduced-phys-bits":1,"policy":196608,"kernel-hashes":true}' \\
 -cpu EPYC-Milan-v2,+x2apic -smp 4,maxcpus=8 -bios rom.fd -kernel bzimage -initrd initrd -append "quiet splash"
"""


@pytest.fixture(scope="module")
def bzimage(images):
    """A kernel that QEMU's Linux loader takes, and firmware of a size that QEMU takes."""
    (images / "bzimage").write_bytes(model.make_kernel(seed=7))
    firmware = (images / "amdsev.fd").read_bytes()
    (images / "rom.fd").write_bytes(bytes(-len(firmware) % 65536) + firmware)


@pytest.mark.parametrize("line, args", [
    (QEMU_SNP, (*SNP_ROM, "--vcpu-type=EPYC-Milan", "--kernel=bzimage", "--initrd=initrd", "--append=quiet splash")),
    ("qemu-system-x86_64 -enable-kvm -M q35,memory-encryption=s -object sev-guest,id=s,policy=0x5,cbitpos=47,reduced-phys-bits=1,kernel-hashes=on "
     "-drive if=pflash,format=raw,unit=0,readonly=on,file=rom.fd -drive if=pflash,format=raw,unit=1,file=plain.fd "
     "-smp sockets=1,cores=3,threads=2 -cpu EPYC -kernel bzimage",
     ("--mode=seves", "--vmsa=qemu-pre-6.10", "--vcpus=6", "--vcpu-type=EPYC", "--ovmf=rom.fd", "--kernel=bzimage")),
    (f"qemu-system-x86_64 -enable-kvm -M q35,confidential-guest-support=s -object sev-guest,id=s,{BITS},policy=7,legacy-vm-type=off "
     "-bios rom.fd -cpu EPYC-v4", ("--mode=seves", "--vmsa=qemu", "--vcpus=1", "--vcpu-type=EPYC", "--ovmf=rom.fd")),
    (f"qemu-kvm -machine q35,confidential-guest-support=s -object sev-snp-guest,id=s,{BITS},secure-tsc=on -bios rom.fd -cpu Skylake-Server",
     ("--mode=snp", "--vcpus=1", "--vcpu-sig=0x50654", "--ovmf=rom.fd", "--guest-features=0x201")),
    (f"/usr/libexec/qemu-kvm -M q35,confidential-guest-support=s,igvm-cfg=i -object sev-snp-guest,id=s,{BITS} -object igvm-cfg,id=i,file=guest.igvm",
     ("--igvm=guest.igvm",)),
])
def test_from_qemu(run, images, bzimage, line, args):
    def digest():
        r = run("--from-qemu=line")
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()
    (images / "line").write_text(line)
    assert digest() == ok(run(*args))
    (images / "line").write_bytes(b"".join(w.encode() + b"\0" for w in shlex.split(line) if w != "\n"))
    assert digest() == ok(run(*args))


def test_from_a_running_process(run, images, bzimage):
    """Descriptors, the working directory and the arguments of a stand-in for QEMU."""
    fd = os.open(images / "rom.fd", os.O_RDONLY)
    (images / "machine.conf").write_text('[machine]\ntype = "q35"\naccel = "kvm"\nconfidential-guest-support = "s"\n')
    stand_in = subprocess.Popen(["bash", "-c", "read", "qemu-system-x86_64", "-object", f"sev-snp-guest,id=s,kernel-hashes=on,{BITS}", "-cpu",
                                 "EPYC-v4", "-bios", f"/proc/self/fd/{fd}", "-kernel", "bzimage", "-readconfig", "machine.conf"],
                                stdin=subprocess.PIPE, cwd=images, pass_fds=[fd])
    try:
        while not pathlib.Path(f"/proc/{stand_in.pid}/cmdline").read_bytes():  # execve() closes our pipe before it sets the arguments
            time.sleep(0.01)
        assert ok(subprocess.run([MEASURE, f"--from-qemu={stand_in.pid}"], capture_output=True, text=True, cwd="/")) == \
            ok(run("--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", "--ovmf=rom.fd", "--kernel=bzimage"))
    finally:
        stand_in.communicate()
        os.close(fd)


@pytest.mark.parametrize("args", [("--mode=snp", "--vcpus=1", "--vcpu-type=host", "--ovmf=rom.fd"),
                                  ("--mode=snp", "--vcpus=1", "--vcpu-type=EPYC,max", "--ovmf=rom.fd"),
                                  ("--coco=sev-snp", "--cpu=host", "--linux=bzimage", "--firmware=rom.fd")])
def test_a_verifier_is_not_the_host(run, bzimage, args):
    r = run(*args)
    assert r.returncode == 1 and r.stdout == "" and "is the CPU of the machine that runs the guest, not of this one" in r.stderr
    if "--coco=sev-snp" in args:
        r = run("--vcpu-sig=0xa00f11", *args)
        assert r.returncode == 0 and r.stdout.strip() == \
            ok(run("--coco=sev-snp", "--cpu=EPYC-Milan", "--linux=bzimage", "--firmware=rom.fd"))


def test_an_id_block_for_another_launch(run, images):
    block = base64.b64encode(bytes(96)).decode()
    (images / "line").write_text(f"qemu-kvm -M q35,confidential-guest-support=s -bios rom.fd -cpu EPYC "
                                 f"-object sev-snp-guest,id=s,{BITS},id-block={block},id-auth={block}")
    r = run("--from-qemu=line")
    assert r.returncode == 0 and "expects another launch digest" in r.stderr


DOMAIN = """<domain type='kvm'><name>x</name><vcpu placement='static' current='2'>4</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><loader type='rom'>rom.fd</loader><kernel>bzimage</kernel><initrd>initrd</initrd>
<cmdline>quiet</cmdline></os><cpu mode='custom'><model>EPYC-Milan</model></cpu>
<launchSecurity type='sev-snp' kernelHashes='yes'><policy>0x00030000</policy></launchSecurity></domain>"""


def test_from_libvirt(run, images, bzimage):
    boot = ("--kernel", "bzimage", "--initrd", "initrd", "--append", "quiet")
    for xml, args in ((DOMAIN, (*SNP_ROM, "--vcpus=2", "--vcpu-type=EPYC-Milan", *boot)),
                      (DOMAIN.replace(" current='2'", "").replace("kernelHashes='yes'", ""), (*SNP_ROM, "--vcpu-type=EPYC-Milan")),
                      (DOMAIN.replace("sev-snp", "sev").replace("0x00030000", "0x0007"),
                       ("--mode=seves", "--vmsa=qemu-pre-6.10", "--vcpus=2", "--vcpu-type=EPYC-Milan", "--ovmf=rom.fd", *boot))):
        (images / "domain.xml").write_text(xml)
        r = run("--from-libvirt=domain.xml")
        if "libxml2" in r.stderr:
            pytest.skip("libxml2 is not installed")
        assert r.returncode == 0 and r.stdout.strip() == ok(run(*args))
        assert ("NOT MEASURED: the kernel 'bzimage', the initrd, the kernel command line" in r.stderr) is ("kernelHashes" not in xml)
    (images / "domain.xml").write_text("<domain/>")
    r = run("--from-libvirt=domain.xml")
    assert r.returncode == 1 and "<launchSecurity>" in r.stderr


def test_from_vmspawn(run, kernel, initrd, firmware):
    line = f"systemd-vmspawn --coco=sev-snp --linux={kernel} --initrd={initrd} --cpus=2 --pass-ssh-key=no --vsock=no --tpm=no " \
        f"--console=headless --set-credential=foo:hello --firmware={firmware} quiet 'a b'"
    theirs = ok(run("--from-vmspawn", line))
    ours = ok(run("--coco=sev-snp", f"--linux={kernel}", f"--initrd={initrd}", "--cpus=2", "--exact-words", f"--firmware={firmware}",
                  "--set-credential=foo:hello", "quiet", "a b"))
    assert theirs == ours
    unpredictable = line.replace("--vsock=no", "").replace("--console=headless", "")
    r = run("--from-vmspawn", unpredictable, env={**os.environ, "TERM": "xterm"})
    assert r.returncode == 1 and r.stdout == "" and "--assume-unmeasured=vsock" in r.stderr
    r = run("--from-vmspawn", unpredictable, "--assume-unmeasured=vsock", env={**os.environ, "TERM": "xterm"})
    assert r.returncode == 0 and "'xterm'" in r.stderr
    assert r.stdout.strip() == ok(run("--coco=sev-snp", f"--linux={kernel}", f"--initrd={initrd}", "--cpus=2", "--exact-words",
                                      f"--firmware={firmware}", "--set-credential=foo:hello", "TERM=xterm", "systemd.tty.term.hvc0=xterm",
                                      "console=hvc0", "quiet", "a b"))


def test_vmspawn_passes_a_unified_image_whole(run, images, bzimage, tmp_path, firmware):
    """Its command line is not measured then, and QEMU loads no initrd beside it."""
    (tmp_path / "uki.efi").write_bytes(uki(images / "bzimage"))
    line = f"systemd-vmspawn --coco=sev-snp --linux={tmp_path}/uki.efi --image={tmp_path}/none --firmware={firmware} --console=headless " \
        "--pass-ssh-key=no --vsock=no"
    r = run("--from-vmspawn", line + " word")
    assert r.returncode == 0 and "NOT MEASURED: the kernel command line" in r.stderr and "NOT MEASURED: the disk" in r.stderr
    assert r.stdout.strip() == ok(run("--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", f"--ovmf={firmware}", f"--kernel={tmp_path}/uki.efi"))
    r = run("--from-vmspawn", line + " --set-credential=a:b")
    assert r.returncode == 1 and r.stdout == "" and "QEMU loads an initrd with a bzImage only" in r.stderr


def uki(kernel):
    """A small PE file with the sections .osrel and .linux (UAPI.5)."""
    sections = [(b".osrel", b"ID=test\n"), (b".linux", kernel.read_bytes())]
    head = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 0x70, 0x22E) + bytes(0x70)
    table, data, at, address = b"", b"", 1024, 0x1000
    for name, content in sections:
        padded = content + bytes(-len(content) % 512)
        table += name.ljust(8, b"\0") + struct.pack("<IIIIIIHHI", len(content), address, len(padded), at + len(data), 0, 0, 0, 0, 0x40000040)
        data += padded
        address += 0x1000 * (len(padded) // 4096 + 2)
    return (head + table).ljust(at, b"\0") + data
