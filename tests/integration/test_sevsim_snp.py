# SPDX-License-Identifier: LGPL-2.1-or-later
"""SNP launches by an unmodified QEMU on the simulated host: digest, order, refusals, ID blocks."""

import base64
import json

import pytest
import sevsim_model as model
from sevsim_host import text64

FIRMWARE = model.make_firmware()
KERNEL = model.make_kernel()
INITRD = model.make_initrd()
WORDS = "console=ttyS0 quiet"
DIRECT = {"kernel": KERNEL, "initrd": INITRD, "words": WORDS}


def check(sim, firmware=FIRMWARE, vcpus=1, cpu="EPYC-v4", kernel=None, initrd=None, words=None, **options):
    launch = sim.launch("snp", firmware, vcpus=vcpus, model=cpu, kernel=kernel, initrd=initrd, words=words, **options)
    assert launch.digest == model.snp_digest(firmware, vcpus, cpu, kernel, initrd, words)
    assert launch.digest == model.recorded_snp_digest(launch.lines, launch.pages)
    assert launch.refused == []
    return launch


def test_order_and_pages(sim):
    """Firmware ascending, metadata in table order, registers last: with the bytes that were given."""
    launch = check(sim, vcpus=2, **DIRECT)
    updates = launch.commands("SNP_LAUNCH_UPDATE")
    names = {1: "ZERO", 2: "SECRETS", 3: "CPUID", 4: "ZERO", 0x10: "NORMAL"}
    wanted = [(hex(model.FOUR_GIB - len(FIRMWARE)), len(FIRMWARE), "NORMAL")]
    wanted += [(hex(gpa), size, names[kind]) for gpa, size, kind in model.SECTIONS]
    wanted += [("0xfffffffff000", 4096, "VMSA")] * 2
    assert [(u["gpa"], u["length"], u["page_type"]) for u in updates] == wanted

    def content(update):
        return launch.pages[update["pages_offset"] : update["pages_offset"] + update["pages_size"]]

    assert content(updates[0]) == FIRMWARE
    table = model.hash_table_bytes(KERNEL, INITRD, WORDS)
    assert content(updates[7])[0xC00 : 0xC00 + len(table)] == table
    signature = model.SIGNATURES["EPYC-v4"]
    assert content(updates[8]) == model.vmsa_page(signature)
    assert content(updates[9]) == model.vmsa_page(signature, reset=model.RESET_ADDRESS)
    assert all(line["simulation"] is True for line in launch.lines)


@pytest.mark.parametrize("vcpus", [1, 2, 3, 8])
def test_vcpus(sim, vcpus):
    check(sim, vcpus=vcpus)


@pytest.mark.parametrize("smp", ["2,maxcpus=8", "4,sockets=2,cores=2,threads=1", "6,sockets=1,cores=3,threads=2"])
def test_topology(sim, smp):
    """Only the processors that are there count, in whatever topology."""
    check(sim, vcpus=int(smp.split(",")[0]), smp=smp)


@pytest.mark.parametrize("cpu", sorted(model.SIGNATURES))
def test_models(sim, cpu):
    check(sim, cpu=cpu)


@pytest.mark.parametrize("memory", [128, 1024, 3072, 6144])
def test_memory(sim, memory):
    check(sim, memory=memory)


@pytest.mark.parametrize(
    "boot",
    [{}, {"kernel": KERNEL}, {"kernel": KERNEL, "initrd": INITRD}, {"kernel": KERNEL, "words": " two  blanks "}, DIRECT],
    ids=["none", "kernel", "initrd", "words", "all"],
)
def test_hashes(sim, boot):
    check(sim, **boot)


@pytest.mark.parametrize("policy", [0x30000, 0xB0000, 0x130000, 0x30137])
def test_policy_is_not_measured(sim, policy):
    launch = check(sim, policy=policy)
    assert launch.commands("SNP_LAUNCH_START")[0]["policy"] == hex(policy)


@pytest.mark.parametrize("machine", ["", ",kernel-irqchip=split", ",smm=off"])
def test_machines(sim, machine):
    check(sim, machine=machine)


def test_host_data(sim):
    data = bytes(range(32))
    launch = check(sim, **{"host-data": text64(data)})
    assert launch.commands("SNP_LAUNCH_FINISH")[0]["host_data"] == data.hex()


def test_devices(sim):
    check(sim, extra=["-device", "virtio-rng-pci", "-device", "virtio-serial-pci", "-nic", "none"])


def test_libvirt_style(sim):
    """The command line that libvirt makes for <launchSecurity type='sev-snp'>: monitor by descriptor, guest stopped, -no-shutdown,
    sandbox, more devices. None of it changes the digest."""
    sim.arguments("snp", FIRMWARE, **DIRECT)  # for its files
    sev = {"qom-type": "sev-snp-guest", "id": "lsec0", "cbitpos": 51, "reduced-phys-bits": 1, "kernel-hashes": True,
           "policy": 196608, "host-data": text64(bytes(32)), "author-key-enabled": False, "vcek-disabled": False}
    ram = {"qom-type": "memory-backend-memfd", "id": "pc.ram", "share": True, "x-use-canonical-path-for-ramblock-id": False,
           "size": 1 << 30}
    argv = [sim.qemu, "-name", "guest=coco,debug-threads=on", "-machine",
            "pc-q35-10.0,usb=off,smm=off,dump-guest-core=off,memory-backend=pc.ram,confidential-guest-support=lsec0,acpi=on",
            "-accel", "kvm", "-cpu", "EPYC-Milan-v2", "-m", "size=1048576k", "-object", json.dumps(ram),
            "-overcommit", "mem-lock=off", "-smp", "4,sockets=4,cores=1,threads=1",
            "-uuid", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "-display", "none", "-no-user-config", "-nodefaults",
            "-rtc", "base=utc", "-no-shutdown", "-boot", "strict=on", "-bios", str(sim.folder / "firmware.fd"),
            "-kernel", str(sim.folder / "kernel"), "-initrd", str(sim.folder / "initrd"), "-append", WORDS,
            "-device", json.dumps({"driver": "pcie-root-port", "port": 16, "chassis": 1, "id": "pci.1", "bus": "pcie.0",
                                   "multifunction": True, "addr": "0x2"}),
            "-device", json.dumps({"driver": "virtio-serial-pci", "id": "virtio-serial0", "bus": "pci.1", "addr": "0x0"}),
            "-object", json.dumps(sev),
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    process, qmp = sim.paused(argv)
    assert qmp.execute("query-sev")["sev-type"] == "sev-snp"
    qmp.execute("cont")
    qmp.execute("quit")
    assert process.wait(60) == 0, process.stderr.read()
    launch = sim.last()
    assert launch.digest == model.snp_digest(FIRMWARE, 4, "EPYC-Milan-v2", KERNEL, INITRD, WORDS)
    assert launch.refused == []


@pytest.mark.parametrize("changed", ["firmware", "kernel", "initrd", "words", "vcpus", "cpu"])
def test_one_change_another_digest(sim, changed):
    """Negative controls: one byte (or one processor) more, and the digest differs, and again is the right one."""

    def flip(data):
        return data[:100] + bytes([data[100] ^ 1]) + data[101:]

    base = {"firmware": FIRMWARE, "vcpus": 1, "cpu": "EPYC-v4", **DIRECT}
    other = {
        "firmware": flip(FIRMWARE),
        "kernel": KERNEL[:5000] + bytes([KERNEL[5000] ^ 1]) + KERNEL[5001:],
        "initrd": flip(INITRD),
        "words": WORDS + " ",
        "vcpus": 2,
        "cpu": "EPYC-Milan",
    }
    first = check(sim, **base)
    second = check(sim, **{**base, changed: other[changed]})
    assert first.digest != second.digest


@pytest.mark.parametrize("policy, message", [(0x1, "SNP_LAUNCH_START ret=-22"), (0x70000, "ret=-22"), (0x20000, "fw_error=7"),
                                             (0x30200, "fw_error=7")])
def test_refused_policies(sim, policy, message):
    """Bits that the kernel keeps back, a cleared SMT bit on a host with SMT, a version newer than the firmware."""
    result = sim.run(sim.arguments("snp", FIRMWARE, policy=policy))
    assert result.returncode == 1
    assert message in result.stderr
    start = sim.last().commands("SNP_LAUNCH_START")[0]
    assert start["refused"]


def test_flash_is_refused(sim):
    """Flash is read-only memory, which guest_memfd cannot back: as on a real host."""
    argv = sim.arguments("snp", FIRMWARE)
    at = argv.index("-bios")
    argv[at : at + 2] = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={sim.folder / 'firmware.fd'}"]
    result = sim.run(argv)
    assert result.returncode != 0
    assert "KVM_SET_USER_MEMORY_REGION2 failed" in result.stderr or "guest_memfd" in result.stderr


def test_page_twice(sim):
    """Two sections over the same page: the reverse map table owns it already."""
    sections = [*model.SECTIONS, (0x80D000, 0x1000, model.SEC_MEM)]
    result = sim.run(sim.arguments("snp", model.make_firmware(sections=sections)))
    assert result.returncode == 1
    assert "twice" in sim.last().refused[0]["refused"]
    assert sim.last().refused[0]["error"] == "EEXIST"
    assert sim.last().digest is None


def test_guest_can_block(sim):
    """With --guest=block nothing ends the machine but its monitor."""
    sim.environment["CVMSPAWN_SEVSIM_GUEST"] = "block"
    process, qmp = sim.paused(sim.arguments("snp", FIRMWARE))
    assert qmp.execute("query-sev")["state"] == "launch-update"
    qmp.execute("cont")
    assert qmp.execute("query-sev")["state"] == "running"
    qmp.execute("quit")
    assert process.wait(60) == 0
    assert sim.last().digest == model.snp_digest(FIRMWARE)


def launch_with_id(sim, block, auth, author=True, expect=0, **options):
    return sim.launch("snp", FIRMWARE, expect=expect,
                      **{"id-block": text64(block), "id-auth": text64(auth), "author-key-enabled": author, **options})


DIGEST = bytes.fromhex(model.snp_digest(FIRMWARE))


@pytest.mark.parametrize("author", [True, False])
def test_id_block(sim, author):
    pytest.importorskip("cryptography", reason="python3-cryptography makes the signatures")
    block, auth, *_ = model.make_id_block(DIGEST, 0x30000, author)
    launch = launch_with_id(sim, block, auth, author)
    assert (launch.folder / "id-block.bin").read_bytes() == block
    assert (launch.folder / "id-auth.bin").read_bytes() == auth
    assert launch.commands("SNP_LAUNCH_FINISH")[0]["fw_error"] == 0


def spoil(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "what, error",
    [
        ("digest", 11),
        ("policy", 7),
        ("block signature", 10),
        ("key signature", 10),
        ("key", 10),
        ("svn", 10),
        ("version", 22),
        ("algorithm", 22),
        ("reserved", 22),
        ("everything", 11),
        ("policy and signature", 7),
    ],
)
def test_bad_id_block(sim, what, error):
    pytest.importorskip("cryptography", reason="python3-cryptography makes the signatures")
    digest = spoil(DIGEST, 0) if what in ("digest", "everything") else DIGEST
    policy = 0xB0000 if what in ("policy", "everything", "policy and signature") else 0x30000
    block, auth, *_ = model.make_id_block(digest, policy, version=2 if what == "version" else 1)
    if what in ("block signature", "everything", "policy and signature"):
        auth = spoil(auth, 0x40)
    if what == "key signature":
        auth = spoil(auth, 0x680)
    if what == "key":
        auth = spoil(auth, 0x244)
    if what == "svn":
        block = spoil(block, 0x54)
    if what == "algorithm":
        auth = spoil(auth, 0)
    if what == "reserved":
        auth = spoil(auth, 0x10)
    launch = launch_with_id(sim, block, auth, expect=1)
    assert f"fw_error={error} " in launch.stderr
    finish = launch.commands("SNP_LAUNCH_FINISH")[0]
    assert finish["fw_error"] == error and finish["error"] == "EIO"
    # The digest is what was measured, whatever the owner expected.
    assert launch.digest == DIGEST.hex()


def test_id_block_without_authentication(sim):
    pytest.importorskip("cryptography", reason="python3-cryptography makes the signatures")
    block, *_ = model.make_id_block(DIGEST, 0x30000)
    launch = sim.launch("snp", FIRMWARE, expect=1, **{"id-block": text64(block)})
    assert "SNP_LAUNCH_FINISH ret=-22" in launch.stderr


def test_capabilities(sim, platform):
    """QEMU's own question about the host, without a machine: the made-up certificates and the C-bit."""
    sim.identity(platform)
    process, qmp = sim.paused([sim.qemu, "-nodefaults", "-display", "none", "-machine", "none,accel=kvm"])
    answer = qmp.execute("query-sev-capabilities")
    qmp.execute("quit")
    process.wait(60)
    assert answer["cbitpos"] == 51 and answer["reduced-phys-bits"] == 1
    assert base64.b64decode(answer["pdh"]) == (platform / "pdh.cert").read_bytes()
    chain = b"".join((platform / name).read_bytes() for name in ("pek.cert", "oca.cert", "cek.cert"))
    assert base64.b64decode(answer["cert-chain"]) == chain
    assert base64.b64decode(answer["cpu0-id"]) == (platform / "chip-id.bin").read_bytes()
    host = [json.loads(line) for line in (sim.record / "host.jsonl").read_text().splitlines()]
    assert all(line["simulation"] is True for line in host)


CASES = [
    (vcpus, cpu, boot, memory)
    for vcpus in (1, 2, 4, 16, 64)
    for cpu in ("EPYC-v4", "EPYC-Rome", "EPYC-Milan-v2", "EPYC-Genoa")
    for boot in ("none", "kernel", "all")
    for memory in (256, 2560)
]


@pytest.mark.full
@pytest.mark.parametrize("vcpus, cpu, boot, memory", CASES)
def test_matrix(sim, vcpus, cpu, boot, memory):
    chosen = {"none": {}, "kernel": {"kernel": KERNEL}, "all": DIRECT}[boot]
    check(sim, vcpus=vcpus, cpu=cpu, memory=memory, **chosen)
