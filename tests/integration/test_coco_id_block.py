# SPDX-License-Identifier: LGPL-2.1-or-later
"""--id-key= and --author-key=: the pair that is built for this very launch is one that the (simulated) processor accepts, and
what is for another launch is refused: by the launcher where it can know, else by the processor."""

import base64
import json
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder, find_qemu, skip_or_fail

FIRMWARE = model.make_firmware(seed=51)
KERNEL = model.make_kernel(seed=52)
BLOCK_POLICY, AUTH_SIGNATURE = 0x58, 0x40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "firmware.fd").write_bytes(FIRMWARE)
    (folder / "kernel").write_bytes(KERNEL)
    for name in ("id", "author"):
        subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", folder / f"{name}.pem"],
                       check=True, capture_output=True)
    return folder


def spawn_argv(files, *options):
    qemu = find_qemu()
    if not qemu:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    return [build_folder() / "programs/cvmspawn", f"--qemu={qemu}", f"--firmware={files / 'firmware.fd'}",
            f"--linux={files / 'kernel'}", "--ram=256M", "--coco=sev-snp", *options]


def launch(files, *options):
    """A whole launch on the simulated host: (status, what it recorded or None, standard error)."""
    argv = [build_folder() / "programs/cvmspawn", "sevsim", "--json", "--sev-node=0666", "--", *spawn_argv(files, *options)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = done.stdout.splitlines()
    launches = json.loads(lines[-1])["launches"] if lines and lines[-1].startswith("{") else []
    return done.returncode, launches[-1] if launches else None, done.stderr


def key_of(files, name):
    return f"--{name}-key={files / name}.pem"


def build(files, *options, digest=None, policy="0x30000"):
    """The pair that `cvmspawn id-block` builds, as two options."""
    digest = digest or model.snp_digest(FIRMWARE, 1, "EPYC-v4", kernel=KERNEL, initrd=None, words="console=ttyS0")
    argv = [build_folder() / "programs/cvmspawn", "id-block", "build", digest, f"--policy={policy}", "--json=short", *options]
    answer = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return base64.b64decode(answer["id-block"]), base64.b64decode(answer["id-auth"])


def as_options(block, auth):
    return [f"--id-block={base64.b64encode(block).decode()}", f"--id-auth={base64.b64encode(auth).decode()}"]


@pytest.mark.parametrize("keys", [("id",), ("id", "author")])
def test_the_processor_accepts_the_pair(files, keys):
    status, record, err = launch(files, *(key_of(files, name) for name in keys))
    assert status == 0, err
    assert record["refused"] == [] and record["finished"] is True


@pytest.mark.parametrize("options, policy", [(["--coco-policy=single-socket"], "0x130000"), (["--cpus=2"], "0x30000")])
def test_the_pair_is_for_this_launch(files, options, policy):
    status, record, err = launch(files, key_of(files, "id"), *options)
    assert status == 0 and record["finished"] is True, err


def sev_object(files, *options):
    done = subprocess.run(spawn_argv(files, "--print=argv", "--json=short", *options), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    argv = json.loads(done.stdout)["argv"]
    return next(json.loads(word) for word in argv if word.startswith("{") and "sev-snp-guest" in word)


def test_what_qemu_is_given(files, tmp_path):
    caps = tmp_path / "host.json"
    caps.write_text(json.dumps({"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51,
                                "reduced-phys-bits": 1}))
    given = sev_object(files, f"--host-caps={caps}", key_of(files, "id"), key_of(files, "author"))
    block, auth = build(files, key_of(files, "id"), key_of(files, "author"))
    assert base64.b64decode(given["id-block"]) == block and given["author-key-enabled"] is True
    # Signatures are made with fresh numbers; the keys are where they belong.
    assert base64.b64decode(given["id-auth"])[0x240:0x640] == auth[0x240:0x640]
    assert "author-key-enabled" not in sev_object(files, f"--host-caps={caps}", key_of(files, "id"))


def test_a_given_pair(files):
    status, record, err = launch(files, *as_options(*build(files, key_of(files, "id"))))
    assert status == 0 and record["finished"] is True, err


@pytest.mark.parametrize("wrong, word", [({"digest": "00" * 48}, "launch digest"), ({"policy": "0x130000"}, "policy")])
def test_another_launch_is_refused_before_anything_starts(files, wrong, word):
    status, record, err = launch(files, *as_options(*build(files, key_of(files, "id"), **wrong)))
    assert status == 125 and record is None
    assert "--id-block" in err and word in err


@pytest.mark.parametrize("at", ["block", "auth"])
def test_a_wrong_signature_is_refused_by_the_processor(files, at):
    block, auth = map(bytearray, build(files, key_of(files, "id")))
    if at == "auth":
        auth[AUTH_SIGNATURE] ^= 1
    else:
        block[0x54] ^= 1  # the security version number: neither digest nor policy, so only the signature is wrong
    status, record, err = launch(files, *as_options(block, auth))
    assert status == 125, err
    assert record["finished"] is False and record["refused"] != []


@pytest.mark.parametrize("name, content", [("missing.pem", None), ("empty.pem", b""), ("text.pem", b"no key\n")])
def test_bad_keys(files, tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    status, record, err = launch(files, f"--id-key={path}")
    assert status == 125 and record is None
    assert "--id-key" in err and str(path) in err


def test_a_key_of_another_curve(files, tmp_path):
    path = tmp_path / "p256.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path], check=True,
                   capture_output=True)
    status, record, err = launch(files, f"--id-key={path}")
    assert status == 125 and record is None and "P-384" in err
