# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two services on one database, at once: the limits of a registration hold across both, one launch has one packet whichever of them is asked, and
each release is in the audit log; also when both are killed at any time, or one of them at each of its steps."""

import http.client
import json
import random
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest
from attestd_service import DIGEST, Client, Service, registration
from conftest import build_folder
from test_attestd_crash import module  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402

GONE = (OSError, http.client.HTTPException, ssl.SSLError, ValueError)
CLIENTS = 6


class One(Service):
    """Its authority is the state directory's until the other one starts."""

    def start(self):
        super().start()
        self.context = ssl.create_default_context(cafile=self.folder / "state/ca.pem")

    def connect(self, timeout=30):
        host, port = self.url.split("/")[2].rsplit(":", 1)
        return Client(host, int(port), self.context, timeout)


@pytest.fixture
def pair(tmp_path, platform):
    (tmp_path / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    options = (f"--certs={tmp_path}/amd", f"--insecure-root={platform}/ark.cert", "--rate=0")
    services = [One(tmp_path, *options), One(tmp_path, *options)]
    yield services
    for s in services:
        if s.process.poll() is None:
            s.stop()


class Crowd:
    """Clients that open launches and ask for their secrets, each time of either service; what they got stays with them."""

    def __init__(self, psp, seed):
        self.psp, self.seed = psp, seed
        self.packets = defaultdict(set)  # launch: what was ever released for it
        self.said = {}  # launch: its evidence
        self.when = {}  # launch: the time of its acknowledgement
        self.statuses = defaultdict(int)
        self.lock = threading.Lock()

    def turn(self, chance, clients):
        path = "/vm/a/launch"
        if self.said and chance.random() < 0.7:
            with self.lock:
                body = self.said[chance.choice(list(self.said))]
            path = "/vm/a/validate"
        else:
            body = self.psp.launch()
        status, answer = chance.choice(clients).request("POST", path, body)
        with self.lock:
            self.statuses[status] += 1
            if status == 200 and path == "/vm/a/launch":
                self.said[answer["launch-id"]] = self.psp.measured(answer, DIGEST)
                self.when[answer["launch-id"]] = time.monotonic()
            elif status == 200:
                self.packets[body["launch-id"]].add((answer["secret-header"], answer["secret-payload"]))

    def client(self, services, number, stop):
        chance = random.Random(f"{self.seed}-{number}")
        clients = []
        try:
            clients = [s.connect() for s in services]
            while not stop.is_set():
                self.turn(chance, clients)
        except GONE:
            pass  # killed
        for c in clients:
            c.close()

    def start(self, services, count=CLIENTS):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(services, n, self.stop)) for n in range(count)]
        for t in self.threads:
            t.start()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()


def register(s, limit):
    c = s.connect()
    status, answer = c.request("POST", "/vm/a", registration(**{"max-instances": limit}), token=s.token)
    c.close()
    assert status == 201, answer


def check(state, crowd, limit):
    """The invariants of the model (attestd-machine.h), of what lies in the database and of what the clients hold."""
    db = sqlite3.connect(state / "state.db")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = db.execute("SELECT id, header, payload FROM launch WHERE released IS NOT NULL").fetchall()
    events = [e for (e,) in db.execute("SELECT launch FROM event WHERE what = 'released'")]
    (counted,) = db.execute("SELECT released FROM vm").fetchone()
    db.close()
    released = {id_.hex() for id_, _, _ in rows}
    assert len(rows) <= limit, "more than the limit"
    assert sorted(events) == sorted(released), "a release that is not in the audit log, or twice"
    assert counted == len(rows)
    for launch, packets in crowd.packets.items():
        assert len(packets) == 1, "one launch, two packets"
        assert launch in released, "a packet that the database does not know"
    return len(rows)


def test_limits_across_two(pair, platform, tmp_path):
    limit = 5
    register(pair[0], limit)
    crowd = Crowd(Psp(platform), 1)
    crowd.start(pair)
    deadline = time.monotonic() + 30
    while crowd.statuses[429] < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    crowd.end()
    assert check(tmp_path / "state", crowd, limit) == limit
    assert crowd.statuses[429] >= 50 and set(crowd.statuses) <= {200, 404, 429, 503}, dict(crowd.statuses)
    # what one of them released, the other one says again
    launch, (packet,) = next(iter(crowd.packets.items()))
    for s in pair:
        c = s.connect()
        status, answer = c.request("POST", "/vm/a/validate", crowd.said[launch])
        c.close()
        assert status == 200 and (answer["secret-header"], answer["secret-payload"]) == packet


def test_both_killed_at_any_time(pair, platform, tmp_path):
    limit, chance = 60, random.Random(2)
    register(pair[0], limit)
    crowd = Crowd(Psp(platform), 2)
    for round_ in range(8):
        crowd.seed = f"round {round_}"
        crowd.start(pair)
        time.sleep(chance.uniform(0.05, 0.4))  # not to wait for something: the moment is by chance
        for s in chance.sample(pair, 2):
            s.kill()
            time.sleep(chance.uniform(0, 0.02))
        crowd.end()
        check(tmp_path / "state", crowd, limit)
        for s in pair:
            s.start()
    assert check(tmp_path / "state", crowd, limit) > 8, dict(crowd.statuses)
    assert set(crowd.statuses) <= {200, 404, 429, 503}, dict(crowd.statuses)


class Story:
    """One registration, launch and release, told to the one that dies, and at each failure once more to the one that stays."""

    def __init__(self, name, psp, token, dying, staying):
        self.path, self.psp, self.token, self.clients = f"/vm/{name}", psp, token, [c for c in (dying, staying) if c]
        self.failures = 0

    def ask(self, path, body, good, token=None):
        for number, client in enumerate(self.clients):
            try:
                status, answer = client.request("POST", self.path + path, body, token=token)
            except GONE:
                self.failures += 1
                continue
            # what the first one did before it died, it did; nothing is blamed on the client
            assert status in good | ({409} if number and not path else set()), (path, status, answer)
            return answer
        raise AssertionError("the service that stays does not answer")

    def tell(self):
        self.ask("", registration(), {201}, self.token)
        answer = self.ask("/launch", self.psp.launch(), {200})
        said = self.psp.measured(answer, DIGEST)
        packet = self.ask("/validate", said, {200})
        staying = self.clients[-1]
        assert b"open sesame" in self.psp.unsealed(answer, said, packet)
        assert staying.request("POST", self.path + "/validate", said) == (200, packet)
        status, other = staying.request("POST", self.path + "/launch", self.psp.launch())
        assert status == 200
        assert staying.request("POST", self.path + "/validate", self.psp.measured(other, DIGEST))[0] == 429
        events = [e["event"] for e in staying.request("GET", self.path + "/events", token=self.token)[1]]
        assert events.count("released") == 1 and events.count("registered") == 1, events


def test_one_killed_at_each_step_and_the_other_goes_on(pair, platform, module, tmp_path):  # noqa: F811
    dying, staying = pair
    dying.stop()
    psp, token, client = Psp(platform), staying.token, staying.connect()
    n, whole, interrupted = 0, 0, set()
    while whole < 2:
        n += 1
        dying.env.update({"LD_PRELOAD": str(module), "DIE_AT": str(n)})
        try:
            dying.start()
            first = dying.connect(timeout=60)
        except (json.JSONDecodeError, FileNotFoundError, *GONE):
            first = None  # it died before it was ready
        story = Story(f"v{n}", psp, token, first, client)
        story.tell()
        whole += story.failures == 0 and first is not None
        interrupted.add(story.failures)
        if first:
            first.close()
        dying.kill()
    client.close()
    assert n > 20 and len(interrupted) > 2, (n, interrupted)


def test_many_make_one_state(tmp_path):
    """Programs that find no state directory at the same time make one database, one key and one local owner between them."""
    program = build_folder() / "programs/cvmspawn-attestd"
    for i in range(15):
        running = [subprocess.Popen([program, f"--state={tmp_path / str(i)}", "--answer=GET /"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True) for _ in range(6)]
        ends = [(*p.communicate(timeout=120), p.returncode) for p in running]
        assert {(err, status) for _, err, status in ends} == {("", 0)}
        assert len({json.loads(out)["packet-key"] for out, _, _ in ends}) == 1
