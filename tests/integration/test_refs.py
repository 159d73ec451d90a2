# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reference bundles: built from what measure computes, signed, verified, refused when they are tampered with or old, and exported so that the
logic of the importer accepts them. The firmware is the synthetic one of tests/golden/measure."""

import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from snp_world import BUILD, expect, run

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden/measure"
sys.path.insert(0, str(HERE.parent / "lib"))
from rego_subset import UNDEFINED, Policy  # noqa: E402

TCB = "--tcb=milan:bootloader=4,tee=0,snp=24,microcode=219"
PLATFORM = "--platform=smt=on,tsme=off"
ISSUED = 1793491200  # 2026-11-01


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("refs")
    subprocess.run([GOLDEN / "generate.py", "--images", path], check=True, timeout=300)
    for name, args in (("ed", ["-algorithm", "ed25519"]), ("p256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
                       ("p384", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"])):
        subprocess.run(["openssl", "genpkey", *args, "-out", path / f"{name}.pem"], check=True, timeout=300, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", path / f"{name}.pem", "-pubout", "-out", path / f"{name}.pub"], check=True, timeout=300)
    (path / "kernel").write_bytes(b"kernel" * 1000)
    (path / "initrd").write_bytes(b"initrd" * 1000)
    return path


def launch(world, mode="snp", vcpus="1-4", cpus="EPYC-v4,EPYC-Milan", *more):
    firmware = next(iter(sorted(world.glob("*.fd"))))
    words = ["--", "--mode", mode, "--ovmf", firmware, "--kernel", world / "kernel", "--initrd", world / "initrd", "--append", "quiet", *more]
    return words + (["--vcpus", vcpus, "--vcpu-type", cpus] if mode != "sev" else [])


def build(world, name, *options, words=None):
    file = world / name
    expect(run("refs", "build", "--issued", f"@{ISSUED}", "-o", file, *options, *(words or launch(world))), 0)
    return file


@pytest.fixture(scope="module")
def bundle(world):
    return build(world, "bundle.json", "--name=web", TCB, PLATFORM)


@pytest.fixture(scope="module")
def signed(world, bundle):
    file = world / "bundle.refs"
    expect(run("refs", "sign", bundle, f"--key={world}/ed.pem", f"--key={world}/p256.pem", f"--key={world}/p384.pem", "-o", file), 0)
    return file


def signers(world, *names):
    return [f"--signer={world}/{name}.pub" for name in names]


def test_what_is_in_it(world, bundle):
    text = bundle.read_text()
    j = json.loads(text)
    assert text == json.dumps(j, sort_keys=True, separators=(",", ":")) + "\n"
    inputs = j["launches"][0]["inputs"]
    for name in ("kernel", "initrd"):
        assert inputs[name]["sha256"] == hashlib.sha256((world / name).read_bytes()).hexdigest()
        assert [p["name"] for p in inputs[name]["parts"]] == [name]
    assert str(world) not in text
    rows = [(r["cpu-model"], r["vcpus"] + i, d) for r in j["launches"][0]["rows"] for i, d in enumerate(r["digests"])]
    measured = json.loads(expect(run("measure", *launch(world)[1:], "--json"), 0).stdout)
    assert rows == [(r["cpu-model"], r["vcpus"], r["digest"]) for r in measured["rows"]] and len(rows) == 8
    # The same inputs give the same bytes.
    assert build(world, "again.json", "--name=web", TCB, PLATFORM).read_text() == text


def test_credentials_are_there_by_hash_only(world):
    (world / "batch").write_text(json.dumps({"id": "one", "mode": "snp", "vcpus": 1, "vcpu-type": "EPYC-v4", "ovmf": str(next(iter(sorted(world.glob("*.fd"))))),
                                             "kernel": str(world / "kernel"), "append": "x", "credentials": {"motd": "Schibboleth"}}) + "\n")
    text = build(world, "credentials.json", words=["--", f"--batch={world}/batch"]).read_text()
    assert "Schibboleth" not in text and base64.b64encode(b"Schibboleth").decode() not in text
    launch = json.loads(text)["launches"][0]
    assert launch["name"] == "one" and launch["inputs"]["initrd"]["parts"][-1]["name"] == "credentials"


@pytest.mark.parametrize("mode", ["snp", "seves"])
def test_the_family_gives_what_measure_computes(world, mode):
    file = build(world, f"{mode}.json", words=launch(world, mode, "1", "EPYC-v4"))
    for vcpus, cpu in ((1, "EPYC-v4"), (37, "EPYC-Genoa"), (512, "EPYC-Turin")):
        expected = expect(run("measure", *launch(world, mode, str(vcpus), cpu)[1:]), 0).stdout.strip()
        expect(run("refs", "show", file, f"--vcpus={vcpus}", f"--vcpu-type={cpu}"), 0, expected)
    rows = build(world, f"{mode}-rows.json", "--family-vcpus=0", words=launch(world, mode, "1", "EPYC-v4"))
    assert "family" not in json.loads(rows.read_text())["launches"][0]
    assert expect(run("refs", "show", rows, "--vcpus=2"), 1, "--vcpus=2", "no families").stdout == ""
    expect(run("refs", "show", file, "--vcpus=9999"), 1, "--vcpus=9999", "1 to 512 vCPUs")


def test_bundles_and_tables_become_one(world, bundle):
    table = world / "table.json"
    table.write_text(expect(run("measure", "--family", "--json", *launch(world, "sev")[1:]), 0).stdout)
    both = json.loads(build(world, "both.json", words=[bundle, table]).read_text())
    assert [x["technology"] for x in both["launches"]] == ["sev-snp", "sev"]
    plain = world / "plain.jsonl"
    plain.write_text('{"mode":"snp","vcpus":1,"digest":"' + "00" * 48 + '"}\n')
    expect(run("refs", "build", plain), 1, "a row without its inputs", "--family")


def test_signatures(world, bundle, signed):
    verify = ("refs", "verify", signed)
    expect(run(*verify, *signers(world, "ed", "p256", "p384")), 0, "3 of 3 signers")
    other = world / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", other], check=True, timeout=300)
    subprocess.run(["openssl", "pkey", "-in", other, "-pubout", "-out", world / "other.pub"], check=True, timeout=300)
    expect(run(*verify, *signers(world, "ed", "other")), 2, "1 of the 2 given keys")
    expect(run(*verify, *signers(world, "ed", "other"), "--threshold=1"), 0)
    # One key is one signer, in whatever form it is given.
    subprocess.run(["openssl", "pkey", "-pubin", "-in", world / "ed.pub", "-outform", "DER", "-out", world / "ed-der.pub"], check=True, timeout=300)
    for again in ("ed", "ed-der"):
        expect(run(*verify, *signers(world, "ed", again)), 0, "1 of 1 signer\n")
        expect(run(*verify, *signers(world, "ed", again), "--threshold=2"), 1, "more than the 1 key of")
        expect(run(*verify, *signers(world, "other", again, "other")), 2, "1 of the 2 given keys")
    expect(run(*verify, *signers(world, "ed"), "--threshold=2"), 1, "more than the 1 key of")
    expect(run(*verify), 1, "--signer=")
    expect(run(*verify, "--insecure-no-signature"), 0, "SIGNATURE NOT CHECKED")
    expect(run("refs", "verify", bundle, *signers(world, "ed")), 2, "not signed")
    expect(run("refs", "sign", signed, f"--key={world}/ed.pem"), 1, "already", str(signed))
    # A file by URI: OpenSSL takes an absolute path only.
    expect(run("refs", "sign", bundle, f"--key=file:{world}/ed.pem", "-o", world / "by-uri.refs"), 0)
    expect(run("refs", "sign", bundle, "--key=file:ed.pem"), 1, "--key: 'file:ed.pem': OpenSSL opens no file by this URI; pass the path of the file itself")
    expect(run("refs", "sign", bundle, "--key=nowhere:ed.pem"), 1, "no OpenSSL provider opens this URI (unregistered scheme)")
    for key, part in (("ed.pub", "this is a public key"), ("kernel", "not an unencrypted private key")):
        done = expect(run("refs", "sign", bundle, f"--key={world}/{key}"), 1, f"--key: '{world}/{key}': {part}")
        assert str(bundle) not in done.stderr
    # The other tool reads what we signed: DSSE's bytes, by openssl.
    envelope = json.loads(signed.read_text())
    payload = base64.b64decode(envelope["payload"])
    assert payload == bundle.read_bytes()
    pae = b"DSSEv1 %d %s %d %s" % (len(envelope["payloadType"]), envelope["payloadType"].encode(), len(payload), payload)
    (world / "pae").write_bytes(pae)
    for index, (name, args) in enumerate((("ed", ["pkeyutl", "-verify", "-rawin", "-in"]), ("p256", ["dgst", "-sha256"]), ("p384", ["dgst", "-sha384"]))):
        (world / "sig").write_bytes(base64.b64decode(envelope["signatures"][index]["sig"]))
        key = ["-pubin", "-inkey", world / f"{name}.pub", "-sigfile", world / "sig"] if name == "ed" else ["-verify", world / f"{name}.pub", "-signature", world / "sig"]
        words = ["openssl", args[0], *args[1:], world / "pae", *key] if name == "ed" else ["openssl", *args, *key, world / "pae"]
        subprocess.run(words, check=True, timeout=300, capture_output=True)


def test_a_key_elsewhere(world, bundle):
    expect(run("refs", "sign", "--detached", bundle, "-o", world / "to-sign"), 0)
    subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", world / "ed.pem", "-in", world / "to-sign", "-out", world / "detached"],
                   check=True, timeout=300)
    words = ["refs", "sign", bundle, f"--signature={world}/detached", "-o", world / "detached.refs"]
    expect(run(*words, f"--public-key={world}/p256.pub"), 2, "not made by this key")
    done = expect(run(*words, f"--public-key={world}/kernel"), 1, f"--public-key: {world}/kernel")
    assert str(bundle) not in done.stderr and not (world / "detached.refs").exists()
    expect(run(*words, f"--public-key={world}/ed.pub"), 0)
    expect(run("refs", "verify", world / "detached.refs", *signers(world, "ed")), 0)


def test_age_and_rollback(world, bundle, signed, tmp_path):
    words = ["refs", "verify", *signers(world, "ed")]
    day = 86400
    expect(run(*words, signed, "--max-age=30d", f"--time=@{ISSUED + 29 * day}"), 0)
    expect(run(*words, signed, "--max-age=30d", f"--time=@{ISSUED + 31 * day}"), 3, "more than")
    expect(run(*words, signed, f"--time=@{ISSUED - day}"), 3, "in the future")
    new = build(world, "new.json", "--sequence=9", "--valid=2d")
    old = build(world, "old.json", "--sequence=8")
    for file in (new, old):
        expect(run("refs", "sign", file, f"--key={world}/ed.pem", "-o", f"{file}.refs"), 0)
    now = f"--time=@{ISSUED + day}"
    expect(run(*words, f"{new}.refs", f"--time=@{ISSUED + 3 * day}"), 3, "expired")
    state = tmp_path / "state"
    expect(run(*words, f"{old}.refs", now, f"--state={state}"), 0)
    expect(run(*words, f"{new}.refs", now, f"--state={state}"), 0)
    kept = state.read_text()
    expect(run(*words, f"{old}.refs", now, f"--state={state}"), 3, "sequence number 8, but 9")
    assert state.read_text() == kept
    expect(run(*words, f"{old}.refs", now, f"--previous={new}.refs"), 3, "it is older")
    twin = build(world, "twin.json", "--sequence=9", "--name=twin")
    expect(run("refs", "sign", twin, f"--key={world}/ed.pem", "-o", f"{twin}.refs"), 0)
    expect(run(*words, f"{twin}.refs", now, f"--state={state}"), 3, "same sequence number 9")
    state.write_text("{}")
    expect(run(*words, f"{new}.refs", now, f"--state={state}"), 1, "--state")


def changed(bundle, path, change):
    j = json.loads(bundle.read_text())
    change(j)
    path.write_text(json.dumps(j))
    return path


def test_bad_bundles(world, bundle, signed, tmp_path):
    """One message, the documented status, and nothing written."""
    state, text = tmp_path / "state", bundle.read_text()

    def refused(content, status, *parts, words=("--insecure-no-signature",)):
        file = tmp_path / "bad"
        file.write_text(content) if isinstance(content, str) else file.write_bytes(content)
        done = expect(run("refs", "verify", file, *([f"--state={state}"] if "--insecure-no-signature" not in words else []), *words), status, *parts)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and not state.exists()

    refused("", 1, "JSON")
    refused(text[:1000], 1, "JSON")
    refused(text.replace('"sequence":', '"sequence":1,"sequence":'), 1, "duplicate")
    refused(text.replace('"name":"web"', '"nome":"web"'), 1, "nome")
    refused(text.replace('"platform":{', '"platform":{"luck":true,'), 1, "luck")
    refused("[" * 100000, 1)
    refused(text.replace('"name":"web"', '"name":' + "[" * 40 + "]" * 40), 1, "nested deeper")
    refused(text.replace("cvmspawn-refs-v1", "cvmspawn-refs-v9"), 1, "not a reference bundle")
    refused(bytes(64) + b"\xff\xfe", 1)
    row = json.loads(text)["launches"][0]["rows"][0]["digests"][2]
    refused(text.replace(row, "00" * 48), 3, "3 vCPUs", "contradicts the family")
    seed = json.loads(text)["launches"][0]["family"]["seed"]
    refused(text.replace(seed, "11" * 48), 3, "contradicts the family")
    refused(text.replace('"features":1,"inputs"', '"features":2,"inputs"'), 1, "the family contradicts")
    # Signed bundles
    envelope = json.loads(signed.read_text())
    words = signers(world, "ed")
    payload = base64.b64decode(envelope["payload"]).replace(b'"smt":true', b'"smt":false')
    refused(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}), 2, "0 of the 1 given key signed", words=words)
    refused(json.dumps({**envelope, "payloadType": "text/plain"}), 1, "not application/vnd.cvmspawn", words=words)
    refused(json.dumps({**envelope, "signatures": []}), 2, words=words)
    refused(json.dumps({**envelope, "payload": envelope["payload"][:-3] + "!!!"}), 1, "base64", words=words)
    refused(signed.read_text()[:-50], 1, words=words)
    # Longer than any bundle: it is not read to its end.
    with open(tmp_path / "huge", "wb") as f:
        f.truncate(1 << 30)
    done = expect(run("refs", "verify", tmp_path / "huge", "--insecure-no-signature"), 1, "more than")
    assert len(done.stderr.splitlines()) == 1
    expect(run("refs", "build", *(["--platform=smt=maybe"] + launch(world))), 1, "--platform")
    expect(run("refs", "build", *(["--tcb=milan:bootloader=4"] + launch(world))), 1, "lacks")
    expect(run("refs", "build", *(["--guest-policy=0"] + launch(world))), 1, "bit 17")
    expect(run("refs", "build", "--", "--mode", "snp", "--ovmf", "/nonexistent", "--vcpus=1", "--vcpu-type=EPYC-v4"), 1, "could not compute")


@pytest.fixture(scope="module")
def id_keys(world):
    for name in ("id", "author"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", world / f"{name}.pem"], check=True,
                       timeout=300, capture_output=True)
    return [f"--id-key={world}/id.pem", f"--author-key={world}/author.pem", "--svn=3", "--family-id=web", "--image-id=" + "5a" * 16]


def test_id_blocks(world, id_keys, tmp_path):
    """Each row's block is what id-block accepts, and a bundle in which one is wrong is refused."""
    file = build(world, "id.json", "--guest-policy=0x130000", *id_keys)
    expect(run("refs", "verify", file, "--insecure-no-signature"), 0)
    rows = [json.loads(line) for line in expect(run("refs", "export", "--format=id-blocks", file), 0).stdout.splitlines()]
    digests = [d for r in json.loads(file.read_text())["launches"][0]["rows"] for d in r["digests"]]
    assert [r["digest"] for r in rows] == digests and [r["vcpus"] for r in rows] == [1, 2, 3, 4] * 2
    for row in (rows[0], rows[-1]):
        for name in ("id-block", "id-auth"):
            (tmp_path / name).write_text(row[name])
        done = expect(run("id-block", "verify", f"--id-block={tmp_path}/id-block", f"--id-auth={tmp_path}/id-auth", "--policy=0x130000",
                          f"--measurement={row['digest']}", "--json"), 0)
        shown = json.loads(done.stdout)
        assert shown["guest-svn"] == 3 and bytes.fromhex(shown["family-id"]).rstrip(b"\0") == b"web" and shown["image-id"] == "5a" * 16
        for key in ("id", "author"):
            assert shown[f"{key}-key-digest"] == expect(run("id-block", "key-digest", world / f"{key}.pem"), 0).stdout.strip()
    verify = ("refs", "verify", "--insecure-no-signature")
    j = json.loads(file.read_text())
    row = j["launches"][0]["rows"][1]
    row["id-signatures"][0], row["id-signatures"][1] = row["id-signatures"][1], row["id-signatures"][0]
    (tmp_path / "bad").write_text(json.dumps(j))
    expect(run(*verify, tmp_path / "bad"), 3, "row '1 vCPU, EPYC-Milan'", "was not made by the ID key")
    for change, part in ((lambda j: j.pop("id"), "belong together"), (lambda j: j.pop("guest-policy"), "'id' without"),
                         (lambda j: j["launches"][0]["rows"][0]["id-signatures"].pop(), "one for each digest"),
                         (lambda j: j["launches"][0]["rows"][0]["id-signatures"].append(j["launches"][0]["rows"][0]["id-signatures"].pop()[:-4]), "4"),
                         (lambda j: j["id"].pop("author-key"), "belong together"), (lambda j: j["id"].__setitem__("luck", 1), "unknown member 'luck'")):
        expect(run(*verify, changed(file, tmp_path / "bad", change)), 1, part)
    expect(run(*verify, changed(file, tmp_path / "bad", lambda j: j["id"].__setitem__("author-signature", "11" * 96))), 3, "author key")
    # Blocks are for one policy: they do not go into another bundle.
    again = world / "again-id.json"
    expect(run("refs", "build", f"--issued=@{ISSUED}", "-o", again, file), 0, "ID blocks of a bundle are dropped", "--id-key=")
    assert "id" not in json.loads(again.read_text()) and json.loads(again.read_text())["guest-policy"] == json.loads(file.read_text())["guest-policy"]
    expect(run("refs", "export", "--format=id-blocks", again), 1, "--id-key=")
    expect(run("refs", "build", "--id-key", world / "id.pem", *launch(world, "sev")), 1, "no sev-snp launch")
    expect(run("refs", "build", "--id-key", world / "p256.pem", *launch(world)), 1, "--id-key")
    expect(run("refs", "build", "--svn=1", *launch(world)), 1, "--id-key")


# The lookups of Trustee's default CPU policy for SNP (ear_default_policy_cpu.rego, 2026-08), written here again. With CVMSPAWN_TRUSTEE_POLICY=FILE the
# same test runs with Trustee's file.
OURS = """
package policy
import rego.v1
default executables := 33
default hardware := 97
default configuration := 36
executables := 3 if { input.snp.measurement in query_reference_value("snp_launch_measurement") }
hardware := 2 if {
  input.snp.reported_tcb_bootloader in query_reference_value("snp_bootloader")
  input.snp.reported_tcb_tee in query_reference_value("snp_tee_svn")
  input.snp.reported_tcb_snp in query_reference_value("snp_snp_svn")
  input.snp.reported_tcb_microcode in query_reference_value("snp_microcode")
}
configuration := 2 if {
  input.snp.policy_debug_allowed == false
  input.snp.platform_smt_enabled == query_reference_value("snp_smt_enabled")
  input.snp.platform_tsme_enabled == query_reference_value("snp_tsme_enabled")
  input.snp.policy_abi_major == query_reference_value("snp_guest_abi_major")
  input.snp.policy_abi_minor == query_reference_value("snp_guest_abi_minor")
  input.snp.policy_single_socket == query_reference_value("snp_single_socket")
  input.snp.policy_smt_allowed == query_reference_value("snp_smt_allowed")
} else := 3 if { input.snp.policy_debug_allowed == false }
trust_claims := {"executables": executables, "hardware": hardware, "configuration": configuration}
"""
POLICIES = [OURS] + ([pathlib.Path(os.environ["CVMSPAWN_TRUSTEE_POLICY"]).read_text()] if "CVMSPAWN_TRUSTEE_POLICY" in os.environ else [])
GOOD = {"executables": 3, "hardware": 2, "configuration": 2}
# Names of the report's claims in Trustee (deps/verifier/src/snp/mod.rs).
CLAIMS = {"policy_abi_major": 0, "policy_abi_minor": 0, "policy_smt_allowed": True, "policy_migrate_ma": False, "policy_debug_allowed": False,
          "policy_single_socket": False, "reported_tcb_bootloader": 4, "reported_tcb_tee": 0, "reported_tcb_snp": 24,
          "reported_tcb_microcode": 219, "platform_tsme_enabled": False, "platform_smt_enabled": True}


def judge(policy, values, claims):
    claims = Policy(policy, {"snp": claims}, {"query_reference_value": lambda name: values.get(name, UNDEFINED)}).evaluate("trust_claims")
    return {name: claims[name] for name in GOOD}


@pytest.mark.parametrize("policy", POLICIES)
def test_trustee_imports_all_its_values(bundle, policy):
    message = json.loads(expect(run("refs", "export", "--format=rvps", bundle), 0).stdout)
    assert (message["version"], message["type"]) == ("0.1.0", "sample")
    values = json.loads(base64.b64decode(message["payload"]))
    assert len(values) == 11
    digests = [d for r in json.loads(bundle.read_text())["launches"][0]["rows"] for d in r["digests"]]
    for digest in digests:
        assert judge(policy, values, {**CLAIMS, "measurement": digest}) == GOOD
    assert judge(policy, values, {**CLAIMS, "measurement": "00" * 48})["executables"] == 33
    claims = {**CLAIMS, "measurement": digests[3]}
    for name in values:
        assert judge(policy, {n: v for n, v in values.items() if n != name}, claims) != GOOD, name
    for name, other in (("reported_tcb_snp", 23), ("platform_smt_enabled", False), ("policy_abi_minor", 1), ("policy_single_socket", True)):
        assert judge(policy, values, {**claims, name: other}) != GOOD, name


def test_rvps_names_and_gaps(world, bundle):
    words = ["refs", "export", "--format=rvps", "--uri=rvps:///example.org/web", "--tag=v1", bundle]
    names = json.loads(base64.b64decode(json.loads(expect(run(*words), 0).stdout)["payload"]))
    assert "rvps:///example.org/web/snp_launch_measurement:v1" in names and len(names) == 11
    for options, part in (([TCB], "SMT and TSME"), ([PLATFORM], "TCB versions")):
        expect(run("refs", "export", "--format=rvps", build(world, "gap.json", *options)), 1, part)
    expect(run("refs", "export", "--format=rvps", build(world, "gap.json", words=launch(world, "sev"))), 1, "no sev-snp launch")


def test_other_formats(world, bundle):
    statement = json.loads(expect(run("refs", "export", "--format=in-toto", bundle), 0).stdout)
    assert statement["predicate"] == json.loads(bundle.read_text())
    assert {"name": "kernel", "digest": {"sha256": hashlib.sha256((world / "kernel").read_bytes()).hexdigest()}} in statement["subject"]
    file = build(world, "evil.json", words=[changed(bundle, world / "evil-in.json", lambda j: j["launches"][0].__setitem__("name", '=HYPERLINK("x"),|a\nb'))])
    rows = list(csv.DictReader(io.StringIO(expect(run("refs", "export", "--format=csv", file), 0).stdout, newline="")))
    assert len(rows) == 8 and rows[0]["launch"] == '=HYPERLINK("x"),|a\nb'
    assert rows[0]["digest"] == json.loads(bundle.read_text())["launches"][0]["rows"][0]["digests"][0]
    for name, blank in (("markdown", "| "), ("table", "\t")):
        lines = expect(run("refs", "export", f"--format={name}", file), 0).stdout.splitlines()
        assert len(lines) == (10 if name == "markdown" else 9) and len({line.count(blank.strip() or blank) for line in lines}) == 1


def test_the_schema_knows_it(world, bundle, id_keys):
    """Member by member: the schema is published, so what the program writes must be in it."""
    schema = json.loads((HERE.parent.parent / "docs/refs.schema.json").read_text())

    def check(node, j):
        node = {**schema["$defs"][node["$ref"].rsplit("/", 1)[1]], **node} if "$ref" in node else node
        if isinstance(j, dict):
            assert set(node.get("required", [])) <= set(j)
            for key, value in j.items():
                known = node["properties"].get(key) if "properties" in node else None
                check(known or next(iter(node["patternProperties"].values())), value)
        elif isinstance(j, list):
            for value in j:
                check(node["items"], value)

    check(schema, json.loads(bundle.read_text()))
    check(schema, json.loads(build(world, "id.json", *id_keys).read_text()))
    assert BUILD


@pytest.mark.parametrize("text, value", [
    ("x := 1 if { 1 == 1 }", 1), ("default x := 2\nx := 1 if { 1 == 2 }", 2), ("x := 1 if { true == 1 } else := 3", 3),
    ('x := 1 if { "a" in ["b", "a"] }', 1), ("default x := 0\nx := 1 if { input.nothing }", 0), ("x := [v | v := input.l[_]\n v > 1]", [2, 3]),
    ("x := 1 if { not input.nothing }", 1), ("default x := 0\nx := 1 if { 1 in input.nothing }", 0), ("x := count(input.l)", 3),
    ('x := input["l"][1]', 2), ('x := {"a": y}\ny := 4', {"a": 4})])
def test_the_evaluator_of_the_rego_subset(text, value):
    assert Policy("package p\n" + text, {"l": [1, 2, 3]}, {}).evaluate("x") == value


def test_the_evaluator_refuses_what_it_does_not_know():
    for text in ("x := 1 if { some i in [1] }", "x := 1 if { every i in [1] { i } }", "x := sprintf(1)", "x contains 1", "x := 1 +"):
        with pytest.raises((SyntaxError, KeyError)):
            Policy("package p\n" + text, {}, {}).evaluate("x")
