# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn-tunnel connect: the owner's end of a tunnel before something that has none. Hosts reach the service through it; the log says why they do not; and it
leaves nothing and listens nowhere."""

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from attestd_service import DIGEST, Client, made_up, registration
from test_tunnel import HOST, PROGRAM, Psp, Relay, certificate, connect, wait

UP = "hosts reach this service at https://alice.relay.localhost:"


class Balancer:
    """Sends each connection to the next of these ports."""

    def __init__(self, *ports):
        self.ports, self.taken = list(ports), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                port = self.ports[len(self.taken) % len(self.ports)]
                self.taken.append(port)
                far = socket.create_connection(("127.0.0.1", port))
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)


class Bridge:
    def __init__(self, folder, relay, to, *words):
        self.path = folder / "bridge.log"
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "connect", f"--to={to}", f"--via=https://127.0.0.1:{relay.port}/alice",
                                             f"--via-token-file={folder}/alice.token", f"--via-ca={folder}/relay-ca.pem", *words],
                                            stdout=log, stderr=log)  # fmt: skip

    def log(self):
        return self.path.read_text()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        assert self.process.wait(30) == 0, self.log()


@pytest.fixture
def relay(tmp_path):
    r = Relay(tmp_path)
    yield r
    r.stop()


def services(folder, platform, count):
    """With one certificate and one state."""
    certificate(folder, "service", HOST, "127.0.0.1")
    one = [f"--tls-cert={folder}/service.pem", f"--tls-key={folder}/service.key"]
    return [made_up(folder, platform, *one) for _ in range(count)]


def client(folder, relay, timeout=30):
    context = ssl.create_default_context(cafile=folder / "service-ca.pem")
    c = Client("127.0.0.1", relay.port, context, timeout)
    c.connection.sock = connect(context, relay.port, timeout)
    return c


def port_of(service):
    return int(service.url.rsplit(":", 1)[1])


def listening(pid):
    """Sockets of this process that listen."""
    own = {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]


def test_a_balancer_behind_it(tmp_path, platform, relay):
    """A launch that begins at one instance ends at the other one; the first is killed meanwhile."""
    both = services(tmp_path, platform, 2)
    balancer = Balancer(*map(port_of, both))
    bridge = Bridge(tmp_path, relay, f"127.0.0.1:{balancer.port}")
    wait(lambda: UP in bridge.log())
    assert not listening(bridge.process.pid)
    psp = Psp(platform)
    token = both[0].token
    assert client(tmp_path, relay).request("POST", "/vm/a", registration(), token=token)[0] == 201
    status, answer = client(tmp_path, relay).request("POST", "/vm/a/launch", psp.launch())
    assert status == 200
    first = balancer.taken[-1]
    next(s for s in both if port_of(s) == first).kill()
    balancer.ports.remove(first)
    said = psp.measured(answer, DIGEST)
    status, packet = client(tmp_path, relay).request("POST", "/vm/a/validate", said)
    assert status == 200 and b"open sesame" in psp.unsealed(answer, said, packet)
    assert balancer.taken[-1] != first
    bridge.stop()
    wait(lambda: "the owner's end is gone" in relay.log.read_text())
    balancer.listener.close()
    next(s for s in both if port_of(s) != first).stop()


def test_nothing_behind_it(tmp_path, platform, relay):
    """It says so once, until the service was there; a host's connection ends."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    bridge = Bridge(tmp_path, relay, f"127.0.0.1:{port}")
    wait(lambda: UP in bridge.log())
    context, away = ssl.create_default_context(), "the service is not reachable: Connection refused"
    for _ in range(3):
        with pytest.raises((OSError, http.client.HTTPException)):
            connect(context, relay.port)
    wait(lambda: away in bridge.log())
    assert bridge.log().count(away) == 1
    with socket.create_server(("127.0.0.1", port)) as s:  # there, and ends the connection
        threading.Thread(target=lambda: s.accept()[0].close(), daemon=True).start()
        with pytest.raises((OSError, http.client.HTTPException)):
            connect(context, relay.port)
    with pytest.raises((OSError, http.client.HTTPException)):
        connect(context, relay.port)
    wait(lambda: bridge.log().count(away) == 2)
    bridge.stop(signal.SIGINT)


def test_a_unix_socket_behind_it(tmp_path, relay):
    path = tmp_path / "s"
    bridge = Bridge(tmp_path, relay, f"unix:{path}")
    wait(lambda: UP in bridge.log())
    with pytest.raises((OSError, http.client.HTTPException)):
        connect(ssl.create_default_context(), relay.port)
    wait(lambda: "the service is not reachable: No such file or directory" in bridge.log())
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        hello = socket.create_connection(("127.0.0.1", relay.port), 30)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
        sent = outgoing.read()
        hello.sendall(sent)
        near, _ = s.accept()
        near.settimeout(30)
        got = b""
        while len(got) < len(sent):
            got += near.recv(65536)
        assert got == sent
        near.sendall(b"back")
        assert hello.recv(4) == b"back"
        near.close()
        hello.close()
    bridge.stop()


def test_relay_that_comes_later(tmp_path):
    relay = Relay(tmp_path)
    relay.kill()
    bridge = Bridge(tmp_path, relay, "127.0.0.1:1")
    wait(lambda: "the relay '127.0.0.1' is not reachable, trying again" in bridge.log())
    relay.start()
    wait(lambda: UP in bridge.log(), 90)
    relay.stop()
    bridge.stop()


def test_what_it_can_do(tmp_path, relay):
    """Neither capabilities nor new privileges, and a filter of system calls."""
    bridge = Bridge(tmp_path, relay, "127.0.0.1:1")
    wait(lambda: UP in bridge.log())
    status = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{bridge.process.pid}/status").read_text(), re.M))
    assert (status["CapEff"], status["CapPrm"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "0" * 16, "1", "2")
    token = (tmp_path / "alice.token").read_text().strip()
    assert token not in Path(f"/proc/{bridge.process.pid}/cmdline").read_text() and token not in bridge.log()
    bridge.stop()


GOOD = ["--to=127.0.0.1:1", "--via=https://127.0.0.1/alice", "--via-token-file=token"]


@pytest.mark.parametrize("words, says", [
    (GOOD[:2], "connect: requires --to=, --via= and --via-token-file="),
    ([*GOOD, "more"], "connect: expected no arguments"),
    (["--to=example.com:443", *GOOD[1:]], "--to: expected a numeric ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH, not 'example.com:443'"),
    (["--to=127.0.0.1", *GOOD[1:]], "--to: expected a numeric ADDRESS:PORT"),
    (["--to=unix:", *GOOD[1:]], "--to: expected a numeric ADDRESS:PORT"),
    ([GOOD[0], "--via=http://127.0.0.1/alice", GOOD[2]], "--via: "),
    ([*GOOD[:2], "--via-token-file=missing"], "missing"),
    ([*GOOD[:2], "--via-token-file=short"], "--via-token-file: 'short' is not a token that 'cvmspawn-tunnel add' wrote"),
    ([*GOOD, "--via-ca=short"], "--via-ca"),
    ([*GOOD, "--name=a"], "--name"),
])  # fmt: skip
def test_what_is_refused(tmp_path, words, says):
    (tmp_path / "token").write_text("ab" * 32 + "\n")
    (tmp_path / "short").write_text("ab\n")
    done = subprocess.run([PROGRAM, "connect", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1, done
