# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every example of virt-qemu-sev-validate(1), through a shell, letter for letter, with prepared files and a program of that name. Where the
manual itself is available ($CVMSPAWN_SHARED/documents) the command lines are read from it and must be these; the domain's host is the
stand-in for libvirt.so.0. Nobody can make files that fit the measurement printed in the manual, which somebody else's key made: with it the
answer is the mismatch, and with the prepared files' own in its place it is OK."""

import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import test_validate_libvirt as world
from conftest import SOURCE
from test_validate_libvirt import TEK, TIK, STANDIN
from validate_programs import Peer, Result, fetch_peer

sys.path.insert(0, str(SOURCE / "tests/lib"))
import sev_owner  # noqa: E402

LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
NAME = "virt-qemu-sev-validate"
PRINTED = "Zs2pf19ubFSafpZ2WKkwquXvACx9Wt/BV+eJwQ/taO8jhyIj/F8swFrybR1fZ2ID"
KERNEL = '--kernel vmlinuz-5.11.12 --initrd initramfs-5.11.12 --cmdline "root=/dev/vda1"'
PAGES = "--vmsa-cpu0 vmsa0.bin --vmsa-cpu1 vmsa1.bin"
ROME = "--cpu-family 23 --cpu-model 49 --cpu-stepping 0"
LAUNCH = f"--tk this-guest-tk.bin --measurement {PRINTED} --api-major 0 --api-minor 24 --build-id 13 --policy"
REMOTE = "--connect qemu+ssh://root@some.remote.host/system --firmware OVMF.sev.fd"
DOMAIN = "--tk this-guest-tk.bin --domain fedora34x86_64"
SECRET = f"--inject-secret {LUKS}:passwd.txt"

# (what is launched, command line, status, what it says)
EXAMPLES = [
    ("sev", f"--firmware OVMF.sev.fd {LAUNCH} 3", 0, ""),
    ("kernel", f"--firmware OVMF.sev.fd {KERNEL} {LAUNCH} 3", 0, ""),
    ("es", f"--firmware OVMF.sev.fd --num-cpus 2 {PAGES} {LAUNCH} 7", 0, ""),
    ("es", f"--firmware OVMF.sev.fd --num-cpus 2 {ROME} {LAUNCH} 7", 0, ""),
    ("sev", f"--firmware OVMF.sev.fd {LAUNCH} 3 {SECRET} --secret-header secret-header.b64 --secret-payload secret-payload.b64", 0, ""),
    ("sev", f"{REMOTE} {DOMAIN}", 0, ""),
    ("kernel", f"{REMOTE} {KERNEL} {DOMAIN}", 0, ""),
    ("es", f"{REMOTE} --num-cpus 2 {PAGES} {DOMAIN}", 0, ""),
    # the manual forgot --num-cpus here, and its program says so
    ("es", f"{REMOTE} {ROME} {DOMAIN}", 3, "Using CPU count from guest is not secure"),
    ("sev", f"{REMOTE} {DOMAIN} {SECRET}", 0, ""),
    ("sev", f"--insecure {DOMAIN}", 0, ""),
    ("kernel", f"--insecure {DOMAIN}", 0, ""),
    ("es", f"--insecure {PAGES} {DOMAIN}", 0, ""),
    ("es", f"--insecure {DOMAIN}", 0, ""),
    ("sev", f"--insecure {DOMAIN} {SECRET}", 0, ""),
]  # fmt: skip


def read_manual(path):
    """The command lines after '# virt-qemu-sev-validate', continued lines joined."""
    text = re.sub(r"\\\n\s*", "", path.read_text())
    return [shlex.split(m) for m in re.findall(rf"^\s*# {NAME} (.*)$", text, re.M)]


@pytest.fixture(scope="session")
def manual():
    """The lines as shell text; those of the manual, where it is available."""
    folder = Path(os.environ.get("CVMSPAWN_SHARED", "/nowhere")) / "documents"
    pages = [p for p in sorted(folder.glob("*.txt")) if f"# {NAME} \\" in p.read_text(errors="replace")]
    shipped = [shlex.split(line) for _, line, _, _ in EXAMPLES]
    if not pages:
        return [f"{NAME} {line}" for _, line, _, _ in EXAMPLES], shipped
    found = [re.sub(r"^\s*# ", "", m, flags=re.M) for m in re.findall(rf"^\s*# {NAME} (?:.*\\\n)*.*$", pages[0].read_text(), re.M)]
    return found, read_manual(pages[0])


def test_these_are_the_manuals(manual):
    """In any order: some options stand elsewhere in a line of the manual."""
    _, lines = manual
    assert [sorted(line) for line in lines] == [sorted(shlex.split(line)) for _, line, _, _ in EXAMPLES]


@pytest.fixture
def folder(tmp_path, program):
    files = {"OVMF.sev.fd": world.firmware(), "fw": world.firmware(), "vmlinuz-5.11.12": b"kernel", "initramfs-5.11.12": b"initrd",
             "this-guest-tk.bin": TEK + TIK, "vmsa0.bin": sev_owner.vmsa(0x830F10), "vmsa1.bin": sev_owner.vmsa(0x830F10, 0x80B004),
             "passwd.txt": b"passphrase"}  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / NAME).symlink_to(program("validate"))
    return tmp_path


EXTRA = {
    "sev": (3, b""),
    "kernel": (3, sev_owner.kernel_table(b"kernel", b"initrd", b"root=/dev/vda1")),
    "es": (7, sev_owner.vmsa(0x830F10) + sev_owner.vmsa(0x830F10, 0x80B004)),
}


def prepare(folder, what, line):
    """The host, as this example wants it; and the measurement of an offline example."""
    policy, extra = EXTRA[what]
    xml = {}
    if what == "kernel":
        xml = {n: f"<{n}>{folder}/{f}</{n}>" for n, f in (("kernel", "vmlinuz-5.11.12"), ("initrd", "initramfs-5.11.12"))}
        xml |= {"cmdline": "<cmdline>root=/dev/vda1</cmdline>", "hashes": "yes"}
    data = world.host(folder, policy=policy, extra=extra, xml=xml)
    data["capabilities"] = "<capabilities><host><cpu><signature family='23' model='49' stepping='0'/></cpu></host></capabilities>"
    data["domains"][0]["name"] = "fedora34x86_64"
    if "--insecure" in line:
        data["hostname"] = socket.getfqdn()
    (folder / "host").write_text(json.dumps(data))
    return sev_owner.measurement(TIK, hashlib.sha256(world.firmware() + extra).digest(), policy, api=(0, 24), build=13)


def shell(folder, text):
    env = dict(os.environ, STANDIN_LIBVIRT=str(folder / "host"), LD_LIBRARY_PATH=str(STANDIN), PATH=f"{folder}/bin:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", text], cwd=folder, capture_output=True, env=env, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_runs_literally(folder, manual, number):
    what, _, status, text = EXAMPLES[number]
    line = manual[0][number]
    fits = prepare(folder, what, line)
    done = shell(folder, line)
    if PRINTED in line:
        assert done.status == 1 and done.out == "" and "ERROR: Measurement does not match, VM is not trustworthy" in done.err, done.seen()
        assert not (folder / "secret-header.b64").exists()
        done = shell(folder, line.replace(PRINTED, fits))
    assert done.status == status and text in done.err, done.seen()
    injected = "OK: Injected 1 secrets\n" if "--inject-secret" in line else ""
    assert done.out == ("" if status else "OK: Looks good to me\n" + injected)
    log = world.injected(folder)
    plain = sev_owner.secret_table([(LUKS, b"passphrase")])
    if "--secret-header" in line:
        measurement = sev_owner.base64.b64decode(fits)
        packet = ((folder / f"secret-{n}.b64").read_text() for n in ("header", "payload"))
        assert sev_owner.open_packet(TIK, TEK, measurement, *packet) == plain and not log
    else:
        assert log == ([("inject", plain), ("resume",)] if injected else [])


@pytest.mark.full
def test_the_original_says_the_same(folder, manual):
    script, modules = fetch_peer()
    peer = Peer(script, folder, modules)
    try:
        for (what, _, _, _), line in zip(EXAMPLES, manual[0]):
            fits = prepare(folder, what, line)
            for text in {line, line.replace(PRINTED, fits)}:
                words = shlex.split(text.replace("\\\n", " "))
                theirs = peer.run(words[1:], {"STANDIN_LIBVIRT": str(folder / "host")})
                mine = shell(folder, shlex.join([*words, "--strict-compat"]))
                assert mine.seen() == theirs.seen(), text
    finally:
        peer.close()
