# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn report, id-block and the guest's program as users run them: verdicts and statuses on a made-up chain, the key service's grammar,
cache, rate limit and outage against a server of our own, keys that sign elsewhere."""

import base64
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

from snp_world import (BUILD, GOOD, MEASUREMENT, REPORT_DATA, amd, expect, files, keys, online, openssl, run,  # noqa: F401
                       service, verify)


def test_verified_only_with_policy_and_root(amd):
    root = ["--insecure-root", amd / "ark.der"]
    expect(verify(amd / "report.bin", *files(amd), *root, *GOOD), 0, "verified against a root that is not AMD's")
    expect(verify(amd / "report.bin", *files(amd), *GOOD), 4, "does not have AMD's key", "chain.pem")
    expect(verify(amd / "report.bin", *files(amd), *root), 1, "no expected measurement")
    expect(verify(amd / "report.bin", *files(amd), *root, "--insecure-any-measurement"), 1, "no expected report data")
    done = expect(verify(amd / "report.bin", *files(amd), *root, "--insecure-any-measurement", "--insecure-any-report-data"), 0)
    assert "not checked: measurement, report_data" in done.stdout


def test_statuses(amd, tmp_path):
    root = ["--insecure-root", amd / "ark.der"]
    expect(verify(amd / "report-debug.bin", *files(amd), *root, *GOOD), 3, "violation: debug")
    expect(verify(amd / "report-debug.bin", *files(amd), *root, *GOOD, "--allow-debug"), 0)
    expect(verify(amd / "report-v6.bin", *files(amd), *root, *GOOD), 3, "maximum_report_version")
    expect(verify(amd / "report.bin", *files(amd), *root, "--measurement", "cc" * 48, "--report-data", "dd" * 64), 3,
           "2 violations")
    expect(verify(amd / "report.bin", "--ca", amd / "chain.pem", "--offline", "--cache=", *root, *GOOD), 4, "no VCEK")
    expect(verify(amd / "report.bin", *files(amd), "--ca", amd / "forged-ark.der", *root, *GOOD), 0)
    expect(verify(amd / "report.bin", *files(amd), *root, *GOOD, "--time=2050-01-01"), 2, "validity")
    for bit in (0x90 * 8, 0x2a0 * 8 + 3):
        bad = bytearray((amd / "report.bin").read_bytes())
        bad[bit // 8] ^= 1 << bit % 8
        (tmp_path / "bad.bin").write_bytes(bad)
        expect(verify(tmp_path / "bad.bin", *files(amd), *root, *GOOD), 2, "not authentic")
    (tmp_path / "long.bin").write_bytes((amd / "report.bin").read_bytes() + b"x")
    expect(verify(tmp_path / "long.bin", *files(amd), *root, *GOOD), 1, "1 bytes follow the 1184 of the report")
    expect(verify(tmp_path / "none.bin", *files(amd), *root, *GOOD), 1, "cannot read")


def test_openssl_configuration_has_no_say(amd, tmp_path):
    """A configuration without the default provider, and with one that is not there, changes no verdict."""
    (tmp_path / "openssl.cnf").write_text("openssl_conf = i\n[i]\nproviders = p\n[p]\nnull = n\nforeign = f\n[n]\nactivate = 1\n"
                                          "[f]\nmodule = /nowhere/foreign.so\nactivate = 1\n")
    env = {**os.environ, "OPENSSL_CONF": str(tmp_path / "openssl.cnf")}
    words = [amd / "report.bin", *files(amd), "--insecure-root", amd / "ark.der", *GOOD]
    expect(run("report", "verify", *words, env=env), 0)


def test_wrappings_and_table(amd, tmp_path):
    root = ["--insecure-root", amd / "ark.der", "--offline", "--cache="]
    report, table = (amd / "report.bin").read_bytes(), (amd / "table.bin").read_bytes()
    (tmp_path / "extended.bin").write_bytes(report + table)
    expect(verify(tmp_path / "extended.bin", *root, *GOOD), 0)
    tsm = tmp_path / "tsm"
    tsm.mkdir()
    (tsm / "outblob").write_bytes(report)
    (tsm / "auxblob").write_bytes(table)
    expect(verify(tsm, *root, *GOOD), 0)
    hcl = b"HCLA" + (1).to_bytes(4, "little") + bytes(4) + (2).to_bytes(4, "little") + bytes(16) + report + bytes(1000)
    (tmp_path / "hcl.bin").write_bytes(hcl)
    expect(verify(tmp_path / "hcl.bin", *root, *GOOD, "--certs", amd), 0)


def test_vlek_and_directory(amd):
    root = ["--insecure-root", amd / "ark.der", "--offline", "--cache="]
    done = expect(verify(amd / "report-vlek.bin", *root, *GOOD, "--certs", amd, "--json=short"), 0)
    result = json.loads(done.stdout)
    assert result["verdict"] == "verified" and result["root-is-amd"] is False
    assert result["leaf"]["csp-id"] == "CN=cloud.example" and result["revocation"] == "checked"


def test_bound_to_and_policy_file(amd, tmp_path):
    root = ["--insecure-root", amd / "ark.der"]
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA\n")
    expect(verify(amd / "report.bin", *files(amd), *root, "--measurement", MEASUREMENT, "--bound-to", tmp_path / "key.pub"), 3,
           "report_data: expected " + hashlib.sha512(b"ssh-ed25519 AAAA\n").hexdigest())
    policy = {"schema": "cvmspawn-snp-policy-1", "measurement": ["00" * 48, MEASUREMENT], "report_data": REPORT_DATA,
              "minimum_tcb": {"milan": {"snp": 24}}, "product": "milan"}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    expect(verify(amd / "report.bin", *files(amd), *root, "--policy", tmp_path / "policy.json"), 0)
    policy["minimum_tcb"]["milan"]["snp"] = 25
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    expect(verify(amd / "report.bin", *files(amd), *root, "--policy", tmp_path / "policy.json"), 3, "snp 25")


def test_schema_knows_every_member():
    """The shipped schema and the reader name the same members."""
    source = Path(__file__).resolve().parents[2] / "attest"
    members = set(json.loads((source / "snp-policy.schema.json").read_text())["properties"])
    code = (source / "snp-policy-file.c").read_text() + (source / "snp-policy.c").read_text()
    assert {m for m in members if f'"{m}"' not in code} == set()
    assert len(members) == 34


def table(*digests, mode="snp"):
    rows = [{"vcpus": i + 1, "cpu-model": "EPYC-v4", "digest": d} for i, d in enumerate(digests)]
    return json.dumps({"mode": mode, "rows": rows, "parts": {"kernel": {"sha256": "12" * 32}}})


def test_reference_tables(amd, tmp_path):
    words = [*files(amd), "--insecure-root", amd / "ark.der", "--report-data", REPORT_DATA, "--reference", tmp_path / "table"]
    (tmp_path / "table").write_text(table("00" * 48, MEASUREMENT))
    expect(verify(amd / "report.bin", *words), 0, "reference: 2 vCPUs, EPYC-v4, kernel 1212121212121212...")
    (tmp_path / "table").write_text(table("00" * 48, "11" * 48))
    expect(verify(amd / "report.bin", *words), 3, "one of 2 accepted values")
    (tmp_path / "table").write_text(table(MEASUREMENT[:64], mode="sev"))
    expect(verify(amd / "report.bin", *words), 1, "not a reference table for SNP")
    # what measure --batch= prints: one row per line
    lines = [{"mode": "snp", "vcpus": 3, "digest": d, "cpu-model": "EPYC-v4"} for d in ("00" * 48, MEASUREMENT)]
    for rows, status, part in ((lines, 0, "reference: 3 vCPUs, EPYC-v4"), (lines[:1], 3, "MEASUREMENT"),
                               ([lines[1], {"line": 2, "error": "no such file"}], 1, "row 2 was not measured: no such file"),
                               ([lines[1], {**lines[0], "mode": "sev"}], 1, "row 2: not a reference table for SNP"),
                               ([lines[1], lines], 1, "row 2")):
        (tmp_path / "table").write_text("".join(json.dumps(x) + "\n" for x in rows))
        expect(verify(amd / "report.bin", *words), status, part if status != 3 else "")
    (tmp_path / "table").write_text(json.dumps(lines[1]) + "\n{")
    expect(verify(amd / "report.bin", *words), 1, "line 2")


def envelope(body, kind, folder):
    head = f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode()
    (folder / "pae").write_bytes(head + body)
    return lambda sig: json.dumps({"payloadType": kind, "payload": base64.b64encode(body).decode(),
                                   "signatures": [{"sig": base64.b64encode(sig).decode()}]})


def test_signed_reference_tables(amd, keys, tmp_path):
    sealed = envelope(table(MEASUREMENT).encode(), "application/vnd.in-toto+json", tmp_path)
    openssl("dgst", "-sha384", "-sign", keys / "id.pem", "-out", tmp_path / "p384", tmp_path / "pae")
    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "ed.pem")
    openssl("pkey", "-in", tmp_path / "ed.pem", "-pubout", "-out", tmp_path / "ed.pub")
    openssl("pkeyutl", "-sign", "-inkey", tmp_path / "ed.pem", "-rawin", "-in", tmp_path / "pae", "-out", tmp_path / "ed")
    words = [*files(amd), "--insecure-root", amd / "ark.der", "--report-data", REPORT_DATA, "--reference", tmp_path / "table"]
    (tmp_path / "table").write_text(sealed((tmp_path / "p384").read_bytes()))
    expect(verify(amd / "report.bin", *words, "--reference-key", keys / "id.pub"), 0, "reference: 1 vCPU")
    expect(verify(amd / "report.bin", *words, "--reference-key", keys / "author.pub"), 1, "made by this key")
    expect(verify(amd / "report.bin", *words), 1, "pass the signer's public key")
    (tmp_path / "table").write_text(sealed((tmp_path / "ed").read_bytes()))
    expect(verify(amd / "report.bin", *words, "--reference-key", tmp_path / "ed.pub"), 0)
    (tmp_path / "table").write_text(table(MEASUREMENT))
    expect(verify(amd / "report.bin", *words, "--reference-key", keys / "id.pub"), 1, "not signed")


def test_snpguest_words(amd, keys, service, tmp_path):
    root = ["--insecure-root", amd / "ark.der"]
    certs = tmp_path / "certs"
    fetch = ["--kds", service.url, "--cache", tmp_path / "cache"]
    expect(run("snpguest", "fetch", "ca", "pem", certs, "milan", *fetch), 0)
    expect(run("snpguest", "fetch", "vcek", "DER", certs, amd / "report.bin", *fetch), 0)
    expect(run("snpguest", "fetch", "crl", "der", certs, "-r", amd / "report.bin", *fetch), 0)
    assert sorted(p.name for p in certs.iterdir()) == ["ark.pem", "ask.pem", "crl.der", "vcek.der"]
    expect(run("snpguest", "verify", "certs", certs), 1, "does not have AMD's key")
    expect(run("snpguest", "verify", "certs", certs, *root), 0, "The VCEK was signed by the AMD ASK!")
    expect(run("snpguest", "verify", "attestation", certs, amd / "report.bin", *root, "-m", "0x" + MEASUREMENT), 0, "VEK signed",
           "ark.der' is trusted instead of AMD's")
    tcb = "".join(f"Reported TCB {part} from certificate matches the attestation report.\n" for part in ("Boot Loader", "TEE", "SNP", "Microcode"))
    chip, signed = "Chip ID from certificate matches the attestation report.\n", "VEK signed the Attestation Report!\n"
    for words, lines in (([], tcb + signed + chip), (["-t"], tcb + chip), (["-s"], signed), (["-q"], ""),
                         (["-m", MEASUREMENT, "-r", REPORT_DATA], tcb + signed + "Measurement verified successfully.\n"
                          "Report Data verified successfully.\n" + chip)):
        assert run("snpguest", "verify", "attestation", certs, amd / "report.bin", *root, *words).stdout == lines
        assert run("snpguest", "verify", "attestation", certs, amd / "report.bin", "--lax", *words).stdout == lines
    expect(run("snpguest", "verify", "certs", certs, *root, "--time=2050-01-01"), 1, "has expired")
    expect(run("snpguest", "verify", "certs", certs, *root, "--time=2000-01-01"), 1, "is not valid yet")
    expect(run("snpguest", "verify", "certs", certs, "--lax", "--time=2050-01-01"), 0, "any root certificate is trusted")
    expect(run("snpguest", "verify", "attestation", certs, amd / "report-v6.bin", *root), 1, "maximum_report_version")
    expect(run("snpguest", "verify", "attestation", certs, amd / "report-v6.bin", "--lax"), 0)
    expect(run("snpguest", "verify", "attestation", certs, amd / "report-debug.bin", "--lax"), 0)
    expect(run("snpguest", "verify", "attestation", certs, amd / "report.bin", *root, "-m", "0x" + "00" * 48), 1, "did not match")
    expect(run("snpguest", "verify", "attestation", certs, amd / "report-debug.bin", *root), 1, "debug")
    spoilt = bytearray((amd / "report.bin").read_bytes())
    spoilt[0x1a0] ^= 1  # the chip: snpguest does not notice
    (tmp_path / "chip.bin").write_bytes(spoilt)
    expect(run("snpguest", "verify", "attestation", certs, tmp_path / "chip.bin", *root), 1, "another chip")
    digest = run("id-block", "key-digest", keys / "id.pem").stdout.strip()
    assert run("snpguest", "generate", "key-digest", keys / "id.pem").stdout == f"Key Digest:\n{digest}\n0x{digest}\n"
    done = expect(run("snpguest", "generate", "id-block", keys / "id.pem", keys / "author.pem", "0x" + MEASUREMENT, "-i",
                      tmp_path / "block", "-a", tmp_path / "auth"), 0, "ID-BLOCK:", "AUTH-BLOCK:")
    assert (tmp_path / "block").read_text() in done.stdout
    expect(run("id-block", "verify", "--id-block", tmp_path / "block", "--id-auth", tmp_path / "auth"), 0)


def test_show(amd):
    expect(run("report", "show", amd / "report.bin"), 0, "Measurement: " + MEASUREMENT)
    assert run("report", "show", "--field=measurement", amd / "report.bin").stdout == MEASUREMENT + "\n"
    expect(run("report", "show", "--field=color", amd / "report.bin"), 1, "unknown field 'color'; the fields are version")
    assert json.loads(run("report", "show", "--json=pretty", amd / "report.bin").stdout)["generation"] == "milan"
    expect(run("report", "show", "--format=snpguest", amd / "report.bin"), 0, "Attestation Report:\n\nVersion:                      5")
    expect(run("report", "show", amd / "vcek.der"), 1, "not a SEV-SNP report: it looks like a certificate")


def test_key_service_and_cache(amd, service, tmp_path):
    words = online(amd, service, tmp_path / "cache")
    expect(verify(amd / "report.bin", *words), 0)
    assert len(service.requests) == 2
    expect(verify(amd / "report.bin", *words), 0)
    expect(verify(amd / "report.bin", *words[2:], "--offline"), 0)
    assert len(service.requests) == 2
    expect(verify(amd / "report.bin", *words, "--crl=required"), 0, "revocation: checked")
    expect(verify(amd / "report.bin", *words, "--crl=required"), 0)
    assert len(service.requests) == 3
    for name in os.listdir(tmp_path / "cache"):
        if name.endswith(".der"):
            (tmp_path / "cache" / name).write_bytes(b"spoilt")
    expect(verify(amd / "report.bin", *words), 0)
    assert len(service.requests) == 4


def test_rate_limit_is_waited_for_within_reason(amd, service, tmp_path):
    service.mood = [(429, {"Retry-After": "1"})]
    started = time.monotonic()
    expect(verify(amd / "report.bin", *online(amd, service, tmp_path / "cache")), 0)
    assert time.monotonic() - started >= 0.9 and len(service.requests) == 3
    service.mood = [(429, {"Retry-After": "3600"})] * 2
    expect(verify(amd / "report.bin", *online(amd, service, tmp_path / "other")), 4, "limits the rate")
    before = len(service.requests)
    expect(verify(amd / "report.bin", *online(amd, service, tmp_path / "other")), 4, "asks to slow down")
    assert len(service.requests) == before  # the first refusal is remembered


def test_outage_and_strange_answers(amd, service, tmp_path):
    words = online(amd, service, tmp_path / "cache")
    service.mood = [(503, {"Retry-After": "100"})]
    expect(verify(amd / "report.bin", *words), 4, "has a failure")
    expect(verify(amd / "report.bin", *online(amd, service, tmp_path / "b"), "--generation=milan", "--kds=http://127.0.0.1:1"), 4,
           "collateral unavailable")
    service.mood = [(302, {"Location": "http://127.0.0.1:1/"})]
    expect(verify(amd / "report.bin", *online(amd, service, tmp_path / "c")), 4, "unexpected answer 302")


def test_cache_is_shared_by_many(amd, service, tmp_path):
    words = ["report", "verify", amd / "report.bin", *online(amd, service, tmp_path / "cache")]
    many = [subprocess.Popen([BUILD / "programs/cvmspawn", *map(str, words)], stdout=subprocess.DEVNULL) for _ in range(20)]
    assert [p.wait(timeout=60) for p in many] == [0] * 20
    assert len(service.requests) == 2


def test_id_block_key_forms(keys):
    digests = {run("id-block", "key-digest", keys / name).stdout
               for name in ("id.pem", "id-sec1.der", "id-pkcs8.pem", "id-pkcs8.der", "id.pub")}
    assert len(digests) == 1 and len(digests.pop()) == 97
    expect(run("id-block", "build", MEASUREMENT, "--id-key", keys / "p256.pem"), 1, "not on the curve P-384")
    expect(run("id-block", "build", MEASUREMENT, "--id-key", keys / "locked.pem"), 1, "encrypted")
    expect(run("id-block", "build", "aa", "--id-key", keys / "id.pem"), 1, "not an SNP launch digest")
    expect(run("id-block", "build", MEASUREMENT, "--id-key", keys / "id.pem", "--policy=0"), 1, "bit 17")


def test_keys_as_openssl_reads_them(keys, tmp_path):
    """Other blocks before the key, a compressed point, encryption: the key is the same."""
    expected = run("id-block", "key-digest", keys / "id.pem").stdout
    key = subprocess.run(["openssl", "ec", "-in", keys / "id.pem"], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "ec", "-in", keys / "id.pem", "-pubout"], check=True, capture_output=True).stdout
    parameters = subprocess.run(["openssl", "ecparam", "-name", "secp384r1"], check=True, capture_output=True).stdout
    openssl("req", "-x509", "-key", keys / "id.pem", "-subj", "/CN=x", "-days", "9", "-out", tmp_path / "cert")
    openssl("ec", "-in", keys / "id.pem", "-conv_form", "compressed", "-out", tmp_path / "compressed")
    openssl("ec", "-in", keys / "id.pem", "-pubout", "-conv_form", "compressed", "-out", tmp_path / "compressed.pub")
    (tmp_path / "pass").write_text("let me in\nnot this\n")
    openssl("ec", "-in", keys / "id.pem", "-aes256", "-passout", "pass:let me in", "-out", tmp_path / "locked-sec1")
    openssl("pkcs8", "-topk8", "-in", keys / "id.pem", "-passout", "pass:let me in", "-out", tmp_path / "locked-pkcs8")
    for name, text in (("ecparam", parameters + key), ("public", public + key), ("certificate", (tmp_path / "cert").read_bytes() + key),
                       ("text", b"Key of the owner\n" + key), ("last", key + public)):
        (tmp_path / name).write_bytes(text)
    for name, words in (("hybrid", ["-conv_form", "hybrid"]), ("explicit", ["-param_enc", "explicit"]), ("alone", ["-no_public"])):
        openssl("ec", "-in", keys / "id.pem", *words, "-out", tmp_path / name)
    (tmp_path / "crlf").write_bytes(key.replace(b"\n", b"\r\n"))
    for name in ("hybrid", "explicit", "alone", "crlf"):
        assert run("id-block", "key-digest", tmp_path / name).stdout == expected, name
    (tmp_path / "openssh").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    expect(run("id-block", "build", MEASUREMENT, "--id-key", tmp_path / "openssh"), 1, "OpenSSH's format; convert a copy", "ssh-keygen")
    digests = f"Key Digest:\n{expected}0x{expected}"
    for name in ("ecparam", "public", "certificate", "text", "last", "compressed", "compressed.pub"):
        assert run("id-block", "key-digest", tmp_path / name).stdout == expected, name
        if name != "compressed.pub":
            assert run("snpguest", "generate", "key-digest", tmp_path / name).stdout == digests, name
            expect(run("id-block", "build", MEASUREMENT, "--id-key", tmp_path / name), 0, expected.strip())
    for name in ("locked-sec1", "locked-pkcs8"):
        expect(run("id-block", "build", MEASUREMENT, "--id-key", tmp_path / name), 1, "encrypted; pass its passphrase with --passphrase-file")
        expect(run("id-block", "build", MEASUREMENT, "--id-key", tmp_path / name, "--passphrase-file", tmp_path / "pass"), 0, expected.strip())
        expect(run("id-block", "key-digest", tmp_path / name, "--passphrase-file", tmp_path / "cert"), 1, "cannot be decrypted")
        assert run("snpguest", "generate", "key-digest", tmp_path / name, "--passphrase-file", tmp_path / "pass").stdout == digests
    expect(run("id-block", "key-digest", tmp_path / "cert"), 1, "no private key in the file")


def test_id_block_in_files_is_not_printed_as_well(keys, tmp_path):
    files = ["--id-block", tmp_path / "block", "--id-auth", tmp_path / "auth"]
    text = expect(run("id-block", "build", MEASUREMENT, "--id-key", keys / "id.pem", *files), 0, "id-key-digest=").stdout
    assert "id-auth=" not in text and "id-block=" not in text and len(text) < 1000
    assert "id-auth=" in run("id-block", "build", MEASUREMENT, "--id-key", keys / "id.pem").stdout


def test_id_block_built_and_signed_elsewhere(keys, tmp_path):
    block, auth = tmp_path / "block", tmp_path / "auth"
    files = ["--id-block", block, "--id-auth", auth]
    expect(run("id-block", "build", MEASUREMENT, "--id-key", keys / "id.pem", "--author-key", keys / "author.pem", "--svn=3", *files),
           0, "guest-svn=3")
    assert block.stat().st_size == 96 and auth.stat().st_size == 4096
    expect(run("id-block", "verify", *files, "--measurement", MEASUREMENT, "--policy=0x30000"), 0)
    expect(run("id-block", "verify", *files, "--measurement", "cc" * 48), 3)
    spoilt = bytearray(block.read_bytes())
    spoilt[0x54] ^= 1
    block.write_bytes(spoilt)
    expect(run("id-block", "verify", *files), 2, "not made by the ID key")

    expect(run("id-block", "prepare", MEASUREMENT, "--id-block", block, "--id-public", keys / "id.pub", "--key-file",
               tmp_path / "key"), 0)
    openssl("dgst", "-sha384", "-sign", keys / "id.pem", "-out", tmp_path / "s1", block)
    openssl("dgst", "-sha384", "-sign", keys / "author.pem", "-out", tmp_path / "s2", tmp_path / "key")
    words = ["id-block", "assemble", *files, "--id-public", keys / "id.pub", "--author-public", keys / "author.pub",
             "--author-signature", tmp_path / "s2", "--id-signature"]
    expect(run(*words, tmp_path / "s1"), 0)
    expect(run("id-block", "verify", *files), 0)
    expect(run(*words, tmp_path / "s2"), 2, "not made by the ID key")


def guest(*words, **options):
    return subprocess.run([BUILD / "programs/cvmspawn-guest", *map(str, words)], capture_output=True, timeout=60, **options)


def test_guest_secrets_on_a_directory_tree(tmp_path):
    name = "736869e5-84f0-4973-92ec-06879ce3da0b"
    (tmp_path / name).write_bytes(b"pass\0phrase")
    (tmp_path / "not-a-guid").write_bytes(b"x")
    assert guest("secret", "list", "--secrets", tmp_path).stdout.decode() == name + "\n"
    assert guest("secret", "get", name, "--secrets", tmp_path).stdout == b"pass\0phrase"
    out = tmp_path / "out"
    assert guest("secret", "get", name, "--secrets", tmp_path, "-o", out).returncode == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert guest("secret", "wipe", name, "--secrets", tmp_path).returncode == 0 and not (tmp_path / name).exists()
    done = guest("secret", "list", "--secrets", tmp_path / "none")
    assert done.returncode == 1 and b"CONFIG_EFI_SECRET" in done.stderr


def test_guest_notify_finds_its_port(tmp_path):
    port = tmp_path / "sys/class/virtio-ports/vport1p2"
    port.mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    (port / "name").write_text("io.cvmspawn.notify\n")
    (tmp_path / "dev/vport1p2").write_bytes(b"")
    assert guest("notify", "--root", tmp_path, "READY=1", "STATUS=up").returncode == 0
    assert (tmp_path / "dev/vport1p2").read_text() == "READY=1\nSTATUS=up\n"
    assert guest("notify", "--root", tmp_path, "nonsense").returncode == 1


def test_guest_without_hardware_says_so(tmp_path):
    words = ["--tsm", tmp_path / "tsm", "--device", tmp_path / "dev"]
    done = guest("report", "--report-data=00", *words)
    assert done.returncode == 1 and b"modprobe sev-guest" in done.stderr and b"configfs" in done.stderr
    assert b"may be old" in guest("report", *words).stderr
    assert guest("ok", "--root", tmp_path).returncode == 1
