# SPDX-License-Identifier: LGPL-2.1-or-later
"""A PKCS#11 token in software (SoftHSM) and OpenSSL's configuration for it; fetched into the cache, not installed."""

import os
import subprocess

import pytest
from conftest import BUILD, cache_folder, private_apt, skip_or_fail

PIN = "7390184"


class SoftToken:
    """The token `label` with private keys; `env` is what programs need to find it."""

    def __init__(self, folder, label):
        if b"libasan" in subprocess.run(["ldd", BUILD / "programs/cvmspawn-attestd"], capture_output=True, check=False).stdout:
            pytest.skip("pkcs11-provider opens the token's module with RTLD_DEEPBIN, which the address sanitizer refuses")
        unpacked = cache_folder("peers/softhsm")
        usr = unpacked / "usr/lib/x86_64-linux-gnu"
        if not (usr / "ossl-modules/pkcs11.so").exists():
            private_apt("bookworm,bookworm-backports", "unpack", unpacked, "pkcs11-provider", "softhsm2", "libsofthsm2")
        self.folder, self.label = folder, label
        (folder / "tokens").mkdir()
        (folder / "pin").write_text(PIN)
        (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        (folder / "openssl.cnf").write_text(
            "openssl_conf = init\n[init]\nproviders = providers\n[providers]\ndefault = d\npkcs11 = p\n[d]\nactivate = 1\n"
            f"[p]\nmodule = {usr}/ossl-modules/pkcs11.so\npkcs11-module-path = {usr}/softhsm/libsofthsm2.so\nactivate = 1\n")
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm.conf")}
        self.util = [unpacked / "usr/bin/softhsm2-util", "--module", usr / "softhsm/libsofthsm2.so"]
        done = self.call(*self.util, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN)
        if done.returncode != 0:
            skip_or_fail(f"SoftHSM does not run here: {done.stderr.strip()[-200:]}")
        self.env = {**self.environment, "OPENSSL_CONF": str(folder / "openssl.cnf")}

    def call(self, *words):
        return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, env=self.environment)

    def add(self, name, number, *kind):
        """A new key, by OpenSSL's words for it; its file stays as NAME.pem."""
        file = self.folder / f"{name}.pem"
        made = self.call("openssl", "genpkey", *kind, "-out", file)
        assert made.returncode == 0, made
        done = self.call(*self.util, "--import", file, "--token", self.label, "--label", name, "--id", number, "--pin", PIN)
        assert done.returncode == 0, done
        return self.uri(name)

    def uri(self, name, pin="pin"):
        return f"pkcs11:token={self.label};object={name}?pin-source=file:{self.folder}/{pin}"
