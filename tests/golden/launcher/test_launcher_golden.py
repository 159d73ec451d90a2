# SPDX-License-Identifier: LGPL-2.1-or-later
"""Command lines and what the launcher says to them; see README.md beside this file."""

import concurrent.futures
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import world

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[2]
GOLDEN = [HERE, HERE.parent / "rules"]
BUILD = Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
PROGRAM = BUILD / "programs" / "cvmspawn"
CASES = sorted(path for folder in GOLDEN for path in folder.rglob("*.args"))

# What a folder's command lines have in front.
COMMON = {
    "argv": ["--print=argv", "--json=short"],
    "config": ["--print=config", "--json=short"],
}


def arguments(path):
    """One argument per line; lines that begin with # say what the case is about. `*N` behind a tab repeats the line's text."""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        text, _, times = line.partition("\t*")
        yield text.replace("\\n", "\n") * int(times or 1)


def written(done, directory, kind):
    """The output as the golden file has it: paths of this run's directory and of the build are named."""
    out = done.stdout
    if out and kind == "argv":
        out = "".join(f"{argument}\n" for argument in json.loads(out)["argv"])
    elif out and kind == "config":
        out = json.dumps(json.loads(out)["config"], indent=1) + "\n"
    out = re.sub(r',"time":"[-0-9T:.]*Z"', "", out)
    text = out + "".join(f"stderr: {line}\n" for line in done.stderr.splitlines())
    if done.returncode != 0 or not text:
        text += f"status: {done.returncode}\n"
    return text.replace(str(directory), "@DIRECTORY@").replace(str(BUILD), "@BUILD@")


def listing(directory):
    """What a case could change: names, sizes and times of all files."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def run(path, directory):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "XDG_DATA_DIRS": str(directory / "firmware"),
        "SYSTEMD_VMSPAWN_NETWORK_MAC": "32:6f:ba:0b:20:a6",  # else from this machine's id
        **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")},
    }
    kind = path.parent.name
    return subprocess.run(
        # Our own user, so that the same comes out for root and for others.
        [PROGRAM, f"--qemu-user={os.getuid()}", *COMMON.get(kind, []), *arguments(path)],
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def outputs(request, tmp_path_factory):
    """What cvmspawn said to each selected case: all run in one directory, which none of them changes, as many at a time as
    there are processors."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not built")
    directory = tmp_path_factory.mktemp("golden")
    world.build(directory)
    before = listing(directory)
    cases = {item.callspec.params["path"] for item in request.session.items
             if getattr(item, "originalname", "") == "test_golden"}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = {path: pool.submit(run, path, directory) for path in sorted(cases)}
    assert listing(directory) == before, "a case that only prints has changed a file"
    return {path: written(job.result(), directory, path.parent.name) for path, job in running.items()}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path, outputs):
    expected = path.with_suffix(".expected")
    got = outputs[path]
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(got)
    assert got == expected.read_text()


def rules():
    """(predicate, sentence) of each row of the launcher's table of rules."""
    text = (SOURCE / "launcher/config/config-rules.c").read_text()
    table = text[text.index("static const ConfigRule rules[]") :]
    table = table[: table.index("\n};")]
    for row in re.finditer(r'\{ (\w+),((?:\s*"[^"]*")+) \}', table):
        yield row[1], "".join(re.findall(r'"([^"]*)"', row[2]))


def test_every_rule_has_its_golden_message():
    found = dict(rules())
    assert len(found) > 20
    for predicate, sentence in found.items():
        expected = HERE.parent / "rules" / f"{predicate}.expected"
        assert expected.exists(), f"tests/golden/rules/{predicate}.args is missing"
        # Where events were asked for, the last one agrees.
        said = "".join(line for line in expected.read_text().splitlines(keepends=True) if not line.startswith('{"cause"'))
        assert said == f"stderr: cvmspawn: {sentence}\nstatus: 125\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_refusals_are_one_sentence_and_125(path):
    """And nothing of a secret is in any message or argument list."""
    text = path.with_suffix(".expected").read_text()
    assert "sesame" not in text
    if path.parent.name not in ("rules", "refused"):
        return
    said = [line for line in text.splitlines() if line.startswith("stderr: ")]
    assert len(said) == 1 and text.endswith("\nstatus: 125\n")
    assert said[0].startswith("stderr: cvmspawn: ") and not said[0].endswith(".")


def test_a_list_of_no_firmware_says_so(tmp_path):
    """Not an empty answer: where there is none, the list says where it was looked for."""
    here = [place for place in ("/etc/qemu/firmware", "/usr/share/qemu/firmware") if any(Path(place).glob("*.json"))]
    if here:
        pytest.skip(f"this machine has firmware descriptors in {here[0]}")
    done = subprocess.run([PROGRAM, "--firmware=list"], env={"HOME": str(tmp_path), "XDG_DATA_DIRS": str(tmp_path)}, cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("cvmspawn: no firmware descriptor found")
