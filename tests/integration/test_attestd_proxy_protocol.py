# SPDX-License-Identifier: LGPL-2.1-or-later
"""--proxy-protocol=: behind haproxy, which passes TLS on and says in a header whose connection it is, each client has its own share. Nobody else is
believed. Clients have different addresses of the loopback."""

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from attestd_service import made_up, registration
from sevsim_host import build_folder, skip_or_fail
from test_tunnel import HOST, Owner, Relay, connect, wait
from test_tunnel_connect import UP, Bridge

CONFIG = """
defaults
        mode tcp
        timeout connect 10s
        timeout client 60s
        timeout server 60s
frontend owner
        bind 127.0.0.1:{port}
        default_backend service
backend service
        server one {address} {how}
"""
V1 = b"PROXY TCP4 %s 192.0.2.2 1234 443\r\n"


class From(http.client.HTTPSConnection):
    """A client of this address."""

    def __init__(self, s, address, port, ca="state/ca.pem"):
        context = ssl.create_default_context(cafile=s.folder / ca)
        super().__init__("127.0.0.1", port, context=context, timeout=60, source_address=(address, 0))

    def ask(self, path, body=b"{}", method="POST", token=None):
        self.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
        answer = self.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def haproxy(tmp_path):
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not program:
        skip_or_fail("haproxy is not installed")
    started = []

    def start(address, how):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        (tmp_path / "haproxy.cfg").write_text(CONFIG.format(port=port, address=address, how=how))
        with open(tmp_path / "haproxy.log", "ab") as log:
            started.append(subprocess.Popen([program, "-db", "-q", "-f", tmp_path / "haproxy.cfg"], stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return port
            except OSError:
                assert started[0].poll() is None and time.monotonic() < end, (tmp_path / "haproxy.log").read_text()
                time.sleep(0.05)

    yield start
    for process in started:
        process.kill()
        process.wait()


def port_of(s):
    return int(s.url.rsplit(":", 1)[1])


def asked_too_often(s, client):
    assert client.ask("/vm/a", json.dumps(registration()).encode(), "POST", s.token) == 201
    assert 429 in [client.ask("/vm/a/launch") for _ in range(60)]


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2 check"])
def test_each_client_has_its_share(tmp_path, platform, haproxy, how):
    s = made_up(tmp_path, platform, "--rate=1", "--proxy-protocol=192.0.2.1,127.0.0.1/32")
    port = haproxy(f"127.0.0.1:{port_of(s)}", how)
    with contextlib.closing(From(s, "127.0.0.2", port)) as first, contextlib.closing(From(s, "127.0.0.3", port)) as second:
        asked_too_often(s, first)
        assert second.ask("/vm/a/launch") == 400  # it is asked, and has its own share
    s.stop()


def test_without_it_they_share(tmp_path, platform, haproxy):
    """What the option is for."""
    s = made_up(tmp_path, platform, "--rate=1")
    port = haproxy(f"127.0.0.1:{port_of(s)}", "")
    with contextlib.closing(From(s, "127.0.0.2", port)) as first, contextlib.closing(From(s, "127.0.0.3", port)) as second:
        asked_too_often(s, first)
        assert 429 in [second.ask("/vm/a/launch") for _ in range(10)]
    s.stop()


def through(s, source, words, pause=False):
    """TLS to the service itself, after these bytes."""
    raw = socket.create_connection(("127.0.0.1", port_of(s)), 60, source_address=(source, 0))
    for piece in [bytes([b]) for b in words] if pause else [words] if words else []:
        raw.sendall(piece)
    return ssl.create_default_context(cafile=s.folder / "state/ca.pem").wrap_socket(raw, server_hostname="127.0.0.1")


def healthy(connection):
    with contextlib.closing(connection) as c:
        c.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return c.recv(12) == b"HTTP/1.1 200"


def is_refused(s, source, words):
    """wrap_socket() itself may succeed, without TLS, on a connection that has ended already."""
    try:
        return not healthy(through(s, source, words))
    except (ssl.SSLError, ConnectionError):
        return True


def test_who_is_believed(tmp_path, platform):
    s = made_up(tmp_path, platform, "--proxy-protocol=127.0.0.9")
    assert healthy(through(s, "127.0.0.9", V1 % b"192.0.2.77"))
    assert healthy(through(s, "127.0.0.9", V1 % b"192.0.2.77", pause=True))
    assert healthy(through(s, "127.0.0.1", b""))
    assert is_refused(s, "127.0.0.1", V1 % b"192.0.2.77")  # nobody named it: its bytes are TLS or nothing
    for words in (b"", V1 % b"192.0.2.777", b"PROXY TCP4 " + b"1" * 200, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"):
        assert is_refused(s, "127.0.0.9", words)
    assert "--proxy-protocol: closed a connection of a proxy: it does not begin with a PROXY header" in s.text()
    assert s.text().count("closed a connection") == 1  # once a minute
    s.stop()


def test_silent_proxies(tmp_path, platform):
    """More of them than are awaited keep nobody out, and do not hold up the end."""
    s = made_up(tmp_path, platform, "--proxy-protocol=127.0.0.9")
    silent = [socket.create_connection(("127.0.0.1", port_of(s)), 60, source_address=("127.0.0.9", 0)) for _ in range(300)]
    assert healthy(through(s, "127.0.0.1", b""))
    assert healthy(through(s, "127.0.0.9", V1 % b"192.0.2.77"))
    started = time.monotonic()
    s.stop()
    assert time.monotonic() - started < 60
    for c in silent:
        c.close()


class Through(From):
    """A client of this address at the relay."""

    def __init__(self, owner, address, port):
        super().__init__(owner, address, port, "service-ca.pem")
        self.sock = connect(ssl.create_default_context(cafile=owner.folder / "service-ca.pem"), port, 60, source=address)


@pytest.fixture
def relay(tmp_path):
    r = Relay(tmp_path)
    yield r
    r.stop()


@pytest.mark.parametrize("more", [["--proxy-protocol=127.0.0.1"], ["--proxy-protocol=unix", "unix"], ["--proxy-protocol=127.0.0.1", "0.0.0.0"]])
def test_each_host_of_a_relay_has_its_share(tmp_path, platform, relay, more):
    """The process of --via= says what the relay says, where the service believes it."""
    listen = {"unix": f"--listen=unix:{tmp_path}/socket", "0.0.0.0": "--listen=0.0.0.0:0"}.get(more[-1], "--listen=127.0.0.1:0")
    o = Owner(tmp_path, platform, relay.port, more=["--rate=1", more[0], listen])
    wait(lambda: o.ups() == 1)
    with contextlib.closing(Through(o, "127.0.0.2", relay.port)) as first, contextlib.closing(Through(o, "127.0.0.3", relay.port)) as second:
        asked_too_often(o.service, first)
        assert second.ask("/vm/a/launch") == 400
    o.service.stop()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("words,begin", [(["--proxy-protocol"], b"PROXY TCP4 127.0.0.3 0.0.0.0 0 0\r\n"), ([], b"")])
def test_what_the_owners_end_sends(tmp_path, relay, words, begin):
    hello = client_hello()
    with socket.create_server(("127.0.0.1", 0)) as service:
        bridge = Bridge(tmp_path, relay, f"127.0.0.1:{service.getsockname()[1]}", *words)
        wait(lambda: UP in bridge.log())
        with socket.create_connection(("127.0.0.1", relay.port), 60, ("127.0.0.3", 0)) as host:
            host.sendall(hello)
            service.settimeout(60)
            with service.accept()[0] as got:
                got.settimeout(60)
                data = b""
                while len(data) < len(begin + hello):
                    data += got.recv(65536)
        assert data == begin + hello
        bridge.stop()


@pytest.mark.parametrize("word,wrong", [("localhost", "localhost"), ("10.0.0.1/33", "10.0.0.1/33"), ("10.0.0.1,", "")])
def test_wrong_words(tmp_path, word, wrong):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={tmp_path}/state", f"--proxy-protocol={word}"], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (f"cvmspawn-attestd: --proxy-protocol: '{wrong}': expected the address or the network of a proxy, such as 192.0.2.7 or "
                           "fd00::/64, or 'unix'\n")  # fmt: skip
    assert not (tmp_path / "state").exists()
