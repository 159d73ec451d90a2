# SPDX-License-Identifier: LGPL-2.1-or-later
"""A set-up that does not go on is given up: QEMU that stops answering at each phase, a pipe and a file that never give their bytes, a program of
ours that never answers. A slow one is not. The launcher is the one for tests (impatient.c), which waits for 6 s instead of 330 s."""

import gzip
import os
import shutil

import pytest
from launcher_fake import HANG, events, said
from sevsim_host import build_folder
from silent_fs import SilentFs

PATIENCE = 6
QEMU = {
    "waiting for QEMU's monitor": HANG,
    "waiting for QEMU to build the machine ": f"vm.greet(); {HANG}",
    "waiting for QEMU to build the machine": f"""
        vm.greet()
        vm.answer_until("query-version")
        {HANG}""",
    "adding the disks": f"""
        vm.greet()
        vm.answer_until("x-exit-preconfig")
        {HANG}""",
    "waiting for QEMU to start the guest": f"""
        vm.greet()
        vm.answer_until("x-exit-preconfig")
        {HANG}""",
}


@pytest.fixture
def impatient(cvmspawn, tmp_path):
    """It looks for the other programs beside itself."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in (build_folder() / "programs").glob("verb-*"):
        if program.name != "verb-spawn" and program.is_file():
            (programs / program.name).symlink_to(program)
    cvmspawn.program = programs / "verb-spawn"
    shutil.copy(build_folder() / "tests/integration/spawn-impatient", cvmspawn.program)
    return cvmspawn


def ended(runs):
    """Side by side: what is left is counted when all have ended."""
    for run in runs:
        run.process.wait(PATIENCE * 10)


def check(run, doing):
    result = run.wait(PATIENCE * 10)
    assert result.status == 125, (doing, result.err)
    assert said(result)[-1] == f"cvmspawn: the launch was given up: nothing happened for {PATIENCE} s while {doing}", (doing, result.err)
    assert result.seconds >= PATIENCE and not result.leftovers, (doing, result.seconds, result.leftovers)
    (last,) = [event for event in events(result) if event["event"] == "exit"]
    assert last["source"] == "launcher" and last["status"] == 125 and "given up" in last["cause"]


def test_qemu_stops_answering(impatient, fake, tmp_path, small_initrd):
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    runs = {}
    for doing, scenario in QEMU.items():
        disk = [f"--image={tmp_path}/disk.raw", "--", "root=/dev/vda"] if "disks" in doing else []
        runs[doing] = fake.start(scenario, "--json=short", f"--initrd={small_initrd}", "--set-credential=a:b", *disk)
    ended(runs.values())
    for doing, run in runs.items():
        check(run, doing.strip())


def test_a_slow_qemu_is_waited_for(impatient, fake, small_initrd):
    """Each answer takes a good part of the patience, and all of them more than it."""
    scenario = """
        def slowly(name):
            time.sleep(3)
            vm.answer_until(name)
        time.sleep(3)
        vm.greet()
        for name in "query-version", "x-exit-preconfig", "cont":
            slowly(name)
        vm.event("RESUME")
        vm.power_off()
    """
    result = fake.run(scenario, f"--initrd={small_initrd}", "--set-credential=a:b", "--json=short")
    assert result.status == 0, result.err
    assert result.seconds > 2 * PATIENCE and not result.leftovers


def test_a_pipe_that_stays_open(impatient, fake, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    run = fake.start("vm.start(); vm.power_off()", f"--load-credential=a:{tmp_path}/pipe", "--json=short")
    with open(tmp_path / "pipe", "w"):
        check(run, "reading the credentials")


def test_a_program_of_ours_that_never_answers(impatient, fake, tmp_path, firmware):
    measure = impatient.program.parent / "verb-measure"
    measure.unlink()
    measure.write_text("#!/bin/sh\nexec sleep 600\n")
    measure.chmod(0o755)
    run = fake.start("vm.start(); vm.power_off()", "--coco=sev-snp", "--simulate", f"--firmware={firmware}", "--json=short")
    check(run, "computing the launch digest")


def test_a_file_system_that_does_not_answer(impatient, fake, tmp_path, small_initrd):
    """Opened, and never read: by the thread that copies, beside a QEMU that waits; or before that, by a read(2) that nothing but the end of
    the process ends. --timeout= and signals win there, too."""
    plain = small_initrd.read_bytes()
    packed = gzip.compress(plain)
    scenario = f"vm.greet(); vm.answer_until('query-version'); {HANG}"
    ends = {124: "timeout", 128 + 15: "signal"}
    with SilentFs(tmp_path / "silent", [packed, packed, packed, plain, plain]) as files:
        copying, limited, signalled, reading, reading_limited = runs = [
            fake.start(scenario, f"--initrd={files.folder}/{i}", "--set-credential=a:b", "--json=short", *more)
            for i, more in enumerate([[], ["--timeout=3"], [], [], ["--timeout=3"]])
        ]
        files.wait_until_read(5)
        signalled.signal()
        signalled.process.wait(PATIENCE)
        ended(runs)
        for run, status in (limited, 124), (reading_limited, 124), (signalled, 128 + 15):
            result = run.wait()
            assert result.status == status and not result.leftovers, result.err
            assert events(result)[-1]["source"] == ends[status]
        check(copying, "copying the files of the launch")
        check(reading, "reading the files of the launch")
