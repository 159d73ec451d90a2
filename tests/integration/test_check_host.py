# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn check-host and explain as a new user meets them, on a machine without SEV: one screen, a remedy a line, statuses, and JSON that
the launcher takes. What is said of other hosts is in tests/unit/test-check-judge.c."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from sevsim_host import SECONDS, build_folder, skip_or_fail

PROGRAM = build_folder() / "programs/cvmspawn"
MODES = ["sev", "sev-es", "sev-snp", "tdx"]


def run(*words, **options):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=SECONDS, check=False, **options)


@pytest.fixture(autouse=True)
def without_sev():
    if Path("/sys/module/kvm_amd/parameters/sev").exists():
        pytest.skip("this host may have SEV: the test is about those that have not")


@pytest.mark.parametrize("mode", MODES)
def test_one_screen_with_remedies(mode):
    done = run("check-host", f"--coco={mode}")
    assert done.returncode == 3 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    for i, line in enumerate(lines):
        if line.startswith(("missing", "unknown")):
            assert lines[i + 1].strip().startswith("-> "), line
    assert lines[-2] == f"This host cannot launch {mode}."
    assert "--simulate" in lines[-1]
    assert any(line.startswith("missing  CPU") for line in lines)


def test_coco_names_a_technology():
    for word in ("no", "nonsense"):
        done = run("check-host", f"--coco={word}")
        assert (done.returncode, done.stdout) == (1, "") and f"expected sev, sev-es, sev-snp, tdx or auto, not '{word}'" in done.stderr
    assert "This host cannot launch sev." in run("check-host", "--coco=auto", "--coco=sev").stdout.splitlines()


def test_json_says_the_same_and_composes(artifacts, tmp_path):
    words = run("check-host", "--coco=sev-snp", f"--qemu={artifacts['QEMU']}").stdout.splitlines()
    done = run("check-host", "--coco=sev-snp", f"--qemu={artifacts['QEMU']}", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == answer["status"] == 3 and answer["mode"] == "sev-snp"
    assert answer["qemu"] == str(artifacts["QEMU"])
    for check in answer["checks"]:
        assert check["state"] in ("ok", "missing", "unknown", "note") and check["text"]
        assert any(line.startswith(check["state"]) and check["text"] in line for line in words)
        assert bool(check["remedy"]) is (check["state"] in ("missing", "unknown"))

    # The launcher takes it: for this host it says what is missing; with the CPU of another one it composes.
    (tmp_path / "caps.json").write_text(done.stdout)
    launch = [f"--host-caps={tmp_path / 'caps.json'}", "--coco=sev-snp", f"--firmware={artifacts['FIRMWARE']}",
              f"--linux={artifacts['KERNEL']}", "--print=digest,argv", "--json=short"]
    refused = run(*launch)
    assert refused.returncode == 125 and "this CPU does not support memory encryption" in refused.stderr
    (tmp_path / "caps.json").write_text(json.dumps({**answer, "kvm": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1}))
    before = sorted(tmp_path.iterdir())
    printed = run(*launch, cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert set(json.loads(printed.stdout)) == {"argv", "digest"} and json.loads(printed.stdout)["argv"][0] == str(artifacts["QEMU"])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming nobody needs root")
def test_nobody_is_told_what_can_be_known():
    try:
        done = run("check-host", "--json", user=65534, group=65534, extra_groups=[], cwd="/")
    except PermissionError:
        skip_or_fail("the build directory cannot be reached by others")
    answer = json.loads(done.stdout)
    assert done.returncode == answer["status"] == 3
    states = {check["subject"]: check["state"] for check in answer["checks"]}
    assert states["CPU"] == "missing" and states["kernel"] == "ok"
    if os.path.exists("/dev/kvm") and not os.stat("/dev/kvm").st_mode & 0o006:
        assert states["/dev/kvm"] == "unknown"


@pytest.mark.parametrize(("words", "sentence"), [
    (["--coco=snp"], "--coco: "),
    (["what"], "unexpected argument"),
    (["--ram=much"], "--ram: "),
])
def test_wrong_words(words, sentence):
    done = run("check-host", *words)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1 and sentence in done.stderr


LOG = """\
qemu-system-x86_64: warning: '-mon' is deprecated
qemu-system-x86_64: sev_common_kvm_init: Failed to open /dev/sev 'Permission denied'
qemu-system-x86_64: failed to initialize kvm: Operation not permitted
"""


def test_explain(tmp_path):
    (tmp_path / "log").write_text(LOG)
    done = run("explain", tmp_path / "log")
    assert done.returncode == 0
    line, sentence = done.stdout.splitlines()
    assert line.endswith("'Permission denied'") and sentence.strip().startswith("QEMU is not allowed to open /dev/sev: run as root")
    assert run("explain", input=LOG).stdout == run("explain", "-", input=LOG).stdout == done.stdout
    # General causes only where there is no better one; the same cause once; bytes that are no text do no harm.
    assert run("explain", input="SNP_LAUNCH_UPDATE ret=-5 fw_error=22 ''\n").stdout.count("\n") == 2
    both = run("explain", input="SNP_LAUNCH_UPDATE ret=-5 fw_error=22 ''\nSEV-SNP: CPUID validation failed for function 0x1\n" * 3)
    assert "INVALID_PARAM" not in both.stdout and both.stdout.count("CPU model") == 1
    (tmp_path / "bytes").write_bytes(b"\0\xff\n\0SNP_LAUNCH_FINISH ret=-5 fw_error=11\0 x\n" + bytes(range(256)))
    assert "BAD_MEASUREMENT" in run("explain", tmp_path / "bytes").stdout
    nothing = run("explain", input="all is well\n")
    assert nothing.returncode == 3 and "check-host" in nothing.stdout
    assert run("explain", tmp_path / "missing").returncode == 1 and run("explain", "a", "b").returncode == 1
    assert run("explain", tmp_path).returncode == 1
