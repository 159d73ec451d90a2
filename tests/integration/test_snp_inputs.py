# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wrong inputs on purpose: what cvmspawn report, id-block and snpguest make of files, options, dates and answers that are not what they
should be. One sentence and a status that means it; never a verdict by mistake."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from snp_world import (BUILD, GOOD, MEASUREMENT, REPORT_DATA, amd, expect, files, keys, online, openssl, run,  # noqa: F401
                       service, verify)


def root(amd):
    return ["--insecure-root", amd / "ark.der"]


def good(amd, *words):
    return [*files(amd), *root(amd), *GOOD, *words]


@pytest.fixture(scope="session")
def odd(amd, tmp_path_factory):
    """Files that are not what they are taken for."""
    folder = tmp_path_factory.mktemp("odd")
    report, vcek = (amd / "report.bin").read_bytes(), (amd / "vcek.der").read_bytes()
    pem = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", amd / "vcek.der"], check=True, capture_output=True).stdout
    for name, content in {
            "empty": b"", "short": report[:-1], "zeros": report + bytes(100), "longer": report + b"x",
            "vcek.pem": pem, "with-text.pem": b"bag attributes\n" + pem + b"and more\n", "cut.pem": pem[:400],
            "cut.der": vcek[:600], "tail.der": vcek + b"\n"}.items():
        (folder / name).write_bytes(content)
    os.truncate(folder / "empty", 0)
    with open(folder / "big", "wb") as f:
        f.truncate(1 << 30)
    (folder / "dir").mkdir()
    return folder


@pytest.mark.parametrize("name, status, part", [
    ("empty", 1, "it looks like an empty file"), ("short", 1, "but the input has 1183"), ("longer", 1, "1 bytes follow the 1184 of the report"),
    ("zeros", 0, "verified"), ("vcek.pem", 1, "it looks like a certificate in PEM"), ("big", 1, "it has more than"),
    ("dir", 1, "dir/outblob': No such file"), ("none", 1, "No such file")])
def test_odd_reports(amd, odd, name, status, part):
    expect(verify(odd / name, *good(amd)), status, part)
    expect(run("report", "show", odd / name), status, part if status == 1 else "Measurement")


@pytest.mark.parametrize("name, status, part", [
    ("vcek.pem", 0, "verified"), ("with-text.pem", 0, "verified"), ("cut.pem", 1, "PEM block 1 is broken"),
    ("cut.der", 1, "not a DER certificate"), ("tail.der", 0, "verified"), ("empty", 1, "an empty file"),
    ("dir", 1, "--leaf: cannot read"), ("none", 1, "No such file"), ("big", 1, "it has more than 1048576 bytes")])
def test_odd_leaves(amd, odd, name, status, part):
    """A file that is not a certificate is a mistake, and no verdict. PEM and DER are told apart by content."""
    words = ["--ca", amd / "chain.pem", "--offline", "--cache=", *root(amd), *GOOD]
    expect(verify(amd / "report.bin", "--leaf", odd / name, *words), status, part)


@pytest.mark.parametrize("name, status, part", [
    ("ark.der", 1, "contains no VCEK or VLEK certificate, but 'ARK-Milan'; pass intermediates and roots with --ca"),
    ("vlek.der", 4, "collateral unavailable (leaf): the report is signed by a Milan VCEK, but the leaf"),
    ("report.bin", 1, "report.bin': not a certificate in PEM or DER: it looks like a SEV-SNP attestation report")])
def test_swapped_leaves(amd, name, status, part):
    words = ["--ca", amd / "chain.pem", "--offline", "--cache=", *root(amd), *GOOD]
    expect(verify(amd / "report.bin", "--leaf", amd / name, *words), status, part)


@pytest.mark.parametrize("option", ["--ca", "--certs"])
def test_odd_authorities_are_no_verdict(amd, odd, keys, option):
    for path, part in ((odd / "empty", "an empty file"), (odd / "cut.der", "not a DER certificate"), (odd / "none", "No such file"),
                       (odd / "big", "it has more than"), (keys / "id.pem", "it looks like a private key")):
        expect(verify(amd / "report.bin", *good(amd), option, path), 1, f"{option}: ", part)
    for name in ("asvk.der", "crl.der", "forged-ark.der"):  # no ASK among them
        words = ["--leaf", amd / "vcek.der", option, amd / name, "--offline", "--cache=", *root(amd), *GOOD]
        expect(verify(amd / "report.bin", *words), 4, "no intermediate certificate SEV-Milan")


@pytest.mark.parametrize("date, valid", [
    ("2026-02-28", True), ("2028-02-29", True), ("2026-01-31T12:00:00Z", True), ("@1800000000", True), ("2026-02-29", False),
    ("2026-02-30", False), ("2026-04-31", False), ("2026-13-01", False), ("2026-1-1", False), (" 2026-01-01", False), ("", False),
    ("2026-01-31T25:00:00Z", False), ("2026-01-31T12:00:00+01:00", False), ("@-1", False), ("@", False), ("@99999999999999999999", False)])
def test_dates(amd, date, valid):
    expect(verify(amd / "report.bin", *good(amd, f"--time={date}")), 0 if valid else 1, "verified" if valid else "--time: expected")


def test_time_outside_the_validity_is_named(amd):
    expect(verify(amd / "report.bin", *good(amd, "--time=2050-01-02T03:04:05Z")), 2, "is not valid at 2050-01-02 03:04:05; use --time")


def test_forms_of_a_measurement(amd):
    def with_text(text):
        return verify(amd / "report.bin", *files(amd), *root(amd), "--report-data", REPORT_DATA, f"--measurement={text}")

    for text in (MEASUREMENT.upper(), "0x" + MEASUREMENT, "q" * 64):  # base64 of 48 bytes of 0xaa
        expect(with_text(text), 0)
    for text in ("", "aa", MEASUREMENT + "aa", MEASUREMENT[:-1] + "g"):
        expect(with_text(text), 1, "--measurement: expected 48 bytes")
    # A SHA-256 in hex is well-formed base64 of 48 bytes.
    expect(with_text("ab" * 32), 1, "which are 96 hexadecimal digits, not 64")


@pytest.mark.parametrize("words, part", [
    (["--json=yaml"], "--json: expected pretty, short or off, not 'yaml'"), (["--vmpl=4"], "--vmpl: expected 0, 1, 2, 3 or any"),
    (["--crl=maybe"], "--crl: expected off, if-available or required"), (["--generation=rome"], "--generation: expected milan"),
    (["--kds=https://x"], "--kds has no meaning together with --offline"), (["--field=policy"], "--field has no meaning for 'verify'"),
    (["other.bin"], "'other.bin': No such file"), (["--reference-key=x"], "--reference-key has no meaning without --reference"),
    (["--insecure-any-measurement"], "--insecure-any-measurement excludes an expected measurement"),
    (["--bound-to=x"], "--report-data and --bound-to both set the expected report data")])
def test_refused_options(amd, words, part):
    expect(verify(amd / "report.bin", *good(amd), *words), 1, part)


def test_mirror(amd):
    online = [w for w in good(amd) if w != "--offline"]
    expect(verify(amd / "report.bin", *online, "--kds=ftp://x"), 1, "--kds: expected https://..., http://... or unix:/SOCKET")


def test_options_without_meaning_for_show(amd):
    expect(run("report", "show", amd / "report.bin", "--measurement", MEASUREMENT), 1, "--measurement has no meaning for 'show'")
    expect(run("report", "show", amd / "report.bin", "--field=policy", "--json"), 1, "--json has no meaning together with --field")
    expect(run("report", "show", amd / "report.bin", "--format=poem"), 1, "--format: expected words, snpguest or ear, not 'poem'")


def test_json_is_one_line_unless_pretty(amd):
    line = verify(amd / "report.bin", *good(amd), "--json").stdout
    assert line.count("\n") == 1 and json.loads(line)["verdict"] == "verified"
    assert verify(amd / "report.bin", *good(amd), "--json=pretty").stdout.count("\n") > 50
    forged = verify(amd / "report.bin", *files(amd), *GOOD, "--json")
    assert forged.returncode == 4 and json.loads(forged.stdout)["root-is-amd"] is False
    for words in (["report", "show", amd / "report.bin", "--json"], ["report", "show", "--version"], ["id-block", "--version"]):
        assert run(*words).stdout.count("\n") == 1


def test_a_full_disk_is_no_success(amd):
    with open("/dev/full", "w") as full:
        for words in (["report", "verify", amd / "report.bin", *good(amd)], ["report", "show", amd / "report.bin"],
                      ["snpguest", "display", "report", amd / "report.bin"]):
            done = subprocess.run([BUILD / "programs/cvmspawn", *map(str, words)], stdout=full, stderr=subprocess.PIPE, timeout=60)
            assert done.returncode == 1 and b"cannot write" in done.stderr


def test_later_versions_have_a_status_of_their_own(amd):
    later = amd / "report-v6.bin"
    done = expect(verify(later, *good(amd), "--json"), 3)
    assert [v["rule"] for v in json.loads(done.stdout)["violations"]] == ["maximum_report_version"]
    assert json.loads(done.stdout)["report"]["version-known"] is False
    expect(run("report", "show", later), 0, "Version: 6 (unknown version: read as version 5)")


POLICY = {"schema": "cvmspawn-snp-policy-1", "measurement": MEASUREMENT, "report_data": REPORT_DATA}


@pytest.mark.parametrize("more, part", [
    ({"colour": 1}, "member 'colour': unknown member"), ({"vmpl": 4}, "member 'vmpl': larger than"), ({"vmpl": -1}, "expected a number"),
    ({"vmpl": 1.5}, "expected a number"), ({"vmpl": None}, "expected a number"), ({"host_data": "aa"}, "expected 32 bytes in hex"),
    ({"host_data": []}, "an empty list would accept nothing"), ({"measurement": "any"}, "insecure_any_measurement"),
    ({"minimum_guest_svn": 1 << 32}, "larger than"), ({"minimum_tcb": {}}, "an empty object would accept nothing"),
    ({"minimum_tcb": {"milan": {}}}, "'milan' names no TCB part"), ({"minimum_tcb": {"milan": {"fmc": 1}}}, "no TCB part 'fmc'"),
    ({"minimum_tcb": {"milan": {"snp": 256}}}, "larger than"), ({"minimum_tcb": {"rome": {"snp": 1}}}, "not a processor generation"),
    ({"minimum_version": "1.256"}, "expected a version"), ({"platform_info": {"mask": "0x1", "value": "0x2"}}, "mask leaves out"),
    ({"product": "rome"}, "expected milan"), ({"csp_id": []}, "an empty list"), ({"allow_debug": "yes"}, "expected true or false"),
    ({"insecure_any_measurement": True}, "measurement is both expected and waived"), ({"schema": "1"}, "member 'schema': expected")])
def test_odd_policies(amd, tmp_path, more, part):
    (tmp_path / "policy").write_text(json.dumps({**POLICY, **more}))
    expect(verify(amd / "report.bin", *files(amd), *root(amd), "--policy", tmp_path / "policy"), 1, part)


def test_expected_and_waived_in_any_order(amd, tmp_path):
    waived = {"schema": POLICY["schema"], "insecure_any_report_data": True, **POLICY}
    (tmp_path / "policy").write_text(json.dumps(waived))
    expect(verify(amd / "report.bin", *files(amd), *root(amd), "--policy", tmp_path / "policy"), 1, "both expected and waived")
    (tmp_path / "policy").write_text(json.dumps(POLICY))
    words = [*files(amd), *root(amd), "--policy", tmp_path / "policy"]
    expect(verify(amd / "report.bin", *words), 0)
    expect(verify(amd / "report.bin", *words, "--insecure-any-measurement"), 1, "both expected and waived")


@pytest.mark.parametrize("text, part", [
    (b"", "line 1"), (b'{"schema": "cvmspawn-snp-policy-1",\n "vmpl": ,\n}', "not valid JSON at line 2"), (b"[]", "expected a JSON object"),
    (b"{}", "member 'schema' is missing"), (b'{"schema": "cvmspawn-snp-policy-1"} x', "end of file expected"), (b"[" * 100000, "depth"),
    (b'{"schema": "cvmspawn-snp-policy-1",\n"description": "\xff"}', "line 2"), (b'{"vmpl": 0, "vmpl": 1}', "duplicate object key")])
def test_policies_that_are_no_json(amd, tmp_path, text, part):
    (tmp_path / "policy").write_bytes(text)
    expect(verify(amd / "report.bin", *files(amd), *root(amd), "--policy", tmp_path / "policy"), 1, part)


def test_strange_answers_leave_nothing_behind(amd, service, tmp_path):
    """Whatever stood in the way of the service once is forgotten when it answers again."""
    words = online(amd, service, tmp_path / "cache")
    leaf, chain = (amd / "vcek.der").read_bytes(), (amd / "chain.pem").read_bytes()
    for body in (b"", b"<html>sign in</html>", os.urandom(3000), bytes(2 << 20), chain[:-100], leaf, (amd / "asvk.der").read_bytes()):
        service.mood = [(200, {}, body)]
        expect(verify(amd / "report.bin", *words), 4, service.url if len(body) < 1 << 20 else "too large")
        assert os.listdir(tmp_path / "cache") == ["lock"]
    for body in (b"", os.urandom(3000), leaf[:-1], (amd / "vlek.der").read_bytes(), (amd / "vcek-old.der").read_bytes(), chain):
        service.mood = [(200, {}, chain), (200, {}, body)]
        expect(verify(amd / "report.bin", *words), 4, "does not verify up to the pinned root key")
        assert sorted(os.listdir(tmp_path / "cache")) == ["lock", "milan-vcek-chain.pem"]
        (tmp_path / "cache/milan-vcek-chain.pem").unlink()
    expect(verify(amd / "report.bin", *words), 0)


def test_a_forged_chain_does_not_stay_in_the_cache(amd, service, tmp_path):
    """Without --insecure-root the made-up service is a mirror that forges: nothing of it is used or kept."""
    words = ["--kds", service.url, "--cache", tmp_path / "cache", *GOOD]
    for _ in range(2):
        expect(verify(amd / "report.bin", *words), 4, "does not verify up to the pinned root key", service.url)
        assert os.listdir(tmp_path / "cache") == ["lock"]


def test_a_mirror_helps_while_the_service_is_out_of_order(amd, service, tmp_path):
    words = online(amd, service, tmp_path / "cache")
    service.mood = [(503, {"Retry-After": "300"})]
    expect(verify(amd / "report.bin", *words), 4, "has a failure")
    many = [subprocess.Popen([BUILD / "programs/cvmspawn", "report", "verify", *map(str, [amd / "report.bin", *words])], stdout=subprocess.DEVNULL)
            for _ in range(20)]
    assert [p.wait(timeout=60) for p in many] == [4] * 20 and len(service.requests) == 1
    expect(verify(amd / "report.bin", *words, "--kds", service.url + "/"), 0)  # the same server under another name
    assert len(service.requests) == 3


def test_the_hosts_certificate_of_yesterday(amd, service, tmp_path):
    """A VCEK of the TCB before an update came with the report: the service has the right one. If the user names it, it is judged."""
    words = [*online(amd, service, tmp_path / "cache"), "--ca", amd / "chain.pem"]
    expect(verify(amd / "report.bin", *words, "--certs", amd / "vcek-old.der"), 0)
    expect(verify(amd / "report.bin", *words, "--leaf", amd / "vcek-old.der"), 2, "for another TCB", "reported", "committed", "launch")
    expect(verify(amd / "report.bin", "--offline", "--cache=", *root(amd), *GOOD, "--ca", amd / "chain.pem", "--certs",
                  amd / "vcek-old.der"), 2, "for another TCB")


def test_a_broken_table_beside_the_report_is_named(amd, tmp_path):
    (tmp_path / "outblob").write_bytes((amd / "report.bin").read_bytes())
    (tmp_path / "auxblob").write_bytes(b"\xff" * 100)
    expect(verify(tmp_path, *good(amd)), 0, "auxblob is not a certificate table", "ignoring")
    (tmp_path / "auxblob").write_bytes(b"")
    assert verify(tmp_path, *good(amd)).stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="a cache that may not be written needs another user to be tried as")
def test_cache_of_another_user(amd, service):
    """A cache that can be read only serves; one that cannot be read at all is done without."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        shutil.copytree(amd, folder / "amd")
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        (folder / "closed").mkdir(0o700)
        words = [BUILD.resolve() / "programs/cvmspawn", "report", "verify", folder / "amd/report.bin", "--kds", service.url,
                 "--insecure-root", folder / "amd/ark.der", *GOOD, "--cache"]

        def as_nobody(cache):
            try:
                return subprocess.run([*map(str, words), str(cache)], capture_output=True, text=True, timeout=60, user=65534, cwd="/")
            except PermissionError:
                pytest.skip("nobody may not enter the build directory")

        expect(as_nobody(folder / "closed"), 0)
        assert len(service.requests) == 2
        expect(subprocess.run([*map(str, words), str(folder / "warm")], capture_output=True, text=True, timeout=60), 0)
        (folder / "warm/lock").unlink()
        (folder / "warm").chmod(0o755)
        assert len(service.requests) == 4
        expect(as_nobody(folder / "warm"), 0)
        assert len(service.requests) == 4
    finally:
        shutil.rmtree(folder)


def build(*words):
    return run("id-block", "build", MEASUREMENT, *words)


@pytest.mark.parametrize("words, part", [
    (["--id-key=none"], "--id-key: cannot read 'none'"), (["--id-key=/"], "Is a directory"), (["--id-key=/dev/zero"], "it has more than"),
    (["--id-key=pkcs11:token=none"], "no OpenSSL provider opens this URI"), ([], "--id-key is missing"),
    (["--id-key=x", "--id-signature=y"], "--id-signature has no meaning for 'build'"),
    (["--id-key=x", "--policy=0x10000"], "policy 0x10000: the firmware requires bit 17"), (["--id-key=x", "--svn=4294967296"], "--svn: expected a number from 0"),
    (["--id-key=x", "--family-id=" + "a" * 17], "--family-id: expected 32 hex digits"),
    (["--id-key=x", "--id-block=o", "--id-auth=o"], "'o' is the file of two outputs"), (["x", "--id-key=x"], "expected one launch digest")])
def test_refused_id_blocks(words, part):
    expect(build(*words), 1, part)


def test_id_block_of_a_sha256_is_refused(keys):
    expect(run("id-block", "build", "ab" * 32, "--id-key", keys / "id.pem"), 1, "not an SNP launch digest", "96 hexadecimal digits, not 64")


def test_id_block_bytes_count(keys, tmp_path):
    """Each reserved byte is not authentic; a wrong length or swapped files are usage errors; base64 with a newline is authentic."""
    block, auth = tmp_path / "block", tmp_path / "auth"
    words = ["--id-block", block, "--id-auth", auth]
    expect(build("--id-key", keys / "id.pem", "--author-key", keys / "author.pem", *words), 0)
    genuine = auth.read_bytes()
    for at in (0x08, 0x3f, 0x40 + 48, 0x40 + 144, 0x644, 0x67f, 0xc84, 0xfff):
        spoilt = bytearray(genuine)
        spoilt[at] ^= 1
        auth.write_bytes(spoilt)
        expect(run("id-block", "verify", *words), 2, "not authentic")
    for content in (b"", genuine[:-1], genuine + b"\0"):
        auth.write_bytes(content)
        expect(run("id-block", "verify", *words), 1, "expected 4096 bytes", str(auth))
    auth.write_bytes(genuine)
    expect(run("id-block", "verify", "--id-block", auth, "--id-auth", block), 1, "--id-block: ", "expected 96 bytes")
    for path in (block, auth):
        text = subprocess.run(["base64", "-w0", path], check=True, capture_output=True).stdout
        path.write_bytes(text + b"\n")
    expect(run("id-block", "verify", *words), 0)
    expect(run("id-block", "verify", *words, "--policy=0x30001"), 3, "for policy 0x30000, not 0x30001")


def test_signatures_made_elsewhere_are_verified(keys, tmp_path):
    block = tmp_path / "block"
    expect(run("id-block", "prepare", MEASUREMENT, "--id-block", block), 0)
    openssl("dgst", "-sha384", "-sign", keys / "id.pem", "-out", tmp_path / "good", block)
    openssl("dgst", "-sha256", "-sign", keys / "id.pem", "-out", tmp_path / "sha256", block)
    openssl("dgst", "-sha384", "-sign", keys / "p256.pem", "-out", tmp_path / "p256", block)
    (tmp_path / "empty").write_bytes(b"")
    words = ["id-block", "assemble", "--id-block", block, "--id-public", keys / "id.pub", "--id-auth", tmp_path / "auth", "--id-signature"]
    for name, status in (("sha256", 2), ("p256", 2), ("empty", 1), ("none", 1), ("good", 0)):
        assert not (tmp_path / "auth").exists()
        expect(run(*words, tmp_path / name), status)


@pytest.mark.parametrize("words, part", [
    (["fetch", "ca", "txt", "d", "milan"], "expected PEM or DER"), (["fetch", "ca", "pem", "d", "rome"], "unknown processor model"),
    (["fetch", "vcek", "pem", "d"], "a report"), (["verify", "certs", "/nowhere"], "expected vcek.pem, vcek.der, vlek.pem or vlek.der"), (["verify", "certs"], "one directory"),
    (["display", "report", "/nowhere"], "cannot read"), (["display", "key", "/dev/zero"], "it has more than 4096"),
    (["generate", "measurement"], "measure"), (["generate", "ovmf-hash"], "expected --ovmf"), (["generate", "nothing"], "see --help"),
    (["generate", "id-block", "x", "y", "aa"], "expected 48 bytes"), (["generate", "id-block", "x", "y", MEASUREMENT], "cannot read 'x'"), (["generate", "key-digest", "/nowhere"], "cannot read"),
    (["report", "x", "y"], "run inside a guest"), ([], "see --help")])
def test_refused_snpguest_words(words, part):
    expect(run("snpguest", *words), 1, part)


def test_snpguest_id_block_that_no_firmware_launches(keys):
    words = ["snpguest", "generate", "id-block", keys / "id.pem", keys / "author.pem", MEASUREMENT]
    expect(run(*words), 0)
    expect(run(*words, "-p", "0"), 1, "the firmware requires bit 17")


def test_snpguest_makes_folders_and_helps(amd, service, tmp_path):
    fetch = ["--kds", service.url, "--cache", tmp_path / "cache"]
    expect(run("snpguest", "fetch", "ca", "der", tmp_path / "a/b", "milan", *fetch), 0)
    assert {p.name for p in (tmp_path / "a/b").iterdir()} == {"ark.der", "ask.der"}
    expect(run("snpguest", "fetch", "ca", "der", tmp_path, "turin", *fetch), 1, "does not know /vcek/v1/Turin/cert_chain")
    for words in (["--help"], ["fetch", "--help"]):
        expect(run("snpguest", *words), 0, "fetch ca|vcek|crl")
    assert run("snpguest", "--version").stdout.startswith("cvmspawn ")


def test_an_explanation_keeps_to_its_place(amd, firmware):
    """A launch after -- that gives another digest is explained: in words before the verdict, in JSON as a member."""
    launch = ["--", "--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", f"--ovmf={firmware}"]
    words = [amd / "report.bin", *files(amd), *root(amd), "--report-data", REPORT_DATA]
    lines = expect(verify(*words, *launch), 3).stdout.splitlines()
    assert lines[0].startswith("different: computed") and lines[-1] == "authentic, but the policy is not met: 1 violation"
    result = json.loads(expect(verify(*words, "--json", *launch), 3).stdout)
    assert result["explanation"]["equal"] is False and result["explanation"]["expected"] == MEASUREMENT


@pytest.mark.parametrize("key, part", [("id.pem", "not a public key"), ("author.pub", "made by this key")])
def test_the_wrong_key_of_a_table_is_named(amd, keys, tmp_path, key, part):
    (tmp_path / "table").write_text(json.dumps({"payloadType": "x", "payload": "e30=", "signatures": [{"sig": "AAAA"}]}))
    expect(verify(amd / "report.bin", *files(amd), *root(amd), "--report-data", REPORT_DATA, "--reference", tmp_path / "table",
                  "--reference-key", keys / key), 1, f"--reference-key={keys / key}", part)
