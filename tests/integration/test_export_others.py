# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export incus|proxmox` and `measure --from-incus=`. Neither runs here: QEMU's command line of Proxmox is composed by a model of its
rules, and an instance of Incus is the exported keys in the form of its answers."""

import json
import shlex
import subprocess

import disk_image
import export_launches
import pytest
from export_launches import LAUNCHES
from sevsim_host import build_folder

PROGRAMS = build_folder() / "programs"
SECONDS = 120
SNP = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd"]
DISK = ["--image=disk.raw", "--allow-untrusted=disk"]
SEV = ["--coco=sev", "--firmware=fw.fd"]
INCUS = [*SEV, *DISK]
ES = [*DISK, "--coco=sev-es", "--cpu=host", "--firmware=fw.fd", "--sev-vm-type=legacy"]
ELSEWHERE = ("--host-data", "--vcek", "--uuid", "--network", "--image", "--console-transport", "--coco-policy=single", "--coco-policy=migrate")
PROXMOX = [(options, words) for options, words in LAUNCHES if not any(o.startswith(ELSEWHERE) for o in options)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("others")
    export_launches.make_files(path)
    (path / "bin").mkdir()
    (path / "bin/qm").write_text("#!/bin/sh\n# A stand-in that shows what it was asked.\nfor a; do printf '%s\\n' \"$a\"; done\n")
    (path / "bin/qm").chmod(0o755)
    return path


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- Proxmox -------------------------------------------------------------------------------------------------------------------------------


def qm(folder, script):
    done = subprocess.run(["sh", "-c", script, "sh", "100"], cwd=folder, env={"PATH": f"{folder}/bin:/usr/bin:/bin"}, capture_output=True, text=True,
                          timeout=SECONDS, check=True)
    words = done.stdout.splitlines()
    assert words[:2] == ["set", "100"]
    return {words[i].removeprefix("--"): words[i + 1] for i in range(2, len(words), 2)}


def proxmox(keys, firmware):
    """QEMU's command line, by the rules of qemu-server."""
    sev = dict(item.split("=") for item in keys["amd-sev"].split(","))
    snp = sev["type"] == "snp"
    policy = 0x20000 | (0x10000 if sev.get("allow-smt", "1") == "1" else 0) | (0 if sev.get("no-debug") == "1" else 0x80000) if snp else \
        0x8 | (sev["no-debug"] == "1") | (sev["no-key-sharing"] == "1") << 1 | (sev["type"] == "es") << 2
    hashes = ",kernel-hashes=on" if sev["kernel-hashes"] == "1" else ""
    kind = "sev-snp-guest" if snp else "sev-guest"
    return ["qemu-system-x86_64", "-machine", "q35,accel=kvm,confidential-guest-support=sev0", "-smp", f"{keys['cores']},sockets=1,maxcpus={keys['cores']}",
            "-m", keys["memory"], "-cpu", keys["cpu"], "-bios", str(firmware), "-object",
            f"{kind},id=sev0,cbitpos=51,reduced-phys-bits=1,policy={policy:#x}{hashes}", *shlex.split(keys.get("args", ""))], policy


@pytest.mark.parametrize("launches", [PROXMOX[::12], pytest.param(PROXMOX, marks=pytest.mark.full)], ids=["some", "all"])
def test_proxmox_round_trip(folder, tmp_path, launches):
    assert len(PROXMOX) >= 60
    for i, (options, words) in enumerate(launches):
        line, _ = proxmox(qm(folder, ok(call(folder, "export", "proxmox", f"--output={tmp_path / str(i)}", *options, "--", *words))), folder / "fw.fd")
        (tmp_path / "line").write_text(shlex.join(line))
        assert ok(call(folder, "measure", f"--from-qemu={tmp_path}/line")) == ok(call(folder, "measure", *options, "--", *words)), options


@pytest.mark.parametrize("options, policy", [
    (SNP, 0x30000), ([*SNP, "--coco-policy=nosmt"], 0x20000), ([*SNP, "--coco-policy=0xb0000,debug"], 0xB0000),
    ([*SEV, "--linux=kernel", "--coco-policy=0xb"], 0xB), ([*SEV, "--linux=kernel"], 0xB)])
def test_proxmox_policy(folder, options, policy):
    done = call(folder, "export", "proxmox", *options)
    assert proxmox(qm(folder, ok(done)), folder / "fw.fd")[1] == policy
    assert ("'nosend'" in done.stderr) == (options == [*SEV, "--linux=kernel"])


@pytest.mark.parametrize("target, options, message", [
    ("proxmox", [*SNP, "--coco-policy=migrate-ma"], "no key for a bit of the policy"),
    ("proxmox", [*SNP, "--host-data=" + "00" * 32], "--host-data cannot be exported to proxmox"),
    ("proxmox", ["--coco=sev-es", "--firmware=fw.fd", "--linux=kernel"], "add --sev-vm-type=legacy"),
    ("incus", SNP, "SEV-SNP cannot be exported to incus"),
    ("incus", [*SEV, "--linux=kernel"], "no direct kernel boot"),
    ("incus", [*DISK, "--coco=sev-es", "--cpu=EPYC", "--firmware=fw.fd", "--sev-vm-type=legacy"], "use --cpu=host"),
    ("incus", [*DISK, "--coco=sev-es", "--cpu=host", "--firmware=fw.fd"], "add --sev-vm-type=legacy"),
    ("incus", [*INCUS, "--exact-words"], "--exact-words has no meaning without a kernel"),
    ("incus", [*INCUS, "--extra-drive=disk.raw"], "--extra-drive cannot be exported to incus"),
])
def test_refusals(folder, target, options, message):
    done = call(folder, "export", target, *options)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


# --- Incus ---------------------------------------------------------------------------------------------------------------------------------


def instance(text, **more):
    """What Incus shows of an instance with these keys."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == "config:"
    keys = dict(line.strip().split(": ", 1) for line in lines[1:])
    config = {key: value.strip('"') for key, value in keys.items()} | {"image.os": "Debian", "volatile.uuid": "1"} | more
    return {"name": "x", "type": "virtual-machine", "config": {}, "expanded_config": {k: v for k, v in config.items() if v is not None}}


def back(folder, value, *options, firmware="--ovmf=fw.fd"):
    return call(folder, "measure", "--from-incus=-", firmware, *options, stdin=json.dumps(value))


def test_incus_boots_an_image_by_its_own_loader(folder, tmp_path):
    """A kernel in it is not taken out: Incus could not start it."""
    image = disk_image.disk(tmp_path / "cloud.raw", [disk_image.Part("root", "ext4", disk_image.debian(), 24)])
    done = call(folder, "export", "incus", "--coco=sev", "--firmware=fw.fd", f"--image={image}", "--cpu=host", "--allow-untrusted=disk")
    assert done.returncode == 0 and "security.sev" in done.stdout and "kernel" not in done.stdout, done.stderr
    assert "the launch digest covers these" not in done.stderr


@pytest.mark.parametrize("cpus", [1, 3])
def test_incus_round_trip(folder, cpus):
    text = ok(call(folder, "export", "incus", *INCUS, f"--cpus={cpus}", "--ram=1G"))
    assert f'limits.cpu: "{cpus}"' in text and "limits.memory: 1024MiB" in text and 'security.sev: "true"' in text
    assert ok(back(folder, instance(text))) == ok(call(folder, "measure", *INCUS, f"--cpus={cpus}"))
    text = ok(call(folder, "export", "incus", *ES, f"--cpus={cpus}"))
    assert 'security.sev.policy.es: "true"' in text
    known = ok(call(folder, "measure", "--mode=seves", f"--vcpus={cpus}", "--vcpu-sig=0xa00f11", "--vmsa=qemu-pre-6.10", "--ovmf=fw.fd"))
    assert ok(back(folder, [instance(text)], "--vcpu-sig=0xa00f11")) == known


@pytest.mark.parametrize("change, message", [
    ({"new.key": "1"}, "the instance's key new.key: unknown"),
    ({"raw.qemu": "-x"}, "it changes QEMU's command line"),
    ({"security.sev": None}, "security.sev is not true"),
    ({"security.sev": "maybe"}, "neither true nor false"),
    ({"security.csm": "true"}, "a firmware that is not for SEV"),
    ({"limits.cpu": "0-3"}, "expected a number"),
    ({"limits.memory": "50%"}, "expected a size"),
    ({"security.sev.policy.es": "true"}, "--vcpu-sig=NUMBER"),
])
def test_what_is_refused(folder, change, message):
    done = back(folder, instance(ok(call(folder, "export", "incus", *INCUS)), **change))
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_other_answers(folder):
    good = instance(ok(call(folder, "export", "incus", *INCUS)))
    for value, message in (({**good, "type": "container"}, "not a virtual machine"), ({"type": "virtual-machine"}, "expanded_config"),
                           ({**good, "strange": 1}, "the instance's member strange: unknown"),
                           ([good, good], "there are 2 instances")):
        assert message in back(folder, value).stderr
    assert "pass its file with --ovmf" in back(folder, good, firmware="--vcpus=1").stderr
    assert "no direct kernel boot" in back(folder, good, "--kernel=kernel").stderr
