# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service with its key in a PKCS#11 token (SoftHSM): it starts with the token only, keys are changed to it, in it and from it while a
service runs, and each thing that can be wrong with a token has its own error message, without the PIN."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE, skip_or_fail
from soft_token import PIN, SoftToken

sys.path.insert(0, str(SOURCE / "tests/integration"))
from attestd_service import Service, registration  # noqa: E402

RSA = "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    soft = SoftToken(tmp_path_factory.mktemp("token"), "vault")
    soft.add("one", "01", *RSA)
    soft.add("two", "02", *RSA)
    soft.add("curve", "03", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
    (soft.folder / "wrong").write_text("1111111")
    return soft


def attestd(token, state, key, *words, status=0, stdin=None, env=None):
    done = subprocess.run([BUILD / "programs/cvmspawn-attestd", f"--state={state}", *([f"--secrets-key={key}"] if key else []), *words],
                          input=stdin or "", capture_output=True, text=True, check=False, timeout=120, env=env or token.env)  # fmt: skip
    assert done.returncode == status, done
    assert PIN not in done.stderr + done.stdout
    return done


def register(token, state, key, name="a"):
    attestd(token, state, key, f"--answer=POST /vm/{name}", stdin=json.dumps(registration()))


def checked(token, state, key):
    found = json.loads(attestd(token, state, key, "--check-store").stdout)
    assert found["damaged-rows"] == 0
    return found["registrations"]


def test_the_key_follows_from_the_token_and_nothing_else(token, tmp_path):
    state, uri = tmp_path / "state", token.uri("one")
    register(token, state, uri)
    assert checked(token, state, uri) == 1 and checked(token, state, uri.replace("file:/", "/")) == 1
    assert [p.name for p in state.iterdir() if "key" in p.name] == []
    for other in token.uri("two"), None:
        assert "encrypted with" in attestd(token, state, other, "--check-store", status=1).stderr
    assert PIN.encode() not in b"".join(p.read_bytes() for p in state.iterdir())


@pytest.mark.parametrize("name, uri, says", [
    ("pin", "token=vault;object=one?pin-source=file:{}/wrong", "the PIN is wrong or locked"),
    ("no-pin", "token=vault;object=one", "the token needs a PIN"),
    ("no-pin-file", "token=vault;object=one?pin-source=file:{}/none", "cannot read the PIN's file"),
    ("absent", "token=none;object=one?pin-source=file:{}/pin", "no token matches this URI"),
    ("no-key", "token=vault;object=none?pin-source=file:{}/pin", "the token does not have this key"),
    ("curve", "token=vault;object=curve?pin-source=file:{}/pin", "expected an RSA key"),
])  # fmt: skip
def test_what_is_wrong_with_it(token, tmp_path, name, uri, says):
    uri = "pkcs11:" + uri.format(token.folder)
    assert says in attestd(token, tmp_path / "state", uri, "--answer=GET /", status=1).stderr
    # as the key to change to, it changes nothing
    register(token, tmp_path / "other", None)
    assert says in attestd(token, tmp_path / "other", None, f"--rotate-key={uri}", "--rotate-wait=0", status=1).stderr
    assert checked(token, tmp_path / "other", None) == 1


def test_a_pin_in_the_arguments_is_refused(token, tmp_path):
    """Also where it would be right."""
    done = attestd(token, tmp_path / "state", f"pkcs11:token=vault;object=one?pin-value={PIN}", "--answer=GET /", status=1)
    assert "other users of this machine can see" in done.stderr


def test_without_a_provider(token, tmp_path):
    env = {k: v for k, v in token.env.items() if k != "OPENSSL_CONF"}
    assert "no OpenSSL provider opens this URI" in attestd(token, tmp_path / "state", token.uri("one"), "--answer=GET /", status=1, env=env).stderr


def has_begun(state):
    db = sqlite3.connect(state / "state.db")
    try:
        return db.execute("SELECT count(*) FROM setting WHERE name = 'key-next'").fetchone()[0]
    finally:
        db.close()


def test_keys_change_while_a_service_runs(token, tmp_path):
    """From a file to the token, to another key of it, and back to a file; the service finds each in the store, and needs no token for that. Each change is killed
    when the service has taken the new key, and called again."""
    state, file, last = tmp_path / "state", tmp_path / "first", tmp_path / "last"
    file.write_bytes(os.urandom(32))
    file.chmod(0o600)
    service = Service(tmp_path, f"--secrets-key={file}")
    try:
        keys, owner = [file, token.uri("one"), token.uri("two"), last], service.owner()
        for n, (old, new) in enumerate(zip(keys, keys[1:])):
            words = f"--secrets-key={old}", f"--rotate-key={new}"
            first = subprocess.Popen([BUILD / "programs/cvmspawn-attestd", f"--state={state}", *words, "--rotate-wait=600"], env=token.env)
            try:
                end = time.monotonic() + 60
                while not has_begun(state) and time.monotonic() < end:
                    time.sleep(0.02)
                assert service.post(f"/vm/v{n}", registration(), *owner)[0] == 201
            finally:
                first.kill()
                first.wait(60)
            attestd(token, state, old, words[1], "--rotate-wait=0")
            assert "encrypted with another key" in attestd(token, state, old, "--check-store", status=1).stderr
            assert checked(token, state, new) == n + 1
        assert service.post("/vm/end", registration(), *owner)[0] == 201
        assert checked(token, state, last) == 4
    finally:
        service.stop()


def test_a_service_has_its_key_from_the_token(token, tmp_path):
    """It is confined after that, and needs the token only at its start."""
    service = Service(tmp_path, f"--secrets-key={token.uri('one')}", env=token.env)
    try:
        assert PIN not in Path(f"/proc/{service.process.pid}/cmdline").read_text()
        assert service.post("/vm/a", registration(), *service.owner())[0] == 201
        assert checked(token, tmp_path / "state", token.uri("one")) == 1
    finally:
        service.stop()
    assert PIN not in service.text()


def test_killed_while_keys_change(token, tmp_path):
    """Called again with the same two keys of the token, it goes on where it was."""
    module = BUILD / "tests/lib/die-at.so"
    if not module.exists():
        skip_or_fail("the build has no tests/lib/die-at.so")
    state, one, two, deaths = tmp_path / "state", token.uri("one"), token.uri("two"), 0
    for name in "abc":
        register(token, state, one, name)
    words = [BUILD / "programs/cvmspawn-attestd", f"--state={state}", f"--secrets-key={one}", f"--rotate-key={two}", "--rotate-wait=0"]
    for step in range(1, 200, 3):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env={**token.env, "LD_PRELOAD": str(module), "DIE_AT": str(step)})
        deaths += done.returncode < 0
        if done.returncode >= 0:
            assert done.returncode == 0 or "encrypted with another key" in done.stderr, done
            break
    assert deaths > 3
    assert checked(token, state, two) == 3
