# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn sevsim --faults=: each error by name, once each; what QEMU and the launcher make of some of them. All of it is simulated."""

import json
import os
import re
import subprocess
import sys

import pytest
import sevsim_model as model
from conftest import SOURCE
from sevsim_host import SECONDS, build_folder, skip_or_fail

FIRMWARE = model.make_firmware(seed=77)
SAYS = "sevsim (simulation): "
OTHERS = {"memlock": "sev", "no-sev": "sev", "no-sev-es": "sev-es"}  # what only these launches meet


def sevsim(*arguments, **options):
    program = build_folder() / "programs" / "cvmspawn"
    if not program.exists():
        skip_or_fail(f"cvmspawn is not built: {program} is missing")
    return subprocess.run([program, "sevsim", *arguments], capture_output=True, text=True, timeout=2 * SECONDS, check=False, **options)


def faults():
    """The list: (name, step, text)."""
    done = sevsim("--faults=list")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert "(simulation)" in head
    return [line.split(maxsplit=2) for line in lines]


def client(sim, launches):
    """Each launch as KIND:NAMES, in one process: a name has its first and only time there."""
    done = subprocess.run([sys.executable, SOURCE / "tests/integration/fault_client.py", *launches], env=sim.env(), capture_output=True, text=True,
                          timeout=2 * SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(outcomes) == list(launches), done.stderr
    return outcomes, done.stderr


def test_without_errors_all_launches_succeed(sim):
    assert client(sim, ["sev:", "snp:", "tdx:"])[0] == {"sev:": "ok", "snp:": "ok", "tdx:": "ok"}


def test_each_name_once(sim):
    rows = faults()
    assert len(rows) >= 60 and len({name for name, _, _ in rows}) == len(rows)
    kinds = {name: "tdx" if "tdx" in name else OTHERS.get(name, "snp") for name, _, _ in rows}
    outcomes, messages = client(sim, [f"{kinds[name]}:{name}" for name, _, _ in rows])
    for name, step, text in rows:
        got = outcomes[f"{kinds[name]}:{name}"]
        if name in ("update-again", "tdx-memory-again"):
            assert got == "ok", name  # the second time
            continue
        error = re.search(r"\((E[A-Z]+)\)$", text)
        code = re.search(r"secure processor: .* \((\d+)\)$", text)
        wanted = f"{step} EIO {code[1]}" if code else f"{step} {error[1]} 0" if error else f"{step} missing 0"
        assert got == wanted, name
    assert "pages are to be handed over once more" in messages
    assert all(line.startswith(SAYS) for line in messages.splitlines())


def test_an_error_comes_once_and_a_lack_stays(sim):
    program = f"{SOURCE}/tests/integration/fault_client.py"
    outcomes, _ = client(sim, ["snp:fw-policy-failure", "snp:fw-policy-failure,vm-busy"])
    assert list(outcomes.values()) == ["start EIO 7", "create-vm EBUSY 0"]
    done = subprocess.run([sys.executable, program, *["snp:no-sev-snp"] * 2, *["snp:fw-active@finish"] * 2], env=sim.env(), capture_output=True, text=True,
                          timeout=SECONDS, check=False)
    assert [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()] == ["vm-types missing 0"] * 2 + ["finish EIO 18", "ok"], done.stderr


@pytest.mark.parametrize("names", ["", "none", "fw-policy-failure,", "fw-policy-failure@nowhere", "vm-busy@start", "fw-policy-failure;x"])
def test_unknown_names(names):
    done = sevsim(f"--faults={names}", "--", "echo", "ran")
    assert done.returncode == 1 and "ran" not in done.stdout
    assert "is not an error of the simulated host" in done.stderr and "--faults=list" in done.stderr


@pytest.mark.parametrize("name, command, words", [
    ("fw-resource-limit", "SNP_LAUNCH_START", "fw_error=23"), ("fw-invalid-page-state", "SNP_LAUNCH_UPDATE", "fw_error=26"),
    ("fw-bad-measurement", "SNP_LAUNCH_FINISH", "fw_error=11"), ("asids-used", "INIT2", "ret=-16")])  # fmt: skip
def test_qemu(sim, name, command, words):
    record = sim.folder / "kept"
    done = sevsim(f"--record={record}", f"--faults={name}", "--json=short", "--", *sim.arguments("snp", FIRMWARE))
    assert done.returncode not in (0, 3) and words in done.stderr, done.stderr
    (launch,) = json.loads(done.stdout)["launches"]
    assert len(launch["refused"]) == 1 and launch["refused"][0].startswith(command) and not launch["finished"]
    last = json.loads((record / "launch-001" / "commands.jsonl").read_text().splitlines()[-1])
    assert (last["command"], last["fault"]) == (command, name)


@pytest.mark.parametrize("name", ["update-again", "fw-bad-measurement@secret"])
def test_qemu_goes_on(sim, name):
    """What the kernel asks to repeat is repeated, and the digest is the same; a step that does not come has no error."""
    done = sevsim(f"--faults={name}", f"--expect-digest={model.snp_digest(FIRMWARE)}", "--", *sim.arguments("snp", FIRMWARE))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("generation, product, family", [("milan", "Milan", 0x19), ("turin", "Turin", 0x1A)])
def test_platform_make(sim, tmp_path, generation, product, family):
    """A platform of another generation: certificates by openssl, and a report that verifies with its root only."""
    folder = tmp_path / "chip"
    done = sevsim("platform", "make", folder, f"--generation={generation}", "--json=short")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"simulation": True, "generation": generation, "folder": str(folder)}
    assert (folder / "generation").read_text().startswith(f"{generation} (simulation by")
    text = subprocess.run(["openssl", "x509", "-in", folder / "ark.pem", "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    assert f"CN = ARK-{product}" in text and "simulation" in text
    record = tmp_path / "kept"
    assert sevsim(f"--record={record}", f"--platform={folder}", "--", *sim.arguments("snp", FIRMWARE)).returncode == 0
    report = tmp_path / "report.bin"
    data = "07" * 64
    subprocess.run([build_folder() / "sevsim/sevsim-attest", folder, record / "launch-001", data, report], check=True, timeout=SECONDS)
    assert report.read_bytes()[0x188] == family
    verify = [build_folder() / "programs/cvmspawn", "report", "verify", report, f"--certs={folder}", "--offline", f"--measurement={model.snp_digest(FIRMWARE)}",
              f"--report-data={data}"]
    done = subprocess.run([*verify, f"--insecure-root={folder}/ark.pem"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run(verify, capture_output=True, check=False, timeout=SECONDS).returncode != 0
    again = sevsim("platform", "make", folder)
    assert again.returncode == 1 and "has a platform already" in again.stderr and "simulation" in again.stderr


@pytest.mark.parametrize("arguments, words", [
    (["platform", "make"], "no folder, or too many"), (["platform", "make", "a", "b"], "no folder, or too many"),
    (["--record=r", "platform", "make", "a"], "takes --generation= and --json only"), (["--generation=rome", "platform", "make", "a"], "--generation"),
    (["platform", "make", "/dev/full/x"], "cannot create a platform identity")])  # fmt: skip
def test_platform_make_refuses(tmp_path, arguments, words):
    done = sevsim(*arguments, cwd=tmp_path)
    assert done.returncode == 1 and words in done.stderr and os.listdir(tmp_path) == []
