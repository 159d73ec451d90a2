# SPDX-License-Identifier: LGPL-2.1-or-later
"""What strangers may try with the attestation service, on the loopback and bounded in time and number; a good client is served throughout."""

import base64
import concurrent.futures
import contextlib
import json
import os
import random
import resource
import secrets
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, made_up, registration

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402

MEMORY_MAX = 96 * 1024  # KiB
PATIENCE = 8  # seconds for a good client's request, on a machine that does other things too


@pytest.fixture(autouse=True)
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def postgres():
    from postgres import Postgres

    p = Postgres()
    yield p
    p.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def service(request, tmp_path, platform):
    store = ()
    if request.param == "postgresql":
        store = ("--store=" + request.getfixturevalue("postgres").new_database("d" + secrets.token_hex(6)),)
    s = made_up(tmp_path, platform, *store)
    yield s
    s.stop()


@pytest.fixture
def psp(platform):
    return Psp(platform)


class GoodClient:
    """Registers, and from then on starts instances one after the other, by a new connection each time."""

    def __init__(self, service, psp):
        self.service, self.psp, self.slowest = service, psp, 0
        self.c = service.connect()
        assert self.c.request("POST", "/vm/good", registration(**{"max-instances": 100000}), token=service.token)[0] == 201
        self.c.close()

    def start(self):
        begin = time.monotonic()
        c = self.service.connect(timeout=PATIENCE)
        status, answer = c.request("POST", "/vm/good/launch", self.psp.launch())
        assert status == 200, answer
        said = self.psp.measured(answer, DIGEST)
        status, packet = c.request("POST", "/vm/good/validate", said)
        assert status == 200, packet
        c.close()
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return answer, said, packet


CROWD = """
import random, socket, ssl, sys
port, ca, count, seed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
context = ssl.create_default_context(cafile=ca)
held = []
LINES = [b"GET / HTTP/1.1\\r\\n", b"POST /vm/good/launch HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 60000\\r\\n\\r\\n" + b"[" * 9000,
         b"POST /vm/good/launch HTTP/1.1\\r\\nHost: x\\r\\nX: " + b"a" * 9000, b"\\0" * 100, b"GET /vm HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
         b"POST /vm/good/validate HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}"]
for n in range(count):
    try:
        s = socket.create_connection(("127.0.0.1", port), 5, (f"127.0.0.{2 + n % 9}", 0))
        kind = rng.random()
        if kind < 0.3:
            s.sendall(rng.randbytes(rng.randrange(1, 3000)))
        elif kind < 0.5:
            s.sendall(b"\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03" + rng.randbytes(300))
        elif kind < 0.75:
            s = context.wrap_socket(s, server_hostname="127.0.0.1")
            s.sendall(rng.choice(LINES))
        held.append(s)
        if len(held) > 600:
            held.pop(rng.randrange(len(held))).close()
    except OSError:
        pass
print("crowd", count)
"""


@contextlib.contextmanager
def crowd(service, attempts, processes=2):
    port = service.url.rsplit(":", 1)[1]
    argv = [sys.executable, "-c", CROWD, port, service.folder / "state/ca.pem", str(attempts // processes)]
    all_ = [subprocess.Popen([*argv, str(seed)], stdout=subprocess.PIPE) for seed in range(processes)]
    try:
        yield all_
    finally:
        for p in all_:
            p.kill()
            p.wait()
            p.stdout.close()


def test_ten_thousand_attempts(service, psp):
    """Up to 1200 connections at a time of all kinds, each of which leaves some requests half asked."""
    good, starts = GoodClient(service, psp), 0
    with crowd(service, 10000) as processes:
        while any(p.poll() is None for p in processes):
            good.start()
            starts += 1
            time.sleep(0.05)
        assert [p.returncode for p in processes] == [0, 0]
    assert starts >= 10 and good.slowest < PATIENCE
    assert service.peak() < MEMORY_MAX
    assert service.process.poll() is None


def test_every_connection_taken(service, psp):
    """More silent connections than there are places: the oldest make room, nobody waits for their timeouts."""
    good = GoodClient(service, psp)
    port = int(service.url.rsplit(":", 1)[1])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(1400)]
    begin = time.monotonic()
    for _ in range(10):
        good.start()
    assert time.monotonic() - begin < PATIENCE
    fds = len(os.listdir(f"/proc/{service.process.pid}/fd")) if os.geteuid() == 0 else 0  # the process is closed to others
    assert fds < 1024 + 40
    # who was in a hurry is not the one that went
    held[-1].sendall(b"\x16")
    for s in held:
        s.close()
    assert service.peak() < MEMORY_MAX


def test_bodies_of_all_at_once(service):
    """Every connection holds as much as it may: bodies are bounded together too."""
    held = []
    for _ in range(500):
        s = service.raw()
        held.append(s)
        with contextlib.suppress(OSError):
            s.sendall(b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 6000 + b"\r\nContent-Length: 65536\r\n\r\n" + b" " * 65000)
    assert service.peak() < MEMORY_MAX
    c = service.connect()
    assert c.request("GET", "/health") == (200, {"status": "ok"})
    c.close()
    for s in held:
        s.close()


BEGINNINGS = [b"", b"GET /he", b"GET /health HTTP/1.1\r\nHost: x\r\nX: a",
              b"POST /vm/good/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{"]  # fmt: skip


def test_slow_clients_are_dropped(service, psp):
    """One byte a half second, in the request line, a header or a body, or none at all, keeps nobody here for ever; others do not notice."""
    good = GoodClient(service, psp)
    slow = {service.raw(): begin for begin in BEGINNINGS for _ in range(8)}
    started = time.monotonic()
    for s, begin in slow.items():
        s.sendall(begin)
        s.settimeout(0.01)
    gone = {}
    while len(gone) < len(slow) and time.monotonic() - started < 40:
        for s, begin in slow.items():
            if s in gone:
                continue
            try:
                if begin:
                    s.sendall(b"a")
                if s.recv(1000) == b"":
                    gone[s] = time.monotonic() - started
            except (TimeoutError, ssl.SSLWantReadError):
                pass
            except OSError:
                gone[s] = time.monotonic() - started
        good.start()
        time.sleep(0.5)
    assert len(gone) == len(slow)
    assert min(gone.values()) >= 8  # and nobody is dropped at once
    assert good.slowest < PATIENCE
    for s in slow:
        s.close()


def test_rates(tmp_path, platform, psp):
    """One registration that is asked too often is refused; another one is not."""
    s = made_up(tmp_path, platform, "--rate=2")
    c = s.connect()
    for name in ("a", "b"):
        assert c.request("POST", f"/vm/{name}", registration(), token=s.token)[0] == 201
    answers = [c.request("POST", "/vm/a/launch", {}) for _ in range(60)]
    assert [status for status, _ in answers[:16]] == [400] * 16
    status, problem = answers[-1]
    assert (status, problem["code"], c.headers["Retry-After"]) == (429, "too-many-requests", "1")
    assert c.request("POST", "/vm/b/launch", psp.launch())[0] == 200
    assert c.request("POST", "/vm/a/validate", {})[0] == 400  # each kind on its own
    assert c.request("POST", "/vm/nobody/launch", {})[0] == 404
    time.sleep(1.1)
    assert c.request("POST", "/vm/a/launch", psp.launch())[0] == 200
    c.close()
    s.stop()


def nested(n, a=b"[", b=b"]"):
    return a * n + b * n


BODIES = [
    b"", b"{", b"}", b"null", b"1", b'"x"', b"[]", b"{}", b"{}{}", b"{} x", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"a":"\xff"}',
    b'{"a":"\\ud800"}', b'{"pdh":"\\u0000"}', b"\0" * 1000, b'{"a":' + b"9" * 5000 + b"}", b'{"a":1e999}', b'{"a":-1e-999}', b'{"a":nan}',
    nested(32000), nested(10000, b'{"a":', b"}"), b'{"' + b"k" * 65000 + b'":1}', b'{"a":[' + b"1," * 30000 + b"1]}",
    json.dumps({"pdh": "A" * 60000}).encode(), json.dumps({"pdh": "=" * 64, "cert-chain": "A"}).encode(),
    json.dumps({"pdh": base64.b64encode(bytes(2084)).decode(), "cert-chain": base64.b64encode(bytes(3 * 2084)).decode()}).encode(),
    json.dumps({"launch-id": "0" * 32, "api-major": -1, "api-minor": 1, "build-id": 1, "measurement": ""}).encode(),
    json.dumps({"launch-id": 0, "api-major": 1, "api-minor": 1, "build-id": 1, "measurement": "A" * 64}).encode(),
    json.dumps({"api-major": 2**70, "api-minor": 1.5, "build-id": True, "measurement": None}).encode(),
]  # fmt: skip


def test_bodies(service):
    """Any request is answered, with an error message and a 4xx status."""
    c = service.connect()
    assert c.request("POST", "/vm/a", registration(), token=service.token)[0] == 201
    for body in BODIES:
        for path, token in (("/vm/a/launch", None), ("/vm/a/validate", None), ("/vm/b", service.token)):
            status, problem = c.request("POST", path, body, token=token)
            # an empty object is a question that names no launch; it is refused like others
            assert status in (400, 422, 403), (path, body[:40], status)
            assert problem["code"] and problem["detail"] and problem["status"] == status
            assert c.headers["Content-Type"] == "application/problem+json"
    rng = random.Random(7)
    text = json.dumps(registration()).encode()
    for _ in range(300):  # one byte of a good registration is replaced
        at = rng.randrange(len(text))
        status = c.request("POST", "/vm/b", text[:at] + rng.randbytes(1) + text[at + 1 :], token=service.token)[0]
        assert status in (201, 400, 422)
        if status == 201:
            assert c.request("DELETE", "/vm/b", token=service.token)[0] == 204
    assert c.request("GET", "/health")[0] == 200
    c.close()


REQUESTS = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA\0b: c\r\n\r\n",
    b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n{", b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 12000 + b"\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip


def test_requests_that_are_none(service):
    for request in REQUESTS:
        with contextlib.closing(service.raw(timeout=1)) as s:
            answer = b""
            with contextlib.suppress(OSError):
                s.sendall(request)
                while part := s.recv(65536):
                    answer += part
        if answer:
            status = int(answer.split(b" ", 2)[1])
            assert 400 <= status < 500 or (status == 200 and request.startswith(b"GET / ")) or status == 505, (request[:60], answer[:200])
    c = service.connect()
    assert c.request("GET", "/health")[0] == 200
    c.close()


def test_a_request_hidden_in_another(service):
    """Length and chunks at once, as between a proxy and a server that differ: the connection does not continue with the rest."""
    with contextlib.closing(service.raw(timeout=60)) as s:
        s.sendall(b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        s.settimeout(3)
        with contextlib.suppress(OSError):
            while part := s.recv(65536):
                answer += part
    # either refused, or taken as chunks with the rest as its own request by the rule of RFC 9112, 6.3; never as five bytes of body
    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.count(b"HTTP/1.1 ") <= 2 and b"0\\r\\n" not in answer


def test_paths(service):
    c = service.connect()
    assert c.request("POST", "/vm/a", registration(), token=service.token)[0] == 201
    for path in ("/vm/a/../a/launch", "/vm/./a/launch", "/vm/a//launch", "/VM/a/launch", "/vm/a/launch/", "/vm/a/launch%00", "/vm/%61/launch", "/vm/a;x/launch",
                 "/vm/a/launch#x", "//vm/a/launch", "/vm/a\\launch", "/vm/.a/launch", "/vm/" + "a" * 129 + "/launch", "/x" * 100, "/vm/a/events/launch"):  # fmt: skip
        assert c.request("POST", path, b"{}")[0] == 404, path
    assert c.request("POST", "/vm/a/launch?b=c", b"{}")[0] == 400
    assert c.request("GET", "/vm/a/../..", token=service.token)[0] == 404
    c.close()


def test_guessed_tokens(service):
    """Near and far: all refused by the same words; a good one is a good one afterwards."""
    c, good = service.connect(), service.token
    flipped = good[:-1] + ("0" if good[-1] != "0" else "1")
    guesses = [good[:-1], good + "0", good.upper() if good.upper() != good else good[1:], flipped, good[::-1], "x", "'; DROP TABLE owner; --", "%", "*",
               "a" * 256, "a" * 257, "a" * 3000]  # fmt: skip
    answers = set()
    for guess in guesses:
        status, problem = c.request("GET", "/vm", token=guess)
        assert status == 401, guess
        answers.add(json.dumps(problem))
    for header in ("Bearer", "Bearer ", "Basic " + good, good, "Token " + good):
        assert c.request("GET", "/vm", headers={"Authorization": header})[0] == 401, header
    assert len(answers) == 1
    for n in range(300):
        assert c.request("GET", "/vm/a", token=f"{n:064x}")[0] == 401
    assert c.request("GET", "/vm", token=good)[0] == 200
    assert good not in service.text()
    c.close()


def test_measurements_of_others(service, psp):
    """Replayed, borrowed, stale, guessed, and the three failures that end a launch."""
    c = service.connect()
    for name in ("a", "b"):
        assert c.request("POST", f"/vm/{name}", registration(**{"max-instances": 100}), token=service.token)[0] == 201

    def launch(name="a"):
        status, answer = c.request("POST", f"/vm/{name}/launch", psp.launch())
        assert status == 200
        return answer

    def validate(said, name="a"):
        status, body = c.request("POST", f"/vm/{name}/validate", said)
        return status if status == 200 else body["code"]

    first, second, third = launch(), launch(), launch("b")
    said = psp.measured(first, DIGEST)
    assert validate({**said, "launch-id": second["launch-id"]}) == "measurement-mismatch"
    assert validate({**said, "launch-id": third["launch-id"]}, "b") == "measurement-mismatch"
    assert validate(said, "b") == "unknown-launch"
    for n in range(50):
        assert validate({**said, "launch-id": f"{n:032x}"}) == "unknown-launch"
    assert validate(psp.measured(first, "5b" * 32)) == "measurement-mismatch"
    assert validate(psp.measured(first, DIGEST, policy=5)) == "measurement-mismatch"
    assert validate({**said, "policy": 5}) == "policy-mismatch"
    given = psp.measured(first, DIGEST, api=(1, 54))
    assert validate(given) == 200
    assert validate(psp.measured(first, DIGEST, api=(1, 54))) == "measurement-mismatch"  # another nonce: another measurement
    # released is final: nothing that is sent to it afterwards burns it, takes its packet away or counts for another launch
    packet = c.request("POST", "/vm/a/validate", given)[1]
    assert [validate(said) for _ in range(9)] == ["measurement-mismatch"] * 9
    assert c.request("POST", "/vm/a/validate", given)[1] == packet
    fourth = launch()
    wrong = [psp.measured(fourth, "5b" * 32) for _ in range(3)]
    assert [validate(w) for w in wrong] == ["measurement-mismatch"] * 3
    assert validate(psp.measured(fourth, DIGEST)) == "launch-burned"
    # without a launch-id nobody's launch is brought nearer to its end
    assert [validate({k: v for k, v in psp.measured(second, "5b" * 32).items() if k != "launch-id"}) for _ in range(9)] == ["measurement-mismatch"] * 9
    assert validate(psp.measured(second, DIGEST)) == 200
    c.close()


def test_platforms_that_are_none(service, psp, platform, tmp_path):
    """Chains wrong, forged, mixed and of another owner."""
    c = service.connect()
    assert c.request("POST", "/vm/a", registration(), token=service.token)[0] == 201
    assert c.request("POST", "/vm/pinned", registration(**{"cloud-cert": "22" * 32}), token=service.token)[0] == 201

    def code(body, name="a"):
        status, answer = c.request("POST", f"/vm/{name}/launch", body)
        return status if status == 200 else answer["code"]

    assert code(psp.launch()) == 200
    assert code(psp.launch(), "pinned") == "platform-owner-not-accepted"
    assert code(psp.launch(cek="cek")) == "cek-unsigned"
    assert code(psp.launch(policy=5)) == "policy-mismatch"
    assert code(psp.launch(scheme="amd-sev")) == "scheme-mismatch"
    chain = base64.b64decode(psp.launch()["cert-chain"])
    for at in range(0x10, len(chain), 97):
        forged = bytearray(chain)
        forged[at] ^= 0x40
        forged = psp.launch(**{"cert-chain": base64.b64encode(bytes(forged)).decode()})
        # bytes that no signature covers, and that nothing reads, may differ
        assert code(forged) in ("platform-not-authentic", "malformed", "cek-unsigned", "collateral-missing", 200), at
    for name in ("pek", "oca", "cek-signed"):
        assert code(psp.launch(**{"pdh": base64.b64encode(psp.file(name)).decode()})) in ("malformed", "platform-not-authentic"), name
    other = tmp_path / "other"
    other.mkdir()
    from sevsim_host import build_folder

    subprocess.run([build_folder() / "sevsim/sevsim-identity", other], check=True, timeout=120)
    stranger = Psp(other)
    c.close()  # it was silent for long
    assert code(stranger.launch()) == "platform-not-authentic"
    own_amd = base64.b64encode(stranger.file("pek", "oca", "cek-signed", "ask", "ark")).decode()
    assert code(stranger.launch(**{"cert-chain": own_amd})) == "platform-not-authentic"
    mixed = {**psp.launch(), "pdh": stranger.launch()["pdh"]}
    assert code(mixed) == "platform-not-authentic"
    c.close()


def test_many_at_once(service, psp):
    """Eight hosts side by side: each gets its own keys, and a packet for them."""
    c = service.connect()
    assert c.request("POST", "/vm/a", registration(**{"max-instances": 1000}), token=service.token)[0] == 201
    c.close()

    def host(_):
        c = service.connect()
        for _ in range(5):
            status, answer = c.request("POST", "/vm/a/launch", psp.launch())
            assert status == 200
            said = psp.measured(answer, DIGEST)
            status, packet = c.request("POST", "/vm/a/validate", said)
            assert status == 200 and b"open sesame" in psp.unsealed(answer, said, packet)
        c.close()
        return psp.keys(answer)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(host, range(8)))) == 8
