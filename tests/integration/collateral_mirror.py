# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in of AMD's key service for many chips, and cvmspawn-collateral before it."""

import http.client
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

BUILD = Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()


def make_chips(folder, n):
    subprocess.run([BUILD / "tests/lib/fake-amd-chips", folder, str(n)], check=True, timeout=120)
    return folder


class KeyService(http.server.ThreadingHTTPServer):
    """AMD's key service for the chips of a folder, with its limit: one request in `interval` seconds, else 429, with Retry-After or without.
    mood: None, or what every request meets (a function of the handler that answers). wrong: {path: bytes}."""

    request_queue_size = 256

    def __init__(self, folder, interval=0.0, retry_after=None):
        super().__init__(("127.0.0.1", 0), KeyServiceHandler)
        self.folder, self.interval, self.retry_after = folder, interval, retry_after
        self.paths = {line: f"chip-{i}.der" for i, line in enumerate((folder / "paths").read_text().split())}
        self.crl, self.mood, self.wrong = "crl.der", None, {}
        self.requests, self.refused, self.last, self.lock = [], 0, 0.0, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class KeyServiceHandler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body=b"no", headers=()):
        self.send_response(status)
        for name, value in [("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        if s.mood:
            return s.mood(self)
        with s.lock:
            now = time.monotonic()
            early = now - s.last < s.interval
            if early:
                s.refused += 1
            else:
                s.last = now
                s.requests.append(self.path)
        if early:
            return self.reply(429, headers=[("Retry-After", str(s.retry_after))] if s.retry_after is not None else [])
        if self.path in s.wrong:
            return self.reply(200, s.wrong[self.path])
        name = {"/vcek/v1/Milan/cert_chain": "chain.pem", "/vcek/v1/Milan/crl": s.crl}.get(self.path) or s.paths.get(self.path)
        if not name:
            return self.reply(404)
        return self.reply(200, (s.folder / name).read_bytes())

    def log_message(self, *_):
        pass


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Mirror:
    """cvmspawn-collateral serve on a socket in the folder, and on the loopback."""

    def __init__(self, folder, amd, *options, env=None):
        self.folder, self.amd, self.cache, self.socket = folder, amd, folder / "cache", folder / "kds.sock"
        self.options, self.env = options, {**os.environ, **(env or {})}
        self.start()

    def start(self):
        argv = [BUILD / "programs/cvmspawn-collateral", "serve", f"--listen=unix:{self.socket}", "--listen=127.0.0.1:0",
                f"--cache={self.cache}", f"--insecure-root={self.amd}/ark.der", *self.options]  # fmt: skip
        self.log = open(self.folder / "log", "ab")
        before = self.said().count("listening on 127.0.0.1:")
        self.process = subprocess.Popen(argv, stderr=self.log, env=self.env)
        deadline = time.monotonic() + 30
        while self.said().count("listening on 127.0.0.1:") == before:
            assert self.process.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.01)
        self.port = int(self.said().rpartition("listening on 127.0.0.1:")[2].split()[0])

    def said(self):
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, connection=None):
        """(status, headers, body)"""
        c = connection or UnixConnection(self.socket)
        c.request("GET", path)
        answer = c.getresponse()
        body = answer.read()
        if not connection:
            c.close()
        return answer.status, answer.headers, body

    def get_until(self, path, status=200, seconds=30):
        """Asks again as long as it is told to."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.get(path)
            if answer[0] == status or answer[0] not in (429, 503) or time.monotonic() > deadline:
                return answer
            time.sleep(0.05)

    def metrics(self):
        text = self.get("/metrics")[2].decode()
        assert text.endswith("# EOF\n")
        return {k: float(v) for k, _, v in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.said()
        self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.log.close()
