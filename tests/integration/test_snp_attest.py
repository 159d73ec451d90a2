# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets for an SNP guest: service, relay and cvmspawn-guest-attest as separate processes, TLS on the loopback, reports by a made-up chain
through a TSM tree that sevsim-guest-device plays (FUSE). No guest: tests/integration/test_snp_attest_guest.py has one. All of it is
SIMULATED."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import shutil
import socket
import stat
import subprocess
import threading
import time

import pytest
import sevsim_model as model
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail

DIGEST = "5a" * 48
SECRET = b"\0open sesame\n\xff"
REGISTRATION = {
    "scheme": "amd-sev-snp", "policy": 0x30000, "launch-digests": [DIGEST], "report-policy": {"minimum_tcb": "any"},
    "kind": "image", "max-instances": 100,
    "secrets": [{"type": "credential", "name": "db.password", "data": base64.b64encode(SECRET).decode()},
                {"type": "luks-passphrase", "passphrase": "swordfish", "name": "data"},
                {"guid": "736869e5-84f0-4973-92ec-06879ce3da0b", "data": base64.b64encode(b"old style").decode()}],
}  # fmt: skip


@pytest.fixture
def service(tmp_path, platform):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    s = Service(tmp_path, f"--insecure-snp-root={platform}/ark.pem", f"--snp-certs={platform}/ask.pem")
    yield s
    if s.process.returncode is None:
        s.stop()


@pytest.fixture
def tree(tmp_path, platform):
    """A TSM tree whose reports show DIGEST; or another, as start() is told."""
    place = tmp_path / "tsm"
    place.mkdir()
    mounted = []

    def start(digest=DIGEST, *options):
        done = subprocess.run([build_folder() / "sevsim/sevsim-guest-device", "--no-device", f"--tsm={place}", f"--measurement={digest}",
                               *options, platform], capture_output=True, text=True, timeout=60)  # fmt: skip
        if done.returncode != 0:
            skip_or_fail(f"a TSM tree in FUSE needs root and /dev/fuse: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield start
    for folder in mounted:
        subprocess.run(["umount", folder], check=True, timeout=60)


def register(service, **more):
    status, body = service.post("/vm/guest-1", {**REGISTRATION, **more}, *service.owner())
    assert status == 201, body
    key = service.folder / "service.key"
    key.write_text(service.curl(service.url)[1]["packet-key"] + "\n")
    return key


class Guest:
    """cvmspawn-guest-attest, with a socket for a port."""

    def __init__(self, folder, tree, *options):
        self.folder, self.tree, self.options = folder, tree, options
        self.path = folder / "port"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(1)

    def start(self, key):
        argv = [build_folder() / "programs/cvmspawn-guest-attest", f"--service-key={key}", f"--port={self.path}", f"--tsm={self.tree}",
                f"--credstore={self.folder}/credstore", f"--keys={self.folder}/keys", "--timeout=60s", *self.options]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        return self.listener.accept()[0]

    def end(self):
        error = self.process.communicate(timeout=90)[1]
        return self.process.returncode, error

    def dropped(self):
        return {f"{p.parent.name}/{p.name}": p for folder in ("credstore", "keys") for p in sorted((self.folder / folder).glob("*"))}


@contextlib.contextmanager
def relay(connection, service, url=None):
    argv = [build_folder() / "programs/cvmspawn", "relay", f"--attestation-service={url or service.url + '/vm/guest-1'}",
            f"--attestation-ca={service.folder}/state/ca.pem"]
    with subprocess.Popen(argv, stdin=connection, stdout=connection, stderr=subprocess.PIPE, text=True) as process:
        connection.close()
        yield process
        assert process.wait(30) == 0, process.stderr.read()


def attest(folder, tree, service, key, *options):
    guest = Guest(folder, tree, *options)
    with relay(guest.start(key), service):
        status, error = guest.end()
    return guest, status, error


def test_secrets_arrive(service, tree, tmp_path):
    key = register(service)
    guest, status, error = attest(tmp_path, tree(), service, key)
    assert status == 0, error
    dropped = guest.dropped()
    assert {name: p.read_bytes() for name, p in dropped.items()} == {
        "credstore/db.password": SECRET,
        "credstore/cvmspawn.secret.736869e5-84f0-4973-92ec-06879ce3da0b": b"old style",
        "keys/data.key": b"swordfish",
    }
    for path in dropped.values():
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o400, 0o700)
    assert "sesame" not in error and "swordfish" not in error + service.text()
    status, events = service.curl(*service.owner(), service.url + "/vm/guest-1/events")
    assert [e["event"] for e in events] == ["released", "registered"]


def test_full_disk_in_the_guest(service, tree, tmp_path):
    """All secrets or none, in both directories; what was there stays."""
    credentials, place = tmp_path / "credstore", tree()
    credentials.mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "data.key").write_bytes(b"of an earlier boot")
    key = register(service)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4096,mode=0700", "none", credentials], check=True, timeout=60)
    try:
        guest, status, error = attest(tmp_path, place, service, key)
        assert status != 0 and "No space left on device" in error, (status, error)
        assert {n: p.read_bytes() for n, p in guest.dropped().items()} == {"keys/data.key": b"of an earlier boot"}
        assert not [p for folder in (credentials, tmp_path / "keys") for p in folder.iterdir() if p.name.startswith(".")]
    finally:
        subprocess.run(["umount", credentials], check=True, timeout=60)


def test_another_guest_is_refused(service, tree, tmp_path):
    key = register(service)
    guest, status, error = attest(tmp_path, tree("00" * 48), service, key)
    assert (status, guest.dropped()) == (3, {}), error
    assert "measurement matches none of the registered launches" in error and DIGEST not in error


def test_debuggable_guest_is_refused(service, tree, tmp_path):
    key = register(service)
    guest, status, error = attest(tmp_path, tree(DIGEST, "--policy=0xb0000"), service, key)
    assert (status, guest.dropped()) == (3, {}) and "debug" in error, error


def test_amds_own_root_is_not_this_one(tree, tmp_path):
    s = Service(tmp_path)
    try:
        key = register(s)
        guest, status, error = attest(tmp_path, tree(), s, key)
        assert (status, guest.dropped()) == (3, {}), error
        assert "authentic" in error or "certificate" in error.lower()
    finally:
        s.stop()


def test_another_services_key(service, tree, tmp_path):
    """The host may run its own service, with whatever secrets: the guest believes the one it was measured with."""
    key = register(service)
    (tmp_path / "other").mkdir()
    other = Service(tmp_path / "other")
    try:
        key.write_text(other.curl(other.url)[1]["packet-key"])
    finally:
        other.stop()
    guest, status, error = attest(tmp_path, tree(), service, key)
    assert (status, guest.dropped()) == (2, {}) and "not signed" in error, error


def test_without_a_key(tmp_path):
    done = subprocess.run([build_folder() / "programs/cvmspawn-guest-attest", "--port=/nowhere"], capture_output=True, text=True, timeout=60,
                          env={})  # fmt: skip
    assert done.returncode == 1 and "--service-key" in done.stderr


def test_retry_after_is_honoured_as_sent(service, tree, tmp_path):
    """Not shortened: who asks earlier is refused again. Where it would come too late, that is said at once."""
    key = register(service)
    guest = Guest(tmp_path, tree(), "--timeout=90s")
    guest.listener.settimeout(60)
    asked = []
    with guest.start(key) as port, port.makefile("rwb") as lines:
        for seconds in (2, 100):
            verb, number, size = lines.readline().split()
            lines.read(int(size) + 1)
            asked.append((verb, time.monotonic()))
            body = json.dumps({"code": "busy", "detail": "later"}).encode()
            lines.write(b"%s 503 %d %d\n%s\n" % (number, seconds, len(body), body))
            lines.flush()
        status, error = guest.end()
    assert [verb for verb, _ in asked] == [b"launch", b"launch"] and 2 <= asked[1][1] - asked[0][1] < 60
    assert status != 0 and time.monotonic() - asked[1][1] < 20
    assert "launch: status 503, and the next attempt, in 100 s, would come after the time of --timeout=: later" in error


def test_the_service_comes_late(service, tree, tmp_path):
    """What the host does not reach is asked for again."""
    key = register(service)
    url = service.url + "/vm/guest-1"
    service.kill()
    guest = Guest(tmp_path, tree())
    with relay(guest.start(key), service, url) as process:
        assert "cannot reach the attestation service" in guest.process.stderr.readline()
        service.options = (*service.options, f"--listen=127.0.0.1:{url.split(':')[2].split('/')[0]}")
        service.start()
        assert guest.end()[0] == 0
        assert process.poll() in (None, 0)
    assert guest.dropped()


def test_the_service_fetches_certificates(tree, platform, tmp_path):
    """A host without certificates, as upstream KVM is: the service gets them from AMD's key service, and the guest asks again."""
    asked = []

    class Amd(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data = (platform / ("vcek-chain.pem" if self.path.endswith("/cert_chain") else "vcek.der")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    amd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Amd)
    threading.Thread(target=amd.serve_forever, daemon=True).start()
    (tmp_path / "kds").mkdir()
    s = Service(tmp_path, f"--insecure-snp-root={platform}/ark.pem", f"--kds-cache={tmp_path}/kds", "--online",
                f"--kds=http://localhost:{amd.server_port}")  # fmt: skip
    try:
        key = register(s)
        guest, status, error = attest(tmp_path, tree(DIGEST, "--no-certs"), s, key)
        assert status == 0 and "status 503" in error, error
        assert guest.dropped()
        # A revocation list is asked for ahead, at any time; this server has none.
        chips = [path for path in asked if not path.endswith("/crl")]
        assert len(chips) == 2 and len(list((tmp_path / "kds").iterdir())) == 2, asked
        # what is kept is not asked for again
        (tmp_path / "second").mkdir()
        assert attest(tmp_path / "second", tmp_path / "tsm", s, key)[1] == 0
        assert [path for path in asked if not path.endswith("/crl")] == chips
    finally:
        s.stop()
        amd.shutdown()


def test_held_for_the_owner(service, tree, tmp_path):
    key = register(service, kind="vm", **{"max-instances": 1, "over-limit": "hold"})
    assert attest(tmp_path, tree(), service, key)[1] == 0
    (tmp_path / "second").mkdir()
    guest = Guest(tmp_path / "second", tmp_path / "tsm")
    with relay(guest.start(key), service):
        assert "status 202" in guest.process.stderr.readline()
        status, launches = service.curl(*service.owner(), service.url + "/vm/guest-1/launches")
        held = [item["launch-id"] for item in launches if item["state"] == "held"]
        assert len(held) == 1
        assert service.post(f"/vm/guest-1/launches/{held[0]}/confirm", b"", *service.owner())[0] == 200
        status, error = guest.end()
    assert status == 0, error
    assert guest.dropped()


class Host(threading.Thread):
    """A host that plays tricks: change(verb, status, answer bytes) gives the bytes to write before the answer, and the answer."""

    def __init__(self, connection, service, change):
        super().__init__(daemon=True)
        self.file, self.connection, self.service, self.change = connection.makefile("rwb"), connection, service, change

    def run(self):
        with contextlib.suppress(OSError):
            while line := self.file.readline():
                verb, number, size = line.split()
                body = self.file.read(int(size))
                assert self.file.read(1) == b"\n"
                status, answer = self.service.post(f"/vm/guest-1/{verb.decode()}", body)
                before, status, text = self.change(verb.decode(), status, json.dumps(answer).encode())
                self.file.write(before + b"%s %d 0 %d\n" % (number, status, len(text)) + text + b"\n")
                self.file.flush()


def tricked(folder, tree, service, key, change, *options):
    guest = Guest(folder, tree, *options)
    connection = guest.start(key)
    host = Host(connection, service, change)
    host.start()
    status, error = guest.end()
    connection.close()
    return guest, status, error


def flip(member):
    def change(verb, status, text):
        if verb == "validate":
            answer = json.loads(text)
            raw = bytearray(base64.b64decode(answer[member]))
            raw[-1] ^= 1
            text = json.dumps({**answer, member: base64.b64encode(raw).decode()}).encode()
        return b"", status, text

    return change


@pytest.mark.parametrize("member", ["secret-header", "secret-payload", "signature"])
def test_changed_on_the_way(service, tree, tmp_path, member):
    key = register(service)
    guest, status, error = tricked(tmp_path, tree(), service, key, flip(member))
    assert (status, guest.dropped()) == (2, {}), error


def test_an_answer_to_somebody_else(service, tree, tmp_path):
    """The whole answer of another launch of the same guest, genuine in itself."""
    key, place, seen = register(service), tree(), []

    def keep(verb, status, text):
        seen.append((verb, text))
        return b"", status, text

    assert tricked(tmp_path, place, service, key, keep)[1] == 0
    (tmp_path / "again").mkdir()
    guest, status, error = tricked(tmp_path / "again", place, service, key,
                                   lambda verb, status, text: (b"", 200, dict(seen)[verb] if verb == "validate" else text))  # fmt: skip
    assert (status, guest.dropped()) == (2, {}), error


def test_rubbish_between(service, tree, tmp_path):
    """Noise, an answer to an old question, a line without end: skipped."""
    key = register(service)
    rubbish = b"\0\xff rubbish\n1 200 0 2\n{}\n" + b"x" * 5000 + b"\n"
    guest, status, error = tricked(tmp_path, tree(), service, key, lambda _, status, text: (rubbish, status, text))
    assert status == 0, error
    assert guest.dropped()


def test_the_host_says_no_in_colour(service, tree, tmp_path):
    key = register(service)
    text = json.dumps({"code": "x", "detail": "\x1b[31mred\n" + "y" * 5000}).encode()
    guest, status, error = tricked(tmp_path, tree(), service, key, lambda *_: (b"", 403, text))
    assert (status, guest.dropped()) == (3, {}) and "\x1b" not in error and len(error) < 1000, error


def test_never_an_answer(service, tree, tmp_path):
    key = register(service)
    guest = Guest(tmp_path, tree(), "--timeout=1s")
    connection = guest.start(key)
    status, error = guest.end()
    connection.close()
    assert (status, guest.dropped()) == (4, {}), error


def test_relay_is_no_way_out(service, tmp_path):
    """Two paths below one URL, bounded bodies, a bounded rate: whatever the guest says."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with relay(theirs, service), ours, ours.makefile("rwb") as file:
        ours_lines = [b"GET 1 2\n{}\n", b"../../health 2 2\n{}\n", b"launch x 2\n{}\n", b"launch 3 999999\n", b"\n", b"launch 4 2 5\n{}\n"]
        file.write(b"".join(ours_lines) + b"launch 5 2\n{}\n")
        file.flush()

        def answer():
            number, status, _, size = file.readline().split()
            body = file.read(int(size) + 1)
            return int(number), int(status), json.loads(body)

        assert answer()[:2] == (3, 413)
        number, status, body = answer()
        assert (number, status, body["code"]) == (5, 404, "unknown-vm")
        for i in range(20):
            file.write(b"launch %d 2\n{}\n" % (100 + i))
        file.flush()
        statuses = [answer()[1] for _ in range(20)]
        assert 429 in statuses and statuses[0] == 404
        ours.shutdown(socket.SHUT_WR)


def hpke_open(private, enc, info, sealed):
    """RFC 9180, base mode, X25519, HKDF-SHA256, AES-256-GCM, written again from the RFC: a guest of somebody else's."""
    from cryptography.hazmat.primitives.asymmetric import x25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def extract(suite, salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(suite, prk, label, more, size):
        return hmac.digest(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + more + b"\1", "sha256")[:size]

    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2"
    dh = private.exchange(x25519.X25519PublicKey.from_public_bytes(enc))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = expand(kem, extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + public, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    return AESGCM(expand(suite, secret, b"key", context, 32)).decrypt(expand(suite, secret, b"base_nonce", context, 12), sealed, None)


def test_a_launch_by_an_unmodified_qemu(service, sim, platform, tmp_path):
    """The other half: QEMU launches on the simulated host, the simulated platform signs the report of what was recorded, and the service
    takes it for what `cvmspawn measure` predicted. The guest's part is played by python's cryptography, from the protocol's man page."""
    pytest.importorskip("cryptography")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils, x25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    firmware = tmp_path / "firmware.fd"
    firmware.write_bytes(model.make_firmware(seed=43))
    digest = subprocess.run([build_folder() / "programs/cvmspawn", "measure", "--mode=snp", "--ovmf", firmware, "--vcpus=2", "--vcpu-type=EPYC-v4"],
                            capture_output=True, text=True, timeout=60, check=True).stdout.strip()  # fmt: skip
    register(service, **{"launch-digests": [digest]})
    launch = sim.launch("snp", firmware.read_bytes(), vcpus=2)

    status, begun = service.post("/vm/guest-1/launch", {"scheme": "amd-sev-snp"})
    assert status == 200, begun
    private = x25519.X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    data = hashlib.sha512(b"cvmspawn-attest-v1\0" + base64.b64decode(begun["nonce"]) + bytes.fromhex(begun["launch-id"]) + public).digest()
    report = tmp_path / "report.bin"
    subprocess.run([build_folder() / "sevsim/sevsim-attest", platform, launch.folder, data.hex(), report], check=True, timeout=60)
    evidence = {"launch-id": begun["launch-id"], "report": base64.b64encode(report.read_bytes()).decode(),
                "public-key": base64.b64encode(public).decode(),
                "certs": base64.b64encode((platform / "vcek.der").read_bytes()).decode()}  # fmt: skip
    status, packet = service.post("/vm/guest-1/validate", evidence)
    assert status == 200, packet
    assert service.post("/vm/guest-1/validate", evidence) == (200, packet)

    header, payload, signature = (base64.b64decode(packet[name]) for name in ("secret-header", "secret-payload", "signature"))
    point = bytes.fromhex(service.curl(service.url)[1]["packet-key"])
    signer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
    der = utils.encode_dss_signature(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
    message = b"cvmspawn-attest-v1 packet\0" + data + header + payload
    signer.verify(der, message, ec.ECDSA(hashes.SHA384()))
    with pytest.raises(InvalidSignature):
        signer.verify(der, message + b"\0", ec.ECDSA(hashes.SHA384()))
    assert json.loads(hpke_open(private, header, data, payload)) == {"secrets": REGISTRATION["secrets"]}
