# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service killed between any two of its steps, and with a full disk: nothing that was answered is lost, no secret is released
twice, and a launch that was not stored does not exist."""

import http.client
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from attestd_service import DIGEST, Service, made_up, registration
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402

GONE = (OSError, http.client.HTTPException, ssl.SSLError, json.JSONDecodeError, KeyError)


@pytest.fixture
def module():
    path = build_folder() / "tests/lib/die-at.so"
    if not path.exists():
        skip_or_fail("the build has no tests/lib/die-at.so")
    if b"libasan" in subprocess.run(["ldd", build_folder() / "programs/cvmspawn-attestd"], capture_output=True, check=False).stdout:
        pytest.skip("a program with the address sanitizer takes no preloaded module before it")
    return path


def start(folder, platform, env=None):
    """None if it dies on the way."""
    try:
        return made_up(folder, platform, env=env)
    except (json.JSONDecodeError, FileNotFoundError):
        return None


class Story:
    """One owner and one host; remembers what the service has answered."""

    def __init__(self, psp, token):
        self.psp, self.token = psp, token
        self.registered, self.answer, self.said, self.packet = False, None, None, None

    def tell(self, s):
        c = s.connect(timeout=60)
        if not self.registered:
            assert c.request("POST", "/vm/a", registration(), token=self.token)[0] == 201
            self.registered = True
        if not self.answer:
            status, body = c.request("POST", "/vm/a/launch", self.psp.launch())
            assert status == 200, body
            self.answer = body
            self.said = self.psp.measured(self.answer, DIGEST)
        if not self.packet:
            status, body = c.request("POST", "/vm/a/validate", self.said)
            assert status == 200, body
            self.packet = body
        c.close()

    def check_whole(self, s):
        """After a new start: what was answered is there, what was not can be had, and only one instance has the secrets."""
        c = s.connect()
        status, problem = c.request("POST", "/vm/a", registration(), token=self.token)
        assert status == (409 if self.registered else status) and status in (201, 409), problem
        self.registered = True
        self.tell(s)
        assert b"open sesame" in self.psp.unsealed(self.answer, self.said, self.packet)
        assert c.request("POST", "/vm/a/validate", self.said) == (200, self.packet)
        status, other = c.request("POST", "/vm/a/launch", self.psp.launch())
        assert status == 200
        assert c.request("POST", "/vm/a/validate", self.psp.measured(other, DIGEST))[0] == 429
        status, events = c.request("GET", "/vm/a/events", token=self.token)
        assert [e["event"] for e in events].count("released") == 1
        assert [e["event"] for e in events].count("registered") == 1
        c.close()


def test_killed_between_any_two_steps(tmp_path, platform, module):
    psp, n, ends, died = Psp(platform), 0, 0, set()
    while ends < 2:
        n += 1
        folder = tmp_path / str(n)
        folder.mkdir()
        s = start(folder, platform, env={"LD_PRELOAD": str(module), "DIE_AT": str(n)})
        story = Story(psp, s.token if s else None)
        if s:
            try:
                story.tell(s)
            except GONE:
                pass
            try:
                s.process.wait(0.2 if story.packet else 20)
            except subprocess.TimeoutExpired:
                ends += 1  # the story has fewer steps than that
            died.add((story.registered, bool(story.answer), bool(story.packet)))
            s.kill()
        s = made_up(folder, platform)
        story.token = s.token
        story.check_whole(s)
        s.stop()
    # it was killed before each of the answers, at many steps
    assert {(False, False, False), (True, False, False), (True, True, False), (True, True, True)} <= died
    assert n > 30


ROOM = """
import os, subprocess, sys
state, *argv = sys.argv[1:]
os.makedirs(state)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k,mode=0700", "none", state], check=True)
p = subprocess.Popen(argv)
for line in sys.stdin:
    if line == "fill\\n":
        with open(state + "/fill", "wb", buffering=0) as f:
            try:
                while f.write(bytes(512)):
                    pass
            except OSError:
                pass
    if line == "free\\n":
        os.unlink(state + "/fill")
    print("done", file=sys.stderr, flush=True)
p.terminate()
sys.exit(p.wait(30))
"""


class SmallDisk(Service):
    """The state lies on its own small disk, in its own mount namespace."""

    def start(self):
        state = self.folder / "state"
        argv = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        argv += [sys.executable, "-c", ROOM, state, build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={state}",
                 "--listen=127.0.0.1:0", *self.options]  # fmt: skip
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            pytest.skip("no mount namespace with its own disk here: " + self.process.stderr.read().strip())
        self.url = json.loads(line)["url"]

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        while self.process.stderr.readline() != "done\n":
            pass

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        self.process.stderr.close()


def test_a_full_disk(tmp_path, platform):
    (tmp_path / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    # the owner's token and the authority are in a namespace that nobody else sees: known certificate, owner added before
    tls = tmp_path / "tls"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-days", "2",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{tls}.key", "-out", f"{tls}.pem"], check=True, capture_output=True)  # fmt: skip
    s = SmallDisk(tmp_path, f"--certs={tmp_path}/amd", f"--insecure-root={platform}/ark.cert", f"--tls-cert={tls}.pem", f"--tls-key={tls}.key")
    pid = next(int(p) for p in Path(f"/proc/{s.process.pid}/task/{s.process.pid}/children").read_text().split())
    pids = [pid, *(int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    token = None
    for p in [s.process.pid, *pids]:
        path = Path(f"/proc/{p}/root/{tmp_path}/state/token")
        try:
            token = path.read_text()
            break
        except OSError:
            continue
    if token is None:
        s.stop()
        pytest.skip("the state in the other mount namespace cannot be read by this user")
    import ssl as tlslib

    from attestd_service import Client

    host, port = s.url.split("/")[2].rsplit(":", 1)
    c = Client(host, int(port), tlslib.create_default_context(cafile=f"{tls}.pem"), 30)
    psp = Psp(platform)
    assert c.request("POST", "/vm/a", registration(), token=token)[0] == 201
    status, answer = c.request("POST", "/vm/a/launch", psp.launch())
    assert status == 200
    said = psp.measured(answer, DIGEST)
    s.tell("fill")
    big = {"description": {"x": "y" * 20000}}
    refused = {}
    for n in range(40):  # what the write-ahead log still has room for may succeed
        refused.setdefault("register", c.request("POST", f"/vm/b{n}", registration(**big), token=token)[0])
        status, body = c.request("POST", "/vm/a/launch", psp.launch())
        if status != 200:
            assert (status, body["code"]) == (503, "unavailable")
            refused["launch"] = status
            break
    assert refused["launch"] == 503
    status, body = c.request("POST", "/vm/b99", registration(**big), token=token)
    assert (status, body["code"]) == (503, "unavailable")
    status, body = c.request("POST", "/vm/a/validate", said)
    assert (status, body["code"]) == (503, "unavailable") and "secret-payload" not in body
    assert c.request("GET", "/health")[0] == 200
    assert c.request("GET", "/vm/a", token=token)[0] == 200
    s.tell("free")
    status, packet = c.request("POST", "/vm/a/validate", said)
    assert status == 200, packet
    assert b"open sesame" in psp.unsealed(answer, said, packet)
    assert c.request("GET", "/vm/b99", token=token)[0] == 404
    assert c.request("POST", "/vm/b99", registration(**big), token=token)[0] == 201
    c.close()
    s.stop()
