# SPDX-License-Identifier: LGPL-2.1-or-later

"""cvmspawn inspect: firmware, kernel, initrd and cpio, in words and JSON."""

import json
import os
import pathlib
import struct
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "measure"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    subprocess.run([GOLDEN / "generate.py", "--images", path], check=True)
    return path


@pytest.fixture
def inspect(images):
    def inspect(*args):
        return subprocess.run([BUILD / "programs" / "verb-inspect", *map(str, args)], capture_output=True, text=True, cwd=images)
    return inspect


def ok(r):
    assert (r.returncode, r.stderr) == (0, "")
    return r.stdout


def test_firmware(inspect):
    j = json.loads(ok(inspect("firmware", "amdsev.fd", "--json")))
    assert [e["name"] for e in j["table"]] == \
        ["SEV_ES_RESET_BLOCK", "SEV_SECRET_BLOCK", "SEV_HASH_TABLE_RV", "OVMF_SEV_METADATA", "OVMF_TDX_METADATA"]
    assert [(s["gpa"], s["size"], s["type"]) for s in j["sections"]][-1] == (0x810000, 0x1000, 0x10)
    assert j["hash-table"] == {"gpa": 0x810C00, "size": 0x400} and j["reset-address"] == 0x80B004
    assert j["not-for-sev-snp"] is None
    plain = json.loads(ok(inspect("firmware", "plain.fd", "--json")))
    assert "plain OVMF build" in plain["not-for-kernel-hashes"]
    text = ok(inspect("firmware", "amdsev.fd"))
    assert "name=SNP_KERNEL_HASHES" in text and "reset-address          0x80b004" in text


def bzimage(version):
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<H", head, 0x20E, 0x300)
    struct.pack_into("<H", head, 0x236, 0x3F)
    head[0x500:0x500 + len(version) + 1] = version + b"\0"
    return bytes(head)


@pytest.mark.parametrize("version, ready", [
    (b"6.12.1-test (x@y) #1 SMP", "yes"), (b"6.1.0-9-amd64 (x)", "yes, without the TSM"), (b"5.10.0 (x)", "too old"), (b"odd", "unknown")])
def test_kernel(inspect, images, version, ready):
    (images / "vmlinuz").write_bytes(bzimage(version))
    (images / "config-6.12.1-test").write_text("CONFIG_SEV_GUEST=m\nCONFIG_AMD_MEM_ENCRYPT=y\n# CONFIG_TSM_REPORTS is not set\n")
    j = json.loads(ok(inspect("kernel", "vmlinuz", "--json")))
    assert j["version"] == version.decode() and j["snp-guest"].startswith(ready) and j["64-bit"] and j["boot-protocol"] == "2.15"
    if version.startswith(b"6.12"):
        assert j["config"]["CONFIG_SEV_GUEST"] == "m" and j["config"]["CONFIG_TSM_REPORTS"] == "n"


def test_kernels_of_any_length_and_offset(inspect, images):
    for n in (0, 0x205, 0x237, 0x238, 0x501, 4096):
        (images / "vmlinuz").write_bytes(bzimage(b"6.12.1 (x)")[:n])
        assert inspect("kernel", "vmlinuz").returncode == (0 if n >= 0x238 else 1), n
    data = bytearray(bzimage(b"6.12.1 (x)"))
    for at in (0, 1, 0x8000, 0xFFFF):
        struct.pack_into("<H", data, 0x20E, at)
        (images / "vmlinuz").write_bytes(data)
        assert inspect("kernel", "vmlinuz").returncode == 0


def test_initrd(inspect, initrd):
    j = json.loads(ok(inspect("initrd", initrd, "--json")))
    assert j["imports-credentials"] and j["systemd"] >= 262 and any(m["path"] == "init" for m in j["list"])
    assert "imports-credentials    yes" in ok(inspect("initrd", initrd))


def test_the_kind_is_detected(inspect, images, initrd):
    """By what the file begins or ends with; the answer is the one for that kind."""
    (images / "vmlinuz").write_bytes(bzimage(b"6.12.1 (x)"))
    qcow2 = images / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "1M"], check=True)
    for name, kind in (("amdsev.fd", "firmware"), ("vmlinuz", "kernel"), (initrd, "initrd")):
        alone = json.loads(ok(inspect(name, "--json")))
        assert alone["kind"] == kind and alone == json.loads(ok(inspect(kind, name, "--json")))
    assert "qcow2" in inspect(qcow2).stderr or "no kernel" in inspect(qcow2).stderr
    # A name of an image is enough for what begins as nothing does; a name alone is not for others.
    (images / "empty.raw").write_bytes(bytes(1 << 20))
    (images / "unknown").write_bytes(bytes(1 << 20))
    assert inspect("empty.raw").returncode == 1 and inspect("empty.raw").stderr == inspect("image", "empty.raw").stderr
    refused = inspect("unknown")
    assert refused.returncode == 1 and "name its kind: cvmspawn inspect firmware|kernel|uki|initrd|cpio|image FILE" in refused.stderr
    # A file that has a kind's name.
    (images / "cpio").write_bytes((images / "vmlinuz").read_bytes())
    assert "a file whose name is one of these words is ./cpio" in inspect("cpio").stderr
    assert json.loads(ok(inspect("./cpio", "--json")))["kind"] == "kernel"
    (images / "cpio").unlink()


@pytest.mark.parametrize("args, part", [
    ((), "expected firmware, kernel, uki, image, initrd or cpio"), (("disk", "kernel"), "expected firmware, kernel, uki, image, initrd or cpio, not 'disk'"), (("firmware", "kernel"), "no OVMF table"),
    (("kernel", "kernel"), "is not a bzImage"), (("initrd", "nothing"), "cannot open 'nothing'"), (("firmware", "."), "Is a directory"), ((".",), "Is a directory"),
    (("nothing",), "cannot open 'nothing'"), (("kernel", "a", "b"), "expected one file")])
def test_refusals(inspect, args, part):
    r = inspect(*args)
    assert r.returncode == 1 and r.stdout == "" and part in r.stderr and r.stderr.count("\n") == 1
