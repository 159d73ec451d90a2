# SPDX-License-Identifier: LGPL-2.1-or-later
"""The owner's programs among liars: a monitor that is not QEMU's, or stops being it in the middle; a host's launcher that says nonsense to the
owner agent; an attestation service that is none. Each time: an end in time, a documented status, one message, and no secret for anybody."""

import base64
import concurrent.futures
import hashlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sevsim_host import build_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
import sev_owner  # noqa: E402

SECRET = b"nobody must see this"
DIGEST = hashlib.sha256(b"the launch").digest()
SECONDS = 60
PROGRAMS = build_folder() / "programs"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory, platform):
    """The owner's folder with the keys of one session, a certificate for the liars, and the host's platform."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "chain").write_bytes(b"".join((platform / f"{c}.cert").read_bytes() for c in ("pdh", "pek", "oca", "cek-signed")))
    (folder / "askark").write_bytes(b"".join((platform / f"{c}.cert").read_bytes() for c in ("ask", "ark")))
    (folder / "pw").write_bytes(SECRET)
    (folder / "own").mkdir()
    subprocess.run([PROGRAMS / "verb-session", folder / "chain", f"--certs={folder}/askark", f"--insecure-root={platform}/ark.cert", "--cache=",
                    f"--output={folder}/own", "--name=vm", "3"], check=True, capture_output=True, timeout=60)  # fmt: skip
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-days", "2", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem")  # fmt: skip
    return folder


def ended(argv, stdin=None, folder=None):
    """Runs it to its end; its standard error has one message of it if it failed, and no secret is anywhere."""
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    try:
        out, err = process.communicate(stdin, SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, b"", f"not finished after {SECONDS} s"
    assert SECRET not in out + err and base64.b64encode(SECRET)[:16] not in out + err
    return process.returncode, out, err.decode(errors="replace")


# --- a monitor ------------------------------------------------------------------------------------------------------------

STEPS = ["greeting", "qmp_capabilities", "query-status", "query-sev", "query-sev-launch-measure", "sev-inject-launch-secret", "cont"]
HUGE = b'{"return": "' + b"A" * (1 << 20)


def answer(value, id_):
    return json.dumps({"return": value, "id": id_}).encode() + b"\r\n"


# What is sent in place of a good answer; None: the connection is closed.
LIES = {
    "closed": lambda good, id_: None,
    "half": lambda good, id_: good[: len(good) // 2],
    "not JSON": lambda good, id_: b"220 mail.example.com ESMTP\r\n",
    "binary": lambda good, id_: os.urandom(300) + b"\r\n",
    "list": lambda good, id_: b"[" + good.strip() + b"]\r\n",
    "deep": lambda good, id_: b"[" * 100000 + b"\r\n",
    "value is a list": lambda good, id_: answer([[]], id_),
    "value is null": lambda good, id_: answer(None, id_),
    "value is a number": lambda good, id_: answer(-1e308, id_),
    "value is empty": lambda good, id_: answer({}, id_),
    "error": lambda good, id_: json.dumps({"error": {"class": "GenericError", "desc": "no \x1b[31m\nthe guest is running: its measurement is as expected\r" + "x" * 5000}, "id": id_}).encode() + b"\r\n",
    "error without words": lambda good, id_: json.dumps({"error": [], "id": id_}).encode() + b"\r\n",
    "another id": lambda good, id_: good.replace(b'"id": ', b'"id": 99'),
    "id is text": lambda good, id_: json.dumps({"return": {}, "id": "x"}).encode() + b"\r\n",
    "huge": lambda good, id_: HUGE * 64,
    "members of wrong types": lambda good, id_: json.dumps({"return": {k: [{}] for k in json.loads(good).get("return", {"x": 1})}, "id": id_}).encode() + b"\r\n",
    "members are huge": lambda good, id_: json.dumps({"return": {k: 1 << 200 if isinstance(v, int) else str(v) * 100000 for k, v in
                                                                 json.loads(good).get("return", {"x": 1}).items()}, "id": id_}).encode() + b"\r\n",
}  # fmt: skip
# Where these are the answer, they are a good one.
FINE = {("another id", "greeting")} | {("value is empty", step) for step in ("qmp_capabilities", "sev-inject-launch-secret", "cont")} | {
    (lie, step) for lie in ("value is a list", "value is null", "value is a number", "members of wrong types", "members are huge")
    for step in ("qmp_capabilities", "sev-inject-launch-secret", "cont")}  # fmt: skip


class Monitor:
    """QEMU's monitor of a guest that waits for its secrets; lies at one step."""

    def __init__(self, folder, measured, step, lie):
        self.path, self.measured, self.step, self.lie = folder / "qmp", measured, step, lie
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen()
        self.socket.settimeout(SECONDS)
        self.injected, self.told, self.problem = False, [], None
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def value(self, name):
        if name == "query-status":
            return {"running": False, "status": "prelaunch"}
        if name == "query-sev":
            return {"enabled": True, "api-major": 1, "api-minor": 55, "build-id": 21, "policy": 3, "state": "launch-secret", "handle": 1, "sev-type": "sev"}
        return {"data": self.measured} if name == "query-sev-launch-measure" else {}

    def send(self, peer, step, good, id_):
        """False: no more."""
        data = LIES[self.lie](good, id_) if step == self.step else good
        if data is None:
            return False
        try:
            peer.sendall(data)
        except OSError:
            return False
        return step != self.step or self.lie not in ("half", "huge")

    def serve(self):
        try:
            peer, _ = self.socket.accept()
            version = {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}
            greeting = json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\r\n"
            go_on = self.send(peer, "greeting", greeting, 0)
            for line in peer.makefile("rb") if go_on else ():
                command = json.loads(line)
                name = command["execute"]
                self.told.append(name)
                if not self.send(peer, name, answer(self.value(name), command.get("id")), command.get("id")):
                    break
            peer.close()
        except OSError as e:
            self.problem = str(e)


@pytest.mark.parametrize("step", STEPS)
def test_attest_qemu(world, tmp_path, step):
    found = []

    def attempt(lie):
        folder = tmp_path / lie.replace(" ", "-")
        folder.mkdir()
        tik = (world / "own/vm_tik.bin").read_bytes()
        monitor = Monitor(folder, sev_owner.measurement(tik, DIGEST, 3), step, lie)
        status, out, err = ended([PROGRAMS / "verb-attest-qemu", f"--qmp={monitor.path}", f"--owner-dir={world}/own", f"--inject-secret=luks-key:{world}/pw",
                                  f"--expect={DIGEST.hex()}", "--on-refusal=keep"])  # fmt: skip
        monitor.thread.join(SECONDS)
        monitor.socket.close()
        if (lie, step) in FINE:
            return None if status == 0 else f"{lie}: {status} {err}"
        if status not in (1, 2):
            return f"{lie}: status {status}: {err}"
        lines = [line for line in err.splitlines() if "warning" not in line]
        if len(lines) != 1 or len(err) > 1500 or not lines[0].startswith("cvmspawn attest-qemu: ") or "\x1b" in err or out:
            return f"{lie}: said {err!r} {out!r}"
        after = STEPS[STEPS.index(step) + 1 :]
        return f"{lie}: went on with {monitor.told}" if set(after) & set(monitor.told) - {"qmp_capabilities", "query-status"} else None

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = [problem for problem in pool.map(attempt, LIES) if problem]
    assert not found, found


# --- a launcher -----------------------------------------------------------------------------------------------------------


def launch_line(world, platform, **more):
    read = lambda *names: base64.b64encode(b"".join((platform / f"{n}.cert").read_bytes() for n in names)).decode()  # noqa: E731
    return {"type": "launch", "scheme": "amd-sev", "policy": 3, "pdh": read("pdh"), "cert-chain": read("pek", "oca", "cek-signed"), "secret-area": 3072, **more}


def validate_line(**more):
    return {"type": "validate", "api-major": 1, "api-minor": 55, "build-id": 21, "policy": 3, "measurement": "A" * 64, "digest": "ab" * 32, **more}


WRONG = {"null": None, "list": [], "object": {}, "true": True, "negative": -1, "huge": 1 << 200, "text": "x", "empty": "", "long": "A" * 40000, "control": "\x1b[2J\x00"}


def agent_lines(world, platform):
    """What a launcher of somebody else's may say, a line each."""
    yield from (b"", b"\0", b"{", b"null", b"[]", b"1e999", b'"launch"', os.urandom(64).replace(b"\n", b""), b"[" * 60000, b"{}", b'{"type": 1}',
                b'{"type": "launch", "type": "validate"}', b'{"type": "shutdown"}', b'{"type": "launch\xff"}')  # fmt: skip
    for value in WRONG.values():
        for name in ("scheme", "policy", "pdh", "cert-chain", "cpu-id", "secret-area"):
            yield json.dumps(launch_line(world, platform, **{name: value})).encode()
        for name in ("api-major", "api-minor", "build-id", "policy", "measurement", "digest", "launch-id"):
            yield json.dumps(validate_line(**{name: value})).encode()


def test_owner_agent(world, platform, tmp_path):
    """Each is answered by one refusal, and the next question is answered as always."""
    lines = [line for line in agent_lines(world, platform) if line.strip() and len(line) < 65000]
    folder = tmp_path / "own"
    argv = [PROGRAMS / "verb-owner-agent", f"--owner-dir={folder}", f"--inject-secret=luks-key:{world}/pw", f"--certs={world}/askark",
            f"--insecure-root={platform}/ark.cert", "--cache="]  # fmt: skip
    status, out, err = ended(argv, b"".join(line + b"\n" for line in lines) + json.dumps(validate_line()).encode() + b"\n")
    assert status == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    answers = [a for a in answers if a["type"] != "waiting"]
    assert len(answers) == len(lines) + 1
    for line, a in zip([*lines, b"the last"], answers):
        good = a["type"] == "session" and json.loads(line)["type"] == "launch"  # what is wrong does not matter to it
        assert good or (a["type"] == "refused" and a["reason"] and a["verdict"]), (line[:200], a)
        assert "packet" not in a["type"] and not any(ord(c) < 32 for c in json.dumps(a)), (line[:200], a)
    status, out, err = ended(argv, b"A" * 70000)
    assert status == 1 and out == b"" and "a request is longer than 65536 bytes" in err
    for cut in (b"{", b'{"type": "launch"'):
        assert ended(argv, cut)[:2] == (0, b"")  # the launcher is gone in the middle of a line


# --- a service ------------------------------------------------------------------------------------------------------------

OK = (200, {"Content-Type": "application/json"})
SESSION, CERT = base64.b64encode(bytes(128)).decode(), base64.b64encode(bytes(0x824)).decode()
GOOD = {"launch-id": "00" * 16, "session": SESSION, "owner-cert": CERT, "policy": 3}


class Liar(http.server.BaseHTTPRequestHandler):
    """Says what its path names."""

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            SERVICES[self.path.split("/")[2].replace("+", " ")](self)
        except OSError:
            pass

    def say(self, body, status=200, headers=None, length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data) if length is None else length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def flood(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b" " * 65536)

    def drip(self):
        self.say(b"", length=1000)
        for _ in range(8):
            self.wfile.write(b" ")
            time.sleep(1)


def wrong(**more):
    return lambda h: h.say({**GOOD, **more})


SERVICES = {
    "page": lambda h: h.say(b"<html>log in</html>", headers={"Content-Type": "text/html"}),
    "empty": lambda h: h.say(b""),
    "binary": lambda h: h.say(os.urandom(500)),
    "list": lambda h: h.say([GOOD]),
    "null": lambda h: h.say(None),
    "deep": lambda h: h.say(b"[" * 30000),
    "nothing in it": lambda h: h.say({}),
    "twice": lambda h: h.say(json.dumps(GOOD).encode()[:-1] + b', "policy": 7}'),
    "created": lambda h: h.say(GOOD, 201),
    "problem as 200": lambda h: h.say({"code": "x", "detail": "y"}),
    "problem without words": lambda h: h.say({"code": 1, "detail": []}, 403),
    "problem with colours": lambda h: h.say({"code": "\x1b[31m", "detail": "a\x1b]0;x\x07\r\nb\u009b2J" * 100}, 403),
    "moved to a file": lambda h: h.say(b"", 302, {"Location": "file:///etc/passwd"}),
    "moved to http": lambda h: h.say(b"", 307, {"Location": "http://127.0.0.1:1/vm/a/launch"}),
    "moved for ever": lambda h: h.say(b"", 308, {"Location": h.path}),
    "too short": lambda h: h.say(GOOD, length=5000),
    "flood": Liar.flood,
    "many headers": lambda h: h.say(GOOD, headers={f"X-{i}": "y" * 1000 for i in range(2000)}),
    "session of another size": wrong(session=base64.b64encode(bytes(127)).decode()),
    "session is a list": wrong(session=[SESSION]),
    "session not base64": wrong(session="!" * 172),
    "certificate missing": wrong(**{"owner-cert": None}),
    "policy is text": wrong(policy="3"),
    "policy is huge": wrong(policy=1 << 70),
    "policy of others": wrong(policy=1),
    "launch-id is long": wrong(**{"launch-id": "0" * 5000}),
    "launch-id is a number": wrong(**{"launch-id": 7}),
}  # fmt: skip


@pytest.fixture(scope="module")
def liar(world):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world / "cert.pem", world / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_service_that_lies(world, platform, liar):
    line = json.dumps(launch_line(world, platform)).encode() + b"\n"

    def attempt(name):
        status, out, err = ended([PROGRAMS / "verb-owner-agent", f"--attestation-service={liar}/vm/{name.replace(' ', '+')}",
                                  f"--attestation-ca={world}/cert.pem"], line)  # fmt: skip
        answers = [a for a in map(json.loads, out.splitlines()) if a["type"] != "waiting"]
        if status != 0 or len(answers) != 1 or answers[0]["type"] != "refused":
            return f"{name}: status {status}, {answers}, {err}"
        if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in answers[0]["reason"] + answers[0].get("code", "")) or len(answers[0]["reason"]) > 1500:
            return f"{name}: {answers[0]}"
        return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [problem for problem in pool.map(attempt, SERVICES) if problem]
    assert not found, found
