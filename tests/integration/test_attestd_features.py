# SPDX-License-Identifier: LGPL-2.1-or-later
"""What owners and operators of the attestation service may ask for, without a guest: prefix, certificates from a store and from AMD's key
service (one on the loopback), and the owner's program. The platform is the made-up one of tests/golden/sev-chain."""

import base64
import http.server
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
GOLDEN = SOURCE / "tests/golden/sev-chain"
CHIP = bytes(range(64))
OTHER_CHIP = bytes(range(1, 65))


def certificates(*names):
    return base64.b64encode(b"".join((GOLDEN / f"{n}.cert").read_bytes() for n in names)).decode()


def platform(cek="cek", chip=CHIP):
    return {"pdh": certificates("pdh"), "cert-chain": certificates("pek", "oca", cek), "cpu-id": base64.b64encode(chip).decode()}


def registration(**more):
    return {"scheme": "amd-sev", "policy": 3, "cloud-cert": "any", "launch-digests": ["11" * 32],
            "secrets": [{"type": "luks-passphrase", "passphrase": "open sesame"}], **more}  # fmt: skip


@pytest.fixture
def start(tmp_path):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    services = []

    def make(*options):
        folder = tmp_path / f"service-{len(services)}"
        folder.mkdir()
        amd = folder / "amd"
        amd.write_bytes((GOLDEN / "ask.cert").read_bytes() + (GOLDEN / "ark.cert").read_bytes())
        services.append(Service(folder, f"--certs={amd}", f"--insecure-root={GOLDEN}/ark.cert", *options))
        return services[-1]

    yield make
    for s in services:
        s.stop()


def test_prefix(start):
    s = start("--prefix=/attest/v1")
    assert s.url.endswith("/attest/v1")
    root = s.url.removesuffix("/attest/v1")
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    assert s.post("/vm/a/launch", platform("cek-signed"))[0] == 200
    # whatever name the host knows the service by
    assert s.post("/vm/a/launch", platform("cek-signed"), "-H", "Host: 10.0.0.5:99")[0] == 200
    for path in ("/vm/a/launch", "/attest/vm/a/launch", "/attest/v1x/vm/a/launch", "/attest/v1/attest/v1/vm/a/launch"):
        status, problem = s.curl("--data-binary", "{}", root + path)
        assert (status, problem["code"]) == (404, "not-found"), path
    for bad in ("attest", "/attest/"):
        done = subprocess.run([build_folder() / "cli/cvmspawn-attestd", "--dev", f"--prefix={bad}"], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1 and "--prefix" in done.stderr


def test_cek_store(start, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    s = start(f"--cek-store={store}")
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    assert s.post("/vm/a/launch", platform())[1]["code"] == "cek-unsigned"
    (store / f"cek-{CHIP.hex()}.cert").write_bytes((GOLDEN / "cek-signed.cert").read_bytes())
    assert s.post("/vm/a/launch", platform())[0] == 200
    assert s.post("/vm/a/launch", platform(chip=OTHER_CHIP))[1]["code"] == "cek-unsigned"
    # a certificate that is not this chip's
    other = bytearray((GOLDEN / "cek-signed.cert").read_bytes())
    other[0x20] ^= 1
    (store / f"cek-{OTHER_CHIP.hex()}.cert").write_bytes(other)
    assert s.post("/vm/a/launch", platform(chip=OTHER_CHIP))[1]["code"] == "cpu-id-mismatch"


class Amd(http.server.BaseHTTPRequestHandler):
    """AMD's key service on the loopback; it answers when it is told to."""

    answers, asked, go = {}, [], threading.Event()

    def do_GET(self):
        Amd.asked.append(self.path)
        Amd.go.wait(30)
        data = Amd.answers.get(self.path)
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def amd():
    Amd.answers, Amd.asked = {}, []
    Amd.go.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Amd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Amd.go.set()
        server.shutdown()


def until_settled(s, body):
    end = time.monotonic() + 30
    while True:
        status, answer = s.post("/vm/a/launch", body)
        if answer.get("code") != "cek-pending":
            return status, answer
        assert status == 503 and time.monotonic() < end
        time.sleep(0.1)


def test_fetching_keeps_nobody_waiting(start, tmp_path, amd):
    store = tmp_path / "store"
    store.mkdir()
    s = start(f"--cek-store={store}", "--online", f"--kds={amd}")
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    Amd.answers = {f"/cek/id/{CHIP.hex()}": (GOLDEN / "cek-signed.cert").read_bytes(), f"/cek/id/{OTHER_CHIP.hex()}": b"garbage"}
    # AMD does not answer yet: everybody else is served meanwhile, at once
    for _ in range(2):
        begin = time.monotonic()
        status, problem = s.post("/vm/a/launch", platform())
        assert (status, problem["code"]) == (503, "cek-pending")
        assert s.post("/vm/a/launch", platform("cek-signed"))[0] == 200
        assert s.curl(f"{s.url}/health")[0] == 200
        assert time.monotonic() - begin < 5
    assert "retry-after: 2" in subprocess.run(
        ["curl", "-sSi", "--cacert", s.folder / "state/ca.pem", "--data-binary", "@-", s.url + "/vm/a/launch"],
        input=json.dumps(platform()), capture_output=True, text=True, check=True).stdout.lower()  # fmt: skip
    Amd.go.set()
    assert until_settled(s, platform())[0] == 200
    assert Amd.asked == [f"/cek/id/{CHIP.hex()}"]
    assert (store / f"cek-{CHIP.hex()}.cert").read_bytes() == Amd.answers[Amd.asked[0]]
    # what is not to be had is not asked for again and again; garbage is not kept
    for chip in (OTHER_CHIP, b"\x77" * 64):
        for _ in range(3):
            status, problem = until_settled(s, platform(chip=chip))
            assert (status, problem["code"]) == (424, "cek-unsigned")
    assert len(Amd.asked) == 3
    assert [p.name for p in store.iterdir()] == [f"cek-{CHIP.hex()}.cert"]
    # the certificate is there for good
    s.kill()
    s.start()
    assert s.post("/vm/a/launch", platform())[0] == 200
    assert len(Amd.asked) == 3


def test_online_needs_a_store():
    done = subprocess.run([build_folder() / "cli/cvmspawn-attestd", "--dev", "--online"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "--cek-store" in done.stderr
