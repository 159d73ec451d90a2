# SPDX-License-Identifier: LGPL-2.1-or-later
"""Command lines and what the launcher says to them; see README.md beside this file."""

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
CASES = sorted(path for folder in GOLDEN for path in folder.rglob("*.args"))

# What a folder's command lines have in front.
COMMON = {
    "argv": ["--print=argv", "--json=short"],
    "config": ["--print=config", "--json=short"],
}


def arguments(path):
    """One argument a line; lines that begin with # say what the case is about. `*N` behind a tab repeats the line's text."""
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
    text = out + "".join(f"stderr: {line}\n" for line in done.stderr.splitlines())
    if done.returncode != 0 or not text:
        text += f"status: {done.returncode}\n"
    return text.replace(str(directory), "@DIRECTORY@").replace(str(BUILD), "@BUILD@")


def run(path, directory):
    program = BUILD / "cli" / "cvmspawn"
    if not program.exists():
        pytest.fail(f"{program} is not built")
    world.build(directory)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "XDG_DATA_DIRS": str(directory / "firmware"),
        **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")},
    }
    kind = path.parent.name
    return subprocess.run(
        # Our own user, so that the same comes out for root and for others.
        [program, f"--qemu-user={os.getuid()}", *COMMON.get(kind, []), *arguments(path)],
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path, tmp_path):
    expected = path.with_suffix(".expected")
    got = written(run(path, tmp_path), tmp_path, path.parent.name)
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
        # Where events were asked for, the last one says the same.
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
