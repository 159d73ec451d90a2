# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients do to the mirror, by mistake or not: it answers others, holds little memory, and ends nothing but the connection. And what the mirror's
processes can still do when somebody has taken one over."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from collateral_mirror import BUILD, KeyService, Mirror, UnixConnection, make_chips

CHAIN = b"/vcek/v1/Milan/cert_chain"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = make_chips(tmp_path_factory.mktemp("amd"), 3)
    kds = KeyService(folder)
    mirror = Mirror(tmp_path_factory.mktemp("mirror"), folder, f"--kds={kds.url}", "--interval=1ms")
    assert mirror.get_until(CHAIN.decode())[0] == 200
    yield mirror
    mirror.stop()
    kds.stop()


def raw(mirror, data, seconds=30, tcp=False):
    """Everything that comes until the server ends the connection, or nothing has come for so long."""
    s = socket.create_connection(("127.0.0.1", mirror.port)) if tcp else socket.socket(socket.AF_UNIX)
    if not tcp:
        s.connect(str(mirror.socket))
    s.settimeout(seconds)
    received = b""
    try:
        s.sendall(data)
        while chunk := s.recv(65536):
            received += chunk
            if b"\r\n\r\n" in received and b"close" not in received.lower():
                break
    except (ConnectionError, TimeoutError):
        pass
    s.close()
    return received


def rss(mirror):
    return int(next(line for line in Path(f"/proc/{mirror.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


def works(mirror):
    return mirror.get(CHAIN.decode())[0] == 200


def until(question, end):
    """Its answer, once the queue of the socket has room."""
    while True:
        try:
            return question()
        except BlockingIOError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("data, starts", [
    (b"POST " + CHAIN + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 405"),
    (b"DELETE " + CHAIN + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 405"),
    (b"GET " + CHAIN + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 400"),
    (b"GET " + CHAIN + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"HTTP/1.1 400"),
    (b"GET " + CHAIN + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
    (b"GET /" + b"a" * 90000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 4"),
    (b"GET " + CHAIN + b" HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(9000)) + b"\r\n", b"HTTP/1.1 4"),
    (b"GET " + CHAIN + b"%00 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400"),
    (b"GET //etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
    (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
    (b"\0" * 500, b""),
    (b"\x16\x03\x01" + bytes(range(256)), b""),
    (b"HEAD " + CHAIN + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200"),
])  # fmt: skip
def test_malformed(world, data, starts):
    for tcp in (False, True):
        answer = raw(world, data, seconds=2, tcp=tcp)
        assert answer.startswith(starts), answer[:200]
        assert b"root:" not in answer
    assert works(world)


@pytest.mark.full
def test_slow(world):
    """A request that never becomes whole is ended; meanwhile others are answered."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(world.socket))
    begin = time.monotonic()
    try:
        for byte in b"GET " + CHAIN + b" HTTP/1.1\r\n" + b"X: " + b"a" * 500:
            s.sendall(bytes([byte]))
            assert works(world)
            time.sleep(0.5)
            assert time.monotonic() - begin < 25
    except OSError:
        pass
    assert 10 < time.monotonic() - begin < 25
    s.close()


@pytest.mark.full
def test_many_connections(world):
    """More silent connections than the mirror takes: somebody who asks is answered all the same, and memory does not grow without end."""
    before = rss(world)
    silent, patience = [], time.monotonic() + 120
    # A Unix socket says at once that its queue is full: the mirror is busy with those before, or takes no more.
    while len(silent) < 2300:
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(str(world.socket))
        except BlockingIOError:
            s.close()
            if len(silent) > 1900:
                break
            assert time.monotonic() < patience, len(silent)
            time.sleep(0.02)
            continue
        silent.append(s)
    assert until(lambda: works(world), patience)
    assert rss(world) - before < 60000
    for s in silent:
        s.close()
    assert until(lambda: works(world), patience)


@pytest.mark.full
def test_invented_chips(world):
    """Chips that do not exist, by the thousand: a client has a share of the queue, and what is cached is answered."""
    connection = UnixConnection(world.socket)
    for i in range(1, 1600):
        status, headers, _ = world.get(f"/vcek/v1/Milan/{i:0128x}?blSPL=1&teeSPL=0&snpSPL=1&ucodeSPL=1", connection)
        assert status in (200, 404, 429)
        if status == 429:
            assert int(headers["Retry-After"]) >= 1
    connection.close()
    assert works(world)
    assert world.metrics()["cvmspawn_collateral_queue"] <= 1024 + 64


def descendants(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_confined(world):
    """No process has privileges, gains any, or can be looked at; those with the network have no sockets of clients."""
    children = descendants(world.process.pid)
    assert len(children) == 2  # one for AMD's key service, one for Intel's PCS
    for pid in (world.process.pid, *children):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert status["CapEff"].strip() == status["CapPrm"].strip() == "0" * 16
        assert status["NoNewPrivs"].strip() == "1"
    assert "Seccomp:\t2" in Path(f"/proc/{world.process.pid}/status").read_text()
    listening = {os.readlink(f"/proc/{world.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{world.process.pid}/fd")}
    assert sum(name.startswith("socket:") for name in listening) >= 3


def test_refused_at_start(tmp_path, world):
    program, precious = BUILD / "programs/cvmspawn-collateral", tmp_path / "precious"
    precious.write_text("precious")
    for words, says in [([], "expected serve, list, export or import"), (["serve", "--listen=0.0.0.0:0"], "only loopback addresses and unix sockets"),
                        (["serve", f"--listen=unix:{world.socket}"], "Address already in use"), (["serve", "--listen=unix:x"], "an absolute path"),
                        (["serve", f"--listen=unix:{precious}"], "another kind of file is there"), (["serve", "--listen=127.0.0.1:65536"], "from 0 to 65535"),
                        (["serve", "--listen=127.0.0.1: 80"], "from 0 to 65535"),
                        (["serve", "--kds=ftp://x"], "--kds: expected https://"), (["serve", "--offline", "--prefetch=x"], "nothing is downloaded then"),
                        (["serve", "--insecure-root=/dev/null"], "--insecure-root"), (["list", "x"], "expected no arguments"),
                        (["export"], "expected one file"), (["import", "/nonexistent"], "cannot read '/nonexistent'"),
                        (["serve", *["--listen=127.0.0.1:0"] * 9], "at most 8 addresses"), (["export", f"{tmp_path}/no/where"], "contains nothing to export")]:  # fmt: skip
        done = subprocess.run([program, *words, f"--cache={tmp_path}/cache"] if words else [program], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and says in done.stderr, (words, done.stderr)
        assert precious.read_text() == "precious"
        assert len([line for line in done.stderr.splitlines() if ": warning: " not in line]) == 1, done.stderr
