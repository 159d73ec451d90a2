# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pin for clevis: real clevis, jose and cryptsetup, a LUKS2 volume in a file, of which only the header is worked on (no loop device,
no device-mapper)."""

import base64
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail
from test_snp_attest import DIGEST, REGISTRATION, Guest, relay, tree  # noqa: F401

pytestmark = pytest.mark.full  # clevis comes with tools/setup full

PINS = Path(__file__).resolve().parents[2] / "data/clevis"
CONFIG = '{"credential": "disk-key", "key-file": "disk.key"}'


@pytest.fixture(autouse=True)
def peers():
    for tool in ("clevis", "jose", "cryptsetup", "clevis-luks-bind"):
        if not shutil.which(tool):
            skip_or_fail(f"{tool} is not installed: tools/setup full")


def run(folder, *argv, stdin=b"", more_path=(), check=True, **env):
    path = ":".join([str(p) for p in (*more_path, PINS)] + [os.environ["PATH"]])
    clean = {k: v for k, v in os.environ.items() if k != "CREDENTIALS_DIRECTORY"}
    done = subprocess.run(argv, input=stdin, capture_output=True, cwd=folder, timeout=120, env={**clean, "PATH": path, **env})
    assert not check or done.returncode == 0, (argv, done.stderr)
    return done


def credentials(folder, data):
    place = folder / "credentials"
    place.mkdir()
    (place / "disk-key").write_bytes(data)
    return str(place)


@pytest.fixture
def bound(tmp_path):
    """A volume with a passphrase and, bound to it, the owner's key."""
    subprocess.run(["truncate", "-s", "32M", tmp_path / "disk"], check=True)
    run(tmp_path, "cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "disk", "-",
        stdin=b"first")  # fmt: skip
    run(tmp_path, "clevis", "luks", "bind", "-y", "-k", "-", "-d", "disk", "cvmspawn", CONFIG, stdin=b"first")
    return tmp_path


def opens(folder, check=True, more_path=(), prefix=(), **env):
    """The passphrase that clevis gets by the pin, tried on the volume."""
    assert "1: " in run(folder, "clevis", "luks", "list", "-d", "disk").stdout.decode()
    phrase = run(folder, *prefix, "clevis", "luks", "pass", "-d", "disk", "-s", "1", more_path=more_path, check=check, **env)
    if phrase.returncode != 0 or not phrase.stdout:
        return False, phrase.stderr.decode()
    run(folder, "cryptsetup", "open", "--test-passphrase", "--key-slot", "1", "--key-file", "-", "disk", stdin=phrase.stdout)
    return True, phrase.stdout


def test_a_volume_opens_with_the_credential(bound):
    key = bound / "disk.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert opens(bound, CREDENTIALS_DIRECTORY=credentials(bound, key.read_bytes()))[0]
    # Nothing of the key is in the volume.
    assert key.read_bytes() not in (bound / "disk").read_bytes()
    assert base64.urlsafe_b64encode(key.read_bytes()).rstrip(b"=") not in (bound / "disk").read_bytes()


def test_another_key_does_not_open_it(bound):
    assert not opens(bound, check=False, CREDENTIALS_DIRECTORY=credentials(bound, bytes(32)))[0]


def test_a_volume_opens_after_attestation(bound, platform, tree):  # noqa: F811
    """The key is not there: the pin has the guest attested, and then it is. /run is the test's own."""
    if os.geteuid() != 0:
        skip_or_fail("a separate /run needs root")
    service = Service(bound, f"--insecure-snp-root={platform}/ark.pem")
    try:
        key = base64.b64encode((bound / "disk.key").read_bytes()).decode()
        body = {**REGISTRATION, "launch-digests": [DIGEST], "secrets": [{"type": "credential", "name": "disk-key", "data": key}]}
        assert service.post("/vm/guest-1", body, *service.owner())[0] == 201
        (bound / "service.key").write_text(service.curl(service.url)[1]["packet-key"])
        (bound / "bin").mkdir()
        program = bound / "bin/cvmspawn-guest-attest"
        program.write_text(f'#!/bin/sh\nexec {build_folder()}/programs/cvmspawn-guest-attest --service-key={bound}/service.key '
                           f'--port={bound}/port --tsm={tree()} --timeout=60s "$@"\n')  # fmt: skip
        program.chmod(0o755)
        guest = Guest(bound, None)
        guest.listener.settimeout(60)
        own_run = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")
        result = []
        worker = threading.Thread(target=lambda: result.append(opens(bound, False, (bound / "bin",), own_run)))
        worker.start()
        with relay(guest.listener.accept()[0], service):
            worker.join(90)
        assert result and result[0][0], result
    finally:
        service.stop()


def test_injected_secret(tmp_path):
    """SEV, SEV-ES: the pin asks cvmspawn-guest for the secret with that GUID."""
    jwe = run(tmp_path, "clevis", "encrypt", "cvmspawn", '{"key-file": "k"}', stdin=b"plain").stdout
    guid = "736869e5-84f0-4973-92ec-06879ce3da0b"
    secrets = tmp_path / "coco"
    secrets.mkdir()
    shutil.copy(tmp_path / "k", secrets / guid)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/cvmspawn-guest"
    program.write_text(f'#!/bin/sh\nexec {build_folder()}/programs/cvmspawn-guest --secrets={secrets} "$@"\n')
    program.chmod(0o755)
    assert run(tmp_path, "clevis", "decrypt", stdin=jwe, more_path=(tmp_path / "bin",)).stdout == b"plain"
    (secrets / guid).unlink()
    assert run(tmp_path, "clevis", "decrypt", stdin=jwe, more_path=(tmp_path / "bin",), check=False).returncode != 0


@pytest.mark.parametrize("config, reason", [
    ("x", "not a JSON object"),
    ("{}", "key-file is missing"),
    ('{"credential": "../x", "key-file": "k"}', "credential: expected"),
    ('{"guid": "x", "key-file": "k"}', "guid: expected"),
    ('{"guid": "736869e5-84f0-4973-92ec-06879ce3da0b", "credential": "x", "key-file": "k"}', "exclude each other"),
    ('{"credential": "x", "key-file": "short"}', "32 bytes"),
    ('{"credential": "x", "key-file": "missing/k"}', "missing/k"),
])  # fmt: skip
def test_wrong_configurations(tmp_path, config, reason):
    (tmp_path / "short").write_bytes(b"short")
    done = run(tmp_path, "clevis-encrypt-cvmspawn", config, stdin=b"plain", check=False)
    assert done.returncode == 1 and reason in done.stderr.decode() and done.stdout == b"", done


@pytest.mark.parametrize("jwe", [b"", b"x", b"e30..a.b.c", b"eyJjbGV2aXMiOnsicGluIjoidGFuZyJ9fQ..a.b.c"])
def test_what_is_no_jwe_of_ours(tmp_path, jwe):
    done = run(tmp_path, "clevis-decrypt-cvmspawn", stdin=jwe, check=False)
    assert done.returncode != 0 and done.stdout == b""


def test_changed_bytes(tmp_path):
    jwe = run(tmp_path, "clevis", "encrypt", "cvmspawn", CONFIG, stdin=b"plain").stdout
    place = credentials(tmp_path, (tmp_path / "disk.key").read_bytes())
    assert run(tmp_path, "clevis", "decrypt", stdin=jwe, CREDENTIALS_DIRECTORY=place).stdout == b"plain"
    for at in (len(jwe) - 5, len(jwe) - 30):
        changed = jwe[:at] + (b"A" if jwe[at : at + 1] != b"A" else b"B") + jwe[at + 1 :]
        done = run(tmp_path, "clevis", "decrypt", stdin=changed, check=False, CREDENTIALS_DIRECTORY=place)
        assert done.returncode != 0 and done.stdout == b""
