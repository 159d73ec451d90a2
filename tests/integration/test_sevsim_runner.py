# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn sevsim: what it places around a command, what it says, and how it ends."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder, skip_or_fail

FIRMWARE = model.make_firmware(seed=21)
DIGEST = model.snp_digest(FIRMWARE)
SAYS = "sevsim (simulation): "


def runner(*arguments, **options):
    program = build_folder() / "programs" / "cvmspawn"
    if not program.exists():
        skip_or_fail(f"cvmspawn is not built: {program} is missing")
    return subprocess.run([program, "sevsim", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False,
                          **options)


def test_says_simulation_in_every_line(sim):
    result = runner("--", *sim.arguments("snp", FIRMWARE))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines and all(line.startswith(SAYS) for line in lines)
    assert lines[-1] == f"{SAYS}launch-001: recorded digest {DIGEST}"
    # The limit of the simulation, where it is reached.
    assert lines[-2].startswith(f"{SAYS}launch-001: the launch is complete; from here on, hardware runs the guest's code, encrypted")


def test_equal(sim):
    result = runner(f"--expect-digest={DIGEST}", "--", *sim.arguments("snp", FIRMWARE))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"{SAYS}recorded digest = predicted digest"


def test_different(sim):
    result = runner(f"--expect-digest={DIGEST}", "--", *sim.arguments("snp", FIRMWARE, vcpus=2))
    assert result.returncode == 3
    assert result.stdout.splitlines()[-1] == f"{SAYS}recorded digest differs from predicted digest"


def test_nothing_recorded():
    result = runner(f"--expect-digest={DIGEST}", "--", "true")
    assert result.returncode == 1
    assert f"{SAYS}no launch was recorded" in result.stdout


@pytest.mark.parametrize("after", [None, "-1"])
def test_a_guest_without_sev(sim, after):
    """It starts on a SEV host, too; who measures time can do without the single steps."""
    argv = [sim.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,accel=kvm,vmport=off,smm=off", "-cpu", "max",
            "-smp", "2", "-m", "256"]
    env = {**os.environ, **({"CVMSPAWN_SEVSIM_STEP_AFTER": after} if after else {})}
    result = runner("--", *argv, env=env)
    assert result.returncode == 0, result.stderr
    assert f"{SAYS}no launch was recorded" in result.stdout


def test_prediction_left_by_a_launcher(sim):
    """Any launcher may leave what it predicts beside the record."""
    script = f'echo {DIGEST} > "$CVMSPAWN_SEVSIM_RECORD/predicted-digest"; exec "$@"'
    result = runner("--", "sh", "-c", script, "sh", *sim.arguments("snp", FIRMWARE))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"{SAYS}recorded digest = predicted digest"


def test_record_is_kept_and_grows(sim):
    record = sim.folder / "kept"
    for number in (1, 2):
        result = runner(f"--record={record}", "--json", "--", *sim.arguments("snp", FIRMWARE))
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        assert answer["simulation"] is True and answer["status"] == 0 and answer["equal"] is None
        (launch,) = answer["launches"]
        assert launch["name"] == f"launch-00{number}" and launch["digest"] == DIGEST and launch["finished"] is True
        assert launch["folder"] == str(record / launch["name"])
    assert record.stat().st_mode & 0o7777 == 0o1777


def test_record_out_of_reach(sim):
    """A folder that QEMU's user cannot reach has the record in the end all the same, numbered on."""
    home = sim.folder / "home"
    home.mkdir(mode=0o700)
    for number in (1, 2):
        result = runner(f"--record={home / 'kept'}", "--json", "--", *sim.arguments("snp", FIRMWARE))
        assert result.returncode == 0, result.stderr
        (launch,) = json.loads(result.stdout)["launches"]
        assert launch["folder"] == str(home / "kept" / f"launch-00{number}") and launch["digest"] == DIGEST
    assert sorted(path.name for path in (home / "kept" / "launch-002").iterdir()) == [
        "commands.jsonl", "digest", "pages.bin", "report.bin"]
    assert len((home / "kept" / "host.jsonl").read_text().splitlines()) == 2


def test_temporary_folder_goes_away(tmp_path):
    result = runner("--", "sh", "-c", 'echo "$CVMSPAWN_SEVSIM_RECORD"; ls -d "$CVMSPAWN_SEVSIM_PLATFORM/pdh.cert"',
                    env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) in result.stdout.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command, status", [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], 128 + 15)])
def test_status_of_the_command(command, status):
    assert runner("--", *command).returncode == status


def test_missing_command():
    result = runner("--", "/nonexistent/program")
    assert result.returncode == 1 and "cannot start '/nonexistent/program'" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--expect-digest=12", "--", "true"], ["--guest=jump", "--", "true"],
                                       ["--json=xml", "--", "true"], ["--sev-node=rw", "--", "true"]])
def test_usage(arguments):
    result = runner(*arguments)
    assert result.returncode == 1 and "simulation" in result.stderr


def test_descriptors_are_inherited(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        result = runner("--", "sh", "-c", f"echo here > /proc/self/fd/{out.fileno()}", pass_fds=[out.fileno()])
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out").read_text() == "here\n"


WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); open(sys.argv[1], 'w').close(); signal.pause()"


def test_signal_is_passed_on(sim):
    program = build_folder() / "programs" / "cvmspawn"
    ready = sim.folder / "ready"
    process = subprocess.Popen([program, "sevsim", "--", sys.executable, "-c", WAITS, ready],
                               stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + SECONDS
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 5 and "no launch was recorded" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
@pytest.mark.parametrize("node, status", [(None, 1), ("0660:65534", 0), ("0660:0:65534", 0), ("0666", 0), ("0604", 1)])
def test_device_is_roots(sim, tmp_path_factory, node, status):
    """QEMU as another user: refused as on a host, unless the node is given to it; the record is in its reach."""
    sim.folder = tmp_path_factory.mktemp("open")
    for folder in (sim.folder, *sim.folder.parents[:3]):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    options = [f"--sev-node={node}"] if node else []
    change = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    result = runner(*options, f"--expect-digest={DIGEST}", "--", *change, *sim.arguments("snp", FIRMWARE))
    assert result.returncode == status, result.stderr
    if status:
        assert "Failed to open /dev/sev 'Permission denied'" in result.stderr
    else:
        assert "recorded digest = predicted digest" in result.stdout


def test_node_looks_like_the_device():
    result = runner("--", "stat", "-c", "%F %a %U %t:%T", "/dev/sev")
    assert result.stdout.splitlines()[0] == "character special file 600 root a:7c"


def test_host_caps():
    caps = json.loads(runner("--print-host-caps").stdout)
    assert caps["simulation"] is True and caps["sev-snp"] is True and caps["cbitpos"] == 51


@pytest.mark.parametrize("end, status", [("poweroff", 0), ("reset", 0)])
def test_end_of_the_guest(sim, end, status):
    assert runner(f"--guest={end}", "--", *sim.arguments("snp", FIRMWARE)).returncode == status


def test_fast_enough(sim):
    """A launch costs tenths of a second, so that a matrix of them is one of seconds. Counted in processor time: other
    tests may run beside this one."""
    argv = sim.arguments("snp", FIRMWARE)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert runner("--", *argv).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
