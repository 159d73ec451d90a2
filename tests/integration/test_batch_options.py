# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every option of `cvmspawn measure` together with --batch: it gives the digest that it gives alone, or it is refused. Lists of
firmware images and kernels."""

import hashlib
import json
import re

import pytest
import sevsim_model as model
import tdx_model
from test_measure import BOOT, SNP, images, ok, run  # noqa: F401

HASH = "5a" * 32
LINE = ["qemu-system-x86_64", "-machine", "q35,confidential-guest-support=s", "-accel", "kvm", "-cpu", "EPYC-v4", "-smp", "3", "-m", "1G",
        "-object", "sev-snp-guest,id=s,cbitpos=51,reduced-phys-bits=1", "-bios", "whole.fd"]
DOMAIN = """<domain type='kvm'><name>x</name><memory unit='GiB'>1</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>
<loader type='rom'>whole.fd</loader></os><cpu mode='custom'><model>EPYC-Milan</model></cpu>
<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity></domain>"""
NOVA = {"image.json": {"properties": {"hw_firmware_type": "uefi", "hw_mem_encryption": "true", "hw_mem_encryption_model": "amd-sev-snp",
                                      "hw_firmware_stateless": "true"}},
        "incus.json": {"type": "virtual-machine", "expanded_config": {"security.sev": "true"}},
        "instance.json": {"kind": "VirtualMachineInstance", "spec": {"domain": {
            "cpu": {"cores": 2, "model": "EPYC-Milan"}, "memory": {"guest": "1Gi"}, "firmware": {"bootloader": {"efi": {"secureBoot": False}}},
            "launchSecurity": {"snp": {}}}}},
        "flavor.json": {"vcpus": 2, "ram": 1024, "properties": {}}, "server.json": {"properties": {"ATTESTATION:vcpu_model": "EPYC-Milan"}}}
KATA = """[hypervisor.qemu]
kernel = "small-kernel"
initrd = "initrd"
firmware = "whole.fd"
confidential_guest = true
sev_snp_guest = true
"""
NO_CPU = ("--mode=snp", "--vcpus=2", "--ovmf=amdsev.fd")
NO_OVMF = ("--mode=snp", "--vcpus=2", "--vcpu-type=EPYC-v4")
# What each option is tried with: options around it and its value. Options that --batch refuses are listed below.
WITH = {
    "mode": (("--ovmf=amdsev.fd",), "sev"),
    "page-order": (("--mode=tdx", "--ovmf=tdvf.fd"), "two-pass"),
    "vcpus": (SNP, "7"),
    "vcpu-type": (SNP, "EPYC-Milan"),
    "vcpu-sig": (NO_CPU, "0xa00f11"),
    "vcpu-family": ((*NO_CPU, "--vcpu-model=1", "--vcpu-stepping=1"), "25"),
    "vcpu-model": ((*NO_CPU, "--vcpu-family=25", "--vcpu-stepping=1"), "1"),
    "vcpu-stepping": ((*NO_CPU, "--vcpu-family=25", "--vcpu-model=1"), "2"),
    "vmm-type": (SNP, "ec2"),
    "vmsa": (SNP, "gce"),
    "ovmf": (NO_OVMF, "amdsev.fd"),
    "kernel": (SNP, "kernel"),
    "initrd": ((*SNP, "--kernel=kernel"), "initrd"),
    "append": ((*SNP, "--kernel=kernel"), "a b"),
    "guest-features": (SNP, "0x21"),
    "es-features": (("--mode=seves", "--vcpus=2", "--vcpu-type=EPYC-v4", "--ovmf=amdsev.fd"), "0x20"),
    "snp-ovmf-hash": (SNP, "5a" * 48),
    "ovmf-hash": (SNP, "5a" * 48),
    "ovmf-metadata": (NO_OVMF, "metadata.json"),
    "kernel-hash": (SNP, HASH),
    "initrd-hash": ((*SNP, "--kernel=kernel"), HASH),
    "cmdline-hash": ((*SNP, "--kernel=kernel"), HASH),
    "from-qemu": ((), "line.json"),
    "from-libvirt": ((), "domain.xml"),
    "from-incus": (("--ovmf=whole.fd",), "incus.json"),
    "from-kata": ((), "kata.toml"),
    "initdata": (("--from-kata=kata.toml",), "initdata.toml"),
    "from-kubevirt": (("--ovmf=whole.fd",), "instance.json"),
    "from-openstack": (("--flavor=flavor.json", "--server=server.json", "--ovmf=whole.fd"), "image.json"),
    "flavor": (("--from-openstack=image.json", "--server=server.json", "--ovmf=whole.fd"), "flavor.json"),
    "server": (("--from-openstack=image.json", "--flavor=flavor.json", "--ovmf=whole.fd"), "server.json"),
    "glance": (("--from-openstack=boot.json", "--flavor=flavor.json", "--server=server.json", "--ovmf=whole.fd", "--kernel=small-kernel"), "glance.json"),
    "assume-unmeasured": (("--from-qemu=strange.json",), "strange"),
    "launch": (("--from-qemu=two",), "2"),
}
REFUSED = {
    "svsm": "kernel", "vars-size": "4096", "vars-file": "kernel", "igvm": "kernel", "verify-by-launch": None, "tik": "kernel", "nonce": "AAAA",
    "launch-measure": "AAAA", "policy": "1", "api-major": "1", "api-minor": "1", "build-id": "1", "launch-digest": HASH,
    "output-format": "hex", "json": "short", "format": "json", "name": "x", "sign-key": "kernel", "explain": None, "dump-vmsa": None,
    "from-ccel": "kernel", "memory": "512M", "verbose": None, "from-vmspawn": "--coco=sev-snp", "ignore-idblock": None, "qemu": "/bin/true",
}
# --expect is compared in each row (test_measure_refused.py), the next five need --memory; the others end the program.
ELSEWHERE = {"expect", "edk2", "fw-cfg", "bios", "disk", "disk-read-only", "batch", "help", "version"}
# Members of a row, beside "id", "credentials" and "expect".
NO_MEMBER = {"vcpu-family", "vcpu-model", "vcpu-stepping", "ovmf-hash", "from-qemu", "from-libvirt", "from-incus", "from-kata", "initdata", "from-kubevirt", "from-openstack", "flavor", "server",
             "glance", "assume-unmeasured", "launch"}


def files(images, run):
    # QEMU loads whole multiples of 64 KiB only.
    firmware = (images / "amdsev.fd").read_bytes()
    (images / "tdvf.fd").write_bytes(tdx_model.make_tdvf())
    (images / "whole.fd").write_bytes(bytes(-len(firmware) % 65536) + firmware)
    (images / "line.json").write_text(json.dumps(LINE))
    (images / "strange.json").write_text(json.dumps([*LINE, "-strange"]))
    (images / "two").write_text(" ".join(LINE) + "\n" + " ".join("EPYC-Milan" if x == "EPYC-v4" else x for x in LINE) + "\n")
    (images / "domain.xml").write_text(DOMAIN)
    (images / "small-kernel").write_bytes(model.make_kernel())
    (images / "kata.toml").write_text(KATA)
    (images / "initdata.toml").write_text('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n')
    for name, value in NOVA.items():
        (images / name).write_text(json.dumps(value))
    boot = {"properties": NOVA["image.json"]["properties"] | {"kernel_id": "k", "os_command_line": "quiet"}}
    (images / "boot.json").write_text(json.dumps(boot))
    glance = {"id": "k", "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(model.make_kernel()).hexdigest()}
    (images / "glance.json").write_text(json.dumps(glance))
    stored = run("--mode=snp:ovmf-hash", "--ovmf=amdsev.fd", "--json=short")
    (images / "metadata.json").write_text(json.dumps(json.loads(stored.stdout)["ovmf-metadata"]))


def rows(done):
    return [json.loads(x) for x in done.stdout.splitlines()]


def test_every_option_is_listed(run):
    known = set(re.findall(r"--([a-z][a-z0-9-]*)", "\n".join(
        m[0] for m in re.finditer(r"^ +(-\w )? *--[a-z0-9-]+", run("--help").stdout, re.M))))
    assert known == set(WITH) | set(REFUSED) | ELSEWHERE


@pytest.mark.parametrize("option", sorted(WITH))
def test_honoured(run, images, option):
    files(images, run)
    (images / "one").write_text("{}\n")
    around, value = WITH[option]
    alone = run(*around, f"--{option}={value}")
    batch = run(*around, f"--{option}={value}", "--batch=one")
    assert alone.returncode == batch.returncode == 0, alone.stderr + batch.stderr
    assert [x["digest"] for x in rows(batch)] == [alone.stdout.strip()]
    if option not in NO_MEMBER:
        (images / "one").write_text(json.dumps({option: value}) + "\n")
        member = run(*around, "--batch=one")
        assert (member.returncode, [x["digest"] for x in rows(member)]) == (0, [alone.stdout.strip()])


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_refused(run, images, option):
    (images / "one").write_text("{}\n")
    value = REFUSED[option]
    done = run(*SNP, "--batch=one", f"--{option}" + ("" if value is None else f"={value}"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and "has no meaning" in done.stderr


def test_lists_of_files(run, images):
    """A table of all combinations, in the order of the options; every digest is the one that the files give alone."""
    (images / "other.fd").write_bytes((images / "amdsev.fd").read_bytes())
    (images / "kernel2").write_bytes((images / "kernel").read_bytes() + bytes(16))
    single = {k: run(*SNP[:-1], "amdsev.fd", "--kernel", k).stdout.strip() for k in ("kernel", "kernel2")}
    assert len(set(single.values())) == 2
    done = run(*SNP[:-1], "amdsev.fd,other.fd", "--kernel", "kernel,kernel2")
    assert done.returncode == 0
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[0] == ["VCPUS", "CPU", "SIGNATURE", "DIGEST", "OVMF", "KERNEL"]
    assert [row[3:] for row in table[1:]] == [[single[k], f, k] for f in ("amdsev.fd", "other.fd") for k in ("kernel", "kernel2")]
    reports = json.loads(ok(run(*SNP, "--kernel=kernel,kernel2", "--json=short")).splitlines()[-1])
    assert [r["digest"] for r in reports] == [single["kernel"], single["kernel2"]]
    # In a batch, too: from the command line, and as arrays.
    for args, line in ((("--ovmf=amdsev.fd,other.fd", "--kernel=kernel,kernel2"), {"id": 1}),
                       ((), {"id": 1, "ovmf": ["amdsev.fd", "other.fd"], "kernel": ["kernel", "kernel2"]})):
        (images / "one").write_text(json.dumps(line) + "\n")
        out = rows(run(*SNP, *args, "--batch=one"))
        assert [(x["ovmf"], x["kernel"], x["digest"], x["id"]) for x in out] == [
            (f, k, single[k], 1) for f in ("amdsev.fd", "other.fd") for k in ("kernel", "kernel2")]
    # A bad one among them is a row, and hides nothing.
    (images / "one").write_text(json.dumps({"kernel": ["kernel", "missing", "kernel2"]}) + "\n")
    done = run(*SNP, "--batch=one")
    assert done.returncode == 1 and [x.get("digest") for x in rows(done)] == [single["kernel"], None, single["kernel2"]]
    assert rows(done)[1]["kernel"] == "missing" and "missing" in rows(done)[1]["error"]


def test_a_name_with_a_comma_is_a_name(run, images):
    (images / "a,b").write_bytes((images / "kernel").read_bytes())
    assert ok(run(*SNP, "--kernel=a,b")) == ok(run(*SNP, "--kernel=kernel"))


@pytest.mark.parametrize("args, part", [
    (("--kernel=kernel,",), "an empty name in the list 'kernel,'"), (("--ovmf=amdsev.fd,nothing",), "--ovmf=nothing"),
    (("--kernel=kernel,initrd", "--expect=" + "00" * 48), "--expect has no meaning together with a list of files"),
    (("--kernel=kernel,initrd", "--explain"), "--explain has no meaning together with a list of files"),
    (("--kernel=kernel,initrd", "--format=rvps"), "--format has no meaning together with a list of files"),
    (("--kernel=kernel,initrd", "--verbose"), "--verbose has no meaning together with a list of files"),
])
def test_wrong_lists(run, args, part):
    done = run(*SNP, *args)
    assert done.returncode == 1 and part in done.stderr and done.stderr.count("\n") <= 2


def test_what_other_launchers_say_counts_in_a_batch(run, images):
    """Too little memory for the firmware's pages is a bad row, as it is an error without a batch."""
    files(images, run)
    (images / "small.json").write_text(json.dumps(["1M" if x == "1G" else x for x in LINE]))
    (images / "one").write_text("{}\n")
    alone, batch = run("--from-qemu=small.json"), run("--from-qemu=small.json", "--batch=one")
    assert alone.returncode == batch.returncode == 1 and alone.stdout == ""
    assert rows(batch)[0]["error"] in alone.stderr and "give it more memory" in alone.stderr
