# SPDX-License-Identifier: LGPL-2.1-or-later
"""What QEMU of Debian sid knows, `cvmspawn measure --from-qemu` knows too: each option, property, object type, CPU model and machine type
of it is in the tables of measure/foreign with an effect on the measured bytes. A newer QEMU that has more makes this test fail, and its
list is what to look at."""

import json
import re
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE

sys.path.insert(0, str(SOURCE / "tests/integration"))
import sevsim_model as model  # noqa: E402

pytestmark = pytest.mark.full
MEASURE = BUILD / "programs/verb-measure"
SECONDS = 180
SEV = ["-object", "sev-snp-guest,id=s,cbitpos=51,reduced-phys-bits=1"]
# Machines that are no PCs. Properties of types that QEMU sets itself.
NO_PCS = {"isapc", "microvm", "none", "nitro", "xenfv", "xenfv-4.2", "xenpv", "xenpvh", "x-remote"}
OWN = {"type"}


class Monitor:
    """QMP of a QEMU without a machine."""

    def __init__(self, qemu):
        self.qemu = subprocess.Popen([qemu, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio", "-S"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.qemu.stdout.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.qemu.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qemu.stdin.flush()
        while True:
            answer = json.loads(self.qemu.stdout.readline())
            if "return" in answer or "error" in answer:
                return answer.get("return")

    def end(self):
        self.ask("quit")
        self.qemu.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def monitor(sid_qemu):
    m = Monitor(sid_qemu)
    yield m
    m.end()


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    path = tmp_path_factory.mktemp("firmware") / "firmware.fd"
    path.write_bytes(model.make_firmware(seed=81))
    return str(path)


@pytest.fixture
def said(tmp_path):
    """What measure says of a command line whose files are not there."""
    def ask(*argv, machine="q35", cpu="EPYC-v4"):
        line = ["qemu-system-x86_64", "-M", f"{machine},confidential-guest-support=s", "-accel", "kvm", *SEV, "-bios", "none.fd", "-cpu", cpu,
                *argv]
        (tmp_path / "line").write_text(json.dumps(line))
        done = subprocess.run([MEASURE, "--from-qemu=line"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS)
        assert done.returncode == 1, (argv, done.stdout)
        return done.stderr
    return ask


def unknown(text):
    return "unknown, and it may" in text or "unknown machine type" in text or "unknown CPU model" in text


def printed(qemu, *arguments):
    return subprocess.run([qemu, *arguments], capture_output=True, text=True, check=True, timeout=SECONDS).stdout


def test_options(sid_qemu, said):
    text = printed(sid_qemu, "-help")
    options = set(re.findall(r"^-([\w-]+)", text, re.M)) | set(re.findall(r"^-\w+ or -([\w-]+)", text, re.M))
    assert len(options) > 100
    assert [o for o in sorted(options) if unknown(said(f"-{o}", "q35"))] == []


def test_machine_properties(sid_qemu, said):
    for machine in "pc", "q35":
        names = re.findall(r"^  ([\w.-]+)=", printed(sid_qemu, "-machine", f"{machine},help"), re.M)
        assert len(names) > 30
        # A property that has members is one name here.
        members = {"smp": "cpus", "memory": "size", "boot": "order", "sgx-epc": "0.memdev", "smp-cache": "0.cache"}
        assert [n for n in names if unknown(said("-M", f"{n}{'.' + members[n] if n in members else ''}=1"))] == []


def test_machine_types(monitor, said):
    names = {m["name"] for m in monitor.ask("query-machines")} - NO_PCS
    assert len(names) > 10
    assert [n for n in sorted(names) if unknown(said(machine=n))] == []


def test_accelerator_properties(monitor, said):
    names = {p["name"] for p in monitor.ask("qom-list-properties", typename="kvm-accel")} - OWN
    assert len(names) > 5
    assert [n for n in sorted(names) if unknown(said("-accel", f"kvm,{n}=1"))] == []


def test_cpu_models(monitor, said):
    names = {c["name"] for c in monitor.ask("query-cpu-definitions")}
    assert len(names) > 100
    models = names - {"host", "max"}
    assert [n for n in sorted(models) if unknown(said(cpu=n))] == []


def test_cpu_signatures(monitor, firmware, tmp_path):
    """Each model has the signature that QEMU gives it."""
    wrong = []
    for name in sorted({c["name"] for c in monitor.ask("query-cpu-definitions")} - {"host", "max"}):
        expanded = monitor.ask("query-cpu-model-expansion", type="full", model={"name": name})["model"]["props"]
        numbers = [expanded[key] for key in ("family", "model", "stepping")]
        line = ["qemu-system-x86_64", "-M", "q35,confidential-guest-support=s", "-accel", "kvm", *SEV, "-bios", firmware, "-cpu"]
        (tmp_path / "line").write_text(json.dumps([*line, name]))
        asked = [[MEASURE, "--from-qemu=line"], [MEASURE, "--mode=snp", f"--ovmf={firmware}", "--vcpus=1", *(
            f"--vcpu-{key}={n}" for key, n in zip(("family", "model", "stepping"), numbers))]]
        digests = [subprocess.run(a, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS).stdout for a in asked]
        if digests[0] != digests[1] or not digests[0]:
            wrong.append((name, numbers))
    assert wrong == []


def test_cpu_properties(monitor, said):
    names = {p["name"] for p in monitor.ask("device-list-properties", typename="max-x86_64-cpu")}
    assert len(names) > 300
    assert [n for n in sorted(names) if unknown(said(cpu=f"EPYC-v4,{n.replace('_', '-')}=1"))] == []


def test_object_types(sid_qemu, said):
    names = re.findall(r"^  ([\w-]+)$", printed(sid_qemu, "-object", "help"), re.M)
    assert "sev-snp-guest" in names
    assert [n for n in names if unknown(said("-object", f"{n},id=x"))] == []


def test_sev_properties(monitor, said):
    for kind in "sev-guest", "sev-snp-guest":
        names = {p["name"] for p in monitor.ask("qom-list-properties", typename=kind)} - OWN
        assert "policy" in names
        assert [n for n in sorted(names) if unknown(said("-M", "confidential-guest-support=t", "-object",
                                                         f"{kind},id=t,cbitpos=51,reduced-phys-bits=1,{n}=1"))] == []
