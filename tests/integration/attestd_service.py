# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service as its own process on the loopback, and curl as its client."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from sevsim_host import build_folder


class Client:
    """A client that keeps its connection: request() gives status and body."""

    def __init__(self, host, port, context, timeout):
        self.connection = http.client.HTTPSConnection(host, port, context=context, timeout=timeout)

    def request(self, method, path, body=None, token=None, headers=None):
        h = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        self.connection.request(method, path, data, h)
        answer = self.connection.getresponse()
        text = answer.read()
        self.headers = answer.headers
        return answer.status, json.loads(text) if text else None

    def close(self):
        self.connection.close()


SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
import openapi  # noqa: E402

DOCUMENT = openapi.Document(SOURCE / "attestd/attestd-openapi.json")


class Service:
    """cvmspawn-attestd --dev; state stays over kill() and start()."""

    def __init__(self, folder, *options, env=None):
        self.folder, self.options = folder, options
        self.env = {**os.environ, **(env or {})}
        self.start()

    def start(self):
        argv = [build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={self.folder}/state",
                *(["--listen=127.0.0.1:0"] if not any(str(o).startswith("--listen=") for o in self.options) else []), *self.options]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.token = (self.folder / "state/token").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        self.log.close()

    def curl(self, *words, stdin=None, may_break=False):
        """(status, body); (0, None) where the service ended the connection while curl was sending, if that may be"""
        argv = ["curl", "-sS", "--max-time", "30", "--path-as-is", "--cacert", self.folder / "state/ca.pem", "-w", "\n%{http_code}", *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
        if may_break and done.returncode in (55, 56):
            return 0, None
        assert done.returncode == 0, done
        body, _, status = done.stdout.decode().rpartition("\n")
        answer = int(status), json.loads(body) if body else None
        self.compare(words, *answer, stdin)
        return answer

    def compare(self, words, status, body, stdin):
        """Every answer is one that the OpenAPI document describes."""
        url = next(w for w in words if isinstance(w, str) and w.startswith("https://"))
        if not url.startswith(self.url + "/") or "?" in url:
            return
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if "--data-binary" in words else "GET"
        try:
            request = json.loads(stdin) if stdin and status < 400 else None
        except ValueError:
            request = None
        DOCUMENT.check_answer(method, url.removeprefix(self.url), status, body, request)

    def post(self, path, body, *words, may_break=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.curl("-X", "POST", "-H", "Content-Type: application/json", "--data-binary", "@-", *words, self.url + path, stdin=data,
                         may_break=may_break)

    def owner(self):
        """curl's words; the token goes by a file, not by argv."""
        header = self.folder / "header"
        header.write_text(f"Authorization: Bearer {self.token}\n")
        return "-H", f"@{header}"

    def connect(self, timeout=30):
        """Its own connection that stays open for more requests."""
        host, port = self.url.split("/")[2].rsplit(":", 1)
        return Client(host, int(port), ssl.create_default_context(cafile=self.folder / "state/ca.pem"), timeout)

    def raw(self, timeout=30):
        """TLS, and the caller says what goes through it."""
        host, port = self.url.split("/")[2].rsplit(":", 1)
        context = ssl.create_default_context(cafile=self.folder / "state/ca.pem")
        return context.wrap_socket(socket.create_connection((host, int(port)), timeout), server_hostname=host)

    def peak(self):
        """The most memory that it ever had, in KiB."""
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmHWM:")[1].split()[0])

    def text(self):
        return (self.folder / "log").read_text()


def made_up(folder, platform, *options, env=None):
    """A service that trusts the made-up platform's AMD."""
    (folder / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    return Service(folder, f"--certs={folder}/amd", f"--insecure-root={platform}/ark.cert", *options, env=env)


DIGEST = "5a" * 32


def registration(**more):
    return {"scheme": "amd-sev-es", "policy": 7, "cloud-cert": "any", "launch-digests": [DIGEST],
            "secrets": [{"type": "luks-passphrase", "passphrase": "open sesame"}], **more}  # fmt: skip
