# SPDX-License-Identifier: LGPL-2.1-or-later

"""Credentials from named pipes: read when somebody writes, refused after a while when nobody does, interrupted at once."""

import os
import signal
import subprocess
import threading
import time

import pytest
from sevsim_host import build_folder
from sevsim_model import make_kernel

PROGRAM = build_folder() / "programs/cvmspawn"


def default_signals():
    """Under nohup, or in the background of a shell, the tests inherit that they are ignored."""
    for number in signal.SIGINT, signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "vmlinuz").write_bytes(make_kernel())

    def start(*options):
        return subprocess.Popen([PROGRAM, "--linux=vmlinuz", "--qemu=/bin/true", "--kvm=no", "--load-credential=a:./pipe", *options],
                                cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=default_signals)
    return start


def printed(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_nobody_writes(start, tmp_path):
    begin = time.monotonic()
    status, out, err = printed(start("--print=credentials"))
    assert 9 < time.monotonic() - begin < 40
    assert status == 125 and out == ""
    assert err == "cvmspawn: --load-credential: './pipe' is a named pipe, and no program opened it for writing within 10 s\n"


def test_a_writer_may_come_late_and_be_slow(start, tmp_path):
    def write():
        time.sleep(1)
        with open(tmp_path / "pipe", "w") as pipe:
            time.sleep(1)
            pipe.write("se")
            pipe.flush()
            time.sleep(1)
            pipe.write("same")
    thread = threading.Thread(target=write)
    thread.start()
    status, out, err = printed(start("--print=credentials"))
    thread.join()
    assert status == 0 and "a: 6 bytes" in out, out + err


def test_a_pipe_is_read_once(tmp_path):
    """Also where the credentials are needed twice: to be listed."""
    (tmp_path / "vmlinuz").write_bytes(make_kernel())
    done = subprocess.run(["bash", "-c", f"{PROGRAM} --linux=vmlinuz --qemu=/bin/true --kvm=no --load-credential=a:<(echo b) --print=credentials"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "a: 2 bytes" in done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_wait(start, number):
    process = start("--print=credentials")
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(number)
    begin = time.monotonic()
    status, out, _ = printed(process)
    assert status != 0 and out == "" and time.monotonic() - begin < 5
