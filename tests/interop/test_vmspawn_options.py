# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option that `systemd-vmspawn --help` of Debian sid names is in the launcher's table, with the same letter, and with a value where that has one:
supported, or refused with a reason. A new one fails here with its name."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
sys.path.insert(0, str(SOURCE / "tests/lib"))
import vmspawn_peer  # noqa: E402

ROW = re.compile(r'(?:\{ |UNSUPPORTED(?:_BUT)?\()"([a-z0-9-]+)", (?:\'(\w)\'|0), (OPTION_\w+|NULL|")')


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    try:
        with vmspawn_peer.started(tmp_path_factory.mktemp("peer")) as p:
            yield p
    except vmspawn_peer.Missing as e:
        if os.environ.get("MUST_WORK") == "1":
            pytest.fail(str(e))
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def theirs(peer):
    """{name: (letter, takes a value)}, as --help has them: "  -n --network-tap   Text", "     --ram=BYTES"."""
    print(peer.run("--version").stdout.splitlines()[0])
    text = peer.run("--no-pager", "--help").stdout
    found = re.findall(r"^ +(?:-(\w)[ ,]+)?--([a-z0-9-]+)(\[?=)?", re.sub("\x1b\\[[0-9;]*m", "", text), re.M)
    return {name: (letter, bool(value)) for letter, name, value in found}


@pytest.fixture(scope="module")
def ours():
    """The same of the table's rows; UNSUPPORTED_BUT() always has a value."""
    text = (SOURCE / "launcher/config/config-options.c").read_text()
    return {name: (letter, kind not in ("OPTION_NONE",)) for name, letter, kind in ROW.findall(text)}


@pytest.mark.full
def test_every_option_is_known(theirs, ours):
    assert len(theirs) > 50, sorted(theirs)
    assert sorted(set(theirs) - set(ours)) == [], "options of systemd-vmspawn that the launcher does not know"


@pytest.mark.full
def test_letters_and_values_agree(theirs, ours):
    # --help takes an optional word here.
    assert {name: ours[name] for name in theirs if name in ours and name != "help" and ours[name] != theirs[name]} == {}


@pytest.mark.full
def test_what_is_refused_is_theirs(theirs):
    """A reason for an option that no systemd-vmspawn has would be out of date."""
    listed = subprocess.run([BUILD / "programs/cvmspawn", "--dump-options=list"], capture_output=True, text=True, check=True).stdout
    refused = {line.split("\t")[1].removeprefix("--") for line in listed.splitlines() if line.startswith("unsupported")}
    assert refused <= set(theirs)


def introspected(text):
    (command,) = json.loads(text)["commands"]
    return {name: (option["argument"], option.get("metavar")) for option in command["options"] for name in option["names"]}


@pytest.mark.full
def test_introspection_agrees(peer):
    """The same form, and each option with the same kind of argument: those that help does not show, too."""
    theirs_text = peer.run("--introspect-cli").stdout
    ours_text = subprocess.run([BUILD / "programs/cvmspawn", "--introspect-cli"], capture_output=True, text=True, check=True).stdout
    assert json.loads(ours_text)["mediaType"] == json.loads(theirs_text)["mediaType"]
    assert set(json.loads(theirs_text)["commands"][0]) - {"features"} == set(json.loads(ours_text)["commands"][0])
    mine, other = introspected(ours_text), introspected(theirs_text)
    assert len(other) > 60
    # --help takes an optional word here.
    assert {n for n, (a, _) in other.items() if n not in mine or mine[n][0] != a} == {"-h", "--help"}
    alone = subprocess.run([BUILD / "programs/cvmspawn", "--introspect-cli", "--cpus=1"], capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout) == (125, "") and "pass nothing else" in alone.stderr
    with open("/dev/full", "wb") as full:
        lost = subprocess.run([BUILD / "programs/cvmspawn", "--introspect-cli"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (lost.returncode, lost.stderr) == (125, "cvmspawn: cannot write to standard output: No space left on device\n")
