# SPDX-License-Identifier: LGPL-2.1-or-later
"""A made-up AMD in a folder, its key service, and cvmspawn to be run on them: what the tests of reports and ID blocks share."""

import http.server
import os
import subprocess
import threading
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("CVMSPAWN_BUILD", "b"))
MEASUREMENT = "aa" * 48
REPORT_DATA = "bb" * 64
GOOD = ["--measurement", MEASUREMENT, "--report-data", REPORT_DATA]


def run(*words, **options):
    return subprocess.run([BUILD / "programs/cvmspawn", *map(str, words)], capture_output=True, text=True, timeout=60, **options)


def verify(report, *words):
    return run("report", "verify", report, *words)


def expect(done, status, *parts):
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    for part in parts:
        assert part in output
    return done


@pytest.fixture(scope="session")
def amd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amd")
    subprocess.run([BUILD / "tests/lib/fake-amd-tool", folder], check=True, timeout=60)
    return folder


def files(amd):
    return ["--leaf", amd / "vcek.der", "--ca", amd / "chain.pem", "--offline", "--cache="]


class KeyService(http.server.ThreadingHTTPServer):
    """AMD's key service as far as we know it; `mood` is what the next requests meet: status, headers and, where it is
    not the right one, the body."""

    def __init__(self, amd):
        super().__init__(("127.0.0.1", 0), Handler)
        self.amd, self.mood, self.requests = amd, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        status, headers, body = (*server.mood.pop(0), None)[:3] if server.mood else (200, {}, None)
        hwid = "02040608" + "00" * 59 + "40"
        known = {f"/vcek/v1/Milan/{hwid}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219": "vcek.der",
                 "/vcek/v1/Milan/cert_chain": "chain.pem", "/vcek/v1/Milan/crl": "crl.der"}
        if status == 200 and body is None and self.path not in known:
            status = 404
        if body is None:
            body = (server.amd / known[self.path]).read_bytes() if status == 200 else b"no"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service(amd):
    server = KeyService(amd)
    yield server
    server.shutdown()
    server.server_close()


def online(amd, service, cache):
    return ["--kds", service.url, "--cache", cache, "--insecure-root", amd / "ark.der", *GOOD]


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("id", "author"):
        pem = folder / f"{name}.pem"
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", pem)
        openssl("pkey", "-in", pem, "-pubout", "-out", folder / f"{name}.pub")
    openssl("ec", "-in", folder / "id.pem", "-outform", "DER", "-out", folder / "id-sec1.der")
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", folder / "id.pem", "-out", folder / "id-pkcs8.pem")
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", folder / "id.pem", "-outform", "DER", "-out", folder / "id-pkcs8.der")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "p256.pem")
    openssl("pkcs8", "-topk8", "-passout", "pass:x", "-in", folder / "id.pem", "-out", folder / "locked.pem")
    return folder
