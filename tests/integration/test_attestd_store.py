# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store as a whole, in SQLite and in PostgreSQL: its secrets encrypted with another key while services run, killed at each step and called
again; everything that is encrypted checked; all rows moved from one to the other, with nothing lost and nothing given out twice."""

import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, registration
from sevsim_host import build_folder
from test_attestd_crash import module  # noqa: F401
from test_attestd_two import GONE, One

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402


@pytest.fixture(scope="module")
def postgres():
    from postgres import Postgres

    p = Postgres()
    yield p
    p.remove()


class Stores:
    """The arguments that name the store, and its rows by SQL."""

    def __init__(self, folder, postgres=None):
        self.folder, self.postgres = folder, postgres
        self.key = self.new_key("first")
        if postgres:
            self.name = "d" + secrets.token_hex(6)
            self.url = postgres.new_database(self.name)
        else:
            (folder / "db").mkdir(mode=0o700)
            self.file = folder / "db/store.db"
            self.url = f"sqlite:{self.file}"

    def new_key(self, name):
        path = self.folder / name
        path.write_bytes(secrets.token_bytes(32))
        path.chmod(0o600)
        return path

    def sql(self, text):
        if self.postgres:
            return self.postgres.sql("SET search_path = cvmspawn_attestd; " + text, self.name)
        db = sqlite3.connect(self.file)
        with db:
            rows = db.execute(text).fetchall()
        db.close()
        return [tuple(str(v) for v in row) for row in rows]

    def run(self, *words, key=None, status=0, env=None):
        done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={self.folder}/tool", f"--store={self.url}",
                               *([f"--secrets-key={key}"] if key else []), *words], capture_output=True, text=True, check=False, timeout=120,
                              env={**os.environ, **(env or {})})  # fmt: skip
        assert done.returncode == status, done
        return done


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def store(request, tmp_path):
    return Stores(tmp_path, request.getfixturevalue("postgres") if request.param == "postgresql" else None)


class Pair:
    """Two services on a store."""

    def __init__(self, store, platform, count=2):
        (store.folder / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
        self.store, self.psp, self.services = store, Psp(platform), []
        self.options = (f"--certs={store.folder}/amd", f"--insecure-root={platform}/ark.cert", "--rate=0", f"--store={store.url}")
        for n in range(count):
            self.add(store.key)

    def add(self, key):
        home = self.store.folder / f"service{len(self.services)}"
        (home / "state").mkdir(parents=True, mode=0o700)
        if self.services:
            (home / "state/token").write_text(self.services[0].token)
            (home / "state/token").chmod(0o600)
        self.services.append(One(home, *self.options, f"--secrets-key={key}"))
        return self.services[-1]

    def ask(self, n, method, path, body=None, token=None):
        c = self.services[n].connect()
        try:
            return c.request(method, path, body, token=token)
        finally:
            c.close()

    def insist(self, *words):
        """A database that is busy for long is tried again, as clients do."""
        end = time.monotonic() + 60
        while (answer := self.ask(*words))[0] == 503 and time.monotonic() < end:
            time.sleep(0.1)
        return answer

    def register(self, name, limit=50):
        status, answer = self.insist(0, "POST", f"/vm/{name}", registration(**{"max-instances": limit}), self.services[0].token)
        assert status == 201, answer

    def begin(self, name, n=0):
        status, opened = self.insist(n, "POST", f"/vm/{name}/launch", self.psp.launch())
        assert status == 200, opened
        return opened, self.psp.measured(opened, DIGEST)

    def end(self, name, begun, n=0):
        opened, said = begun
        status, packet = self.insist(n, "POST", f"/vm/{name}/validate", said)
        assert status == 200 and b"open sesame" in self.psp.unsealed(opened, said, packet), packet
        return packet

    def stop(self):
        for s in self.services:
            if s.process.poll() is None:
                s.stop()


def test_another_key_while_services_run(store, tmp_path, platform):
    pair = Pair(store, platform)
    try:
        for name in "abc":
            pair.register(name, limit=100000)
        begun = [pair.begin("a"), pair.begin("b"), pair.begin("c")]
        signer = pair.ask(0, "GET", "/")[1]["packet-key"]
        failures, stop = [], threading.Event()

        def load(n):
            while not stop.is_set():
                try:
                    pair.end("c", pair.begin("c", n), 1 - n)
                except (AssertionError, *GONE) as e:
                    failures.append(e)
                    return

        threads = [threading.Thread(target=load, args=(n,)) for n in (0, 1)]
        for t in threads:
            t.start()
        done = store.run(f"--rotate-key={tmp_path}/second", key=store.key)
        stop.set()
        for t in threads:
            t.join(60)
        assert not failures
        assert not any("start the service with it" in s.text() for s in pair.services)
        counts = json.loads(done.stdout)
        assert counts["registrations"] == 3 and counts["launches"] >= 3
        assert (tmp_path / "second").stat().st_mode & 0o777 == 0o600
        # launches of before go on at both, and registrations are new ones' too
        pair.end("a", begun[0], 0)
        pair.end("b", begun[1], 1)
        pair.register("d")
        pair.end("d", pair.begin("d", 1), 0)
        # what guests are measured with stays
        assert {pair.ask(n, "GET", "/")[1]["packet-key"] for n in (0, 1)} == {signer}
        assert "encrypted with another key" in store.run("--answer=GET /", key=store.key, status=1).stderr
        assert "encrypted with another key" in store.run(f"--rotate-key={tmp_path}/second", key=store.key, status=1).stderr
        assert json.loads(store.run("--answer=GET /", key=tmp_path / "second").stdout)["packet-key"] == signer
        # and once more, from that one
        store.run(f"--rotate-key={tmp_path}/third", "--rotate-wait=0", key=tmp_path / "second")
        assert json.loads(store.run("--answer=GET /", key=tmp_path / "third").stdout)["packet-key"] == signer
        third = pair.add(tmp_path / "third")
        assert third and pair.end("c", begun[2], 2)
        assert store.sql("SELECT name FROM setting ORDER BY name") == [("key-id",), ("signer",)]
        assert json.loads(store.run("--check-store", key=tmp_path / "third").stdout)["damaged-rows"] == 0
    finally:
        pair.stop()


def test_a_service_that_missed_it_says_so(store, tmp_path, platform):
    """It was stopped meanwhile: it has the old key only, gives out nothing, and changes nothing."""
    pair = Pair(store, platform)
    try:
        pair.register("a")
        pair.services[1].process.send_signal(signal.SIGSTOP)
        store.run(f"--rotate-key={tmp_path}/second", "--rotate-wait=0", key=store.key)
        pair.services[1].process.send_signal(signal.SIGCONT)
        assert pair.ask(1, "POST", "/vm/a/launch", pair.psp.launch())[0] == 503
        assert "start the service with it" in pair.services[1].text()
        assert store.sql("SELECT count(*) FROM launch") == [("0",)]
    finally:
        pair.stop()


def test_killed_at_each_step_of_it(store, tmp_path, platform, module):  # noqa: F811
    """It is called again, as often as it takes; a service that runs meanwhile answers at each point."""
    pair = Pair(store, platform, count=1)
    try:
        pair.register("a")
        pair.register("b", limit=1000)
        begun = [pair.begin("a") for _ in range(2)]
        store.new_key("second")
        words = (f"--rotate-key={tmp_path}/second", "--rotate-wait=0")
        deaths = 0
        for step in range(1, 200):
            argv = [build_folder() / "programs/cvmspawn-attestd", f"--state={tmp_path}/tool", f"--store={store.url}", f"--secrets-key={store.key}", *words]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120,
                                  env={**os.environ, "LD_PRELOAD": str(module), "DIE_AT": str(step)})  # fmt: skip
            if done.returncode == 0:
                break
            deaths += done.returncode < 0
            assert done.returncode < 0 or "encrypted with another key" in done.stderr, done
            if done.returncode > 0:
                break  # its last step was made before it was killed
            assert pair.ask(0, "GET", "/vm/a", token=pair.services[0].token)[0] == 200
            pair.end("b", pair.begin("b"))
        assert deaths > 5
        for one in begun:
            pair.end("a", one)
        result = json.loads(store.run("--check-store", key=tmp_path / "second").stdout)
        assert result["damaged-rows"] == 0 and result["registrations"] == 2
        assert "another key" in store.run("--check-store", key=store.key, status=1).stderr
    finally:
        pair.stop()


def test_unfinished_with_the_new_key(store, tmp_path, platform):
    """A service cannot start with a key that only some of the rows are encrypted with."""
    store.run("--answer=GET /", key=store.key)
    store.sql("INSERT INTO setting (name, value) VALUES ('key-next', " + ("'\\x00')" if store.postgres else "x'00')"))
    assert "end that first, with --rotate-key=" in store.run("--answer=GET /", key=store.key, status=1).stderr


def test_damaged_rows_are_named(store, tmp_path, platform):
    pair = Pair(store, platform, count=1)
    try:
        for name in ("good", "bad"):
            pair.register(name)
        opened, _ = pair.begin("good")
    finally:
        pair.stop()
    zeros = "'\\x" if store.postgres else "x'"
    store.sql(f"UPDATE vm SET sealed = {zeros}{'02' + '00' * 80}' WHERE id = 'bad'")
    assert json.loads(store.run("--check-store", key=store.key, status=2).stdout.splitlines()[0]) == {"damaged": "registration", "id": "bad"}
    store.sql(f"UPDATE launch SET keys = {zeros}{'02' + '00' * 80}'")
    lines = [json.loads(line) for line in store.run("--check-store", key=store.key, status=2).stdout.splitlines()]
    assert {"damaged": "launch", "id": "good", "launch-id": opened["launch-id"]} in lines
    assert lines[-1] == {"registrations": 2, "launches": 1, "damaged-rows": 2}


@pytest.mark.full
def test_moved_to_postgresql(tmp_path, platform, postgres):
    """All rows, with a service at work on the old one, which can release nothing from then on."""
    old = Stores(tmp_path)
    pair = Pair(old, platform, count=1)
    try:
        pair.register("a", limit=2)
        first = pair.begin("a")
        packet = pair.end("a", first)
        waits = pair.begin("a")
        held = pair.begin("a")
        firmware = secrets.token_bytes(100000)
        token = pair.services[0].token
        c = pair.services[0].connect()
        c.request("POST", "/firmware", firmware, token=token)
        c.close()
        (tmp_path / "new").mkdir()
        new = Stores(tmp_path / "new", postgres)
        counts = json.loads(new.run(f"--migrate-from=sqlite:{old.file}").stdout)
        assert counts == {table: int(old.sql(f"SELECT count(*) FROM {table}")[0][0]) - (table == "setting") for table in counts}
        assert counts["launch"] == 3 and counts["owner"] == 1 and counts["vm"] == 1
        # neither the service that still runs on it, nor another one
        assert pair.ask(0, "POST", "/vm/a/validate", waits[1])[0] == 503
        assert pair.ask(0, "POST", "/vm/a/launch", pair.psp.launch())[0] == 503
        assert "moved to another store" in old.run("--answer=GET /", key=old.key, status=1).stderr
    finally:
        pair.stop()
    assert "it is not empty" in new.run(f"--migrate-from=sqlite:{old.file}", status=1).stderr
    new.key = old.key
    moved = Pair(new, platform, count=0)
    home = new.folder / "service0/state"
    home.mkdir(parents=True, mode=0o700)
    (home / "token").write_text(token)
    (home / "token").chmod(0o600)
    moved.services.append(One(home.parent, *moved.options, f"--secrets-key={new.key}"))
    try:
        assert moved.ask(0, "POST", "/vm/a/validate", first[1]) == (200, packet)
        moved.end("a", waits)
        assert moved.ask(0, "POST", "/vm/a/validate", held[1])[0] == 429  # the limit counts what was released before
        moved.register("b")  # numbers go on
        moved.end("b", moved.begin("b"))
        events = [e["event"] for e in moved.ask(0, "GET", "/vm/a/events", token=token)[1]]
        assert events.count("released") == 2
    finally:
        moved.stop()


@pytest.mark.soak
def test_interrupted_moves(tmp_path, platform, postgres, module):  # noqa: F811
    """Killed at each step: the old store goes on, or the move is made again; never both stores."""
    done = False
    for step in range(1, 120, 4):
        folder = tmp_path / str(step)
        folder.mkdir()
        old = Stores(folder)
        old.run("--answer=POST /vm/a", key=old.key, status=3)  # no body; the store exists from here on
        (folder / "new").mkdir()
        new = Stores(folder / "new", postgres)
        argv = [build_folder() / "programs/cvmspawn-attestd", f"--state={folder}/tool", f"--store={new.url}", f"--migrate-from=sqlite:{old.file}"]
        ended = subprocess.run(argv, capture_output=True, check=False, timeout=120, env={**os.environ, "LD_PRELOAD": str(module), "DIE_AT": str(step)})
        done = ended.returncode == 0
        ((filled,),) = new.sql("SELECT count(*) FROM owner") if new.sql("SELECT to_regclass('owner')")[0][0] else (("0",),)
        assert ended.returncode <= 0, ended
        if filled == "0":
            new.run(f"--migrate-from=sqlite:{old.file}")
        assert "moved to another store" in old.run("--answer=GET /", key=old.key, status=1).stderr
        assert new.run("--answer=GET /vm", key=old.key).stdout.strip() == "[]"
        shutil.rmtree(folder)
        if done:
            break
    assert done


def test_what_is_refused(tmp_path):
    store = Stores(tmp_path)
    assert "expected sqlite:/PATH" in store.run("--migrate-from=postgresql://x", status=1).stderr
    assert "is the store itself" in store.run(f"--migrate-from=sqlite:{store.file}", status=1).stderr
    assert "No such file or directory" in store.run(f"--migrate-from=sqlite:{tmp_path}/missing", status=1).stderr
    assert "--rotate-key" in store.run(f"--rotate-key={tmp_path}/k", "--check-store", key=store.key, status=1).stderr
    store.run("--answer=GET /", key=store.key)
    assert "is the key that the secrets are encrypted with" in store.run(f"--rotate-key={store.key}", key=store.key, status=1).stderr
    (tmp_path / "short").write_bytes(b"x")
    (tmp_path / "short").chmod(0o600)
    assert "must be exactly 32 bytes" in store.run(f"--rotate-key={tmp_path}/short", key=store.key, status=1).stderr
