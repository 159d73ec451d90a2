# SPDX-License-Identifier: LGPL-2.1-or-later
"""action.yml and the template for GitLab: their shell steps run here as they stand, by tests/lib/ci_runner.py, which is neither GitHub nor GitLab. And docs/ci.md:
its examples name inputs, jobs and variables that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import SOURCE
from snp_world import GOOD, amd  # noqa: F401
from sevsim_host import build_folder, skip_or_fail

sys.path.insert(0, str(SOURCE / "tests/lib"))
yaml = pytest.importorskip("yaml", reason="python3-yaml reads action.yml")
import ci_runner  # noqa: E402

ACTION, TEMPLATE = SOURCE / "action.yml", SOURCE / "docs/cvmspawn.gitlab-ci.yml"
PROGRAM = build_folder() / "programs/cvmspawn"
WORKS, FAILS = "vm.start(); vm.power_off()", "vm.start(); vm.power_off('guest-panic')"
HEX = re.compile(r"[0-9a-f]{96}")

if not shutil.which("jq"):
    skip_or_fail("jq is not installed: the steps use it, as CI's images have it")


@pytest.fixture
def world(artifacts, tmp_path):
    env = {**os.environ, "XDG_DATA_DIRS": f"{artifacts['FIRMWARE_DATA_DIR']}:/usr/share", "HOME": str(tmp_path)}
    launch = ["--coco=sev-snp", f"--qemu={artifacts['QEMU']}", f"--linux={artifacts['KERNEL']}", f"--firmware={artifacts['FIRMWARE']}"]

    class World:
        arguments = launch

        def action(self, command, arguments, **inputs):
            inputs = {"command": command, "arguments": "\n".join(map(str, arguments)), "program": str(PROGRAM), **{k.replace("_", "-"): v for k, v in inputs.items()}}
            return ci_runner.run_action(ACTION, inputs, tmp_path, env)

        def gitlab(self, job, arguments, **variables):
            return ci_runner.run_gitlab(TEMPLATE, job, {"CVMSPAWN_PROGRAM": str(PROGRAM), "CVMSPAWN_ARGUMENTS": "\n".join(map(str, arguments)) + "\n", **variables}, tmp_path, env)

    return World()


@pytest.fixture
def launch(fake):
    """Arguments of a guest that a stand-in for QEMU plays."""
    return lambda scenario: [f"--qemu={fake.qemu(scenario)}", f"--linux={fake.kernel}", "--kvm=no", "--tpm=no"]


def digest_of(arguments):
    return subprocess.run([PROGRAM, "measure", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_measure(world, tmp_path):
    arguments = [*world.arguments, "--", "a b", "'$(touch pwned)'", '"quoted" \\n *']
    done = world.action("measure", arguments, name="web")
    expected = digest_of(arguments)
    assert (done.status, done.outputs["digest"], done.outputs["status"], done.outputs["results"]) == (0, expected, "0", "web-results"), done.out
    assert HEX.fullmatch(expected) and expected in done.summary and "### cvmspawn measure: web" in done.summary
    results = tmp_path / "web-results"
    assert json.loads((results / "measure.json").read_text())["digest"] == expected
    assert json.loads((results / "attestation.json").read_text())["_type"] == "https://in-toto.io/Statement/v1"
    assert subprocess.run([PROGRAM, "refs", "show", results / "web.refs"], capture_output=True, text=True, check=True).stdout.count(expected) == 1
    assert done.uses == [("actions/upload-artifact@v4", {"name": "web", "path": "web-results", "if-no-files-found": "ignore"})]
    assert not (tmp_path / "pwned").exists()


def test_measure_of_many_has_no_one_digest(world, artifacts):
    done = world.action("measure", ["--mode=snp", "--vcpus=1-2", "--vcpu-type=EPYC-v4", f"--ovmf={artifacts['FIRMWARE']}"], upload="false")
    assert (done.status, done.outputs["digest"], done.uses) == (0, "", []), done.out
    assert len(HEX.findall(done.summary)) == 2


def test_launch(world, launch, tmp_path):
    for scenario, status, name in ((WORKS, 0, "good"), (FAILS, 3, "bad")):
        done = world.action("launch", launch(scenario), name=name)
        assert (done.status, done.outputs["status"]) == (status, str(status)), done.out
        assert ("::error title=cvmspawn::cvmspawn launch ended with status 3" in done.out) == (status != 0)
        case = ElementTree.parse(tmp_path / f"{name}-results/junit.xml").getroot().find("testsuite/testcase")
        assert case.get("name") == name and (case.find("failure") is None) == (status == 0)
        assert f"| {name} | {'passed' if status == 0 else 'failed'} |" in done.summary and (tmp_path / f"{name}-results/{name}.log").exists()
        assert len(done.uses) == 1, "the results of a failure are uploaded, too"


def test_launch_says_simulated(world, launch):
    simulated = [*launch(WORKS), "--simulate", *(a for a in world.arguments if "qemu" not in a and "linux" not in a)]
    done = world.action("launch", simulated)
    assert done.status == 0 and HEX.fullmatch(done.outputs["digest"]) and "simulated sev-snp" in done.summary, done.out


def test_matrix(world, launch, tmp_path):
    rows = [{"name": name, "options": dict(word.removeprefix("--").split("=", 1) for word in launch(scenario))} for name, scenario in (("a", WORKS), ("b", FAILS))]
    (tmp_path / "m.json").write_text(json.dumps({"guests": rows}))
    done = world.action("matrix", ["m.json", "--jobs=2"], output="here")
    assert (done.status, done.outputs["results"], done.outputs["digest"]) == (3, "here", "") and "1 passed, 1 failed" in done.summary, done.out


def test_verify(world, amd, tmp_path):  # noqa: F811
    arguments = [amd / "report.bin", f"--certs={amd}", "--offline", "--cache=", f"--insecure-root={amd}/ark.der", *GOOD]
    done = world.action("verify", arguments)
    assert done.status == 0 and json.loads((tmp_path / "cvmspawn-results/verify.json").read_text()), done.out
    done = world.action("verify", [a for a in arguments if "insecure-root" not in str(a)])
    assert (done.status, done.outputs["status"]) == (4, "4"), done.out  # a root that is not there


def test_forecast(world, tmp_path):
    subprocess.run([PROGRAM, "refs", "build", f"--output={tmp_path}/w.refs", "--", *world.arguments], check=True, timeout=60)
    for kernel, allow, status, changed in (("6.12", "false", 0, "false"), ("6.6.1", "false", 3, "true"), ("6.6.1", "true", 0, "true")):
        done = world.action("forecast", ["--against=w.refs", f"--kernel={kernel}"], allow_change=allow)
        assert (done.status, done.outputs["changed"]) == (status, changed), done.out
        assert f"Linux {kernel}: " in done.summary


@pytest.mark.parametrize(("inputs", "why"), [
    ({"command": "mesure"}, "command: expected measure, launch, matrix, verify or forecast, not 'mesure'"),
    ({"name": "../x"}, "name: expected letters"), ({"program": "/none/cvmspawn"}, "the program '/none/cvmspawn' is not installed"),
    ({"command": "forecast", "allow_change": "yes"}, "allow-change: expected true or false, not 'yes'"),
    ({"packages": "none.deb"}, "packages: no file 'none.deb'"), ({"arguments": "--nonsense"}, "unknown option '--nonsense'"),
    ({"command": "launch", "arguments": "--nonsense"}, "unknown option '--nonsense'"), ({"command": "forecast", "arguments": "--against=none"}, "'none'")])  # fmt: skip
def test_wrong_inputs(world, tmp_path, inputs, why):
    done = world.action(**{"command": "measure", "arguments": [], **{k: v.split("\n") if k == "arguments" else v for k, v in inputs.items()}})
    assert done.status != 0 and "::error" in done.out and why in done.out
    assert not [p for p in tmp_path.glob("*-results/*") if p.stat().st_size > 0]


def test_gitlab(world, launch, amd, tmp_path):  # noqa: F811
    arguments = [*world.arguments, "--", "a b", "'$(touch pwned)'"]
    done, artifacts = world.gitlab(".cvmspawn-measure", arguments)
    assert done.status == 0 and all(map(os.path.exists, artifacts)), done.out
    assert (tmp_path / "cvmspawn-results/digest.env").read_text() == f"CVMSPAWN_DIGEST={digest_of(arguments)}\n"
    assert not (tmp_path / "pwned").exists()
    for scenario, status in ((WORKS, 0), (FAILS, 3)):
        done, artifacts = world.gitlab(".cvmspawn-launch", launch(scenario), CI_JOB_NAME_SLUG="smoke")
        assert done.status == status and all(map(os.path.exists, artifacts)) and artifacts[-1].endswith("junit.xml"), done.out
    (tmp_path / "m.json").write_text('{"guests": [{"name": "a"}]}')
    assert world.gitlab(".cvmspawn-matrix", ["m.json"])[0].status == 1
    done, _ = world.gitlab(".cvmspawn-verify", [amd / "report.bin", f"--certs={amd}", "--offline", "--cache=", f"--insecure-root={amd}/ark.der", *GOOD])
    assert done.status == 0, done.out
    done, _ = world.gitlab(".cvmspawn-forecast", ["--against=cvmspawn-results/launches.refs", "--kernel=6.6.1"])
    assert done.status == 3, done.out


def test_document():
    """Its blocks of YAML are read, and name what the two files have."""
    action, jobs = yaml.safe_load(ACTION.read_text()), yaml.safe_load(TEMPLATE.read_text())
    blocks = re.findall(r"```yaml\n(.*?)```", (SOURCE / "docs/ci.md").read_text(), re.S)
    steps, extended = [], []

    def visit(value):
        if isinstance(value, dict):
            if str(value.get("uses", "")).startswith("OWNER/cvmspawn@"):
                steps.append(value["with"])
            if "extends" in value:
                extended.append(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            visit(item)

    for block in blocks:
        visit(yaml.safe_load(block))
    assert {step["command"] for step in steps} == {"measure", "launch", "matrix", "verify", "forecast"}
    assert all(set(step) <= set(action["inputs"]) for step in steps)
    assert extended and all(job["extends"] in jobs and set(job["variables"]) <= set(jobs[".cvmspawn"]["variables"]) for job in extended)
    text = (SOURCE / "docs/ci.md").read_text()
    assert all(f"`{name}`" in text for name in [*action["inputs"], *action["outputs"], *jobs])
