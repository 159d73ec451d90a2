# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other projects' tests use: the module cvmspawn.sevsim with its fixtures, and the shell functions."""

import hashlib
import os
import re
import subprocess
import sys

import pytest
import sevsim_model as model
from conftest import SOURCE
from sevsim_host import SECONDS, build_folder

sys.path.insert(0, str(SOURCE / "python"))
from cvmspawn import sevsim as helpers  # noqa: E402  pylint: disable=wrong-import-position

PROGRAM = build_folder() / "programs" / "cvmspawn"
FIRMWARE = model.make_firmware(seed=41)
DIGEST = model.snp_digest(FIRMWARE)


@pytest.fixture
def host(tmp_path):
    return helpers.Host(tmp_path / "kept", program=PROGRAM)


def test_launch(sim, host):
    result = host.run(*sim.arguments("snp", FIRMWARE), expect_digest=DIGEST, timeout=SECONDS)
    assert (result.status, result.equal, result.predicted) == (0, True, DIGEST), result.stderr
    launch = result.launch
    assert (launch.name, launch.vm_type, launch.digest, launch.finished, launch.refused) == ("launch-001", "SNP", DIGEST, True, ())
    assert launch.folder == host.record / "launch-001"
    updates = launch.commands("SNP_LAUNCH_UPDATE")
    assert launch.commands()[0]["command"] != "SNP_LAUNCH_UPDATE" and len(updates) >= 2
    assert hashlib.sha256(launch.pages(updates[0])).digest() == hashlib.sha256(FIRMWARE).digest()
    assert launch.pages(launch.commands("SNP_LAUNCH_FINISH")[0]) == b""


def test_another_digest(sim, host):
    result = host.run(*sim.arguments("snp", FIRMWARE, vcpus=2), expect_digest=DIGEST)
    assert (result.status, result.equal) == (3, False)


@pytest.mark.parametrize("text", ["", "no newline", "a\nb\n", '{"simulation": true}\n', '{"x":{'])
def test_output_is_the_commands(host, text):
    result = host.run("sh", "-c", 'printf "%s" "$TEXT"; echo err >&2; exit 7', env={**os.environ, "TEXT": text})
    assert (result.stdout, result.stderr, result.status, result.launches) == (text, "err\n", 7, ())
    with pytest.raises(helpers.SevsimError, match="expected one recorded launch, found 0"):
        result.launch  # noqa: B018  pylint: disable=pointless-statement


def test_wrong_set_up(host, tmp_path):
    with pytest.raises(helpers.SevsimError, match="no command"):
        host.run()
    with pytest.raises(helpers.SevsimError, match="install the package cvmspawn-sevsim"):
        helpers.Host(tmp_path, program="/nonexistent/cvmspawn").run("true")
    with pytest.raises(FileNotFoundError, match="/nonexistent/folder"):
        host.run("true", cwd="/nonexistent/folder")
    (tmp_path / "file").touch()
    with pytest.raises(helpers.SevsimError, match="record folder"):
        helpers.Host(tmp_path / "file" / "record", program=PROGRAM).run("true")
    with pytest.raises(helpers.SevsimError, match="did not report.*--guest"):
        helpers.Host(tmp_path / "record", guest="jump", program=PROGRAM).run("true")


def test_shared_host(sim, platform, tmp_path):
    folder = tmp_path / "host"
    with helpers.SharedHost(folder, record=tmp_path / "kept", platform=platform, program=PROGRAM) as host:
        first, second = (host.run(*sim.arguments("snp", FIRMWARE), expect_digest=DIGEST) for _ in range(2))
        assert (first.status, first.equal, second.status) == (0, True, 0), first.stderr + second.stderr
        assert [run.launch.folder for run in (first, second)] == [tmp_path / "kept" / f"run-00{n}/launch-001" for n in (1, 2)]
        assert host.guests() == [] and (host.folder, host.platform) == (folder, platform)
        with pytest.raises(helpers.SevsimError, match="runs already"):
            host.start()
        with pytest.raises(helpers.SevsimError, match=f"could not be started.*runs in '{folder}' already"):
            helpers.SharedHost(folder, program=PROGRAM).start()
    assert not folder.exists() and first.launch.pages(first.launch.commands("SNP_LAUNCH_UPDATE")[0])
    with pytest.raises(helpers.SevsimError, match="does not answer.*no simulated host runs"):
        host.guests()


@pytest.mark.full
def test_fixtures(tmp_path):
    """In a pytest that knows nothing but the plugin, as a user's."""
    (tmp_path / "test_it.py").write_text(
        'pytest_plugins = ["cvmspawn.sevsim"]\n'
        "def test_plain(sevsim):\n"
        '    assert sevsim.run("sh", "-c", "echo $CVMSPAWN_SEVSIM_RECORD").stdout.strip().startswith("/")\n'
        "def test_platform(sevsim_with_platform, sevsim_platform):\n"
        '    result = sevsim_with_platform.run("sh", "-c", "echo $CVMSPAWN_SEVSIM_PLATFORM")\n'
        "    assert result.stdout.strip() == str(sevsim_platform)\n"
        '    assert (sevsim_platform / "ark.pem").exists()\n'
        "def test_shared(sevsim_shared, sevsim_platform):\n"
        '    assert sevsim_shared.run("true").status == 0 and sevsim_shared.guests() == [] and sevsim_shared.platform == sevsim_platform\n'
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE / "python"), "CVMSPAWN": str(PROGRAM)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path], capture_output=True,
                          text=True, timeout=120, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def shell(script, *arguments):
    env = {**os.environ, "CVMSPAWN": str(PROGRAM)}
    return subprocess.run(["sh", "-euc", f'. "{SOURCE}/data/shell/sevsim.sh"\n{script}', "sh", *arguments], capture_output=True, text=True,
                          timeout=120, check=False, env=env)


def test_shell_functions(sim, tmp_path):
    record = tmp_path / "kept"
    script = ('r=$1; d=$2; shift 2; sevsim_run "$r" "$@" >/dev/null; sevsim_expect "$d" "$r" "$@" >/dev/null; sevsim_launches "$r"; sevsim_digest "$r"; '
              'sevsim_digest "$r" 1; sevsim_commands "$r" 2 | grep -c SNP_LAUNCH_FINISH; sevsim_expect "0$(echo "$d" | cut -c 2-)" "$r" "$@" >/dev/null')
    done = shell(script, record, DIGEST, *sim.arguments("snp", FIRMWARE))
    assert done.stdout.splitlines() == [f"{record}/launch-001", f"{record}/launch-002", DIGEST, DIGEST, "1"], done.stderr
    assert done.returncode == 3


def test_shell_shares_a_host(sim, platform, tmp_path):
    script = ('h=$1; shift; sevsim_start "$h" --platform="$1" --record=kept; shift; sevsim_join "$h" "$@" >/dev/null; sevsim_join "$h" "$@" >/dev/null; '
              'sevsim_launches kept; sevsim_digest kept/run-002 1; sevsim_stop "$h"; [ ! -e "$h" ]; sevsim_start kept')
    done = shell(f'cd "{tmp_path}"\n{script}', "host", platform, *sim.arguments("snp", FIRMWARE))
    first, *rest = done.stdout.splitlines()
    assert first.startswith("sevsim (simulation): READY") and rest == ["kept/run-001/launch-001", "kept/run-002/launch-001", DIGEST], done.stderr
    assert done.returncode == 1 and "'kept' has other files" in done.stderr.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("script, status, words", [
    ("sevsim_start", 2, "expected FOLDER"), ("sevsim_join folder", 2, "expected FOLDER COMMAND"), ("sevsim_stop", 2, "expected FOLDER"),
    ("sevsim_stop none", 1, "no simulated host runs in 'none'"), ("sevsim_join none true", 1, "no simulated host runs in 'none'"),
    ("sevsim_run", 2, "expected RECORD COMMAND"), ("sevsim_expect 12 record", 2, "expected DIGEST RECORD COMMAND"), ("sevsim_launches", 2, "RECORD"),
    ("sevsim_digest /nonexistent", 1, "has no record of launch 1"), ("sevsim_commands /nonexistent 3", 1, "has no record of launch 3"),
    ("sevsim_digest", 2, "expected RECORD"), ("sevsim_commands", 2, "expected RECORD"), ("sevsim_digest a 1 2", 2, "expected RECORD"),
    ("sevsim_digest a 1x", 2, "'1x' is not the number of a launch"),
    ("mkdir -p r/launch-010 r/launch-008; echo ten >r/launch-010/digest; sevsim_digest r 08", 1, "launch-008' has no digest"),
    ("mkdir -p r/launch-010 r/launch-008; echo ten >r/launch-010/digest; test \"$(sevsim_digest r 010)\" = ten", 0, ""),
    ("sevsim_run record sh -c 'exit 9'", 9, "")])  # fmt: skip
def test_shell_errors(script, status, words, tmp_path):
    done = shell(f'cd "{tmp_path}"; {script}')
    assert done.returncode == status and words in done.stderr, done.stderr


def test_manual_has_all():
    text = (SOURCE / "man" / "cvmspawn-sevsim-helpers.7.scd").read_text()
    functions = re.findall(r"^(sevsim_\w*[a-z])\(\)", (SOURCE / "data" / "shell" / "sevsim.sh").read_text(), re.M)
    assert len(functions) == 9
    for name in [*functions, *helpers.__all__, "sevsim_shared", "sevsim_with_platform", "sevsim_program", *helpers.Result.__annotations__, *helpers.Launch.__annotations__]:
        assert re.search(rf"[*_]{re.escape(name)}[*_(]", text), name
