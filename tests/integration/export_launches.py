# SPDX-License-Identifier: LGPL-2.1-or-later
"""The launches that are exported and measured on the way back: one table for all targets."""

import base64
import itertools
import struct

import sevsim_model as model
import tdx_model

WORDS = [["quiet"], ["quiet", "root=/dev/vda1"], ["a'b&<>\"c\"", "x=$HOME,y;z"], []]
MODELS = ["EPYC", "EPYC-v4", "EPYC-Rome", "EPYC-Milan", "EPYC-Milan-v2", "EPYC-Genoa"]


def make_files(folder):
    """Small files that QEMU and the simulated host take; a unified kernel image of the same kernel."""
    (folder / "kernel").write_bytes(model.make_kernel(seed=7))
    (folder / "initrd").write_bytes(model.make_initrd(seed=8))
    (folder / "second").write_bytes(model.make_initrd(seed=10))
    (folder / "fw.fd").write_bytes(model.make_firmware(seed=9))
    (folder / "tdvf.fd").write_bytes(tdx_model.make_tdvf())
    (folder / "disk.raw").write_bytes(bytes(1 << 20))
    (folder / "uki.efi").write_bytes(uki((folder / "kernel").read_bytes(), (folder / "initrd").read_bytes(), b"from=uki\n"))


def uki(kernel, initrd, cmdline):
    """A PE file with the sections of UAPI.5."""
    sections = [(b".osrel", b"ID=test\n"), (b".cmdline", cmdline), (b".initrd", initrd), (b".linux", kernel)]
    offset = 0x400
    table = body = b""
    for name, data in sections:
        size = -(-len(data) // 512) * 512
        table += struct.pack("<8sIIIIIIHHI", name, len(data), offset, size, offset, 0, 0, 0, 0, 0x40000040)
        body += data.ljust(size, b"\0")
        offset += size
    optional = struct.pack("<H", 0x20B).ljust(112 + 16 * 8, b"\0")
    header = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22) + optional + table
    return (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80) + bytes(0x40) + header).ljust(0x400, b"\0") + body


def launches():
    """(options of the launcher, kernel command line), some hundred of them; in all, SEV-ES has the type that other launchers request."""
    common = ["--firmware=fw.fd", "--linux=kernel"]
    for (mode, cpu, cpus), words in zip(itertools.product(("sev", "sev-es", "sev-snp"), MODELS, (1, 2, 3)), itertools.cycle(WORDS)):
        initrd = [[], ["--initrd=initrd"], ["--initrd=initrd", "--set-credential=foo:bar"], ["--initrd=initrd", "--initrd=second"]][cpus]
        old = ["--sev-vm-type=legacy"] if mode == "sev-es" else []
        yield [f"--coco={mode}", f"--cpu={cpu}", f"--cpus={cpus}", *common, *initrd, *old], words
    snp = ["--coco=sev-snp", *common, "--initrd=initrd"]
    for ram, words in itertools.product(("256M", "2G", "3G", "5000M"), WORDS):
        yield [*snp, f"--ram={ram}"], words
    for policy in ("smt", "nosmt", "single-socket", "migrate-ma", "0x30000", "0xb0000,debug"):
        yield [*snp, f"--coco-policy={policy}"], ["quiet"]
        yield [*snp, f"--coco-policy={policy}", "--exact-words", "--cpus=5"], ["a  b"]
    for cpus in (8, 16, 64, 255):
        yield [*snp, f"--cpus={cpus}"], ["quiet"]
    for policy in ("noks", "nosend", "0x3", "0xb"):
        yield ["--coco=sev", *common, f"--coco-policy={policy}"], ["quiet"]
    data = base64.b64encode(bytes(range(32))).decode()
    yield [*snp, f"--host-data={data}"], ["quiet"]
    yield [*snp, "--vcek=no"], ["quiet"]
    yield [*snp, "--console-transport=virtio"], ["quiet"]
    yield [*snp, "--machine=other", "--uuid=11111111-2222-3333-4444-555555555555"], ["quiet"]
    yield [*snp, "--network-user-mode"], ["quiet"]
    disk = ["--image=disk.raw", "--allow-untrusted=disk"]
    for kind in ("virtio-blk", "virtio-scsi"):
        yield [*snp, *disk, f"--image-disk-type={kind}"], ["root=/dev/vda"]
    yield [*snp, *disk, "--extra-drive=disk.raw"], ["root=/dev/vda"]
    yield ["--coco=sev-snp", "--firmware=fw.fd", "--linux=uki.efi"], []
    yield ["--coco=sev-snp", "--firmware=fw.fd", "--linux=uki.efi", "--initrd=second", "--load-credential=a:./initrd"], ["more"]


LAUNCHES = list(launches())


def td_launches():
    """The same for TDs, whose configuration is nearly all in the report, not in the digest."""
    common = ["--coco=tdx", "--firmware=tdvf.fd", "--linux=kernel"]
    value = base64.b64encode(bytes(range(48))).decode()
    yield common, ["quiet"]
    yield [*common, "--initrd=initrd", "--initrd=second", "--cpus=4", "--ram=3G"], ["a'b&<>\"c\""]
    yield [*common, "--cpus=2"], []
    yield [*common, f"--mrconfigid={value}", f"--mrowner={value}", f"--mrownerconfig={value}"], ["quiet"]
    yield [*common, "--quote-socket=no", "--cpu=max"], ["quiet"]
    yield [*common, "--quote-socket=/run/a&b.socket", "--image=disk.raw", "--allow-untrusted=disk"], ["root=/dev/vda"]


TD_LAUNCHES = list(td_launches())


def name(launch):
    options, words = launch
    return " ".join([*options, "--", *words])
