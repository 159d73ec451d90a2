# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn inspect` of a unified kernel image: its sections, their hashes, and what systemd-stub measures into PCR 11. systemd-measure of this machine, where it is
installed, calculates the same from the parts. The images are made here, without a stub."""

import hashlib
import json
import shutil
import subprocess

import pytest
from sevsim_host import SECONDS, build_folder
from test_coco_uki import INITRD, OSREL, bzimage, image

PROGRAM = build_folder() / "programs/verb-inspect"
MEASURE = next(filter(None, map(shutil.which, ("/usr/lib/systemd/systemd-measure", "/lib/systemd/systemd-measure"))), None)
PARTS = {".linux": bzimage(), ".osrel": OSREL[1], ".cmdline": b"quiet rw\n", ".initrd": INITRD, ".splash": b"BM" + bytes(700), ".dtb": b"tree", ".pcrpkey": b"-----BEGIN"}
ORDER = [".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"]


def call(path, *words):
    return subprocess.run([PROGRAM, *words, path], capture_output=True, text=True, timeout=SECONDS, check=False)


def shown(path, *words):
    done = call(path, *words, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def sha256(data):
    return hashlib.sha256(data).digest()


def pcr11(parts):
    pcr = bytes(32)
    for name in ORDER:
        if name in parts:
            for data in (name.encode() + b"\0", parts[name]):
                pcr = sha256(pcr + sha256(data))
    return pcr.hex()


def file(folder, *sections, **more):
    (folder / "uki.efi").write_bytes(image(*sections, **more))
    return folder / "uki.efi"


def test_sections(tmp_path):
    """In the file's order, which is not that of measuring; what is not measured is said."""
    parts = {**PARTS, ".ucode": b"microcode", ".uname": b"6.12", ".sbat": b"sbat,1"}
    others = {".text": b"stub", ".pcrsig": b"{}"}
    path = file(tmp_path, *reversed((others | parts).items()))
    told = shown(path)
    assert (told["kind"], told["size"]) == ("uki", path.stat().st_size) and told == shown(path, "uki")
    assert [(s["name"], s["size"], s["sha256"], s["measured"]) for s in told["sections"]] == \
        [(name, len(data), sha256(data).hex(), name not in others) for name, data in reversed((others | parts).items())]
    assert all(path.read_bytes()[s["offset"]:][:s["size"]] == (others | parts)[s["name"]] for s in told["sections"])
    assert told["pcr-11-sha256"] == pcr11(parts)
    text = call(path).stdout
    assert f"pcr-11-sha256          {pcr11(parts)}\n" in text and f" measured=no sha256={sha256(b'stub').hex()}\n" in text


def test_systemd_measure(tmp_path):
    if not MEASURE:
        pytest.skip("systemd-measure is not installed")
    for left_out in ((), (".initrd", ".splash"), (".osrel", ".cmdline", ".dtb", ".pcrpkey")):
        parts = {name: data for name, data in PARTS.items() if name not in left_out}
        options = []
        for name, data in parts.items():
            (tmp_path / name[1:]).write_bytes(data)
            options.append(f"--{name[1:]}={tmp_path / name[1:]}")
        done = subprocess.run([MEASURE, "calculate", "--bank=sha256", "--phase=", "--json=short", *options], capture_output=True, text=True, check=True, timeout=SECONDS)
        assert shown(file(tmp_path, *parts.items()))["pcr-11-sha256"] == json.loads(done.stdout)["sha256"][0]["hash"]


@pytest.mark.parametrize("more", [[(".profile", b"ID=debug"), (".cmdline", b"debug"), (".linux", bzimage(1))], [(".dtbauto", b"a"), (".dtbauto", b"b")], [(".hwids", b"x")],
                                  [(".efifw", b"x")]])
def test_what_depends_on_the_machine_or_a_profile(tmp_path, more):
    told = shown(file(tmp_path, OSREL, (".linux", bzimage()), *more))
    assert told["pcr-11-sha256"] is None
    assert [s["measured"] for s in told["sections"]] == [True, True] + [None] * len(more)
    assert told["sections"][-1]["sha256"] == sha256(more[-1][1]).hex()


def test_names_do_not_reach_the_terminal(tmp_path):
    told = shown(file(tmp_path, (".linux", bzimage()), ("\x1b[2J\x7f\x01 ", b"")))
    assert [s["name"] for s in told["sections"]] == [".linux", "?[2J???"]


@pytest.mark.parametrize("sections, message", [
    ([(".linux", b"a"), (".linux", b"b")], "it has two sections .linux"),
    ([(".linux", b"a"), (".cmdline", b"b"), (".cmdline", b"b")], "it has two sections .cmdline"),
    ([(".linux", (9000, 1 << 20, 512))], "section .linux extends beyond its end"),
    ([(".linux", b"a"), (".text", (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))], "section .text extends beyond its end"),
    ([(".osrel", b"x"), (".linux", (9000, 512, 512))], "section .linux has 9000 bytes in memory and 512 in the file"),
    ([(".text", b"a")], "without a section .linux"),
])
def test_refusals(tmp_path, sections, message):
    done = call(file(tmp_path, *sections), "uki")
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr and done.stderr.count("\n") == 1, done


def test_cut_anywhere(tmp_path):
    whole = image((".linux", bzimage()), OSREL)
    path = tmp_path / "uki.efi"
    for n in [*range(0, 512, 7), 600, 9000, len(whole) - 513]:
        path.write_bytes(whole[:n])
        done = call(path, "uki")
        assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, (n, done)
