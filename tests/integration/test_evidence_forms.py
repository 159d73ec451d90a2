# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reports and certificates in the forms in which people have them: read where there is one reading, else refused with status 1 and a
sentence that says what the file looks like. Status 2 is for evidence that was read."""

import base64
import gzip
import json
import struct
import subprocess
import zlib

import pytest
from snp_world import GOOD, amd, expect, run, verify  # noqa: F401


def pem(der):
    return subprocess.run(["openssl", "x509", "-inform", "DER"], input=der, check=True, capture_output=True).stdout


def wrapped(data, width=64):
    text = base64.b64encode(data).decode()
    return "\n".join(text[i:i + width] for i in range(0, len(text), width)).encode() + b"\n"


def response(report):
    return struct.pack("<II", 0, len(report)) + bytes(24) + report


FORMS = {
    "hex": lambda r: r.hex().encode(), "HEX": lambda r: r.hex().upper().encode(), "0x": lambda r: b"0x" + r.hex().encode() + b"\n",
    "hex in lines": lambda r: "\n".join(r.hex()[i:i + 60] for i in range(0, 2 * len(r), 60)).encode(),
    "hex with colons": lambda r: r.hex(":").encode(), "base64": base64.b64encode, "base64 in lines": wrapped,
    "base64url": lambda r: base64.urlsafe_b64encode(r).rstrip(b"="), "base64 of hex": lambda r: base64.b64encode(r.hex().encode()),
    "quoted": lambda r: b'"' + base64.b64encode(r) + b'"\n', "utf-16": lambda r: r.hex().encode("utf-16"),
    "bom": lambda r: b"\xef\xbb\xbf" + base64.b64encode(r), "newline": lambda r: r + b"\n", "crlf": lambda r: r + b"\r\n",
    "padded": lambda r: r.ljust(4096, b"\0"), "response": response, "ioctl": lambda r: response(r).ljust(4000, b"\0"),
    "ioctl in hex": lambda r: response(r).ljust(4000, b"\0").hex().encode(),
    "json": lambda r: json.dumps({"nonce": "00", "report": base64.b64encode(r).decode()}).encode(),
    "numbers": lambda r: " ".join(f"0x{b:02x}" for b in r).encode(), "xxd -i": lambda r: subprocess.run(
        ["xxd", "-i"], input=r, check=True, capture_output=True).stdout,
    "source": lambda r: ("unsigned char r[] = {\n" + ", ".join(f"0x{b:02X}" for b in r) + "\n};\nunsigned int r_len = 1184;\n").encode(),
    "escapes": lambda r: "".join(f"\\x{b:02x}" for b in r).encode(), "single quotes": lambda r: b"'" + base64.b64encode(r) + b"',\n",
    "C string": lambda r: r.hex().encode() + b"\0", "utf-16 without mark": lambda r: base64.b64encode(r).decode().encode("utf-16-le"),
    "armour": lambda r: b"-----BEGIN SNP REPORT-----\n" + wrapped(r) + b"-----END SNP REPORT-----\n",
    "data url": lambda r: b"data:application/octet-stream;base64," + base64.b64encode(r),
    "array": lambda r: json.dumps(list(r)).encode(), "json of bytes": lambda r: json.dumps({"nonce": [1, 2], "report": list(r)}).encode(),
    "json inside": lambda r: json.dumps([{"evidence": {"SnpReport": base64.urlsafe_b64encode(r).decode()}}]).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_report_is_read(amd, tmp_path, form):
    words = ["--leaf", amd / "vcek.der", "--ca", amd / "chain.pem", "--offline", "--cache=", "--insecure-root", amd / "ark.der", *GOOD]
    report = (amd / "report.bin").read_bytes()
    (tmp_path / "r").write_bytes(FORMS[form](report))
    done = expect(verify(tmp_path / "r", *words), 0)
    text = form not in ("newline", "crlf", "padded", "response", "ioctl")
    assert ("the report was read from" in done.stderr) == text
    assert run("report", "show", tmp_path / "r").stdout == run("report", "show", amd / "report.bin").stdout
    # The same form of a forgery is read, and not authentic.
    forged = bytearray(report)
    forged[0x90] ^= 1
    (tmp_path / "r").write_bytes(FORMS[form](bytes(forged)))
    expect(verify(tmp_path / "r", *words), 2, "not authentic (signature)")


@pytest.mark.parametrize("make, part", [
    (lambda r, a: gzip.compress(r), "gzip data; decompress it first"), (lambda r, a: base64.b64encode(gzip.compress(r)), "gzip data"),
    (lambda r, a: r[:-1], "a report has 1184 bytes, but the input has 1183"), (lambda r, a: r[:-1].hex().encode(), "but the input has 1183"),
    (lambda r, a: r.hex().encode()[:-1], "hexadecimal text that is cut off"), (lambda r, a: r + r, "another report follows (1184 bytes follow the 1184"), (lambda r, a: r.hex().encode() * 2, "another report follows"),
    (lambda r, a: b"".join(r[i:i + 4][::-1] for i in range(0, len(r), 4)), "bytes were swapped in words of 4"), (lambda r, a: r.decode("latin-1").encode(), "converted from Latin-1 to UTF-8"),
    (lambda r, a: r.replace(b"\xaa", b"\n", 5).replace(b"\n", b"\r\n"), "line breaks were converted"), (lambda r, a: b"\xff" * 1184, "does not begin with the version number"),
    (lambda r, a: r[592:] + r[:592], "does not begin with the version number"), (lambda r, a: b"\x27" + bytes(1183), "does not begin with the version number"),
    (lambda r, a: bytes(range(1, 251)) * 6, "does not begin with the version number"), (lambda r, a: r + bytes(range(200)), "200 bytes follow the 1184"),
    (lambda r, a: b"report: " + base64.b64encode(r), "text that is not hexadecimal, base64, PEM or JSON"), (lambda r, a: base64.b85encode(r), "text that is not hexadecimal"),
    (lambda r, a: base64.b64encode(r) + b"\n" + base64.b64encode(r), "text that is not hexadecimal"), (lambda r, a: zlib.compress(r), "zlib data"),
    (lambda r, a: run("report", "show", a / "report.bin").stdout.encode(), "a report printed as text"), (lambda r, a: json.dumps(list(r[:-1])).encode(), "JSON in which no member"),
    (lambda r, a: run("snpguest", "display", "report", a / "report.bin").stdout.encode(), "a report printed as text"), (lambda r, a: b"\x0a\xa0\x09\x08\x03" + r, "a protocol buffer of go-sev-guest"),
    (lambda r, a: bytes(257) + b"ustar" + bytes(10) + r, "a tar archive"), (lambda r, a: b"", "an empty file"),
    (lambda r, a: bytes(1184), "a file of zeros"), (lambda r, a: (a / "vcek.der").read_bytes(), "a certificate or another X.509"),
    (lambda r, a: pem((a / "vcek.der").read_bytes()), "a certificate in PEM"), (lambda r, a: (a / "table.bin").read_bytes(), "report"),
    (lambda r, a: struct.pack("<II", 0x16, 0) + bytes(3992), "is an error: status 0x16"), (lambda r, a: b"<html><body>login", "an HTML page"),
    (lambda r, a: subprocess.run(["xxd"], input=r, check=True, capture_output=True).stdout, "a hex dump with offsets"),
    (lambda r, a: r.decode("utf-8", "replace").encode(), "copied as text and is damaged"), (lambda r, a: b'{"a": "b"}', "JSON in which no member"),
    (lambda r, a: json.dumps([r.hex(), r.hex()]).encode(), "2 members of the JSON document hold reports"), (lambda r, a: b'{"report": "' + r.hex().encode(), "JSON"),
    (lambda r, a: b"PK\x03\x04" + bytes(1200), "a ZIP archive")])
def test_report_is_refused(amd, tmp_path, make, part):
    (tmp_path / "r").write_bytes(make((amd / "report.bin").read_bytes(), amd))
    words = ["--leaf", amd / "vcek.der", "--ca", amd / "chain.pem", "--offline", "--cache=", "--insecure-root", amd / "ark.der", *GOOD]
    for done in (verify(tmp_path / "r", *words), run("report", "show", tmp_path / "r"), run("snpguest", "display", "report", tmp_path / "r")):
        expect(done, 1, "not a SEV-SNP report", ": ", part)
        assert "not authentic" not in done.stdout + done.stderr


def test_td_quotes_are_no_reports(amd, tmp_path):
    """They are verified by other options; snpguest knows none."""
    (tmp_path / "q").write_bytes(b"\x04\0\x02\0\x81" + bytes(2000))
    expect(verify(tmp_path / "q", "--leaf", amd / "vcek.der", *GOOD), 1, "--leaf has no meaning for TDX quotes")
    expect(run("report", "show", tmp_path / "q"), 1, "it looks like an Intel TDX quote, but: the quote is truncated")
    expect(run("snpguest", "display", "report", tmp_path / "q"), 1, "not a SEV-SNP report: ", "an Intel TDX quote")


def escaped(data):
    return json.dumps(data.decode())[1:-1].encode()


LEAVES = {
    "base64": lambda d, c: base64.b64encode(d), "base64 of pem": lambda d, c: base64.b64encode(pem(d)), "hex": lambda d, c: d.hex().encode(),
    "newline": lambda d, c: d + b"\n", "zeros": lambda d, c: d + bytes(100), "escaped": lambda d, c: escaped(pem(d)),
    "json string": lambda d, c: b'"' + escaped(pem(d)) + b'"', "crlf": lambda d, c: pem(d).replace(b"\n", b"\r\n"),
    "bom": lambda d, c: b"\xef\xbb\xbf" + pem(d), "utf-16": lambda d, c: pem(d).decode().encode("utf-16"),
    "one line": lambda d, c: pem(d).replace(b"\n", b" "), "percent": lambda d, c: pem(d).replace(b"\n", b"%0A").replace(b" ", b"%20"),
    "root first": lambda d, c: c + pem(d), "leaf first": lambda d, c: pem(d) + c, "der bundle": lambda d, c: d + c,
    "text": lambda d, c: b"Certificate:\n  Data\n" + pem(d),
    "thim": lambda d, c: json.dumps({"vcekCert": pem(d).decode(), "tcbm": "DB18000000000004", "certificateChain": c.decode("latin-1"),
                                     "cacheControl": "86400"}).encode(),
    "json of der": lambda d, c: json.dumps({"certs": [{"vcek": base64.b64encode(d).decode()}]}).encode(),
    "trustee": lambda d, c: json.dumps({"cert_chain": [{"cert_type": "VCEK", "data": list(d)}]}).encode(),
    "source": lambda d, c: subprocess.run(["xxd", "-i"], input=d, check=True, capture_output=True).stdout,
    "with a key": lambda d, c: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + pem(d),
}


@pytest.mark.parametrize("form", LEAVES)
def test_leaf_is_read(amd, tmp_path, form):
    chain = (amd / "chain.pem").read_bytes()
    der = b"".join((amd / f"{n}.der").read_bytes() for n in ("ask", "ark") if (amd / f"{n}.der").exists())
    (tmp_path / "leaf").write_bytes(LEAVES[form]((amd / "vcek.der").read_bytes(), der if form == "der bundle" else chain))
    words = ["--ca", amd / "chain.pem", "--offline", "--cache=", "--insecure-root", amd / "ark.der", *GOOD]
    expect(verify(amd / "report.bin", "--leaf", tmp_path / "leaf", *words), 0, "verified")
    expect(verify(amd / "report.bin", "--certs", tmp_path / "leaf", *words), 0, "verified")


@pytest.mark.parametrize("make, part", [
    (lambda d, c: gzip.compress(d), "gzip data"), (lambda d, c: c, "contains no VCEK or VLEK certificate, but 'SEV-Milan'"), (lambda d, c: pem(d).replace(b"-----", b"----"), "text that is not"),
    (lambda d, c: b"", "an empty file"),
    (lambda d, c: pem(d)[:300], "PEM block 1 is broken"), (lambda d, c: d[:300], "not a DER certificate"), (lambda d, c: b"<!DOCTYPE html>", "an HTML page"),
    (lambda d, c: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a public key"), (lambda d, c: b'{"a": 1}', "JSON in which no member"),
    (lambda d, c: subprocess.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER"], input=c, check=True,
                                 capture_output=True).stdout, "a PKCS#7 bundle; extract its certificates")])
def test_leaf_is_refused(amd, tmp_path, make, part):
    (tmp_path / "leaf").write_bytes(make((amd / "vcek.der").read_bytes(), (amd / "chain.pem").read_bytes()))
    words = ["--ca", amd / "chain.pem", "--offline", "--cache=", "--insecure-root", amd / "ark.der", *GOOD]
    done = expect(verify(amd / "report.bin", "--leaf", tmp_path / "leaf", *words), 1, part, "--leaf: '")
    assert "not authentic" not in done.stdout


def test_ca_and_root_take_both_encodings(amd, tmp_path):
    """--ca and --insecure-root: DER one after another, PEM, one file or several."""
    chain = (amd / "chain.pem").read_text()
    blocks = ["-----BEGIN" + b for b in chain.split("-----BEGIN")[1:]]
    ders = [subprocess.run(["openssl", "x509", "-outform", "DER"], input=b.encode(), check=True, capture_output=True).stdout for b in blocks]
    (tmp_path / "both.der").write_bytes(b"".join(ders))
    (tmp_path / "ark.pem").write_bytes(pem((amd / "ark.der").read_bytes()))
    for root in (amd / "ark.der", tmp_path / "ark.pem", amd / "chain.pem", tmp_path / "both.der"):
        for ca in (amd / "chain.pem", tmp_path / "both.der"):
            expect(verify(amd / "report.bin", "--leaf", amd / "vcek.der", "--ca", ca, "--insecure-root", root, "--offline", "--cache=", *GOOD), 0)
