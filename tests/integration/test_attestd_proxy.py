# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service behind proxies that understand nothing of it: one that passes bytes on, and nginx, which ends TLS itself and speaks to a unix
socket, or to the service's own TLS. Hosts and owners notice nothing."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, Client, made_up, registration
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402


def whole_way(client, psp, token):
    """Registration, launch and validation by new clients for each request, and what must be refused."""

    def ask(*words, **more):
        c = client()
        answer = c.request(*words, **more)
        c.close()
        return answer

    assert ask("POST", "/vm/a", registration())[0] == 401
    assert ask("POST", "/vm/a", registration(), token=token)[0] == 201
    status, answer = ask("POST", "/vm/a/launch", psp.launch())
    assert status == 200
    said = psp.measured(answer, DIGEST)
    wrong = psp.measured(answer, "5b" * 32)
    status, problem = ask("POST", "/vm/a/validate", wrong)
    assert (status, problem["code"]) == (403, "measurement-mismatch")
    status, packet = ask("POST", "/vm/a/validate", said)
    assert status == 200
    assert b"open sesame" in psp.unsealed(answer, said, packet)
    assert ask("POST", "/vm/a/validate", said) == (200, packet)
    assert [e["event"] for e in ask("GET", "/vm/a/events", token=token)[1]][0] == "released"
    assert ask("POST", "/vm/a/launch", b"x" * 60000)[0] == 400
    assert ask("POST", "/vm/%2e%2e/launch", b"{}")[0] in (400, 404)


class Relay:
    """Bytes in, bytes out; remembers what it could see."""

    def __init__(self, port):
        self.port, self.seen = port, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(1000):  # in other pieces than they were sent
                self.seen += data
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_through_a_relay(tmp_path, platform):
    """TLS ends at the service: the relay sees neither token nor secret, nor which registration it is."""
    s = made_up(tmp_path, platform)
    relay = Relay(int(s.url.rsplit(":", 1)[1]))
    context = ssl.create_default_context(cafile=tmp_path / "state/ca.pem")
    whole_way(lambda: Client("127.0.0.1", relay.listener.getsockname()[1], context, 30), Psp(platform), s.token)
    relay.listener.close()
    s.stop()
    assert len(relay.seen) > 10000
    for word in (s.token.encode(), b"/vm/a", b"launch", b"sesame"):
        assert word not in relay.seen


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
        access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
        scgi_temp_path {folder}/s;
        server {{
                listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key;
                client_max_body_size 64k;
                location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; {more} }}
        }}
}}
"""


@pytest.fixture
def nginx(tmp_path):
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        skip_or_fail("nginx is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=proxy", "-days", "2",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{tmp_path}/tls.key", "-out", f"{tmp_path}/tls.pem"], check=True, capture_output=True)  # fmt: skip
    started = []

    def start(upstream, more=""):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        (tmp_path / "conf").write_text(("user root;" if tmp_path.owner() == "root" else "") +
                                       NGINX.format(folder=tmp_path, port=port, upstream=upstream, more=more))  # fmt: skip
        log = open(tmp_path / "nginx.log", "ab")
        process = subprocess.Popen([program, "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "conf"], stderr=log, stdout=log)
        started.append((process, log))
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, (tmp_path / "nginx.log").read_text()
                time.sleep(0.05)
        return port

    yield start
    for process, log in started:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.mark.full
def test_nginx_before_a_unix_socket(tmp_path, platform, nginx):
    (tmp_path / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    path = tmp_path / "socket"
    p = subprocess.Popen([build_folder() / "programs/cvmspawn-attestd", "--dev", "--plain", f"--state={tmp_path}/state", f"--listen=unix:{path}",
                          f"--certs={tmp_path}/amd", f"--insecure-root={platform}/ark.cert"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert json.loads(p.stdout.readline())["url"] == f"http://unix:{path}"
    port = nginx(f"http://unix:{path}:")
    context = ssl.create_default_context(cafile=tmp_path / "tls.pem")
    whole_way(lambda: Client("127.0.0.1", port, context, 30), Psp(platform), (tmp_path / "state/token").read_text())
    p.terminate()
    assert p.wait(20) == 0
    p.stdout.close()
    # the service is away: the proxy says so, and the client gets no secret of anybody
    c = Client("127.0.0.1", port, context, 30)
    c.connection.request("GET", "/health")
    assert c.connection.getresponse().status == 502
    c.close()


@pytest.mark.full
def test_nginx_before_tls(tmp_path, platform, nginx):
    s = made_up(tmp_path, platform)
    more = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {tmp_path}/state/ca.pem; proxy_ssl_name localhost;"
    port = nginx(s.url, more)
    context = ssl.create_default_context(cafile=tmp_path / "tls.pem")
    whole_way(lambda: Client("127.0.0.1", port, context, 30), Psp(platform), s.token)
    s.stop()
