# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn report show of TD quotes and TDREPORTs: every member, what is malformed, and quotes of real machines where they are."""

import base64
import json
import os
import pathlib
import struct
import subprocess

import pytest
import tdx_model as model

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"], "testdata/tdx") if os.environ.get("CVMSPAWN_SHARED") else None


def show(path, *arguments):
    return subprocess.run([BUILD / "programs/verb-report", "show", path, *arguments], capture_output=True, text=True, check=False, timeout=120)


def expected(body):
    numbers = {name: hex(int.from_bytes(body[name], "little")) for name in ("attributes", "xfam")}
    return {**{name: value.hex() for name, value in body.items()}, **numbers}


@pytest.mark.parametrize("version,td15", [(4, False), (5, False), (5, True), (0, False), (0, True)])
def test_all_members(tmp_path, version, td15):
    path = tmp_path / "quote"
    path.write_bytes(model.make_quote(version, td15) if version else model.make_td_report(td15))
    answer = json.loads(show(path, "--json=short").stdout)
    kind = {"kind": "tdx-quote", "version": version} if version else {"kind": "tdx-report"}
    assert answer == {**kind, "verified": False, "debug": False, **expected(model.make_body(td15=td15))}
    text = show(path).stdout
    assert ("not verified" if version else "only the processor") in text.splitlines()[0]
    assert all(value in text for value in expected(model.make_body(td15=td15)).values()) and "Warning" not in text


def test_fields_and_forms(tmp_path):
    path, quote = tmp_path / "quote", model.make_quote()
    body = model.make_body()
    for data in (quote, quote.hex().encode(), base64.b64encode(quote), json.dumps(base64.b64encode(quote).decode()).encode()):
        path.write_bytes(data)
        assert show(path, "--field=measurement").stdout == body["mrtd"].hex() + "\n"
    assert show(path, "--field=report-data").stdout == body["report-data"].hex() + "\n"
    assert show(path, "--field=policy").stdout == "0x10000000\n" and show(path, "--field=version").stdout == "4\n"
    for option in ("--field=chip-id", "--generation=milan", "--format=snpguest"):
        done = show(path, option)
        assert done.returncode == 1 and done.stderr and done.stdout == ""


def test_warnings(tmp_path):
    path = tmp_path / "quote"
    path.write_bytes(model.make_quote(attributes=1 << 28 | 1))
    assert "the host may debug this TD" in show(path).stdout and json.loads(show(path, "--json=short").stdout)["debug"] is True
    path.write_bytes(model.make_quote(rest=bytes(70)))
    assert "Warning" not in show(path).stdout
    path.write_bytes(model.make_quote(rest=b"text"))
    assert "4 bytes follow the quote, which no signature covers" in show(path).stdout


@pytest.mark.parametrize("spoil,said", [
    (lambda q: q[:200], "truncated in its body"), (lambda q: q[:634], "truncated in its signature data"),
    (lambda q: q[:632] + struct.pack("<I", 100) + q[636:], "truncated in its signature data"),
    (lambda q: q[:764] + b"\x05" + q[765:], "certification data of type 5"),
    (lambda q: model.make_quote(5)[:48] + b"\x01" + model.make_quote(5)[49:], "body of type 1"),
    (lambda q: q[:1218] + b"\xff\xff" + q[1220:], "report of the quoting enclave"),
])
def test_malformed(tmp_path, spoil, said):
    path = tmp_path / "quote"
    path.write_bytes(spoil(model.make_quote()))
    done = show(path)
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""


def test_verify_takes_nothing_unsigned(tmp_path):
    path = tmp_path / "quote"
    path.write_bytes(model.make_quote())
    done = subprocess.run([BUILD / "programs/verb-report", "verify", path, "--insecure-any-measurement", "--insecure-any-report-data", "--offline"],
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2 and done.stdout.splitlines()[-1].startswith("not authentic (layout): ")


def quotes():
    if not SHARED or not (SHARED / "index.json").exists():
        return []
    return [v for v in json.loads((SHARED / "index.json").read_text())["vectors"] if v["kind"] == "quote" and v["files"]["quote"].endswith(".dat")]


@pytest.mark.parametrize("vector", quotes(), ids=lambda v: v["id"] if isinstance(v, dict) else "none")
def test_real_quotes(vector):
    answer = json.loads(show(SHARED / vector["files"]["quote"], "--json=short").stdout)
    names = {"mrtd", "mrseam", "mrconfigid", "mrowner", "rtmr0", "rtmr1", "rtmr2", "rtmr3"}
    assert {name: answer[name] for name in names} == {name: vector["expect"][name] for name in names}
    assert answer["version"] == vector["expect"]["version"] and answer["report-data"] == vector["expect"]["reportdata"]
    assert int(answer["attributes"], 16) == int.from_bytes(bytes.fromhex(vector["expect"]["tdattributes"]), "little")
