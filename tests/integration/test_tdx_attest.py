# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets for a TD: the service as its own process, quotes of a made-up Intel (SIMULATED: throw-away keys), and a guest in Python, whose key, sealed packet and
signature are python-cryptography's."""

import base64
import copy
import datetime
import hashlib
import json
import os
import signal
import time

import pytest
import td_chain as chain
import tdx_model
from attestd_service import Service
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from test_td_refs import fixture_launches  # noqa: F401

MAKE = tdx_model.make_body()
LAUNCH = {"measurement": MAKE["mrtd"].hex(), **{f"rtmr{i}": MAKE[f"rtmr{i}"].hex() for i in range(3)}, "host-credentials": "ignored"}
ATTRIBUTES = int.from_bytes(MAKE["attributes"], "little")
SECRET = {"type": "credential", "name": "db.password", "data": base64.b64encode(b"sesame").decode()}
REGISTRATION = {"scheme": "intel-tdx", "policy": ATTRIBUTES, "launch-registers": [LAUNCH], "kind": "image", "max-instances": 100, "secrets": [SECRET]}
FILES = "tcb.json", "qe.json", "signer.der", "root.crl", "pck.crl"


def now(days=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def collateral(world):
    """As of today: the service has no other clock than the machine's."""
    end = datetime.datetime.now() + datetime.timedelta(days=300)
    current = {"issueDate": now(-1), "nextUpdate": now(29)}
    return {**world.files(), "tcb.json": world.sign("tcbInfo", world.tcb_info(**current)), "qe.json": world.sign("enclaveIdentity", world.qe_identity(**current)),
            "root.crl": chain.crl(chain.ROOT, world.root_key, end=end), "pck.crl": chain.crl(chain.CA, world.ca_key, end=end)}  # fmt: skip


@pytest.fixture(scope="module")
def world():
    return chain.World()


def start(folder, world, *options, files=FILES, spoiled=None):
    for name, data in {**collateral(world), **(spoiled or {})}.items():
        (folder / name).write_bytes(data)
    return Service(folder, f"--insecure-tdx-root={folder}/root.pem", *(f"--tdx-collateral={folder / name}" for name in files), *options)


@pytest.fixture
def service(tmp_path, world):
    s = start(tmp_path, world, "--crl=required")
    yield s
    if s.process.returncode is None:
        s.stop()


def register(service, **more):
    return service.post("/vm/td-1", {**REGISTRATION, **more}, *service.owner())


class Guest:
    """One conversation: its nonce, its key, what its quote must contain."""

    def __init__(self, service, vm="td-1"):
        self.path = f"/vm/{vm}"
        status, answer = service.post(f"{self.path}/launch", {})
        assert status == 200, answer
        self.service, self.id, self.nonce = service, answer["launch-id"], base64.b64decode(answer["nonce"])
        assert answer["policy"] == ATTRIBUTES and len(self.nonce) == 32
        self.key = x25519.X25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.data = hashlib.sha512(b"cvmspawn-attest-v1\0" + self.nonce + bytes.fromhex(self.id) + self.public).digest()

    def validate(self, quote, **more):
        body = {"launch-id": self.id, "public-key": base64.b64encode(self.public).decode(), "report": base64.b64encode(quote).decode(), **more}
        return self.service.post(f"{self.path}/validate", body)

    def open(self, answer):
        header, payload, signature = (base64.b64decode(answer[n]) for n in ("secret-header", "secret-payload", "signature"))
        point = bytes.fromhex(self.service.curl(self.service.url)[1]["packet-key"])
        signer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
        r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
        signer.verify(utils.encode_dss_signature(r, s), b"cvmspawn-attest-v1 packet\0" + self.data + header + payload, ec.ECDSA(hashes.SHA384()))
        return json.loads(hpke_open(self.key, self.public, header, self.data, payload))


def extract(salt, ikm):
    h = hmac.HMAC(salt or bytes(32), hashes.SHA256())
    h.update(ikm)
    return h.finalize()


def expand(key, info, n):
    return HKDFExpand(hashes.SHA256(), n, info).derive(key)


def hpke_open(key, public, header, info, sealed):
    """RFC 9180: base mode, X25519, HKDF-SHA256, AES-256-GCM."""
    kem, suite = b"KEM" + (0x20).to_bytes(2, "big"), b"HPKE" + b"\0\x20\0\1\0\2"

    def labelled(suite_id, salt, label, ikm):
        return extract(salt, b"HPKE-v1" + suite_id + label + ikm)

    def spread(suite_id, prk, label, text, n):
        return expand(prk, n.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + text, n)

    shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(header))
    secret = spread(kem, labelled(kem, b"", b"eae_prk", shared), b"shared_secret", header + public, 32)
    context = b"\0" + labelled(suite, b"", b"psk_id_hash", b"") + labelled(suite, b"", b"info_hash", info)
    prk = labelled(suite, secret, b"secret", b"")
    return AESGCM(spread(suite, prk, b"key", context, 32)).decrypt(spread(suite, prk, b"base_nonce", context, 12), sealed, b"")


@pytest.mark.parametrize("version,td15", [(4, False), (5, True)])
def test_secrets_arrive(service, world, version, td15):
    assert register(service)[0] == 201
    guest = Guest(service)
    quote = world.quote(version, td15, **{"report-data": guest.data})
    status, answer = guest.validate(quote)
    assert status == 200, answer
    assert guest.open(answer) == {"secrets": [SECRET]}
    # The same evidence gets the same bytes; another quote nothing.
    assert guest.validate(quote) == (200, answer)
    assert guest.validate(world.quote(version, td15, **{"report-data": guest.data}))[1]["code"] == "measurement-mismatch"


def test_capabilities(service):
    assert "intel-tdx" in service.curl(service.url)[1]["schemes"]


OTHER = bytes(range(48))


@pytest.mark.parametrize("values,code,word", [
    ({"mrtd": OTHER}, "measurement-mismatch", "measurement"),
    ({"rtmr0": OTHER}, "measurement-mismatch", "rtmr0"),
    ({"rtmr1": OTHER, "rtmr2": OTHER}, "measurement-mismatch", "rtmr1 rtmr2"),
    ({"attributes": bytes([1, 0, 0, 0x10, 0, 0, 0, 0])}, "policy-not-met", "policy debug"),
    ({"attributes": bytes([0, 0, 0, 0x30, 0, 0, 0, 0])}, "policy-not-met", "policy migration_agent"),
    ({"attributes": bytes([0, 0, 0, 0x50, 0, 0, 0, 0])}, "policy-not-met", "policy"),
    ({"report-data": bytes(64)}, "binding-mismatch", "REPORTDATA"),
    ({"mrsignerseam": OTHER}, "report-not-authentic", "step"),
])  # fmt: skip
def test_another_guest_is_refused(service, world, values, code, word):
    assert register(service)[0] == 201
    guest = Guest(service)
    status, answer = guest.validate(world.quote(**{"report-data": guest.data, **values}))
    assert (status, answer["code"]) == (403, code) and word in answer["detail"], answer
    assert LAUNCH["measurement"] not in json.dumps(answer)


def test_three_failures_end_the_launch(service, world):
    assert register(service)[0] == 201
    guest = Guest(service)
    for _ in range(3):
        assert guest.validate(world.quote())[0] == 403
    assert guest.validate(world.quote(**{"report-data": guest.data}))[1]["code"] == "launch-burned"


def test_forged_quotes(service, world):
    """Another root; one bit of body, signature, or chain changed; no quote at all."""
    assert register(service)[0] == 201
    for spoil in (lambda g: chain.World().quote(**{"report-data": g.data}), lambda g: b"\4\0" + bytes(700),
                  *(lambda g, at=at: flip(world.quote(**{"report-data": g.data}), at) for at in (50, 200, 640, 720, 800, 1300, 3000))):  # fmt: skip
        guest = Guest(service)
        status, answer = guest.validate(spoil(guest))
        assert (status, answer["code"]) == (403, "report-not-authentic"), answer


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize("missing", FILES)
def test_collateral_is_missing(tmp_path, world, missing):
    """No verdict about the guest, and no failure of its launch."""
    s = start(tmp_path, world, "--crl=required", files=[f for f in FILES if f != missing])
    try:
        assert register(s)[0] == 201
        guest = Guest(s)
        for _ in range(4):
            status, answer = guest.validate(world.quote(**{"report-data": guest.data}))
            assert (status, answer["code"]) == (424, "collateral-missing"), answer
    finally:
        s.stop()


def test_collateral_is_old_or_revokes(tmp_path, world):
    old = world.sign("tcbInfo", world.tcb_info(issueDate=now(-60), nextUpdate=now(-1)))
    end = datetime.datetime.now() + datetime.timedelta(days=300)
    for n, (spoiled, code) in enumerate([({"tcb.json": old}, "collateral-missing"),
                                         ({"pck.crl": chain.crl(chain.CA, world.ca_key, [world.pck], end=end)}, "report-not-authentic")]):  # fmt: skip
        folder = tmp_path / str(n)
        folder.mkdir()
        s = start(folder, world, spoiled=spoiled)
        try:
            assert register(s)[0] == 201
            guest = Guest(s)
            assert guest.validate(world.quote(**{"report-data": guest.data}))[1]["code"] == code
        finally:
            s.stop()


def test_status_is_a_policy(service, world):
    """A platform that is out of date: refused, and accepted by name."""
    svn = bytes([1, 1]) + bytes(14)
    assert register(service)[0] == 201
    guest = Guest(service)
    answer = guest.validate(world.quote(**{"report-data": guest.data, "tee-tcb-svn": svn}))[1]
    assert answer["code"] == "policy-not-met" and "tcb_status" in answer["detail"]
    more = {"report-policy": {"tcb_status": ["UpToDate", "OutOfDate"]}}
    assert service.curl("-X", "PUT", "--data-binary", "@-", *service.owner(), service.url + "/vm/td-1", stdin=json.dumps({**REGISTRATION, **more}).encode())[0] == 200
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data, "tee-tcb-svn": svn}))[0] == 200


def test_reference_bundle(service, world, launches):
    """The registers that measure predicted, as refs bundled them; an expired bundle registers and releases nothing."""
    folder, values = launches
    bundle = json.loads((folder / "bundle").read_text())
    more = {"launch-registers": None, "reference-bundle": bundle}
    body = {k: v for k, v in {**REGISTRATION, **more}.items() if v is not None}
    assert service.post("/vm/td-1", body, *service.owner())[0] == 201
    for known in values:
        guest = Guest(service)
        assert guest.validate(world.quote(**{"report-data": guest.data, **known}))[0] == 200
    guest = Guest(service)
    status, answer = guest.validate(world.quote(**{"report-data": guest.data, **values[0], "rtmr2": values[1]["rtmr2"]}))
    assert (status, answer["code"]) == (403, "measurement-mismatch") and answer["detail"].split("differ:")[1].split(";")[0].split() == ["rtmr2"]
    body["reference-bundle"] = {**bundle, "expires": bundle["issued"] + 1}
    assert service.post("/vm/td-2", body, *service.owner())[0] == 201
    guest = Guest(service, "td-2")
    answer = guest.validate(world.quote(**{"report-data": guest.data, **values[0]}))[1]
    assert answer["code"] == "policy-not-met" and "expired" in answer["detail"]


def test_expired_bundle_beside_listed_launches(service, world, launches):
    """What is listed stays accepted, also if the bundle has it, too; what only the bundle has does not."""
    folder, values = launches
    bundle = json.loads((folder / "bundle").read_text())
    both = {name: value.hex() for name, value in values[1].items() if name.startswith("rtmr")} | {"measurement": values[1]["mrtd"].hex(), "host-credentials": "ignored"}
    more = {"launch-registers": [LAUNCH, both], "reference-bundle": {**bundle, "expires": bundle["issued"] + 1}}
    assert register(service, **more)[0] == 201
    for known in ({}, values[1]):
        guest = Guest(service)
        status, answer = guest.validate(world.quote(**{"report-data": guest.data, **known}))
        assert status == 200, answer
    guest = Guest(service)
    answer = guest.validate(world.quote(**{"report-data": guest.data, **values[0]}))[1]
    assert answer["code"] == "policy-not-met" and "the registered reference bundle has expired" in answer["detail"]
    guest = Guest(service)
    answer = guest.validate(world.quote(**{"report-data": guest.data, "rtmr1": OTHER}))[1]
    assert answer["code"] == "measurement-mismatch" and "rtmr1" in answer["detail"]


def test_bundle_without_a_td(service, launches):
    bundle = json.loads((launches[0] / "bundle").read_text())
    status, answer = register(service, **{"reference-bundle": {**bundle, "launches": []}})
    assert status == 422 and "reference-bundle" in answer["detail"], answer


def dates(service):
    status, found = service.curl(*service.owner(), service.url + "/certificates")
    assert status == 200
    return {(e["use"], e["name"]): e["expires"] for e in found}


def test_dates_of_intels_statements(service, world):
    """Certificates, TCB info, QE identity and lists; a list by its issuer, or by its file if the issuer's certificate is only in quotes."""
    found = dates(service)
    in_days = {key: (expires - time.time()) / 86400 for key, expires in found.items()}
    fmspc = world.tcb_info()["fmspc"].lower()
    statements = [("tcb-info", f"Intel's TCB info, FMSPC {fmspc}"), ("qe-identity", "Intel's identity of the quoting enclave")]
    assert all(28 < in_days[key] <= 29 for key in statements), found
    lists = sorted(name for use, name in found if use == "revocation-list")
    assert len(lists) == 2 and "pck.crl" in lists and all(298 < in_days["revocation-list", name] <= 301 for name in lists), found
    assert [name for use, name in found if use == "platform"], found


def test_newer_statements_on_sighup(tmp_path, world):
    """Old ones are replaced without a restart; what cannot be used changes nothing, and says so."""
    old = world.sign("tcbInfo", world.tcb_info(issueDate=now(-60), nextUpdate=now(-1)))
    s = start(tmp_path, world, "--crl=required", spoiled={"tcb.json": old})
    try:
        assert register(s)[0] == 201
        assert min(expires for (use, _), expires in dates(s).items() if use == "tcb-info") < time.time()
        guest = Guest(s)
        quote = world.quote(**{"report-data": guest.data})
        assert guest.validate(quote)[1]["code"] == "collateral-missing"

        def replace(name, data, says):
            before = len(s.text())
            (tmp_path / "new").write_bytes(data)
            os.replace(tmp_path / "new", tmp_path / name)
            s.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 60
            while says not in s.text()[before:]:
                assert time.monotonic() < end, s.text()
                time.sleep(0.05)

        replace("tcb.json", b"nothing of Intel's\n", "SIGHUP: Intel's statements of before stay in use: --tdx-collateral")
        assert guest.validate(quote)[1]["code"] == "collateral-missing"
        replace("tcb.json", collateral(world)["tcb.json"], "SIGHUP: quotes are verified with the files of --tdx-collateral that were read now")
        status, answer = guest.validate(quote)
        assert status == 200 and guest.open(answer) == {"secrets": [SECRET]}
        end = datetime.datetime.now() + datetime.timedelta(days=300)
        replace("pck.crl", chain.crl(chain.CA, world.ca_key, [world.pck], end=end), "that were read now")
        guest = Guest(s)
        assert guest.validate(world.quote(**{"report-data": guest.data}))[1]["code"] == "report-not-authentic"
    finally:
        s.stop()


def test_registers_of_one_launch_together(service, world):
    other = {**LAUNCH, "measurement": OTHER.hex(), **{f"rtmr{i}": OTHER.hex() for i in range(3)}}
    assert register(service, **{"launch-registers": [other, LAUNCH]})[0] == 201
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data}))[0] == 200
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data, "rtmr1": OTHER}))[1]["code"] == "measurement-mismatch"


@pytest.mark.parametrize("change,word", [
    ({"launch-registers": None}, "launch-registers or reference-bundle"),
    ({"launch-registers": []}, "expected a list"),
    ({"launch-registers": [{"rtmr0": "00" * 48}]}, "measurement: required"),
    ({"launch-registers": [{**LAUNCH, "rtmr1": "00"}]}, "rtmr1: expected 96"),
    ({"launch-registers": [{**LAUNCH, "rtmr9": "00"}]}, "unknown member 'rtmr9'"),
    ({"launch-registers": [{k: v for k, v in LAUNCH.items() if k != "rtmr0"}]}, "rtmr0 is missing"),
    ({"launch-registers": [{k: v for k, v in LAUNCH.items() if k != "host-credentials"}]}, "launch 0: host-credentials: expected"),
    ({"launch-registers": [LAUNCH, {**LAUNCH, "host-credentials": "imported"}]}, "launch 1: host-credentials: expected"),
    ({"launch-registers": [{**LAUNCH, "host-credentials": "unknown"}]}, "host-credentials: expected ignored, rtmr0 or imported"),
    ({"launch-registers": [{**{k: v for k, v in LAUNCH.items() if k != "rtmr0"}, "host-credentials": "rtmr0"}], "report-policy": {"rtmr0": "any"}},
     "launch 0: host-credentials"),
    ({"report-policy": {"rtmr2": "any"}}, "launch 0: host-credentials"),
    ({"policy": 0x30000}, "policy: only the bits"),
    ({"policy": 0x10000001}, "allow-debug"),
    ({"kernel-hash": "00" * 32}, "kernel-hash: not supported with intel-tdx"),
    ({"report-policy": {"measurement": "00" * 48}}, "'measurement' is not allowed"),
    ({"report-policy": {"tcb_status": "Revoked"}}, "expected UpToDate"),
    ({"reference-bundle": {"format": "x"}}, "reference-bundle"),
    ({"secrets": None}, "secrets"),
])  # fmt: skip
def test_registrations_that_are_refused(service, change, word):
    body = {k: v for k, v in {**copy.deepcopy(REGISTRATION), **change}.items() if v is not None}
    status, answer = service.post("/vm/td-1", body, *service.owner())
    assert status == 422 and word in answer["detail"], answer


def test_waived_register(service, world):
    launch = {k: v for k, v in LAUNCH.items() if k != "rtmr0"}
    assert register(service, **{"launch-registers": [launch], "report-policy": {"rtmr0": "any"}})[0] == 201
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data, "rtmr0": OTHER}))[0] == 200


@pytest.mark.parametrize("launch,policy", [
    ({**LAUNCH, "host-credentials": "rtmr0"}, {}),
    ({**LAUNCH, "host-credentials": "imported"}, {"allow_host_credentials": True}),
    ({k: v for k, v in LAUNCH.items() if k != "host-credentials"}, {"allow_host_credentials": True}),
])  # fmt: skip
def test_credentials_of_the_host(service, world, launch, policy):
    """Kept out, shown by a register, or accepted by name."""
    assert register(service, **{"launch-registers": [launch], "report-policy": policy})[0] == 201
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data}))[0] == 200


def test_scheme_in_the_request(service, world):
    assert register(service)[0] == 201
    guest = Guest(service)
    assert guest.validate(world.quote(**{"report-data": guest.data}), scheme="amd-sev-snp")[1]["code"] == "scheme-mismatch"
    assert guest.validate(world.quote(**{"report-data": guest.data}), scheme="intel-tdx")[0] == 200


def test_intels_own_root_is_not_this_one(tmp_path, world):
    for name, data in collateral(world).items():
        (tmp_path / name).write_bytes(data)
    s = Service(tmp_path, *(f"--tdx-collateral={tmp_path / name}" for name in FILES))
    try:
        assert register(s)[0] == 201
        guest = Guest(s)
        answer = guest.validate(world.quote(**{"report-data": guest.data}))[1]
        assert answer["code"] == "report-not-authentic" and "step root" in answer["detail"]
    finally:
        s.stop()
