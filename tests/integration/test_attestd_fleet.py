# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several services on one PostgreSQL database, behind a balancer that sends each connection to the next of them: limits of a registration hold
across all, one launch has one packet, each release is in the audit log; also when services and the database's postmaster are killed at any time.

CVMSPAWN_SOAK=1 makes 1000 rounds of kills of the 25 here."""

import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, Client, registration
from postgres import Postgres
from sevsim_host import build_folder, skip_or_fail
from test_attestd_two import Crowd, One

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402

pytestmark = pytest.mark.full
INSTANCES = 3
CLIENTS = 16
RECENT = 500
ENDS = 15 * 60  # an open launch
ROUNDS = 1000 if os.environ.get("CVMSPAWN_SOAK") else 25


@pytest.fixture(scope="module")
def postgres():
    p = Postgres()
    yield p
    p.remove()


@pytest.fixture(scope="module")
def careless():
    """One that does not wait for the disk."""
    p = Postgres("fsync=off", "full_page_writes=off")
    yield p
    p.remove()


@pytest.fixture
def database(postgres):
    """A new one for each test."""
    postgres.start()  # if a test that failed left it stopped
    name = "d" + secrets.token_hex(6)
    return name, postgres.new_database(name)


class Fleet:
    """Services with one database and one key; each has its own state directory."""

    def __init__(self, folder, platform, url, count=INSTANCES, env=None):
        (folder / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(32))
        key.chmod(0o600)
        self.options = (f"--certs={folder}/amd", f"--insecure-root={platform}/ark.cert", "--rate=0", f"--store={url}", f"--secrets-key={key}")
        self.services = []
        for n in range(count):
            home = folder / f"instance{n}"
            (home / "state").mkdir(parents=True, mode=0o700)
            if n:  # the trial's owner is one
                (home / "state/token").write_text(self.services[0].token)
                (home / "state/token").chmod(0o600)
            self.services.append(One(home, *self.options, env=(env or [{}] * count)[n]))
        self.token = self.services[0].token

    def register(self, limit, name="a"):
        c = self.services[0].connect()
        status, answer = c.request("POST", f"/vm/{name}", registration(**{"max-instances": limit}), token=self.token)
        c.close()
        assert status == 201, answer

    def stop(self):
        for s in self.services:
            if s.process.poll() is None:
                s.stop()


@pytest.fixture
def fleet(tmp_path, platform, database):
    f = Fleet(tmp_path, platform, database[1])
    yield f
    f.stop()


def ask(fleet, method, path, body=None, token=None, number=0):
    """By a new connection: an idle one is closed after ten seconds."""
    c = fleet.services[number].connect(timeout=120)
    try:
        return c.request(method, path, body, token=token)
    finally:
        c.close()


def insist(fleet, *words):
    """Until the database is back."""
    end = time.monotonic() + 120
    while (answer := ask(fleet, *words))[0] == 503 and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def check(postgres, name, crowd, limit):
    """What lies in the database, and what the clients hold."""
    run = lambda text: postgres.sql("SET search_path = cvmspawn_attestd; " + text, name)  # noqa: E731
    released = [r for (r,) in run("SELECT encode(id, 'hex') FROM launch WHERE released IS NOT NULL")]
    events = [e for (e,) in run("SELECT launch FROM event WHERE what = 'released'")]
    ((counted,),) = run("SELECT released FROM vm")
    ((broken,),) = run("SELECT count(*) FROM launch WHERE (released IS NULL) <> (payload IS NULL) OR (released IS NOT NULL AND keys IS NOT NULL)")
    assert len(released) <= limit, "more than the limit"
    assert sorted(events) == sorted(released), "a release that is not in the audit log, or twice"
    assert int(counted) == len(released) and broken == "0"
    for launch, packets in crowd.packets.items():
        assert len(packets) == 1, "one launch, two packets"
        assert launch in released, "a packet that the database does not know"
    known = {r for (r,) in run("SELECT encode(id, 'hex') FROM launch")}
    surplus = len(crowd.said) - RECENT
    for n, launch in enumerate(list(crowd.said)):
        # More are open than a registration may have, and the oldest make room; or it was not validated for so long that it ended.
        if n < surplus or crowd.when[launch] < time.monotonic() - ENDS + 120:
            del crowd.said[launch]
    lost = [(n, launch, launch in crowd.packets) for n, launch in enumerate(crowd.said) if launch not in known]
    assert not lost, f"launches that were acknowledged are lost (which of {len(crowd.said)}, id, released): {lost}"
    return len(released)


class Balancer(threading.Thread):
    """TCP, in turn to each service, without a look at what passes: no affinity. Those that do not listen are skipped."""

    def __init__(self, services):
        super().__init__(daemon=True)
        self.services, self.turn, self.used = services, 0, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            for _ in self.services:
                n = self.turn = (self.turn + 1) % len(self.services)
                try:
                    host, port = self.services[n].url.split("/")[2].rsplit(":", 1)
                    server = socket.create_connection((host, int(port)), 30)
                except OSError:
                    continue
                self.used.add(n)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.copy, args=pair, daemon=True).start()
                break
            else:
                client.close()


def test_a_launch_goes_on_at_the_next_instance(fleet, postgres, database, platform):
    """Each request by a new connection, each to another instance: the balancer keeps nothing. One of them ends on the way."""
    import ssl

    fleet.register(4)
    psp, balancer = Psp(platform), Balancer(fleet.services)
    balancer.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for s in fleet.services:
        context.load_verify_locations(s.folder / "state/ca.pem")

    def ask(path, body):
        c = Client("127.0.0.1", balancer.port, context, 60)
        try:
            return c.request("POST", path, body)
        finally:
            c.close()

    for n in range(4):
        status, opened = ask("/vm/a/launch", psp.launch())
        assert status == 200, opened
        said = psp.measured(opened, DIGEST)
        if n == 2:
            fleet.services[1].kill()
        status, packet = ask("/vm/a/validate", said)
        assert status == 200 and b"open sesame" in psp.unsealed(opened, said, packet)
        assert ask("/vm/a/validate", said) == (200, packet)
    assert balancer.used == {0, 1, 2}
    status, opened = ask("/vm/a/launch", psp.launch())
    assert ask("/vm/a/validate", psp.measured(opened, DIGEST))[0] == 429
    # three failures at three instances end a launch
    status, opened = ask("/vm/a/launch", psp.launch())
    wrong = psp.measured(opened, "00" * 32)
    assert [ask("/vm/a/validate", wrong)[0] for _ in range(4)] == [403, 403, 403, 410]
    balancer.listener.close()


def test_killed_at_any_time(fleet, postgres, database, platform):
    """Services and postmaster, by chance, under the load of 16 clients."""
    limit, chance = 40 + ROUNDS // 2, random.Random(20)
    fleet.register(limit)
    crowd = Crowd(Psp(platform), "fleet")
    masters = killed = acknowledged = 0
    began = time.monotonic()
    for round_ in range(ROUNDS):
        crowd.seed, before = f"round {round_}", set(crowd.said)
        crowd.start(fleet.services, CLIENTS)
        time.sleep(chance.uniform(0.02, 0.3))  # not to wait for something: the moment is by chance
        dead = chance.sample(fleet.services, chance.choice([0, 1, 1, 2, 3]))
        for s in dead:
            s.kill()
            time.sleep(chance.uniform(0, 0.02))
        if chance.random() < 0.3 or not dead:
            postgres.kill()
            masters += 1
            time.sleep(chance.uniform(0, 0.05))
            postgres.start()
        crowd.end()
        for s in dead:
            s.start()
        killed += len(dead)
        acknowledged += len(set(crowd.said) - before)
        released = check(postgres, database[0], crowd, limit)
    print(f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s: {killed} services and {masters} postmasters killed, {acknowledged} launches "
          f"acknowledged, {released} of {limit} released, answers {dict(crowd.statuses)}")  # fmt: skip
    assert set(crowd.statuses) <= {200, 404, 429, 503}, dict(crowd.statuses)
    assert masters > 2 and killed > ROUNDS // 2 and released > ROUNDS // 4


def test_away_and_back(fleet, postgres, database, platform):
    """Without its database the service says 503 at once, and goes on when it is back: no restart, and no client is blamed."""
    fleet.register(5)
    psp = Psp(platform)
    status, opened = ask(fleet, "POST", "/vm/a/launch", psp.launch())
    assert status == 200
    said = psp.measured(opened, DIGEST)
    postgres.stop()
    for _ in range(10):
        status, answer = ask(fleet, "POST", "/vm/a/validate", said)
        assert (status, answer["code"]) == (503, "unavailable")
        assert ask(fleet, "GET", "/health")[0] == 503
    assert "connection" in fleet.services[0].text()
    postgres.start()
    assert insist(fleet, "POST", "/vm/a/validate", said)[0] == 200


def test_read_only_and_slow(fleet, postgres, database, platform):
    fleet.register(5)
    psp = Psp(platform)
    status, opened = ask(fleet, "POST", "/vm/a/launch", psp.launch())
    said = psp.measured(opened, DIGEST)
    name = database[0]
    # somebody holds the registration's row for longer than the service waits
    holder = subprocess.Popen([postgres.bin / "psql", "-X", "-q", "-h", postgres.folder, "-p", str(postgres.port), "-U", "attestd", "-d", name],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")  # fmt: skip
    holder.stdin.write("BEGIN; SELECT id FROM cvmspawn_attestd.vm FOR UPDATE;\n\\echo held\n")
    holder.stdin.flush()
    while holder.stdout.readline().strip() != "held":
        assert holder.poll() is None
    assert ask(fleet, "POST", "/vm/a/validate", said)[0] == 503
    holder.communicate("ROLLBACK;\n", timeout=60)
    # as a replica, or one that an operator locked
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert ask(fleet, "POST", "/vm/a/validate", said)[0] == 503
    postgres.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert insist(fleet, "POST", "/vm/a/validate", said)[0] == 200
    events = [e["event"] for e in ask(fleet, "GET", "/vm/a/events", token=fleet.token)[1]]
    assert events.count("released") == 1


def test_clocks_that_differ(tmp_path, database, platform):
    """Two instances whose clocks are 600 s apart, on either side of the truth: a window of 300 s has its limit all the same."""
    module = build_folder() / "tests/lib/clock-at.so"
    if not module.exists():
        skip_or_fail("the build has no tests/lib/clock-at.so")
    env, offsets = [], (-600, 600)
    for n in range(len(offsets)):
        (tmp_path / f"clock{n}").write_bytes(bytes(8))
        env.append({"LD_PRELOAD": str(module), "CLOCK_AT": str(tmp_path / f"clock{n}")})
    f = Fleet(tmp_path, platform, database[1], count=2, env=env)
    # Not before: their certificates are to be valid by this test's clock.
    for n, off in enumerate(offsets):
        with open(tmp_path / f"clock{n}", "r+b") as clock:  # mapped by the instance
            clock.write(off.to_bytes(8, "little", signed=True))
    try:
        psp, statuses = Psp(platform), []
        assert ask(f, "POST", "/vm/a", registration(**{"max-instances": 2, "instance-window": 300}), f.token)[0] == 201
        for n in range(4):
            status, opened = ask(f, "POST", "/vm/a/launch", psp.launch(), number=n % 2)
            assert status == 200, opened
            statuses.append(ask(f, "POST", "/vm/a/validate", psp.measured(opened, DIGEST), number=(n + 1) % 2)[0])
        assert statuses == [200, 200, 429, 429]
        times = [e["time"] for e in ask(f, "GET", "/vm/a/events", token=f.token)[1]]
        assert all(abs(t - time.time()) < 200 for t in times)
    finally:
        f.stop()


def test_tls_and_password_file(tmp_path, postgres, database, platform):
    """On the loopback, with the server's certificate verified; after a restart of the server the confined service connects again."""
    url = postgres.tls_url(tmp_path / "pass", database[0])
    f = Fleet(tmp_path, platform, url, count=1)
    try:
        f.register(5)
        ((ssl_used,),) = postgres.sql(f"SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '{database[0]}' "
                                      "AND application_name = 'cvmspawn-attestd'")  # fmt: skip
        assert ssl_used == "t"
        postgres.kill()
        postgres.start()
        assert insist(f, "GET", "/health")[0] == 200, f.services[0].text()
    finally:
        f.stop()


def refused(tmp_path, *words):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={tmp_path}/other", *words], capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_what_is_refused(tmp_path, postgres, database, fleet):
    one = "--answer=GET /"
    assert "a password in the URL is visible" in refused(tmp_path, one, "--store=postgresql://a:b@127.0.0.1/c")
    assert "expected postgresql://HOST/DATABASE or sqlite:/PATH" in refused(tmp_path, one, "--store=mysql://x")
    assert "services that share a database need one key" in refused(tmp_path, one, f"--store={database[1]}")
    assert "not a URL of PostgreSQL" in refused(tmp_path, one, "--store=postgresql://[")
    assert "cannot connect to PostgreSQL" in refused(tmp_path, one, "--store=postgresql:///x?host=/nonexistent")
    fleet.register(1)
    (tmp_path / "wrong").write_bytes(bytes(32))
    (tmp_path / "wrong").chmod(0o600)
    assert "encrypted with another key than" in refused(tmp_path, one, f"--store={database[1]}", f"--secrets-key={tmp_path}/wrong")
    bad = postgres.tls_url(tmp_path / "pass", database[0])
    (tmp_path / "pass").write_text("*:*:*:*:wrong\n")
    assert "password authentication failed" in refused(tmp_path, one, f"--store={bad}")


def test_a_database_of_a_newer_version(tmp_path, postgres, database, fleet):
    postgres.sql("UPDATE cvmspawn_attestd.version SET number = 1000", database[0])
    assert "newer version" in refused(tmp_path, "--answer=GET /", f"--store={database[1]}", f"--secrets-key={tmp_path}/key")


@pytest.mark.parametrize("program", ["test-attestd-machine", "test-attestd", "test-attestd-hold", "test-attestd-snp", "test-attestd-bounds",
                                     "test-attestd-firmware", "test-attestd-audit"])  # fmt: skip
def test_unit_tests_on_postgresql(careless, program):
    """The property test of the launches' states, and the service's own, on this store."""
    url = careless.new_database("d" + secrets.token_hex(6))
    env = {**os.environ, "ATTESTD_STORE": url, "ATTESTD_EVENTS": os.environ.get("ATTESTD_EVENTS", "3000"),
           "CVMSPAWN_SOURCE": str(Path(__file__).resolve().parents[2]), "CVMSPAWN_BUILD": str(build_folder())}  # fmt: skip
    path = build_folder() / "tests/unit" / program
    if not path.exists():
        skip_or_fail(f"the build has no {program}")
    done = subprocess.run([path], env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
