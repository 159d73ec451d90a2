# SPDX-License-Identifier: LGPL-2.1-or-later
"""One database and more than one service, one after the other: from a backup."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from attestd_service import DIGEST, Service, made_up, registration
from sevsim_host import build_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402


@pytest.fixture
def services(tmp_path, platform):
    """Starts a service on a state directory."""
    running = []

    def start(state):
        if not running:
            running.append(made_up(state, platform))
        else:
            running.append(Service(state, *running[0].options))
        return running[-1]

    yield start
    for s in running:
        if s.process.poll() is None:
            s.stop()


def register(s, **more):
    c = s.connect()
    status, answer = c.request("POST", "/vm/a", registration(**more), token=s.token)
    c.close()
    assert status == 201, answer


def ask(s, path, body):
    c = s.connect()
    try:
        return c.request("POST", path, body)
    finally:
        c.close()


def start_instance(psp, one, other):
    status, opened = ask(one, "/vm/a/launch", psp.launch())
    assert status == 200, opened
    return ask(other, "/vm/a/validate", psp.measured(opened, DIGEST))


def test_backup_and_restore(services, tmp_path, platform):
    """SQLite's online backup beside a service at work, and the key: a service from both knows what was released, and what was begun."""
    psp = Psp(platform)
    s = services(tmp_path)
    register(s, **{"max-instances": 2})
    assert start_instance(psp, s, s)[0] == 200
    status, opened = ask(s, "/vm/a/launch", psp.launch())
    assert status == 200

    restored = tmp_path / "restored"
    shutil.copytree(tmp_path / "state", restored / "state", ignore=shutil.ignore_patterns("state.db*", "*.sock"))
    with sqlite3.connect(tmp_path / "state/state.db") as live, sqlite3.connect(restored / "state/state.db") as copy:
        live.backup(copy)
    (restored / "state/state.db").chmod(0o600)
    other = services(restored)
    assert ask(other, "/vm/a/validate", psp.measured(opened, DIGEST))[0] == 200
    assert start_instance(psp, other, other)[0] == 429  # two, with the one of before the backup


def start_refused(state):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={state}", "--listen=127.0.0.1:0"], capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_restored_without_its_key_or_with_another_one(services, tmp_path):
    """Refused at the start, and nothing is changed: not with the first guest that asks."""
    s = services(tmp_path)
    register(s)
    s.stop()
    restored, key = tmp_path / "restored", tmp_path / "state/secrets.key"
    shutil.copytree(tmp_path / "state", restored)
    before = (restored / "state.db").read_bytes()
    (restored / "secrets.key").unlink()
    line = start_refused(restored)
    assert f"the key file '{restored}/secrets.key' is missing" in line and "--secrets-key=" in line
    assert not (restored / "secrets.key").exists()
    (restored / "secrets.key").write_bytes(os.urandom(32))
    (restored / "secrets.key").chmod(0o600)
    assert f"encrypted with another key than '{restored}/secrets.key'" in start_refused(restored)
    assert (restored / "state.db").read_bytes() == before
    (restored / "secrets.key").write_bytes(key.read_bytes())
    s.folder.joinpath("restored").rename(tmp_path / "whole")
    (tmp_path / "again").mkdir()
    (tmp_path / "whole").rename(tmp_path / "again/state")
    services(tmp_path / "again")
