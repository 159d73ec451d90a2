# SPDX-License-Identifier: LGPL-2.1-or-later
"""report verify --reference=BUNDLE: signed reports (of a made-up AMD) with real launch digests, several at once, against bundles of refs build:
which row or family member matches, which floor applies, what is nearest to a miss, and that nothing unusable is accepted."""

import base64
import hashlib
import json
import resource
import subprocess
import time

import pytest
from snp_world import BUILD, REPORT_DATA, expect, run
from test_refs import ISSUED, PLATFORM, TCB, build, launch, signers, world  # noqa: F401

# name: (options of the launch that differ, what verify says)
LAUNCHES = {
    "row": (("2", "EPYC-v4"), "reference: row 2 vCPUs, EPYC-v4"),
    "member": (("77", "EPYC-Genoa"), "reference: family member 77 vCPUs, EPYC-Genoa"),
    "features": (("2", "EPYC-v4", "--guest-features=0x21"), "the report has guest features 0x21 instead of 0x1"),
    "vcpus": (("600", "EPYC-v4"), "the report has 600 vCPUs, where the family covers up to 512"),
    "monitor": (("2", "EPYC-v4", "--vmsa=qemu-pre-6.10"), "--vmsa=qemu-pre-6.10 instead of qemu"),
    "signature": (("2", None, "--vcpu-sig=0xa00f12"), "CPU signature 0xa00f12, which is not that of a known model"),
    "other": (("2", "EPYC-v4", "--append=loud"), "nearest: none"),
}


@pytest.fixture(scope="module")
def reports(world):  # noqa: F811
    folder = world / "amd"
    folder.mkdir()
    digests = []
    for (vcpus, cpu, *more), _ in LAUNCHES.values():
        words = launch(world, "snp", vcpus, cpu or "EPYC-v4")[1:]
        if cpu is None:
            del words[words.index("--vcpu-type"):]
        if "--append=loud" in more:
            words[words.index("quiet")] = "loud"
            more = []
        digests.append(expect(run("measure", *words, *more), 0).stdout.strip())
    assert len(set(digests)) == len(digests)
    subprocess.run([BUILD / "tests/lib/fake-amd-tool", folder, "milan", *digests], check=True, timeout=60)
    return {name: folder / f"report-{i + 1}.bin" for i, name in enumerate(LAUNCHES)}


@pytest.fixture(scope="module")
def bundle(world):  # noqa: F811
    return build(world, "fleet.json", "--name=fleet", TCB, PLATFORM)


def verify(reports, names, *options):
    amd = reports["row"].parent
    return run("report", "verify", *[reports.get(n, n) for n in names], "--leaf", amd / "vcek.der", "--ca", amd / "chain.pem", "--offline", "--cache=",
               "--insecure-root", amd / "ark.der", "--report-data", REPORT_DATA, *options)


@pytest.mark.parametrize("name", LAUNCHES)
def test_each_report_alone(reports, bundle, name):
    done = expect(verify(reports, [name], "--reference", bundle), 0 if name in ("row", "member") else 3, LAUNCHES[name][1], str(bundle))
    if name in ("row", "member"):
        assert "expected: Milan: bootloader 4, tee 0, snp 24, microcode 219; SMT on; TSME off; guest policy 0x30000" in done.stdout
        assert not {"minimum_tcb", "platform_info", "policy"} & set(done.stdout.split("not checked: ")[1].splitlines()[0].split(", "))
    else:
        assert "violation: measurement: expected one of 8 rows and 1 family of" in done.stdout and "reference:" not in done.stdout


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_more_families_than_can_be_tried(reports, bundle, tmp_path):
    """Thousands of families are answered in bounded time, and a miss says that not all members were tried."""
    many = json.loads(bundle.read_text())
    first, = many["launches"][:1]
    digest = [hashlib.sha384(b"%d" % i).hexdigest() for i in range(2600)]
    many["launches"] = [{**first, "name": f"n{i}", "family": {**first["family"], "seed": d}, "rows": [{**first["rows"][0], "digests": [d]}]}
                        for i, d in enumerate(digest)] + [first]
    (tmp_path / "many").write_text(json.dumps(many))
    begin = processor_seconds()
    done = expect(verify(reports, ["other"], "--reference", tmp_path / "many"), 3, "not all members of the families were tried", "--family-vcpus")
    assert processor_seconds() - begin < 5, done.stdout  # half a second on a quiet machine, 6 s if all were tried
    expect(verify(reports, ["row"], "--reference", tmp_path / "many"), 0, LAUNCHES["row"][1])
    # Of the CPUs that the launch has rows of more are tried than of others.
    del many["launches"][-1]["rows"][1:]
    many["launches"][-1]["rows"][0]["digests"] = many["launches"][-1]["rows"][0]["digests"][:1]
    (tmp_path / "many").write_text(json.dumps(many))
    expect(verify(reports, ["row"], "--reference", tmp_path / "many"), 0, "family member 2 vCPUs, EPYC")
    assert "not all members" not in verify(reports, ["other"], "--reference", bundle).stdout


def test_many_at_once(reports, bundle, tmp_path):
    forged = bytearray(reports["row"].read_bytes())
    forged[0x90] ^= 1
    (tmp_path / "forged").write_bytes(forged)
    done = expect(verify(reports, ["row", "member"], "--reference", bundle), 0)
    assert done.stdout.splitlines()[-1] == "2 reports: 2 verified"
    done = expect(verify(reports, ["row", "other", "member"], "--reference", bundle), 3)
    assert done.stdout.splitlines()[-1] == "3 reports: 2 verified, 1 policy-not-met"
    done = expect(verify(reports, ["other", tmp_path / "forged", "row"], "--reference", bundle, "--json"), 2)
    assert [(x["file"], x["verdict"]) for x in json.loads(done.stdout)] == [
        (str(reports["other"]), "policy-not-met"), (str(tmp_path / "forged"), "not-authentic"), (str(reports["row"]), "verified")]
    done = expect(verify(reports, [tmp_path / "none", tmp_path / "forged", "row"], "--reference", bundle, "--json"), 1, "cannot read")
    assert [x["verdict"] for x in json.loads(done.stdout)] == ["unverified", "not-authentic", "verified"]
    one = json.loads(expect(verify(reports, ["row"], "--reference", bundle, "--json"), 0).stdout)
    assert one["reference"].startswith("row 2 vCPUs") and one["nearest"] is None and one["reference-floor"].startswith("Milan")
    assert one["reference-inputs"] == json.loads(bundle.read_text())["launches"][0]["inputs"]


def test_in_toto_statements(reports, bundle, world, tmp_path):  # noqa: F811
    """A bundle as the predicate of a statement is read where the bundle is, plain and in an envelope of that type; another predicate is not."""
    statement = tmp_path / "statement"
    statement.write_text(expect(run("refs", "export", "--format=in-toto", bundle), 0).stdout)
    expected = expect(verify(reports, ["row", "member"], "--reference", bundle), 0).stdout.replace(str(bundle), str(statement))
    assert expect(verify(reports, ["row", "member"], "--reference", statement), 0).stdout == expected
    expect(verify(reports, ["other"], "--reference", statement), 3)
    shown = [expect(run("refs", "show", file, "--json"), 0).stdout for file in (bundle, statement)]
    assert shown[0] == shown[1]
    expect(run("refs", "diff", bundle, statement), 0)
    signed = tmp_path / "signed"
    expect(run("refs", "sign", statement, f"--key={world}/ed.pem", "-o", signed), 0)
    assert json.loads(signed.read_text())["payloadType"] == "application/vnd.in-toto+json"
    expect(verify(reports, ["row"], "--reference", signed), 1, "--reference-key")
    expect(verify(reports, ["row"], "--reference", signed, f"--reference-key={world}/ed.pub"), 0)
    expect(verify(reports, ["row"], "--reference", signed, f"--reference-key={world}/p256.pub"), 1)
    expect(verify(reports, ["row"], "--reference", statement, f"--reference-key={world}/ed.pub"), 1, "not signed")
    # The envelope says what it contains, and its signature covers that.
    changed = tmp_path / "changed"
    changed.write_text(json.dumps({**json.loads(signed.read_text()), "payloadType": "application/vnd.cvmspawn.refs+json"}))
    expect(run("refs", "verify", changed, f"--signer={world}/ed.pub"), 2, "0 of the 1 given key signed")
    expect(run("refs", "show", changed), 1, "contains 'application/vnd.cvmspawn.refs+json', but its payload is not one")
    changed.unlink()
    expect(run("refs", "sign", bundle, f"--key={world}/ed.pem", "-o", changed), 0)
    changed.write_text(json.dumps({**json.loads(changed.read_text()), "payloadType": "application/vnd.in-toto+json"}))
    expect(run("refs", "show", changed), 1, "its payload is not an in-toto statement of a bundle")
    j = json.loads(statement.read_text())
    for member, value in (("predicateType", "tag:example.com,2026:x"), ("_type", "https://in-toto.io/Statement/v0.1"), ("predicate", [])):
        statement.write_text(json.dumps({**j, member: value}))
        expect(run("refs", "show", statement), 1)


def test_an_expired_bundle_is_exported_with_a_warning(bundle, world):  # noqa: F811
    old = build(world, "expired.json", "--valid=1d")
    done = expect(run("refs", "export", "--format=table", old), 0)
    assert "the bundle expired at" in done.stderr and done.stdout
    assert expect(run("refs", "export", "--format=table", bundle), 0).stderr == ""


def test_floors_and_platform(reports, world, tmp_path):  # noqa: F811
    for options, status, part in ((["--tcb=milan:bootloader=4,tee=0,snp=25,microcode=219"], 3, "violation: minimum_tcb: expected bootloader 4, tee 0, snp 25"),
                                  (["--tcb=genoa:bootloader=1,tee=0,snp=1,microcode=1"], 3, "no floor, so refused"),
                                  (["--platform=smt=off"], 3, "violation: platform_info"), (["--platform=tsme=on"], 3, "violation: platform_info"),
                                  (["--guest-policy=0x130000"], 3, "violation: policy"), (["--guest-policy=0x20000"], 3, "violation: policy"), ([], 0, "verified")):
        expect(verify(reports, ["row"], "--reference", build(world, "floor.json", *options)), status, part)
    # With a policy both must be met.
    policy = {"schema": "cvmspawn-snp-policy-1", "minimum_tcb": {"milan": {"microcode": 220}}}
    (tmp_path / "policy").write_text(json.dumps(policy))
    words = ["--reference", build(world, "floor.json", TCB, PLATFORM), "--policy", tmp_path / "policy"]
    expect(verify(reports, ["row"], *words), 3, "expected bootloader 4, tee 0, snp 24, microcode 220")
    for more, status, part in (({"minimum_tcb": {"milan": {"microcode": 219}}, "platform_info": {"mask": "0x24", "value": "0x24"}}, 0, "verified"),
                               ({"minimum_tcb": {"genoa": {"snp": 1}}}, 3, "violation: minimum_tcb"),
                               ({"platform_info": {"mask": "0x1", "value": "0x0"}}, 1, "no report meets both"),
                               ({"insecure_any_measurement": True}, 1, "measurement is both expected and waived")):
        (tmp_path / "policy").write_text(json.dumps({**policy, "minimum_tcb": "any", **more}))
        expect(verify(reports, ["row"], *words), status, part)


def test_advisories(reports, bundle, tmp_path):
    words = ["--reference", bundle, "--policy", tmp_path / "policy"]
    policy = {"schema": "cvmspawn-snp-policy-1"}
    (tmp_path / "policy").write_text(json.dumps(policy))
    expect(verify(reports, ["row"], *words), 0, "warning: arXiv:2605.12990: ")
    assert json.loads(verify(reports, ["row"], *words, "--json").stdout)["advisories"][0]["name"] == "arXiv:2605.12990"
    (tmp_path / "policy").write_text(json.dumps({**policy, "acknowledged_advisories": ["arxiv:2605.12990"]}))
    assert "warning" not in expect(verify(reports, ["row"], *words), 0).stdout
    (tmp_path / "policy").write_text(json.dumps({**policy, "acknowledged_advisories": "arXiv:1"}))
    expect(verify(reports, ["row"], *words), 1, "not 'arXiv:1'")
    amd = tmp_path / "amd"
    amd.mkdir()
    subprocess.run([BUILD / "tests/lib/fake-amd-tool", amd, "genoa"], check=True, timeout=60)
    done = run("report", "verify", amd / "report.bin", "--certs", amd, "--offline", "--cache=", "--insecure-root", amd / "ark.der",
               "--insecure-any-measurement", "--insecure-any-report-data")
    assert "warning" not in expect(done, 0, "verified").stdout


@pytest.mark.parametrize("option", ["policy", "vmpl", "time", "crl", "generation", "bound-to", "reference-key", "insecure-root"])
def test_no_option_replaces_an_earlier_one(reports, option):
    done = expect(run("report", "verify", reports["row"], f"--{option}=/a", f"--{option}=/b"), 1, f"--{option}: given twice")
    assert done.stdout == ""


def test_only_bundles_that_hold(reports, world, bundle, tmp_path):  # noqa: F811
    """Signed, in time and without contradictions, or no verdict."""
    expect(run("refs", "sign", bundle, f"--key={world}/ed.pem", "-o", tmp_path / "signed"), 0)
    words = ["--reference", tmp_path / "signed"]
    key = signers(world, "ed")[0].replace("--signer", "--reference-key")
    other = signers(world, "p256")[0].replace("--signer", "--reference-key")
    expect(verify(reports, ["row"], *words, key), 0, "verified")
    for options, part in (([*words, other], "0 of the 1 given key signed"), (words, "--reference-key"), (["--reference", bundle, key], "not signed"),
                          ([*words, key, f"--time=@{ISSUED - 86400}"], "in the future")):
        assert "verified" not in expect(verify(reports, ["row"], *options), 1, part).stdout
    short = build(world, "short.json", "--valid=1d")
    expect(verify(reports, ["row"], "--reference", short, f"--time=@{ISSUED + 2 * 86400}"), 1, "expired")
    expect(verify(reports, ["row"], "--reference", build(world, "sev.json", words=launch(world, "sev"))), 1, "no sev-snp launch")
    j = json.loads(bundle.read_text())
    j["launches"][0]["family"]["seed"] = "11" * 48
    (tmp_path / "bad").write_text(json.dumps(j))
    assert "verified" not in expect(verify(reports, ["row"], "--reference", tmp_path / "bad"), 1, "contradicts the family").stdout
    (tmp_path / "bad").write_text(bundle.read_text()[:500])
    assert expect(verify(reports, ["row"], "--reference", tmp_path / "bad"), 1, "JSON").stdout == ""


def test_learn(reports, world, tmp_path):  # noqa: F811
    """Floors from reports; nothing falls in silence, and what is not verified teaches nothing."""
    amd = reports["row"].parent
    words = ["--good", "--issued=@1793491300", "-o", tmp_path / "new", "--", "--certs", amd, "--offline", "--cache=", "--insecure-root", amd / "ark.der"]
    plain = build(world, "plain.json")
    done = expect(run("refs", "learn", plain, reports["row"], reports["member"], *words), 0, "milan: bootloader 4, tee 0, snp 24, microcode 219 (new)",
                  "SMT: on", "TSME: off")
    assert done.stdout == ""
    learned = json.loads((tmp_path / "new").read_text())
    assert learned["tcb"] == {"milan": {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}} and learned["platform"] == {"smt": True, "tsme": False}
    assert [x["report"] for x in learned["learned"]] == [hashlib.sha256(reports[n].read_bytes()).hexdigest() for n in ("row", "member")]
    assert {k: v for k, v in json.loads(plain.read_text()).items() if k not in ("issued", "sequence")} == \
        {k: v for k, v in learned.items() if k not in ("issued", "sequence", "tcb", "platform", "learned")}
    expect(verify(reports, ["row"], "--reference", tmp_path / "new"), 0)
    (tmp_path / "new").unlink()
    high = build(world, "high.json", TCB.replace("snp=24", "snp=25"), "--platform=smt=off")
    expect(run("refs", "learn", high, reports["row"], *words), 3, str(reports["row"]), "milan snp would fall from 25 to 24", "--lower")
    assert not (tmp_path / "new").exists()
    expect(run("refs", "learn", high, reports["row"], "--lower", *words), 0, "milan snp: 25 -> 24, LOWERED", "SMT: on, CHANGED")
    assert json.loads((tmp_path / "new").read_text())["tcb"]["milan"]["snp"] == 24
    off = build(world, "off.json", TCB, "--platform=smt=off")
    expect(run("refs", "learn", off, reports["row"], *words), 3, "SMT is on there", "--lower")
    low = build(world, "low.json", TCB.replace("snp=24", "snp=23"))
    expect(run("refs", "learn", low, reports["row"], *words), 0, "milan snp: 23 -> 24 (")
    (tmp_path / "new").unlink()
    forged = bytearray(reports["row"].read_bytes())
    forged[0x90] ^= 1
    (tmp_path / "forged").write_bytes(forged)
    for files, status, part in (([reports["row"], tmp_path / "forged"], 2, "forged: not verified (not-authentic)"), ([tmp_path / "none"], 1, "none"),
                                ([amd / "report-debug.bin"], 3, "policy-not-met"), ([], 1, "at least one report")):
        expect(run("refs", "learn", plain, *files, *words), status, part)
        assert not (tmp_path / "new").exists()
    # As report verify: no verdict without certificates.
    words_without = [w for w in words if w not in ("--certs", amd)]
    expect(run("refs", "learn", plain, reports["row"], *words_without), 4, "not verified (collateral-unavailable)")
    assert not (tmp_path / "new").exists()
    expect(run("refs", "learn", plain, reports["row"], *words[1:]), 1, "--good")
    expect(run("refs", "learn", plain, reports["row"], "--sequence=1", *words), 1, "sequence number")


def jwt(token):
    head, body, signature = token.strip().split(".")
    decoded = [base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)) for x in (head, body, signature)]
    return json.loads(decoded[0]), json.loads(decoded[1]), decoded[2], f"{head}.{body}".encode()


def der(raw):
    """r and s as openssl reads them."""
    def number(b):
        b = b.lstrip(b"\0") or b"\0"
        b = b"\0" + b if b[0] & 0x80 else b
        return b"\x02" + bytes([len(b)]) + b
    body = number(raw[:len(raw) // 2]) + number(raw[len(raw) // 2:])
    return b"\x30" + bytes([len(body)]) + body


@pytest.mark.parametrize("key, name, digest", [("ed", "EdDSA", None), ("p256", "ES256", "sha256"), ("p384", "ES384", "sha384")])
def test_ear_is_a_signed_jwt(reports, world, bundle, tmp_path, key, name, digest):  # noqa: F811
    """What openssl verifies is what was printed."""
    done = expect(verify(reports, ["row"], "--reference", bundle, "--format=ear", f"--sign-key={world}/{key}.pem"), 0)
    header, claims, signature, signed = jwt(done.stdout)
    assert (header["alg"], header["typ"]) == (name, "eat+jwt") and claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "sig").write_bytes(der(signature) if digest else signature)
    public = world / f"{key}.pub"
    subprocess.run(["openssl", "dgst", f"-{digest}", "-verify", public, "-signature", tmp_path / "sig", tmp_path / "signed"] if digest else
                   ["openssl", "pkeyutl", "-verify", "-rawin", "-in", tmp_path / "signed", "-pubin", "-inkey", public, "-sigfile", tmp_path / "sig"],
                   check=True, timeout=60, capture_output=True)


def ear(reports, names, *options, status=0):
    return json.loads(expect(verify(reports, names, *options, "--format=ear"), status).stdout)


def test_ear_says_what_the_verdict_is(reports, bundle, tmp_path):
    """Members as in the draft's CDDL; the roots are made up, so hardware is never affirmed here."""
    sha = hashlib.sha256(bundle.read_bytes()).hexdigest()
    one = ear(reports, ["row"], "--reference", bundle)
    assert set(one) == {"eat_profile", "iat", "ear_status", "ear_verifier_id", "ear_raw_evidence", "submods"} and set(one["ear_verifier_id"]) == {"developer", "build"}
    assert base64.urlsafe_b64decode(one["ear_raw_evidence"] + "==") == reports["row"].read_bytes() and abs(one["iat"] - time.time()) < 600
    snp = one["submods"]["SEV-SNP"]
    assert snp == {"ear_status": "contraindicated", "ear_appraisal_policy_ids": [f"sha256:{sha}"], "ear_trustworthiness_vector": {
        "executables": 3, "configuration": 2, "hardware": 97, "instance-identity": 2, "runtime-opaque": 2}}
    forged = bytearray(reports["row"].read_bytes())
    forged[0x90] ^= 1
    (tmp_path / "forged").write_bytes(forged)
    many = ear(reports, ["row", "other", tmp_path / "forged", tmp_path / "none"], "--reference", bundle, status=1)
    assert "ear_raw_evidence" not in many and many["ear_status"] == "contraindicated"
    other, bad, none = (many["submods"][str(n)] for n in (reports["other"], tmp_path / "forged", tmp_path / "none"))
    assert other["ear_trustworthiness_vector"]["executables"] == 96 and set(bad["ear_trustworthiness_vector"].values()) == {99} and none == {"ear_status": "none"}
    amd = reports["row"].parent
    for report, options, claim, value in ((amd / "report-debug.bin", ["--insecure-any-measurement", "--allow-debug"], "runtime-opaque", 96),
                                          (reports["row"], ["--insecure-any-measurement"], "executables", None), (reports["row"], ["--insecure-any-measurement"], "configuration", 3)):
        assert ear(reports, [report], *options)["submods"]["SEV-SNP"]["ear_trustworthiness_vector"].get(claim) == value
    expect(verify(reports, ["row"], "--reference", bundle, "--format=ear", "--json"), 1, "--format")
    expect(verify(reports, ["row"], "--reference", bundle, "--sign-key=x"), 1, "--format")
    expect(verify(reports, ["row"], "--reference", bundle, "--format=snpguest"), 1, "words or ear")
    expect(run("report", "show", reports["row"], "--format=ear"), 1, "verify")
