# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owners and hosts that show certificates to the attestation service; and the service without TLS, for a proxy that has it."""

import datetime
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from attestd_service import DIGEST, Service, made_up, registration
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402


class Authority:
    def __init__(self, folder):
        if not shutil.which("openssl"):
            skip_or_fail("openssl is not installed")
        self.folder = folder
        folder.mkdir()
        self.openssl("req", "-x509", *self.new("ca"), "-subj", "/CN=authority", "-days", "2")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=60)

    def new(self, name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem"

    def sign(self, name, usage="clientAuth", days=2):
        self.openssl("req", *self.new(f"{name}-request"), "-subj", f"/CN={name}")
        (self.folder / "ext").write_text(f"extendedKeyUsage={usage}\n")
        self.openssl("x509", "-req", "-in", f"{name}-request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", str(days), "-extfile", "ext",
                     "-out", f"{name}.pem")  # fmt: skip
        (self.folder / f"{name}-request.key").rename(self.folder / f"{name}.key")
        return name

    def self_signed(self, name, days=2):
        self.openssl("req", "-x509", *self.new(name), "-subj", f"/CN={name}", "-days", str(days))
        return name


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "pki")


def ask(s, authority, certificate, method, path, body=None, token=None):
    context = ssl.create_default_context(cafile=s.folder / "state/ca.pem")
    if certificate:
        context.load_cert_chain(authority.folder / f"{certificate}.pem", authority.folder / f"{certificate}.key")
    c = s.connect()
    c.connection._context = context
    answer = c.request(method, path, body, token=token)
    c.close()
    return answer


def add_owner(s, name, *words, status=0):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={s.folder}/state", f"--add-owner={name}", *words], capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == status, done
    return done.stderr


def test_owners_by_certificate(tmp_path, authority):
    s = Service(tmp_path)
    for name in ("alice", "bob", "old"):
        authority.self_signed(name)
    add_owner(s, "alice", f"--owner-cert={authority.folder}/alice.pem")
    assert "exists" in add_owner(s, "alice2", f"--owner-cert={authority.folder}/alice.pem", status=1)
    assert "does not contain a certificate" in add_owner(s, "x", f"--owner-cert={authority.folder}/alice.key", status=1)
    assert "requires either --token-file= or --owner-cert=" in add_owner(s, "x", status=1)
    assert ask(s, authority, "alice", "POST", "/vm/a", registration())[0] == 201
    assert ask(s, authority, "bob", "GET", "/vm/a")[0] == 401
    assert ask(s, authority, None, "GET", "/vm/a")[0] == 401
    argv = [build_folder() / "programs/cvmspawn", "owner", f"--service={s.url}", f"--ca={tmp_path}/state/ca.pem", f"--cert={authority.folder}/alice.pem",
            f"--key={authority.folder}/alice.key", "list", "--json=short"]  # fmt: skip
    if shutil.which("curl"):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 and [v["id"] for v in json.loads(done.stdout)] == ["a"], done
    # a name is nothing: the same one, by another key
    authority.self_signed("alice")
    assert ask(s, authority, "alice", "GET", "/vm/a")[0] == 401
    # a token still belongs to a different owner; with both, the certificate decides
    assert ask(s, authority, None, "GET", "/vm/a", token=s.token)[0] == 404
    add_owner(s, "bob", f"--owner-cert={authority.folder}/bob.pem")
    assert ask(s, authority, "bob", "GET", "/vm", token=s.token) == (200, [])
    raw = b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir())
    assert (authority.folder / "bob.pem").read_bytes()[40:200] not in raw and b"CN=bob" not in raw
    s.stop()


def test_an_expired_owner_is_none(tmp_path, authority):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    s = Service(tmp_path)
    authority.self_signed("late")
    key = serialization.load_pem_private_key((authority.folder / "late.key").read_bytes(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "late")])
    day, now = datetime.timedelta(1), datetime.datetime.now()
    for status, begin, end in ((401, now - 3 * day, now - 2 * day), (200, now - day, now + day), (401, now + 2 * day, now + 3 * day)):
        cert = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end).sign(key, hashes.SHA256())
        (authority.folder / "late.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        add_owner(s, f"owner-{begin:%d}", f"--owner-cert={authority.folder}/late.pem")
        assert ask(s, authority, "late", "GET", "/vm")[0] == status
    s.stop()


def test_hosts_that_need_a_certificate(tmp_path, platform, authority):
    psp = Psp(platform)
    s = made_up(tmp_path, platform, f"--host-ca={authority.folder}/ca.pem")
    authority.sign("host")
    authority.sign("server", usage="serverAuth")
    authority.self_signed("stranger")
    assert ask(s, authority, None, "POST", "/vm/a", registration(), token=s.token)[0] == 201
    for certificate in (None, "stranger", "server"):
        for path in ("/vm/a/launch", "/vm/a/validate", "/vm/none/launch"):
            status, problem = ask(s, authority, certificate, "POST", path, {})
            assert (status, problem["code"]) == (403, "host-certificate-needed"), (certificate, path)
        assert ask(s, authority, certificate, "GET", "/health")[0] == 200
    status, answer = ask(s, authority, "host", "POST", "/vm/a/launch", psp.launch())
    assert status == 200
    said = psp.measured(answer, DIGEST)
    assert ask(s, authority, None, "POST", "/vm/a/validate", said)[0] == 403
    assert ask(s, authority, "host", "POST", "/vm/a/validate", said)[0] == 200
    assert ask(s, authority, "host", "GET", "/vm/a")[0] == 401  # a host is not an owner
    s.stop()
    (tmp_path / "no.pem").write_text("nothing")
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={tmp_path}/state", "--listen=127.0.0.1:0",
                           f"--host-ca={tmp_path}/no.pem"], capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1 and "no usable certificate" in done.stderr


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def plain(folder, listen, **more):
    argv = [build_folder() / "programs/cvmspawn-attestd", "--dev", "--plain", f"--state={folder}/state", f"--listen={listen}"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_without_tls(tmp_path):
    path = f"{tmp_path}/socket"
    for _ in range(2):  # the second takes over what the first, killed, has left
        p = plain(tmp_path, f"unix:{path}")
        assert json.loads(p.stdout.readline())["url"] == f"http://unix:{path}"
        c = UnixConnection(path)
        c.request("GET", "/health")
        assert c.getresponse().read() == b'{"status":"ok"}'
        token = (tmp_path / "state/token").read_text()
        c.request("GET", "/vm", headers={"Authorization": f"Bearer {token}"})
        assert c.getresponse().status == 200
        c.close()
        assert os.stat(path).st_mode & 0o777 == 0o660
        second = plain(tmp_path / "second", f"unix:{path}") if (tmp_path / "second").mkdir(exist_ok=True) is None else None
        assert "in use" in second.communicate(timeout=60)[1]
        p.kill()
        p.communicate()
    p = plain(tmp_path, "127.0.0.1:0")
    url = json.loads(p.stdout.readline())["url"]
    c = http.client.HTTPConnection(url.split("/")[2], timeout=60)
    c.request("GET", "/health")
    assert c.getresponse().status == 200
    c.close()
    p.terminate()
    p.communicate(timeout=60)
    for listen in ("0.0.0.0:0", "[::]:0"):
        p = plain(tmp_path, listen)
        _, said = p.communicate(timeout=60)
        assert p.returncode == 1 and ("only on a loopback address" in said or "cannot listen" in said)
