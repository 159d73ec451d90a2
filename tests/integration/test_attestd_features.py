# SPDX-License-Identifier: LGPL-2.1-or-later
"""What owners and operators of the service may ask for, without a guest: prefix, certificates from a store and from AMD's key service
(one on the loopback), and the owner's program. The platform is the made-up one of tests/golden/sev-chain."""

import base64
import contextlib
import hashlib
import http.server
import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
GOLDEN = SOURCE / "tests/golden/sev-chain"
sys.path.insert(0, str(SOURCE / "tests/lib"))
import sev_owner  # noqa: E402

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
    with contextlib.ExitStack() as stack:  # if one does not end well, the others are ended all the same
        count = itertools.count()

        def make(*options):
            folder = tmp_path / f"service-{next(count)}"
            folder.mkdir()
            amd = folder / "amd"
            amd.write_bytes((GOLDEN / "ask.cert").read_bytes() + (GOLDEN / "ark.cert").read_bytes())
            s = Service(folder, f"--certs={amd}", f"--insecure-root={GOLDEN}/ark.cert", *options)
            stack.callback(s.stop)
            return s

        yield make


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
        done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", f"--prefix={bad}"], capture_output=True, text=True, timeout=60, check=False)
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

    answers, asked, since, go = {}, [], 0, threading.Event()

    def do_GET(self):
        # silent for longer than the service waits (20 s), on a busy machine, it is asked again: not counted
        Amd.asked += [self.path] if self.path not in Amd.asked[-1:] or Amd.go.is_set() or time.monotonic() - Amd.since < 15 else []
        Amd.since = time.monotonic()
        Amd.go.wait(60)
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
    end = time.monotonic() + 60
    while True:
        status, answer = s.post("/vm/a/launch", body)
        if answer.get("code") != "cek-pending":
            return status, answer
        assert status == 503 and time.monotonic() < end
        time.sleep(0.1)


def test_fetching_keeps_nobody_waiting(start, tmp_path, amd):
    store = tmp_path / "store"
    store.mkdir()
    s = start(f"--cek-store={store}", "--online", f"--kds={amd.replace('127.0.0.1', 'localhost')}")
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    Amd.answers = {f"/cek/id/{CHIP.hex()}": (GOLDEN / "cek-signed.cert").read_bytes(), f"/cek/id/{OTHER_CHIP.hex()}": b"garbage"}
    # AMD does not answer yet: everybody else is served meanwhile, at once
    for _ in range(2):
        begin = time.monotonic()
        status, problem = s.post("/vm/a/launch", platform())
        assert (status, problem["code"]) == (503, "cek-pending")
        assert s.post("/vm/a/launch", platform("cek-signed"))[0] == 200
        assert s.curl(f"{s.url}/health")[0] == 200
        assert time.monotonic() - begin < 30  # AMD stays silent until it is told to speak
    assert "retry-after: 2" in subprocess.run(
        ["curl", "-sSi", "--cacert", s.folder / "state/ca.pem", "--data-binary", "@-", s.url + "/vm/a/launch"],
        input=json.dumps(platform()), capture_output=True, text=True, check=True).stdout.lower()  # fmt: skip
    Amd.go.set()
    assert until_settled(s, platform())[0] == 200
    assert Amd.asked == [f"/cek/id/{CHIP.hex()}"]
    assert (store / f"cek-{CHIP.hex()}.cert").read_bytes() == Amd.answers[Amd.asked[0]]
    # what is not available is not asked for again and again; garbage is not kept
    for chip in (OTHER_CHIP, b"\x77" * 64):
        for _ in range(3):
            status, problem = until_settled(s, platform(chip=chip))
            assert (status, problem["code"]) == (424, "cek-unsigned")
    assert len(Amd.asked) == 3
    assert [p.name for p in store.iterdir()] == [f"cek-{CHIP.hex()}.cert"]
    # a lie in the store is fetched once more, and what AMD did not sign does not enter it
    lie = bytearray((GOLDEN / "cek-signed.cert").read_bytes())
    lie[0x41C] ^= 1
    stored = store / f"cek-{CHIP.hex()}.cert"
    stored.write_bytes(lie)
    assert until_settled(s, platform())[0] == 200
    assert len(Amd.asked) == 4 and stored.read_bytes() == (GOLDEN / "cek-signed.cert").read_bytes()
    third = bytes(range(2, 66))
    Amd.answers[f"/cek/id/{third.hex()}"] = bytes(lie)
    assert until_settled(s, platform(chip=third))[1]["code"] == "cek-unsigned"
    assert [p.name for p in store.iterdir()] == [stored.name]
    # the certificate is there for good
    s.kill()
    s.start()
    assert s.post("/vm/a/launch", platform())[0] == 200
    assert len(Amd.asked) == 5


def test_online_needs_a_store():
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", "--online"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "--cek-store" in done.stderr


# --- firmware -----------------------------------------------------------------------------------------------------------


HASH_BLOCK = "7255371f-3a3b-4b04-927b-1da6efa8d454"
RESET = 0x80B004
EPYC_V4, EPYC_GENOA = 0x00800F12, 0x00A10F10  # CPUID 1 EAX of QEMU's models


def firmware(size=1 << 20):
    entries = [(HASH_BLOCK, (0x810C00).to_bytes(4, "little") + (0x400).to_bytes(4, "little")), (sev_owner.RESET_BLOCK, RESET.to_bytes(4, "little"))]
    tail = len(sev_owner.firmware(entries, body=b""))
    return sev_owner.firmware(entries, body=bytes(i % 251 for i in range(4096)) * (size // 4096 - 1) + b"\xf4" * (4096 - tail))


def upload(s, data, *words):
    return s.curl("--data-binary", "@-", "-H", "Content-Type: application/octet-stream", *words, s.url + "/firmware", stdin=data)


def test_uploaded_firmware(start):
    """What the service computes is what Python's own arithmetic says, for every count of vCPUs."""
    s = start()
    image = firmware()
    status, answer = upload(s, image, *s.owner())
    sha = hashlib.sha256(image).hexdigest()
    assert (status, answer) == (201, {"sha256": sha, "size": len(image), "kernel-hashes": True, "sev-es": True})
    assert upload(s, image, *s.owner())[0] == 200
    assert [f["sha256"] for f in s.curl(*s.owner(), f"{s.url}/firmware")[1]] == [sha]

    kernel, initrd, words = b"kernel" * 1000, b"initrd" * 500, b"console=ttyS0"
    hashes = {"kernel-hash": hashlib.sha256(kernel).hexdigest(), "initrd-hash": hashlib.sha256(initrd).hexdigest(),
              "cmdline-hash": hashlib.sha256(words + b"\0").hexdigest()}  # fmt: skip
    body = registration(**hashes, **{"firmware-hashes": [sha], "scheme": "amd-sev-es", "policy": 7, "cpu-count-max": 8,
                                     "cpu-model": ["EPYC-v4", "EPYC-Genoa"]})  # fmt: skip
    del body["launch-digests"]
    assert s.post("/vm/a", body, *s.owner())[0] == 201
    head = image + sev_owner.kernel_table(kernel, initrd, words)
    expected = set()
    for signature in (EPYC_V4, EPYC_GENOA):
        for fpu in (True, False):
            boot, more = (sev_owner.vmsa(signature, reset, fpu=fpu) for reset in (None, RESET))
            expected |= {hashlib.sha256(head + boot + more * n).hexdigest() for n in range(8)}
    status, shown = s.curl(*s.owner(), f"{s.url}/vm/a")
    assert len(shown["computed-digests"]) == 32 and set(shown["computed-digests"]) == expected

    # what `show` prints can be registered again
    again = {**shown["registration"], "secrets": body["secrets"]}
    assert s.post("/vm/b", again, *s.owner())[0] == 201
    assert s.curl(*s.owner(), f"{s.url}/vm/b")[1]["computed-digests"] == shown["computed-digests"]
    # without kernel
    del body["kernel-hash"], body["initrd-hash"], body["cmdline-hash"]
    assert s.post("/vm/c", {**body, "scheme": "amd-sev", "policy": 3}, *s.owner())[0] == 201
    assert s.post("/vm/d", {**body, "kernel-hash": hashes["kernel-hash"], "scheme": "amd-sev", "policy": 3}, *s.owner())[0] == 201
    digest = hashlib.sha256(image + sev_owner.kernel_table(kernel)).hexdigest()
    assert s.curl(*s.owner(), f"{s.url}/vm/d")[1]["computed-digests"] == [digest]


def test_uploads_are_for_owners_and_bounded(start):
    s = start()
    large = bytes(1 << 20) * 16
    for words in ((), ("-H", "Authorization: Bearer " + "0" * 64)):
        assert upload(s, large, *words, "-H", "Expect: 100-continue")[0] == 401
        assert upload(s, b"x", *words)[0] == 401
    assert upload(s, large + b"x", *s.owner(), "-H", "Expect: 100-continue")[0] == 413
    assert s.curl("--data-binary", "@-", *s.owner(), "-H", "Transfer-Encoding: chunked", s.url + "/firmware", stdin=large + b"x", may_break=True)[0] in (413, 0)
    assert upload(s, b"", *s.owner())[0] == 400
    assert upload(s, large, *s.owner())[0] == 201
    assert s.curl("--data-binary", "@-", *s.owner(), "-H", "Transfer-Encoding: chunked", s.url + "/firmware", stdin=large[:-1])[0] == 201
    # the limit of other bodies is as it was
    assert s.post("/vm/a", b" " * (64 * 1024 + 1), *s.owner(), "-H", "Expect: 100-continue")[0] == 413
    status = open(f"/proc/{s.process.pid}/status").read()
    if b"libasan" not in subprocess.run(["ldd", build_folder() / "programs/cvmspawn-attestd"], capture_output=True, check=False).stdout:
        assert int(status.split("VmHWM:")[1].split()[0]) < 96 * 1024
    # some wait for others
    host, port = s.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=s.folder / "state/ca.pem")
    slow = [context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) for _ in range(2)]
    for c in slow:
        c.sendall(f"POST /firmware HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {s.token}\r\nContent-Length: 60000\r\n\r\n".encode() + b"{" * 100)
    end = time.monotonic() + 120
    while (answer := upload(s, b"later", *s.owner()))[0] != 503:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert answer[1]["code"] == "unavailable"
    assert s.curl(f"{s.url}/health")[0] == 200
    for c in slow:
        c.close()
    while upload(s, b"later", *s.owner())[0] == 503:
        assert time.monotonic() < end
        time.sleep(0.1)


# --- the owner's program, and without a network -------------------------------------------------------------------------


def owner_program(s, folder):
    def run(*words, status=0, stdin=None):
        token = [] if words[0] in ("launch", "validate") else [f"--token-file={s.folder}/state/token"]  # hosts have none
        argv = [build_folder() / "programs/cvmspawn", "owner", f"--service={s.url}", f"--ca={s.folder}/state/ca.pem", *token, *words]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, input=stdin, check=False)
        assert done.returncode == status, done
        return done.stderr if status else json.loads(done.stdout or "null")

    return run


def test_owners_verbs(start, tmp_path):
    s = start()
    owner = owner_program(s, tmp_path)
    body = registration(**{"over-limit": "hold"})
    (tmp_path / "whole.json").write_text(json.dumps(body))
    secrets = body.pop("secrets")
    (tmp_path / "policy.json").write_text(json.dumps(body))
    (tmp_path / "secrets.json").write_text(json.dumps(secrets))
    assert "secrets" in owner("register", "a", "policy.json", status=3)
    assert owner("register", "a", "policy.json", "--secrets=secrets.json")["id"] == "a"
    assert owner("update", "a", "whole.json")["launches-ended"] == 0
    assert "404" in owner("update", "b", "whole.json", status=3)
    (tmp_path / "changed.json").write_text(json.dumps({**body, "max-instances": 3}))
    owner("update", "a", "changed.json")
    assert owner("show", "a")["registration"]["max-instances"] == 3
    # the CA in DER
    text = (s.folder / "state/ca.pem").read_text()
    (tmp_path / "ca.der").write_bytes(base64.b64decode("".join(text.split("-----")[2].split())))
    assert owner("show", "a", "--ca=ca.der")["id"] == "a"
    # export and import: the same registration elsewhere, with secrets that were never given back
    assert owner("export", "a") == {**body, "max-instances": 3}
    assert owner("export", "a", "moved.json") is None
    assert (tmp_path / "moved.json").stat().st_mode & 0o777 == 0o600
    assert "sesame" not in (tmp_path / "moved.json").read_text()
    assert "moved.json" in owner("export", "a", "moved.json", status=1)
    other = start()
    elsewhere = owner_program(other, tmp_path)
    assert "secrets" in elsewhere("import", "a-2", "moved.json", status=3)
    assert elsewhere("import", "a-2", "moved.json", "--secrets=whole.json")["id"] == "a-2"  # a list, or where it is in
    assert elsewhere("show", "a-2")["registration"] == owner("show", "a")["registration"]
    # a launch by hand
    (tmp_path / "launch.json").write_text(json.dumps(platform("cek-signed")))
    granted = elsewhere("launch", "a-2", "launch.json")
    assert len(granted["launch-id"]) == 32 and granted["policy"] == 3
    assert [(v["launch-id"], v["state"]) for v in elsewhere("launches", "a-2")] == [(granted["launch-id"], "open")]
    assert "409 not-held" in elsewhere("confirm", "a-2", granted["launch-id"], status=3)
    wrong = {"measurement": base64.b64encode(bytes(48)).decode(), "api-major": 1, "api-minor": 55, "build-id": 21}
    assert "403 measurement-mismatch" in elsewhere("validate", "a-2", "-", stdin=json.dumps(wrong), status=3)
    assert elsewhere("reject", "a-2", granted["launch-id"]) is None
    assert [e["event"] for e in elsewhere("events", "a-2")] == ["rejected", "registered"]
    # firmware
    (tmp_path / "OVMF.fd").write_bytes(firmware())
    sha = owner("upload", "OVMF.fd")["sha256"]
    assert [f["sha256"] for f in owner("firmware")] == [sha]
    assert owner("forget", sha) is None and owner("firmware") == []
    # usage
    assert "usage" in owner("confirm", "a", status=1)
    assert "--secrets" in owner("show", "a", "--secrets=secrets.json", status=1)
    assert "secrets.json" in owner("register", "x", "secrets.json", "--secrets=secrets.json", status=1)
    assert "is not an id" in owner("confirm", "a", "../b", status=1)
    assert "expected" in owner("frobnicate", status=1)


def answer(folder, request, *words, body=None, status=0):
    argv = [build_folder() / "programs/cvmspawn-attestd", f"--state={folder}/state", f"--certs={folder}/amd", f"--insecure-root={GOLDEN}/ark.cert",
            f"--answer={request}", *words]  # fmt: skip
    done = subprocess.run(argv, input=None if body is None else json.dumps(body), capture_output=True, text=True, timeout=30, check=False,
                          stdin=subprocess.DEVNULL if body is None else None)  # fmt: skip
    assert done.returncode == status, done
    return done.stderr if status else json.loads(done.stdout or "null")


def test_without_a_network(start, tmp_path):
    """The same questions and answers, on the state of a service or on a separate one."""
    (tmp_path / "amd").write_bytes((GOLDEN / "ask.cert").read_bytes() + (GOLDEN / "ark.cert").read_bytes())
    assert answer(tmp_path, "POST /vm/a", body=registration()) == {"id": "a", "secret-table-size": 64}
    assert "409 exists" in answer(tmp_path, "POST /vm/a", body=registration(), status=3)
    assert "422" in answer(tmp_path, "POST /vm/b", body={}, status=3)
    granted = answer(tmp_path, "POST /vm/a/launch", body=platform("cek-signed"))
    assert set(granted) == {"launch-id", "session", "owner-cert", "policy"}
    wrong = {"measurement": base64.b64encode(bytes(48)).decode(), "api-major": 1, "api-minor": 55, "build-id": 21}
    assert "403 measurement-mismatch" in answer(tmp_path, "POST /vm/a/validate", body=wrong, status=3)
    assert "424 cek-unsigned" in answer(tmp_path, "POST /vm/a/launch", body=platform(), status=3)
    assert answer(tmp_path, "GET /health") == {"status": "ok"}
    assert answer(tmp_path, "DELETE /vm/a") is None
    assert "404" in answer(tmp_path, "GET /elsewhere", status=3)
    for bad in ("GET", "GET vm", ""):
        assert "--answer" in answer(tmp_path, bad, status=1)
    assert "nobody" in answer(tmp_path, "GET /vm", "--as=nobody", status=1)
    for options in (["--as=dev"], ["--answer=GET /vm", "--dev"], ["--answer=GET /vm", "--add-owner=x", "--token-file=x"]):
        done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done
    # beside a running service, for one of its owners
    s = start()
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    assert answer(s.folder, "GET /vm") == []
    assert [v["id"] for v in answer(s.folder, "GET /vm", "--as=dev")] == ["a"]
    assert answer(s.folder, "PUT /vm/a", "--as=dev", body=registration(**{"max-instances": 7}))["id"] == "a"
    assert s.curl(*s.owner(), f"{s.url}/vm/a")[1]["registration"]["max-instances"] == 7
    # the owner of this machine has no token that could be sent
    for token in ("local", "", "0" * 64):
        assert s.curl("-H", f"Authorization: Bearer {token}", f"{s.url}/vm")[0] == 401


@pytest.mark.parametrize("what", ["state", "state/file"])
def test_a_state_directory_of_another_user_is_refused(tmp_path, what):
    """Who owns it, or a file in it, could read the secrets or replace the registrations."""
    if os.geteuid() != 0:
        pytest.skip("to make a file of another user needs root")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/file").touch()
    os.chown(tmp_path / what, 12345, 12345)
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={tmp_path}/state", "--listen=127.0.0.1:0"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1 and f"'{tmp_path}/{what}' belongs to user 12345" in done.stderr, done.stderr
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == ["file"]
