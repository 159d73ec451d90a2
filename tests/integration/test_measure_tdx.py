# SPDX-License-Identifier: LGPL-2.1-or-later
"""MRTD of firmware images against an independent reading of Intel's specification, and what is refused."""

import hashlib
import json
import os
import pathlib
import subprocess

import pytest
import sevsim_model
import tdx_model as model

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()


def run_program(verb, *arguments):
    return subprocess.run([BUILD / "programs" / f"verb-{verb}", *arguments], capture_output=True, text=True, check=False, timeout=120)


def measure(*arguments):
    return run_program("measure", "--mode=tdx", *arguments)


@pytest.fixture(name="image")
def fixture_image(tmp_path):
    def make(**values):
        path = tmp_path / "tdvf.fd"
        path.write_bytes(model.make_tdvf(**values))
        return path
    return make


@pytest.mark.parametrize("seed,size", [(1, 0x20000), (2, 0x10000), (3, 0x80000)])
def test_mrtd(image, seed, size):
    path = image(seed=seed, size=size)
    for order, two in (("single-pass", False), ("two-pass", True)):
        done = measure(f"--ovmf={path}", f"--page-order={order}")
        assert done.stdout == model.mrtd(path.read_bytes(), two) + "\n", done.stderr
        assert done.stderr == ""
    assert measure(f"--ovmf={path}").stdout == model.mrtd(path.read_bytes()) + "\n"


def test_order_of_the_table(image):
    """Sections are measured in the order of the table; one that is extended but has no bytes counts as zeros."""
    sections = model.usual_sections(0x20000)
    path = image(sections=[sections[4], (0, 0, 0x900000, 0x3000, model.TEMP_MEM, model.EXTEND), *sections[:4][::-1], sections[5]])
    assert measure(f"--ovmf={path}").stdout == model.mrtd(path.read_bytes()) + "\n"


def test_json_and_explanation(image):
    path = image()
    done = measure(f"--ovmf={path}", "--json=short", "--page-order=two-pass")
    answer = json.loads(done.stdout)
    assert answer["mode"] == "tdx" and answer["digest"] == model.mrtd(path.read_bytes(), True)
    assert answer["parameters"] == {"page-order": "two-pass"}
    assert answer["parts"]["firmware"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    lines = measure(f"--ovmf={path}", "--explain").stdout.splitlines()
    pages = [line.split() for line in lines if not line.startswith("#")][:-1]
    assert lines[-1] == model.mrtd(path.read_bytes())
    assert len(pages) == sum(s[3] for s in model.usual_sections(0x20000)) // 4096
    assert {(p[3], p[4]) for p in pages} == {("add+extend", "BFV"), ("add", "CFV"), ("add", "TEMP_MEM"), ("add", "TD_HOB")}
    assert pages[0][5] == hashlib.sha384(path.read_bytes()[0x2000:0x3000]).hexdigest()
    assert pages[-1][6] == lines[-1]


def test_expect(image, tmp_path):
    path = image()
    data = path.read_bytes()
    assert measure(f"--ovmf={path}", f"--expect={model.mrtd(data)}").returncode == 0
    done = measure(f"--ovmf={path}", f"--expect={model.mrtd(data, True)}")
    assert done.returncode == 3 and "second pass" in done.stdout and done.stdout.rstrip().endswith("--page-order=two-pass")
    other = tmp_path / "other.fd"
    other.write_bytes(model.make_tdvf(seed=9))
    done = measure(f"--ovmf={path}", f"--expect={model.mrtd(other.read_bytes())}")
    assert done.returncode == 3 and f"firmware {other}" in done.stdout
    done = measure(f"--ovmf={path}", f"--expect={'ab' * 48}")
    assert done.returncode == 3 and "no one or two of the usual changes" in done.stdout


def test_variables_are_not_measured(image):
    """Secure Boot keys are in the variable store, which is added and not extended."""
    path = image()
    data = bytearray(path.read_bytes())
    before = measure(f"--ovmf={path}").stdout
    data[100] ^= 1
    path.write_bytes(data)
    assert measure(f"--ovmf={path}").stdout == before
    data[0x2000] ^= 1
    path.write_bytes(data)
    assert measure(f"--ovmf={path}").stdout == model.mrtd(bytes(data)) + "\n" != before


def test_batch(image, tmp_path):
    path = image()
    rows = tmp_path / "rows"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ({"ovmf": str(path)}, {"ovmf": str(path), "page-order": "two-pass"},
                                                               {"ovmf": str(path), "page-order": "none"})))
    done = measure(f"--batch={rows}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a.get("digest") for a in answers[:2]] == [model.mrtd(path.read_bytes()), model.mrtd(path.read_bytes(), True)]
    assert "single-pass" in json.dumps(answers[2]) and done.returncode == 1


@pytest.mark.parametrize("arguments,said", [
    (["--kernel=/dev/null"], "pass --memory=SIZE, too"),
    (["--vcpus=2"], "--vcpus has no meaning with --mode=tdx"),
    (["--guest-features=1"], "--guest-features has no meaning"),
    (["--page-order=third"], "expected single-pass or two-pass, not 'third'"),
])
def test_refused_options(image, arguments, said):
    done = measure(f"--ovmf={image()}", *arguments)
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""


def test_refused_images(image, tmp_path):
    done = measure(f"--ovmf={image(version=2)}")
    assert done.returncode == 1 and "TDX metadata have the version 2" in done.stderr
    sections = model.usual_sections(0x20000)
    done = measure(f"--ovmf={image(sections=sections[:4])}")
    assert done.returncode == 1 and "no TD_HOB section" in done.stderr
    plain = tmp_path / "plain.fd"
    plain.write_bytes(sevsim_model.make_firmware())
    done = measure(f"--ovmf={plain}")
    assert done.returncode == 1 and "no TDX metadata" in done.stderr and "ovmf-inteltdx" in done.stderr
    done = run_program("measure", "--mode=snp", f"--ovmf={plain}", "--page-order=two-pass", "--vcpus=1", "--vcpu-type=EPYC")
    assert done.returncode == 1 and "--bios and --disk require --mode=tdx" in done.stderr


def test_inspect(image):
    path = image()
    answer = json.loads(run_program("inspect", "firmware", str(path), "--json=short").stdout)
    assert [(s["offset"], s["file-size"], s["gpa"], s["size"], s["measured"]) for s in answer["tdx-sections"]] == [
        (*s[:4], bool(s[5])) for s in model.usual_sections(0x20000)]
    assert [s["name"] for s in answer["tdx-sections"]] == ["BFV", "CFV", "TEMP_MEM", "TEMP_MEM", "TD_HOB", "TEMP_MEM"]
    assert answer["not-for-tdx"] is None
