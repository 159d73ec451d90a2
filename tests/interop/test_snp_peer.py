# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other programs about the same files: OpenSSL's own path validation beside our three-certificate chain, and an ID key that never leaves a
PKCS#11 token (SoftHSM)."""

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE
from soft_token import PIN, SoftToken

SHARED = os.environ.get("CVMSPAWN_SHARED")


def run(*words, **options):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **options)


def must(*words, **options):
    done = run(*words, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def pem(path, folder):
    out = folder / (path.stem + ".pem")
    must("openssl", "x509", "-inform", "der", "-in", path, "-out", out)
    return out


def openssl_says(root, between, leaf, folder, time):
    words = ["openssl", "verify", "-no_check_time"] if time is None else ["openssl", "verify", "-attime", time]
    return run(*words, "-CAfile", pem(root, folder), "-untrusted", pem(between, folder), pem(leaf, folder)).returncode == 0


def valid_at(leaf):
    """A day in the leaf's life: VLEKs live a year only, and both programs refuse what has expired."""
    start = must("openssl", "x509", "-inform", "der", "-in", leaf, "-noout", "-startdate", "-dateopt", "iso_8601").stdout.strip().partition("=")[2]
    return int(datetime.fromisoformat(start).timestamp()) + 86400


def we_say(folder, root):
    return run(BUILD / "programs/cvmspawn", "snpguest", "verify", "certs", folder, *root).returncode == 0


def chain(folder, **files):
    folder.mkdir()
    for name, source in files.items():
        (folder / f"{name}.der").write_bytes(source.read_bytes())
    return folder


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Two that are not AMD."""
    folders = [tmp_path_factory.mktemp(name) for name in ("amd", "other")]
    for folder in folders:
        must(BUILD / "tests/lib/fake-amd-tool", folder)
    return folders


def test_made_up_chains_as_openssl_sees_them(made_up, tmp_path):
    amd, other = made_up
    cases = {"good": (amd, amd, amd, True), "foreign-leaf": (amd, amd, other, False), "foreign-between": (amd, other, amd, False),
             "foreign-both": (amd, other, other, False)}
    for name, (root, between, leaf, expected) in cases.items():
        work = tmp_path / f"pem-{name}"
        work.mkdir()
        assert openssl_says(root / "ark.der", between / "ask.der", leaf / "vcek.der", work, None) == expected
        ours = chain(tmp_path / name, ark=root / "ark.der", ask=between / "ask.der", vcek=leaf / "vcek.der")
        assert we_say(ours, ["--insecure-root", root / "ark.der"]) == expected


def test_real_chains_as_openssl_sees_them(tmp_path):
    if not SHARED:
        pytest.skip("the optional test data (CVMSPAWN_SHARED) with real certificates is not here")
    data, n = Path(SHARED) / "testdata/attestation/snp", 0
    for leaf in sorted((data / "leaf").iterdir()):
        time = valid_at(leaf)
        for product in ("milan", "genoa", "turin"):
            work = tmp_path / f"{leaf.stem}-{product}"
            work.mkdir()
            kind = "asvk" if "vlek" in leaf.name else "ask"
            root, between = data / f"ca/{product}_ark.der", data / f"ca/{product}_{kind}.der"
            theirs = openssl_says(root, between, leaf, work, time)
            names = {"ark": root, kind: between, "vlek" if kind == "asvk" else "vcek": leaf}
            assert we_say(chain(work / "certs", **names), [f"--time=@{time}"]) == theirs, (leaf.name, product)
            n += theirs
    assert n >= 15


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """SoftHSM with an ID key."""
    soft = SoftToken(tmp_path_factory.mktemp("token"), "owner")
    soft.add("id", "01", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
    return soft.folder, soft.env


def test_key_that_stays_in_its_token(token, tmp_path):
    folder, env = token
    uri = f"pkcs11:token=owner;object=id?pin-source=file:{folder}/pin"
    words = [BUILD / "programs/cvmspawn", "id-block", "build", "aa" * 48, "--id-key", uri, "--author-key", folder / "id.pem",
             "--id-block", tmp_path / "block", "--id-auth", tmp_path / "auth"]
    built = must(*words, env=env).stdout
    digest = must(BUILD / "programs/cvmspawn", "id-block", "key-digest", folder / "id.pem").stdout.strip()
    assert f"id-key-digest={digest}\n" in built and f"author-key-digest={digest}\n" in built
    must(BUILD / "programs/cvmspawn", "id-block", "verify", "--id-block", tmp_path / "block", "--id-auth", tmp_path / "auth")
    wrong = run(*[w if w != uri else uri.replace("object=id", "object=none") for w in words], env=env)
    assert wrong.returncode == 1 and "no private key" in wrong.stderr


def test_id_blocks_of_bundles_signed_by_a_token(token, tmp_path):
    """refs build --id-key=, which gives the keys that a key in a file gives."""
    folder, env = token
    uri, cvmspawn = f"pkcs11:token=owner;object=id?pin-source=file:{folder}/pin", BUILD / "programs/cvmspawn"
    must(SOURCE / "tests/golden/measure/generate.py", "--images", tmp_path)
    found = {}
    for name, key in ("token", uri), ("file", folder / "id.pem"):
        must(cvmspawn, "refs", "build", f"--id-key={key}", "-o", tmp_path / name, "--", "--mode=snp", f"--ovmf={tmp_path}/amdsev.fd", "--vcpus=1-2",
             "--vcpu-type=EPYC-v4", env=env)
        found[name] = [json.loads(line) for line in must(cvmspawn, "refs", "export", "--format=id-blocks", tmp_path / name).stdout.splitlines()]
    assert len(found["token"]) == 2 and [row["id-block"] for row in found["token"]] == [row["id-block"] for row in found["file"]]
    for row in found["token"]:
        (tmp_path / "block").write_text(row["id-block"])
        (tmp_path / "auth").write_text(row["id-auth"])
        must(cvmspawn, "id-block", "verify", "--id-block", tmp_path / "block", "--id-auth", tmp_path / "auth")


def test_bundles_signed_by_a_token(token, tmp_path):
    """refs sign, with a P-384 key that only the token has."""
    folder, env = token
    uri, cvmspawn = f"pkcs11:token=owner;object=id?pin-source=file:{folder}/pin", BUILD / "programs/cvmspawn"
    must(SOURCE / "tests/golden/measure/generate.py", "--images", tmp_path)
    must("openssl", "pkey", "-in", folder / "id.pem", "-pubout", "-out", tmp_path / "public")
    must(cvmspawn, "refs", "build", "-o", tmp_path / "bundle", "--", "--mode=snp", f"--ovmf={tmp_path}/amdsev.fd", "--vcpus=1-2",
         "--vcpu-type=EPYC-v4", env=env)
    must(cvmspawn, "refs", "sign", tmp_path / "bundle", f"--key={uri}", "-o", tmp_path / "signed", env=env)
    assert "1 of 1 signer" in must(cvmspawn, "refs", "verify", tmp_path / "signed", f"--signer={tmp_path}/public").stdout
    by_file = must(cvmspawn, "refs", "sign", tmp_path / "bundle", f"--key={folder}/id.pem").stdout
    assert json.loads((tmp_path / "signed").read_text())["signatures"][0]["keyid"] == json.loads(by_file)["signatures"][0]["keyid"]
    wrong = run(cvmspawn, "refs", "sign", tmp_path / "bundle", f"--key={uri.replace('object=id', 'object=none')}", "-o", tmp_path / "none", env=env)
    assert wrong.returncode == 1 and "no private key" in wrong.stderr and not (tmp_path / "none").exists()
    none = run(cvmspawn, "refs", "sign", tmp_path / "bundle", f"--key={uri}", "-o", tmp_path / "none")
    assert none.returncode == 1 and "no OpenSSL provider opens this URI" in none.stderr and PIN not in none.stderr


def test_bundles_of_collateral_signed_by_a_token(token, made_up, tmp_path):
    """cvmspawn-collateral export --sign-key=, with the same key."""
    folder, env = token
    program, uri = BUILD / "programs/cvmspawn-collateral", f"pkcs11:token=owner;object=id?pin-source=file:{folder}/pin"
    (tmp_path / "near").mkdir()
    chain = pem(made_up[0] / "ask.der", tmp_path).read_text() + pem(made_up[0] / "ark.der", tmp_path).read_text()
    (tmp_path / "near/milan-vcek-chain.pem").write_text(chain)
    root = f"--insecure-root={made_up[0]}/ark.der"
    must("openssl", "pkey", "-in", folder / "id.pem", "-pubout", "-out", tmp_path / "public")
    must(program, "export", tmp_path / "bundle", f"--cache={tmp_path}/near", root, f"--sign-key={uri}", env=env)
    assert "by 1 of 1 keys" in must(program, "import", tmp_path / "bundle", f"--cache={tmp_path}/far", root, f"--signer={tmp_path}/public").stderr
