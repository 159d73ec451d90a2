# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest owner's whole way with our programs and an unmodified QEMU on the simulated host: certificates from the monitor, session,
launch, validation, secret, start; and who refuses what was changed on the way."""

import base64
import os
import resource
import subprocess
from pathlib import Path

import pytest
import sevsim_model as model
from sevsim_host import build_folder, text64

LOCKABLE = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] in (-1, resource.RLIM_INFINITY)
pytestmark = pytest.mark.skipif(not LOCKABLE, reason="SEV locks guest memory: needs root or an unlimited RLIMIT_MEMLOCK")

FIRMWARE = model.make_firmware(seed=31)
KERNEL = model.make_kernel(seed=32)
INITRD = model.make_initrd(seed=33)
WORDS = "console=ttyS0"
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"


def cvmspawn(folder, *words, status=0):
    done = subprocess.run([build_folder() / "programs/cvmspawn", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (words, done)
    return done


def stop(process, qmp):
    qmp.execute("quit")
    assert process.wait(60) == 0


class Owner:
    """One launch: an owner's folder, and the host that it is made for."""

    def __init__(self, sim, platform, policy, vm_type):
        self.sim, self.platform, self.policy, self.vm_type = sim, platform, policy, vm_type
        self.folder = sim.folder / "owner"
        self.folder.mkdir()
        for name, data in {"OVMF.fd": FIRMWARE, "vmlinuz": KERNEL, "initrd": INITRD, "pw": b"passphrase"}.items():
            (self.folder / name).write_bytes(data)
        sim.identity(platform)

    def fetch_chain(self):
        """What QMP tells of the platform, and what AMD would add: its signature on the CEK, ASK and ARK."""
        process, qmp = self.sim.paused(self.sim.arguments("sev", FIRMWARE, policy=3))
        caps = qmp.execute("query-sev-capabilities")
        stop(process, qmp)
        (self.folder / "pdh.b64").write_text(caps["pdh"])
        (self.folder / "chain.b64").write_text(caps["cert-chain"])

    def take_chain(self):
        """The same from the platform's files, without a QEMU."""
        read = {n: (self.platform / f"{n}.cert").read_bytes() for n in ("pdh", "pek", "oca", "cek")}
        (self.folder / "pdh.b64").write_text(text64(read["pdh"]))
        (self.folder / "chain.b64").write_text(text64(read["pek"] + read["oca"] + read["cek"]))

    def session(self, *options, status=0):
        amd = [f"--certs={self.platform}/{n}.cert" for n in ("cek-signed", "ask", "ark")]
        root = f"--insecure-root={self.platform}/ark.cert"
        return cvmspawn(self.folder, "session", "pdh.b64", "chain.b64", *amd, root, f"--policy={self.policy}", *options, status=status)

    def arguments(self, policy=None, session=None):
        files = {"dh-cert-file": str(self.folder / "vm_godh.b64"), "session-file": str(session or self.folder / "vm_session.b64")}
        legacy = "off" if self.vm_type == "new" else "on"
        return self.sim.arguments("sev", FIRMWARE, vcpus=3, policy=self.policy if policy is None else policy, kernel=KERNEL,
                                  initrd=INITRD, words=WORDS, **{"legacy-vm-type": legacy}, **files)  # fmt: skip

    def validate(self, info, measurement, *options, status=0):
        es = ["-n3", "--cpu-family=23", "--cpu-model=1", "--cpu-stepping=2", f"--sev-vm-type={self.vm_type}"]
        return cvmspawn(
            self.folder, "validate", "-f", "OVMF.fd", "-k", "vmlinuz", "-r", "initrd", "-e", WORDS, "--tik=vm_tik.bin", "--tek=vm_tek.bin",
            f"--api-major={info['api-major']}", f"--api-minor={info['api-minor']}", f"--build-id={info['build-id']}", f"--policy={self.policy}",
            "--session=vm_session.b64", "-m", measurement, *(es if self.policy & 4 else []), *options, status=status,
        )  # fmt: skip


MODES = [(3, "legacy"), (3, "new"), (7, "legacy"), (7, "new")]


@pytest.mark.parametrize("policy,vm_type", MODES, ids=["sev-legacy", "sev-new", "es-legacy", "es-new"])
def test_the_whole_way(sim, platform, policy, vm_type):
    owner = Owner(sim, platform, policy, vm_type)
    owner.fetch_chain()
    owner.session()
    process, qmp = sim.paused(owner.arguments())
    info = qmp.execute("query-sev")
    measurement = qmp.execute("query-sev-launch-measure")["data"]

    # each byte of measurement and nonce counts
    raw = bytearray(base64.b64decode(measurement))
    for at in range(0, 48, 1 if (policy, vm_type) == (7, "new") else 7):
        raw[at] ^= 1
        owner.validate(info, text64(bytes(raw)), "--no-search", status=1)
        raw[at] ^= 1
    for name in ("api-major", "api-minor", "build-id"):
        owner.validate({**info, name: info[name] ^ 1}, measurement, "--no-search", status=1)
    if policy & 4:
        other = Owner.validate.__get__(owner)
        owner.vm_type = "legacy" if vm_type == "new" else "new"
        done = other(info, measurement, status=1)
        owner.vm_type = vm_type
        assert f"--sev-vm-type={vm_type}" in done.stderr and "the measurement fits" in done.stderr

    secret = ["-s", "luks-key:pw", "--secret-header=header", "--secret-payload=payload"]
    done = owner.validate(info, measurement, *secret)
    assert done.stdout == "OK: Looks good to me\nOK: Injected 1 secrets\n"
    header, payload = ((owner.folder / n).read_text() for n in ("header", "payload"))
    qmp.execute("sev-inject-launch-secret", **{"packet-header": header, "secret": payload})
    qmp.execute("cont")
    assert process.wait(60) == 0
    line = sim.last().commands("LAUNCH_SECRET")[0]
    assert (line["secret_0"], line["secret_0_size"], line["table_complete"]) == (LUKS, 10, True)
    assert sim.last().refused == []


def test_a_changed_session_is_refused_by_the_platform(sim, platform):
    owner = Owner(sim, platform, 3, "new")
    owner.take_chain()
    owner.session()
    blob = bytearray(base64.b64decode((owner.folder / "vm_session.b64").read_text()))
    changed = owner.folder / "changed.b64"
    for at in (0x0F, 0x2F, 0x3F, 0x40, 0x7F):  # nonce, keys, IV, their MAC, the policy's MAC
        blob[at] ^= 0x80
        changed.write_text(text64(bytes(blob)))
        blob[at] ^= 0x80
        result = sim.run(owner.arguments(session=changed))
        assert result.returncode == 1 and "LAUNCH_START ret=1 fw_error=11" in result.stderr, at


@pytest.mark.full
def test_each_byte_of_the_session_counts(sim, platform):
    owner = Owner(sim, platform, 3, "new")
    owner.take_chain()
    owner.session()
    blob = bytearray(base64.b64decode((owner.folder / "vm_session.b64").read_text()))
    changed = owner.folder / "changed.b64"
    for at in range(len(blob)):
        blob[at] ^= 1
        changed.write_text(text64(bytes(blob)))
        blob[at] ^= 1
        result = sim.run(owner.arguments(session=changed))
        assert result.returncode == 1 and "LAUNCH_START ret=1 fw_error=11" in result.stderr, at
    # and the one that was made starts
    process, qmp = sim.paused(owner.arguments())
    stop(process, qmp)


def test_a_changed_policy_is_refused_by_the_platform(sim, platform):
    """Each of the bits that mean something, and each byte of the firmware version that it asks for."""
    owner = Owner(sim, platform, 3, "new")
    owner.take_chain()
    owner.session()
    for bit in (0, 1, 2, 3, 4, 5, 16, 24):
        result = sim.run(owner.arguments(policy=3 ^ (1 << bit)))
        assert result.returncode == 1 and "fw_error=" in result.stderr, bit


def test_a_changed_packet_is_refused_by_the_platform(sim, platform):
    owner = Owner(sim, platform, 3, "new")
    owner.take_chain()
    owner.session()
    process, qmp = sim.paused(owner.arguments())
    info, measurement = qmp.execute("query-sev"), qmp.execute("query-sev-launch-measure")["data"]
    owner.validate(info, measurement, "-s", "luks-key:pw", "--secret-header=header", "--secret-payload=payload")
    packet = {n: bytearray(base64.b64decode((owner.folder / n).read_text())) for n in ("header", "payload")}
    assert len(packet["header"]) == 52 and len(packet["payload"]) == 64
    for name in packet:
        for at in range(len(packet[name])):
            packet[name][at] ^= 1
            # the flags, which come first, name a way of packing that this processor does not know
            with pytest.raises(RuntimeError, match="fw_error="):
                qmp.execute("sev-inject-launch-secret", **{"packet-header": text64(bytes(packet["header"])), "secret": text64(bytes(packet["payload"]))})
            packet[name][at] ^= 1
    stop(process, qmp)


def test_another_platform_gets_no_session(sim, platform):
    """A host that shows another platform's PDH with its own chain, or the right chain under its own root."""
    owner = Owner(sim, platform, 3, "new")
    owner.take_chain()
    other = Path(__file__).resolve().parents[1] / "golden/sev-chain"
    (owner.folder / "pdh.b64").write_text(text64((other / "pdh.cert").read_bytes()))
    assert "PDH" in owner.session(status=2).stderr
    assert not list(owner.folder.glob("vm_*"))
    amd = [f"--certs={other}/{n}.cert" for n in ("pek", "oca", "cek-signed", "ask", "ark")]
    done = cvmspawn(owner.folder, "session", "pdh.b64", *amd, status=2)
    assert "not one of the pinned ones" in done.stderr
    done = cvmspawn(owner.folder, "session", "pdh.b64", *amd, f"--insecure-root={platform}/ark.cert", status=2)
    assert "not one of the pinned ones" in done.stderr
