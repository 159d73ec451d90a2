# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service under failing calls, allocations and SIGKILL: a guest is registered, launched and validated, the service is started
once more on what is left, and the story goes on from what was answered. Nothing that was answered is lost, the secret is released once,
and a failure of the service never reads as a fault of the client."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(SOURCE / "tests/lib"), str(SOURCE / "tests/integration")]
from attestd_psp import Psp  # noqa: E402
from attestd_service import DIGEST, Client, registration  # noqa: E402
from scenarios import Scenario  # noqa: E402

BROKEN = (OSError, http.client.HTTPException, ssl.SSLError)
KILLED = 128 + signal.SIGKILL


PLATFORMS = {}  # made once, before the workers are forked: its RSA keys take seconds


def platform_of(build):
    if build not in PLATFORMS:
        PLATFORMS[build] = tempfile.TemporaryDirectory(prefix="anomaly-platform-")
        subprocess.run([build / "sevsim/sevsim-identity", PLATFORMS[build].name + "/platform"], check=True, timeout=300)
    return pathlib.Path(PLATFORMS[build].name) / "platform"


class Wrong(Exception):
    """What the service did and never may."""


class Story:
    """One owner and one host; remembers what the service has answered."""

    def __init__(self, psp):
        self.psp, self.token, self.registered, self.answer, self.said, self.packet = psp, None, False, None, None, None

    def ask(self, client, path, body, good):
        """The answer, or None if the service failed; a client that did nothing wrong is never blamed."""
        status, answer = client.request("POST", path, body, token=self.token if path == "/vm/a" else None)
        if status not in good and status < 500:
            raise Wrong(f"{path} was answered {status}: {answer}")
        return answer if status in good else None

    def tell(self, client, again):
        if not self.registered:
            self.registered = self.ask(client, "/vm/a", registration(), {201, 409} if again else {201}) is not None
        if self.registered and not self.answer:
            self.answer = self.ask(client, "/vm/a/launch", self.psp.launch(), {200})
            self.said = self.answer and self.psp.measured(self.answer, DIGEST)
        if self.answer and not self.packet:
            self.packet = self.ask(client, "/vm/a/validate", self.said, {200})

    def check(self, client):
        """After a new start without failures: everything is there, and only one instance has got the secrets."""
        self.tell(client, again=True)
        if not self.packet:
            raise Wrong("the service fails after a new start")
        if b"open sesame" not in self.psp.unsealed(self.answer, self.said, self.packet):
            raise Wrong("the packet has another secret")
        if client.request("POST", "/vm/a/validate", self.said) != (200, self.packet):
            raise Wrong("the packet differs when it is asked for again")
        status, other = client.request("POST", "/vm/a/launch", self.psp.launch())
        if status != 200 or client.request("POST", "/vm/a/validate", self.psp.measured(other, DIGEST))[0] != 429:
            raise Wrong("the secret was released twice")
        events = [e["event"] for e in client.request("GET", "/vm/a/events", token=self.token)[1]]
        if events.count("released") != 1 or events.count("registered") != 1:
            raise Wrong(f"the events are {events}")


class Attestd(Scenario):
    failures = frozenset([1, KILLED])
    notices = 20  # one for each request that failed, and of what it does without
    kills = True
    gnutls_may_crash = True  # 3.7.9: the allocation of an ASN.1 element is not checked
    stride = 7  # most of the allocations are those of the TLS library, and a run takes a second
    message = r"(cvmspawn-attestd: \S|\S+ )"

    def prepare(self, folder, build):
        self.build, self.platform = build, folder / "platform"
        shutil.copytree(platform_of(build), self.platform)
        (folder / "amd").write_bytes((self.platform / "ask.cert").read_bytes() + (self.platform / "ark.cert").read_bytes())
        self.psp = Psp(self.platform)

    def environment(self, folder):
        return {}

    def start(self, prefix, environment, place):
        argv = [*prefix, self.build / "programs/cvmspawn-attestd", "--dev", f"--state={place}/state", "--listen=127.0.0.1:0",
                f"--certs={self.platform.parent}/amd", f"--insecure-root={self.platform}/ark.cert"]  # fmt: skip
        with open(place / "stderr", "ab") as err:
            return subprocess.Popen([*map(str, argv)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)

    def connect(self, process, place, story):
        """None if it has ended before it was ready."""
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        story.token = (place / "state/token").read_text()
        host, port = json.loads(line)["url"].split("/")[2].rsplit(":", 1)
        return Client(host, int(port), ssl.create_default_context(cafile=place / "state/ca.pem"), 60)

    def stop(self, process, seconds):
        try:
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if pathlib.Path(f"/proc/{process.pid}/comm").read_text().startswith("anomaly"):
                os.kill(int(children[0]), signal.SIGTERM)
            else:
                process.terminate()
        except (OSError, IndexError):
            pass  # it has ended
        status = process.wait(seconds)
        process.stdout.close()
        return status

    def session(self, prefix, environment, place, story, again):
        process = self.start(prefix, environment, place)
        try:
            client = self.connect(process, place, story)
            if client and again:
                story.check(client)
            elif client:
                try:
                    story.tell(client, again=False)
                except BROKEN:
                    pass
            if client:
                client.close()
            if again and not client:
                raise Wrong("the service does not start any more")
            return self.stop(process, 60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def run(self, runner, prefix, environment, place, outcome, seconds):
        story = Story(self.psp)
        try:
            outcome.status = self.session(prefix, environment, place, story, again=False)
            outcome.err = (place / "stderr").read_text(errors="replace")
            clean = {k: v for k, v in environment.items() if not k.startswith(("LD_", "ANOMALY_"))}
            if self.session([], clean, place, story, again=True) != 0:
                raise Wrong("the service does not end well after a new start")
        except subprocess.TimeoutExpired:
            outcome.timed_out = True
        except (Wrong, *BROKEN) as e:
            outcome.problem = f"{type(e).__name__}: {e}"


class AttestdTwo(Attestd):
    """Two services on one state: one is killed at one of its calls, the other one goes on with what the client was not answered."""

    failures = frozenset([KILLED])
    kinds = frozenset(["kill"])
    share = 24  # each starts two services

    def ask_both(self, client, path, body, good):
        """Of the one that may die, else of the other; what the dead one did before, it did."""
        story, staying = self.story, self.staying
        try:
            if client and (answer := story.ask(client, path, body, good)):
                return answer
        except BROKEN:
            pass
        return story.ask(staying, path, body, good | ({409} if path == "/vm/a" else set()))

    def tell(self, client):
        story = self.story
        if not self.ask_both(client, "/vm/a", registration(), {201}):
            raise Wrong("the service that stays does not register")
        story.registered = True
        story.answer = self.ask_both(client, "/vm/a/launch", self.psp.launch(), {200})
        story.said = self.psp.measured(story.answer, DIGEST)
        story.packet = self.ask_both(client, "/vm/a/validate", story.said, {200})
        story.check(self.staying)

    def check_store(self, place, environment):
        """At most one release, no packet without its release, no release without its line in the audit log, and each row can be decrypted."""
        with sqlite3.connect(place / "state/state.db") as db:
            released = [row for (row,) in db.execute("SELECT hex(id) FROM launch WHERE released IS NOT NULL")]
            audited = [row for (row,) in db.execute("SELECT upper(launch) FROM event WHERE what = 'released'")]
            whole = db.execute("PRAGMA integrity_check").fetchall()
        db.close()
        if whole != [("ok",)] or len(released) != 1 or audited != released:
            raise Wrong(f"released {released}, in the audit log {audited}, database {whole}")
        done = subprocess.run([self.build / "programs/cvmspawn-attestd", f"--state={place}/state", "--check-store"], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        if done.returncode != 0:
            raise Wrong(f"--check-store: {done.returncode}: {done.stdout}{done.stderr}")

    def with_two(self, prefix, environment, clean, place):
        """Exit status of the one that may die."""
        other = self.start([], clean, place)
        dying = None
        try:
            self.staying = self.connect(other, place, self.story)
            dying = self.start(prefix, environment, place)
            client = self.connect(dying, place, self.story)
            self.tell(client)
            for c in (client, self.staying):
                if c:
                    c.close()
            status = self.stop(dying, 60)
            if self.stop(other, 60) != 0:
                raise Wrong("the service that stays does not end well")
            return status
        finally:
            for process in filter(None, (dying, other)):
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def run(self, runner, prefix, environment, place, outcome, seconds):
        self.story = Story(self.psp)
        clean = {k: v for k, v in environment.items() if not k.startswith(("LD_", "ANOMALY_"))}
        try:
            outcome.status = self.with_two(prefix, environment, clean, place)
            outcome.err = (place / "stderr").read_text(errors="replace")
            self.check_store(place, clean)
        except subprocess.TimeoutExpired:
            outcome.timed_out = True
        except (Wrong, *BROKEN) as e:
            outcome.problem = f"{type(e).__name__}: {e}"
