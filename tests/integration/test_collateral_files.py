# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mirror's cache by hand: list, export and import."""

import json
import shutil
import subprocess
import time
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from collateral_mirror import BUILD
from test_collateral import CHAIN, FAST, amd, collateral, kds, start  # noqa: F401


def test_what_is_not_there_is_not_made(amd, tmp_path):  # noqa: F811
    """A mistyped --cache= is an error of list and export, which create nothing; and so is a cache with nothing in it."""
    root = f"--insecure-root={amd}/ark.der"
    for words in (["list"], ["export", tmp_path / "bundle"], ["export", "-"]):
        done = collateral(*words, f"--cache={tmp_path}/mistyped", root)
        assert done.returncode == 1 and f"cannot read the cache '{tmp_path}/mistyped': No such file" in done.stderr and not done.stdout, done
    done = collateral("import", tmp_path / "no-bundle", f"--cache={tmp_path}/mistyped", root)
    assert done.returncode == 1 and "no-bundle" in done.stderr
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    assert collateral("list", f"--cache={tmp_path}/empty", root).returncode == 0
    done = collateral("export", tmp_path / "bundle", f"--cache={tmp_path}/empty", root)
    assert done.returncode == 1 and "contains nothing to export" in done.stderr and not (tmp_path / "bundle").exists()


def test_bundle_through_a_pipe(amd, kds, start, tmp_path):  # noqa: F811
    mirror = start(*FAST)
    assert mirror.get_until(CHAIN)[0] == 200
    mirror.stop()
    root, near = f"--insecure-root={amd}/ark.der", f"--cache={tmp_path}/cache"
    bundle = collateral("export", "-", near, root)
    assert bundle.returncode == 0 and json.loads(bundle.stdout)["files"] and not Path("-").exists()
    done = subprocess.run([BUILD / "programs/cvmspawn-collateral", "import", "-", f"--cache={tmp_path}/far", root], input=bundle.stdout, capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0 and "imported 1 files" in done.stderr, done
    assert (tmp_path / "far/milan-vcek-chain.pem").read_bytes() == (tmp_path / "cache/milan-vcek-chain.pem").read_bytes()
    full = open("/dev/full", "w")
    assert subprocess.run([BUILD / "programs/cvmspawn-collateral", "export", "-", near, root], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode == 1
    full.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private keys by name; NAME.pub is the public one."""
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in ("alice", ["ed25519"]), ("bob", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]), ("mallory", ["ed25519"]):
        subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", folder / name], check=True, timeout=60)
        subprocess.run(["openssl", "pkey", "-in", folder / name, "-pubout", "-out", folder / f"{name}.pub"], check=True, timeout=60)
    return folder


@pytest.fixture
def near(amd, tmp_path):  # noqa: F811
    """A cache with two files: a chain, and a list."""
    cache = tmp_path / "near"
    cache.mkdir()
    shutil.copy(amd / "chain.pem", cache / "milan-vcek-chain.pem")
    shutil.copy(amd / "crl.der", cache / "milan-vcek-crl.der")
    return cache


class Signed:
    def __init__(self, amd, near, keys, folder):  # noqa: F811
        self.root, self.near, self.keys, self.folder = f"--insecure-root={amd}/ark.der", near, keys, folder
        self.n = 0

    def export(self, *signers):
        done = collateral("export", "-", f"--cache={self.near}", self.root, *[f"--sign-key={self.keys}/{s}" for s in signers])
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def take(self, bundle, *words, status=0, says="", signers=("alice",)):
        """Into a cache that is new, and stays empty unless the bundle is accepted."""
        self.n += 1
        far = self.folder / f"far{self.n}"
        (self.folder / "bundle").write_text(json.dumps(bundle))
        done = collateral("import", self.folder / "bundle", f"--cache={far}", self.root, *[f"--signer={self.keys}/{s}.pub" for s in signers], *words)
        assert done.returncode == status and says in done.stderr, done
        assert sorted(p.name for p in far.iterdir() if p.suffix in (".pem", ".der")) == sorted(p.name for p in self.near.iterdir()) if status == 0 else not far.exists()
        return done


@pytest.fixture
def signed(amd, near, keys, tmp_path):  # noqa: F811
    return Signed(amd, near, keys, tmp_path)


def test_signed_list(signed):
    one, both = signed.export("alice"), signed.export("alice", "bob")
    listed = json.loads(b64decode(one["signed-list"]["payload"]))
    assert [f["name"] for f in listed["files"]] == [f["name"] for f in one["files"]] and len(listed["files"]) == 2
    assert [f["sha256"] for f in listed["files"]] == [sha256(b64decode(f["data"])).hexdigest() for f in one["files"]]
    assert "by 1 of 1 keys" in signed.take(one).stderr and "by 2 of 2 keys" in signed.take(both, signers=("bob", "alice")).stderr
    signed.take(both, signers=("bob",))
    signed.take(one, "--max-age=1h")
    signed.take(one, signers=())  # who does not ask for it gets what was always there
    unsigned = signed.export()
    assert "signed-list" not in unsigned
    signed.take(unsigned, status=2, says="the bundle is not signed, but keys of signers were given")
    signed.take(one, status=2, says="0 of the 1 given key signed this bundle", signers=("mallory",))
    signed.take(one, status=2, says="1 of the 2 given keys signed this bundle; all must have", signers=("alice", "bob"))


def test_altered_bundle(signed, amd):  # noqa: F811
    good = signed.export("alice")

    def changed(change):
        bundle = json.loads(json.dumps(good))
        change(bundle)
        return bundle

    def other_data(bundle):  # genuine, and of another bundle
        bundle["files"][1]["data"] = b64encode((amd / "crl-older.der").read_bytes()).decode()

    def list_without_last(bundle):
        payload = json.loads(b64decode(bundle["signed-list"]["payload"]))
        payload["files"].pop()
        bundle["files"].pop()
        bundle["signed-list"]["payload"] = b64encode(json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()).decode()

    first = good["files"][0]["name"]
    for change, says in [
        (lambda b: b["files"].pop(), "of the signed list is missing"),
        (lambda b: b["files"].pop(0), "is not at its place in the signed list"),
        (lambda b: b["files"].reverse(), "is not at its place in the signed list"),
        (lambda b: b["files"].append(b["files"][0]), f"'{first}' is not at its place in the signed list"),
        (lambda b: b["files"].insert(0, {**b["files"][0], "name": "genoa-vcek-chain.pem"}), "'genoa-vcek-chain.pem' is not in the signed list"),
        (lambda b: b["files"][0].update(name="genoa-vcek-chain.pem"), "'genoa-vcek-chain.pem' is not in the signed list"),
        (other_data, "is not the file that was signed"),
        (lambda b: b.update(created=b["created"] + 1), "'created' is not the time that was signed"),
        (lambda b: b["signed-list"].update(payloadType="application/json"), "the signed list: its envelope contains"),
        (list_without_last, "0 of the 1 given key signed this bundle"),
        (lambda b: b.pop("signed-list"), "the bundle is not signed"),
    ]:  # fmt: skip
        bad = changed(change)
        signed.take(bad, status=1 if "payloadType" in says or "envelope" in says else 2, says=says)


def sign_by_hand(folder, key, bundle):
    """What an owner of the key can sign with other tools."""
    files = [{"name": f["name"], "sha256": sha256(b64decode(f["data"])).hexdigest()} for f in bundle["files"]]
    payload = json.dumps({"format": "cvmspawn-collateral-list-v1", "created": bundle["created"], "files": files}).encode()
    kind = "application/vnd.cvmspawn.collateral-list+json"
    (folder / "pae").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    done = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", folder / "pae"], check=True, capture_output=True, timeout=60)
    bundle["signed-list"] = {"payloadType": kind, "payload": b64encode(payload).decode(), "signatures": [{"sig": b64encode(done.stdout).decode()}]}
    return bundle


def test_each_entry_is_verified_although_it_is_signed(signed, keys):
    """A signature on the list says which files there are, not that they are AMD's."""
    chain = signed.near / "milan-vcek-chain.pem"
    bundle = {**signed.export(), "files": [{"name": chain.name, "data": b64encode(chain.read_bytes().replace(b"A", b"B", 40)).decode()}]}
    (signed.folder / "bundle").write_text(json.dumps(sign_by_hand(signed.folder, keys / "alice", bundle)))
    done = collateral("import", signed.folder / "bundle", f"--cache={signed.folder}/far", signed.root, f"--signer={keys}/alice.pub")
    assert done.returncode == 2 and "signed at" in done.stderr and not list((signed.folder / "far").glob("*.pem")), done


def test_age(signed, keys):
    now = int(time.time())
    for created, says in (now - 3 * 86400, "longer ago than --max-age="), (now + 86400, "was signed in the future"):
        bundle = sign_by_hand(signed.folder, keys / "alice", {**signed.export(), "created": created})
        signed.take(bundle, "--max-age=2d", status=3, says=says)
        signed.take(bundle, "--max-age=4d", status=0 if created < now else 3)


def test_wrong_keys(signed, keys, tmp_path):
    (tmp_path / "bundle").write_text(json.dumps(signed.export("alice")))
    words = "import", tmp_path / "bundle", f"--cache={tmp_path}/far", signed.root
    done = collateral(*words, "--max-age=1d")
    assert done.returncode == 1 and "--signer" in done.stderr  # nobody else says when
    done = collateral(*words, f"--signer={keys}/alice")
    assert done.returncode == 1 and "not a public key" in done.stderr
    done = collateral("export", tmp_path / "none", f"--cache={signed.near}", signed.root, f"--sign-key={keys}/alice.pub")
    assert done.returncode == 1 and "expected an unencrypted private key" in done.stderr and not (tmp_path / "none").exists()
    done = collateral("export", tmp_path / "none", f"--cache={signed.near}", signed.root, *[f"--sign-key={keys}/alice"] * 2)
    assert done.returncode == 1 and "has this signature already" in done.stderr
