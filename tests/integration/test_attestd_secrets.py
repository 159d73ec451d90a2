# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the key of the secrets at rest comes from: a file, a credential of the service manager, one that is sealed to this machine or its TPM."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, made_up, registration
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402


def secrets_work(s, psp, register):
    c = s.connect()
    if register:
        assert c.request("POST", "/vm/a", registration(**{"max-instances": 100}), token=s.token)[0] == 201
    status, answer = c.request("POST", "/vm/a/launch", psp.launch())
    assert status == 200
    said = psp.measured(answer, DIGEST)
    status, packet = c.request("POST", "/vm/a/validate", said)
    c.close()
    assert status == 200 and b"open sesame" in psp.unsealed(answer, said, packet)


def refused(folder, *words, env=None, state="other"):
    argv = [build_folder() / "programs/cvmspawn-attestd", "--dev", f"--state={folder}/{state}", "--listen=127.0.0.1:0", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, env={**os.environ, **(env or {})})
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr


def test_a_key_in_a_file(tmp_path, platform):
    psp, keys = Psp(platform), []
    for name in ("one", "two"):
        keys.append(tmp_path / name)
        keys[-1].write_bytes(os.urandom(32))
        keys[-1].chmod(0o400)
    s = made_up(tmp_path, platform, f"--secrets-key={keys[0]}")
    secrets_work(s, psp, register=True)
    s.stop()
    assert not (tmp_path / "state/secrets.key").exists()
    s = made_up(tmp_path, platform, f"--secrets-key={keys[0]}")
    secrets_work(s, psp, register=False)
    s.stop()
    assert f"are encrypted with another key than '{keys[1]}'" in refused(tmp_path, f"--secrets-key={keys[1]}", state="state")
    keys[0].chmod(0o644)
    assert "accessible to other users" in refused(tmp_path, f"--secrets-key={keys[0]}")
    keys[1].chmod(0o600)
    keys[1].write_bytes(bytes(31))
    assert "must be exactly 32 bytes" in refused(tmp_path, f"--secrets-key={keys[1]}")
    assert "cannot open" in refused(tmp_path, f"--secrets-key={tmp_path}/missing")


class Tpm:
    """A software TPM as systemd-creds reaches it, or nothing."""

    def __init__(self, folder):
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as a:
            port = a.getsockname()[1]
        self.device = f"swtpm:host=127.0.0.1,port={port}"
        self.process = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init,startup-clear", "--server",
                                         f"type=tcp,port={port},bindaddr=127.0.0.1", "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(0.5)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.mark.parametrize("kind", ["host", "tpm2"])
def test_a_sealed_credential(tmp_path, platform, kind):
    """systemd-creds seals the key; the credential that the service manager then unseals for the service is what it takes."""
    if not shutil.which("systemd-creds"):
        pytest.skip("systemd-creds is not installed")
    if kind == "tpm2" and not shutil.which("swtpm"):
        skip_or_fail("swtpm is not installed")
    env, words, tpm = {**os.environ, "SYSTEMD_CREDENTIAL_SECRET": str(tmp_path / "host-secret")}, [], None
    if kind == "tpm2":
        tpm = Tpm(tmp_path / "tpm")
        words = [f"--tpm2-device={tpm.device}"]
    key, sealed = tmp_path / "key", tmp_path / "sealed"
    key.write_bytes(os.urandom(32))
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    try:
        done = subprocess.run(["systemd-creds", "encrypt", f"--with-key={kind}", "--name=secrets-key", *words, key, sealed], capture_output=True, text=True,
                              check=False, env=env, timeout=60)  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"systemd-creds cannot seal with {kind} here: {done.stderr.strip().splitlines()[-1]}")
        assert key.read_bytes() not in sealed.read_bytes()
        subprocess.run(["systemd-creds", "decrypt", "--name=secrets-key", *words, sealed, credentials / "secrets-key"], check=True, env=env, timeout=60,
                       capture_output=True)  # fmt: skip
        other = subprocess.run(["systemd-creds", "decrypt", "--name=another", *words, sealed, tmp_path / "x"], check=False, env=env, timeout=60,
                               capture_output=True)  # fmt: skip
        assert other.returncode != 0
    finally:
        if tpm:
            tpm.stop()
    (credentials / "secrets-key").chmod(0o400)
    psp = Psp(platform)
    s = made_up(tmp_path, platform, env={"CREDENTIALS_DIRECTORY": str(credentials)})
    secrets_work(s, psp, register=True)
    s.stop()
    assert not (tmp_path / "state/secrets.key").exists()
    # the same key, by a file
    key.chmod(0o400)
    s = made_up(tmp_path, platform, f"--secrets-key={key}")
    secrets_work(s, psp, register=False)
    s.stop()
    # without it: no new one is made, which would open nothing
    assert "secrets.key' is missing" in refused(tmp_path, state="state")
    assert not (tmp_path / "state/secrets.key").exists()
    assert key.read_bytes() not in b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir())
    (credentials / "secrets-key").chmod(0o600)
    (credentials / "secrets-key").write_bytes(b"short")
    assert "credential secrets-key is not usable" in refused(tmp_path, env={"CREDENTIALS_DIRECTORY": str(credentials)})
