# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real reports and certificates of AMD's through the programs, offline, against what the index of the optional test data lists for each
file: $CVMSPAWN_SHARED/testdata/attestation."""

import datetime
import json
import os
import subprocess
from pathlib import Path

import pytest
from snp_world import expect, run, verify

DATA = Path(os.environ.get("CVMSPAWN_SHARED", "/nowhere")) / "testdata/attestation"
INDEX = DATA / "index.json"
FILES = json.loads(INDEX.read_text())["files"] if INDEX.exists() else []
pytestmark = pytest.mark.skipif(not FILES, reason="the optional test data (CVMSPAWN_SHARED) with real reports is not here")

OFFLINE = ["--offline", "--cache=", "--certs", DATA / "snp/ca"]
ANY = ["--insecure-any-measurement", "--insecure-any-report-data", "--vmpl=any", "--allow-debug"]


def listed(kind, prefix):
    return [pytest.param(f, id=f["file"]) for f in FILES if f["kind"] == kind and f["file"].startswith(prefix)]


def within(leaf):
    """The day after the leaf was issued, whatever today is."""
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", DATA / leaf, "-noout", "-startdate", "-dateopt", "iso_8601"],
                          check=True, capture_output=True, text=True).stdout
    begin = datetime.datetime.fromisoformat(text.strip().split("=")[1].replace("Z", "+00:00"))
    return f"--time=@{int(begin.timestamp()) + 86400}"


@pytest.mark.parametrize("entry", listed("snp-report", "snp/report/"))
def test_reports(entry):
    report = DATA / entry["file"]
    for by in entry["verified_by"]:
        done = expect(verify(report, *OFFLINE, *ANY, "--leaf", DATA / by["leaf"], within(by["leaf"])), 0, "AMD's key, as compiled in")
        assert done.stdout.endswith("\nverified\n")
        milan = "warning: arXiv:2605.12990" in done.stdout
        ear = json.loads(expect(verify(report, *OFFLINE, *ANY, "--leaf", DATA / by["leaf"], within(by["leaf"]), "--format=ear"), 0).stdout)
        claims = ear["submods"]["SEV-SNP"]["ear_trustworthiness_vector"]
        assert claims["hardware"] == (32 if milan else 2) and (", Milan," in done.stdout) == milan
        assert claims["runtime-opaque"] == 2 or claims["runtime-opaque"] == 96 and int(json.loads(run("report", "show", "--json", report).stdout)["policy"], 0) & 0xc0000
    if not entry["verified_by"]:
        expect(verify(report, *OFFLINE, *ANY, "--certs", DATA / "snp/leaf", "--generation=milan"), 4, "none of the")


@pytest.mark.parametrize("entry", listed("snp-report", "snp/report/"))
def test_fields(entry):
    fields, shown = entry["fields"], json.loads(run("report", "show", "--json", DATA / entry["file"]).stdout)
    for name in ("version", "guest_svn", "vmpl", "policy", "platform_info", "family_id", "image_id", "report_data", "measurement",
                 "host_data", "id_key_digest", "author_key_digest", "report_id", "report_id_ma", "chip_id"):
        assert shown[name.replace("_", "-")] == fields[name], name
    for name in ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"):
        assert shown[name.replace("_", "-")]["raw"] == fields[name], name
    for name in ("current", "committed"):
        major_minor, build = fields[f"{name}_ver"].split(" build ")
        assert shown[f"{name}-version"] == f"{major_minor}.{build}"
    if fields["version"] >= 3:
        assert f"{shown['cpuid-family']:02x}{shown['cpuid-model']:02x}{shown['cpuid-stepping']:02x}" == fields["cpuid"]
    if fields["version"] >= 5:
        assert (shown["launch-mit-vector"], shown["current-mit-vector"]) == (fields["launch_mit"], fields["current_mit"])
    assert run("report", "show", "--field=measurement", DATA / entry["file"]).stdout == fields["measurement"] + "\n"


@pytest.mark.parametrize("entry", listed("snp-report-negative", "snp/report/"))
def test_negatives(entry):
    done = verify(DATA / entry["file"], *OFFLINE, *ANY, "--leaf", DATA / "snp/leaf/turin_ms.der")
    if entry["size"] != 1184:  # no report at all
        expect(done, 1, f"a report has 1184 bytes, but the input has {entry['size']}")
    else:
        expect(done, 2, "not authentic")


@pytest.mark.parametrize("entry", listed("azure-hcl-report", "snp/hcl/"))
def test_wrappers(entry):
    """The report inside is the one at 0x20, and where its leaf certificate is available it verifies in its wrapping."""
    wrapped = (DATA / entry["file"]).read_bytes()
    shown = json.loads(run("report", "show", "--json", DATA / entry["file"]).stdout)
    assert shown["measurement"] == wrapped[0x20 + 0x90:0x20 + 0xc0].hex()
    done = verify(DATA / entry["file"], *OFFLINE, *ANY, "--certs", DATA / "snp/leaf", "--json")
    assert done.returncode == (4 if "kinvolk" in entry["file"] else 0), done.stdout


@pytest.mark.parametrize("entry", listed("ghcb-cert-table", "snp/certtable/") + listed("ghcb-cert-table-negative", "snp/certtable/"))
def test_tables(entry):
    """The table is of a Turin whose report is here with one bit wrong only: the chain is found good up to the signature."""
    report = DATA / "snp/report/neg_measurement_bit.bin"
    done = verify(report, "--offline", "--cache=", *ANY, "--certs", DATA / entry["file"])
    if "negative" in entry["kind"]:
        expect(done, 1, "certificate table")
    else:
        expect(done, 2, "not authentic (signature)")


@pytest.mark.parametrize("entry", listed("x509-der", "snp/leaf/"))
def test_leaves(entry, tmp_path):
    signer = [w for w in ("milan", "genoa", "turin") if f"signed by {w}" in entry["expected"]]
    vlek, who = "SEV-VLEK" in entry["what"], signer[0] if signer else "milan"
    names = ("vlek", "asvk") if vlek else ("vcek", "ask")
    (tmp_path / f"{names[0]}.der").write_bytes((DATA / entry["file"]).read_bytes())
    for name in (names[1], "ark"):
        (tmp_path / f"{name}.der").write_bytes((DATA / f"snp/ca/{who}_{name}.der").read_bytes())
    expect(run("snpguest", "verify", "certs", within(entry["file"]), tmp_path), 0 if signer else 1)


def test_one_bit_and_one_policy(tmp_path):
    """A Milan report ends in "verified"; with any bit changed it is not authentic; one of a guest open to debugging is refused by policy."""
    report = DATA / "snp/report/milan_ms.bin"
    fields = next(f for f in FILES if f["file"] == "snp/report/milan_ms.bin")["fields"]
    words = [*OFFLINE, "--leaf", DATA / "snp/leaf/milan_ms.der", within("snp/leaf/milan_ms.der"), "--measurement", fields["measurement"],
             "--report-data", fields["report_data"]]
    assert expect(verify(report, *words), 0).stdout.endswith("\nverified\n")
    for bit in (0x08 * 8, 0x50 * 8 + 1, 0x90 * 8 + 7, 0x1a0 * 8, 0x2a0 * 8 + 3, 0x2e8 * 8):
        spoilt = bytearray(report.read_bytes())
        spoilt[bit // 8] ^= 1 << bit % 8
        (tmp_path / "spoilt").write_bytes(spoilt)
        expect(verify(tmp_path / "spoilt", *words), 2, "not authentic")
    words = [*OFFLINE, *ANY[:3], "--leaf", DATA / "snp/leaf/milan_gosev.der", within("snp/leaf/milan_gosev.der")]
    expect(verify(DATA / "snp/report/milan_gosev.bin", *words), 3, "violation: debug")
