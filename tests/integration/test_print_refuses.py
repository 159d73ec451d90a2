# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a launch refuses of an option's value before QEMU starts, --print= refuses with the same message: every option of the launcher's table with values that
are wrong in each way that matters for it."""

import os
import subprocess
import sys

import pytest
from conftest import skip_or_fail
from launcher_fake import newc
from sevsim_host import build_folder
from sevsim_model import make_kernel
from test_wrong_files import CAPS, dumped

SECONDS = 60
SYSTEMD = {"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}
MISSING, DIRECTORY, NOWHERE, NOT_DIRECTORY, EMPTY, FIFO = "missing", "folder", "missing/x", "text/x", "empty", "fifo"
READ = [MISSING, DIRECTORY]
WORD = ["nonsense", ""]
NEW_FILE = [NOWHERE, NOT_DIRECTORY, DIRECTORY, ""]
SEV, SIMULATED = ["--coco=sev", "--firmware=./firmware", "--owner-dir=owner"], ["--coco=sev-snp", "--simulate", "--firmware=./firmware"]
TDX = ["--coco=tdx", "--simulate", "--firmware=./firmware"]
JOURNAL, DISK, QCOW = ["--forward-journal=new.journal", "--vsock=user"], ["--image=disk", "--image-format=raw", "root=/dev/vda"], ["--image=qcow", "--image-format=qcow2", "root=/dev/vda"]

# Option: wrong values, and what they are tried with.
WRONG = {
    "status-fd": (["77", "nonsense", "-1", ""], []), "image": ([*READ, EMPTY, FIFO], ["root=/dev/vda"]), "extra-drive": ([*READ, FIFO], []), "bind-volume": (["fs", ":x", "fs:", "a/b:x", "nowhere:x", "fs:x:floppy", "fs:x::create=x", "fs:x::nonsense", "fs:x::ro=yes,ro=no", "fs:x::create-size=0"], []), "image-format": (WORD, DISK),
    "image-disk-type": (WORD, DISK), "discard-disk": (WORD, DISK), "grow-image": ([*WORD, "3E"], DISK), "backing-file": ([MISSING, "raw:disk"], QCOW),
    "data-file": ([MISSING, "disk"], QCOW), "directory": ([MISSING, "text"], []), "private-users": (WORD, ["--directory=folder"]),
    "bind": ([MISSING + ":/x", "text:/x", "folder", "folder:x"], []), "bind-ro": ([MISSING + ":/x", "text:/x"], []), "bind-user": (["nobody-of-this-name", "root"], []),
    "bind-user-shell": (["nonsense"], ["--bind-user=nobody-of-this-name"]), "bind-user-group": (["a b"], ["--bind-user=nobody-of-this-name"]),
    "linux": ([*READ, EMPTY, FIFO], []), "initrd": (READ, []), "firmware": (["./" + MISSING, "./" + DIRECTORY, "nonsense"], ["--image=disk"]), "secure-boot": (WORD, []),
    "firmware-features": (["nonsense"], ["--firmware=uefi"]), "efi-nvram-template": ([*READ, EMPTY], ["--firmware=uefi"]),
    "efi-nvram-state": (["./" + name for name in (NOWHERE, NOT_DIRECTORY, DIRECTORY, "text")] + ["nonsense"], ["--firmware=uefi"]), "cpus": ([*WORD, "0"], []), "ram": ([*WORD, "0"], []),
    "kvm": (WORD, []), "tpm": (WORD, []), "tpm-state": (["./" + name for name in (NOWHERE, NOT_DIRECTORY, "text")], ["--tpm=yes"]), "network": ([*WORD, "passt"], []),
    "publish": ([*WORD, "0:0"], ["--network=user"]), "vsock": ([*WORD, "user"], []), "vsock-cid": ([*WORD, "2"], []), "machine": (["", "a/b"], []), "uuid": (WORD, []),
    "register": (WORD, []), "slice": (["", "a/b"], []), "property": ([*WORD, "Nonsense=1"], []),
    "qemu": ([NOWHERE, DIRECTORY, "text", "no-program-of-this-name"], []), "qemu-user": (["nobody-of-this-name", ""], []), "console": ([*WORD, "interactive"], []),
    "background": (["nonsense"], []), "console-transport": (WORD, []), "console-log": ([*NEW_FILE, FIFO], []),
    "forward-journal": ([NOWHERE, NOT_DIRECTORY, "text", NOWHERE + ".journal", "folder.journal"], ["--vsock=user", "--pass-ssh-key=no"]), "forward-journal-max-use": (WORD, JOURNAL),
    "forward-journal-keep-free": (WORD, JOURNAL), "forward-journal-max-file-size": (WORD, JOURNAL), "forward-journal-max-files": (WORD, JOURNAL),
    "set-credential": (["nonsense", "a/b:c", "a:\\"], []), "load-credential": (["nonsense", "a:" + MISSING, "a:folder"], []), "credential-transport": (WORD, []),
    "pass-ssh-key": (["./" + MISSING, "./" + DIRECTORY, "./text"], []), "ssh-key-type": (WORD, ["--pass-ssh-key=yes", "--vsock=user"]),
    "adapter": ([*READ, "text"], ["--coco=sev-snp", "--simulate", "--firmware=./firmware", "--initrd=old", "--set-credential=a:b"]), "run": ([""], []), "copy-out": (["nonsense", *("/a:" + name for name in NEW_FILE)], ["--run=true"]),
    "notify-ready": (WORD, []), "timeout": (WORD, []), "reboot": (WORD, []), "coco": ([*WORD, "tdx"], []), "coco-policy": (["nonsense"], SIMULATED), "cpu": (WORD, SIMULATED),
    "guest-features": (["nonsense", "0"], SIMULATED), "sev-vm-type": (WORD, SEV), "allow-untrusted": (["nonsense"], SIMULATED), "expect": (["nonsense"], SIMULATED),
    "lock": ([NOWHERE, NOT_DIRECTORY, DIRECTORY, "text"], SIMULATED), "host-data": ([*WORD, "text"], SIMULATED),
    "id-block": (["./" + MISSING], [*SIMULATED, "--id-auth=./text"]), "id-auth": (["./" + MISSING], [*SIMULATED, "--id-block=./text"]), "id-key": ([*READ, "text"], SIMULATED),
    "author-key": ([*READ, "text"], [*SIMULATED, "--id-key=key"]), "vcek": (WORD, SIMULATED), "host-caps": ([*READ, "text"], []),
    "mrconfigid": ([*WORD, "text"], TDX), "mrowner": (WORD, TDX), "mrownerconfig": (WORD, TDX), "quote-socket": (["vsock:x"], TDX), "edk2": (WORD, TDX), "fw-cfg": ([MISSING], TDX),
    "bios": (WORD, TDX), "dh-cert": (READ, ["--coco=sev", "--session=text"]), "session": (READ, ["--coco=sev", "--dh-cert=text"]), "attestation-service": (WORD, SIMULATED),
}
# Where a launch looks at the file only when it has asked the secure processor, which is not here: --print= refuses it by itself.
PRINTED = {
    "owner-dir": ([], "a folder that is missing is made"), "inject-secret": (["nonsense", "luks-key:" + MISSING], SEV), "certs": ([*READ, "text"], SEV), "oca": ([*READ, "text"], SEV),
    "insecure-root": ([*READ, "text"], SEV), "attestation-ca": (READ, ["--coco=sev", "--firmware=./firmware", "--attestation-service=https://localhost/vm/x"]),
    "attestation-wait": (["nonsense"], ["--coco=sev", "--firmware=./firmware", "--attestation-service=https://localhost/vm/x"]),
}
ANYTHING = {
    "qemu-arg": "QEMU itself judges it", "smbios11": "any text", "print": "not a launch", "json": "not a launch", "help": "not a launch",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, artifacts):
    folder = tmp_path_factory.mktemp("print")
    for name, data in {"kernel": make_kernel(), "good-initrd": newc(SYSTEMD), "old": newc({"init": b"#!/bin/sh\n", "bin/sh": b"#!"}), "text": b"hello\n", "empty": b"",
                       "disk": bytes(1 << 20), "firmware": artifacts["FIRMWARE"].read_bytes(), "caps": CAPS.encode()}.items():
        (folder / name).write_bytes(data)
    for name in "folder", "folder.journal", "bin", "run":
        (folder / name).mkdir()
    os.mkfifo(folder / "fifo")
    for name in "ssh-keygen", "vhost-device-vsock", "systemd-journal-remote":
        (folder / "bin" / name).write_text("#!/bin/sh\necho --max-use=\n")
        (folder / "bin" / name).chmod(0o755)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "qcow", "1M"], check=True, cwd=folder, timeout=SECONDS)
    subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "key"], check=True, cwd=folder, capture_output=True, timeout=SECONDS)
    return folder


def launch(place, option, value, around, *more):
    """Status and last line; a QEMU that is started says so."""
    words = [word for word in around if not word.startswith("-")]
    given = {word.split("=")[0] for word in [*around, f"--{option}"]}
    base = {"--qemu": "/bin/false", "--kvm": "no", "--tpm": "no", "--machine": "m"}
    if option in PRINTED:
        base["--host-caps"] = "caps"
        del base["--kvm"]
    base |= {} if given & {"--image", "--directory", "--linux"} - ({"--linux"} if option != "linux" else set()) and not words else {"--linux": "kernel"}
    base |= {"--initrd": "good-initrd"} if "--linux" in base and "--initrd" not in given else {}
    environ = {**os.environ, "PATH": f"{place}/bin:/usr/bin:/bin", "RUNTIME_DIRECTORY": str(place / "run")}
    if value in ("user", "passt"):
        environ["PATH"] = "/nonexistent"
    done = subprocess.run([build_folder() / "programs/cvmspawn", *(f"{k}={v}" for k, v in base.items() if k not in given), *(w for w in around if w.startswith("-")),
                           f"--{option}={value}", *more, "--", *words], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, env=environ, check=False)
    return done.returncode, [line for line in done.stderr.splitlines() if line][-1:]


def test_table_is_whole():
    takes = {row[1].removeprefix("--") for row in dumped("verb-spawn", "list") if row[0] in ("option", "unsupported") and row[2] not in ("", "-")}
    tables = [set(WRONG), set(PRINTED), set(ANYTHING)]
    assert takes == set().union(*tables), takes.symmetric_difference(set().union(*tables))
    assert sum(map(len, tables)) == len(takes)


@pytest.mark.parametrize("option", sorted(WRONG))
def test_as_the_launch(place, option):
    values, around = WRONG[option]
    for value in values:
        launched, printed = launch(place, option, value, around), launch(place, option, value, around, "--print=argv")
        assert launched[0] == 125 and "QEMU exited" not in str(launched), (value, launched)
        assert printed == launched, value


@pytest.mark.parametrize("option", sorted(set(PRINTED) - {"owner-dir"}))
def test_what_needs_the_processor(place, option):
    values, around = PRINTED[option]
    for value in values:
        status, said = launch(place, option, value, around, "--print=digest")
        assert status == 125 and (value.split(":")[-1] in said[0] or option in said[0]), (value, said)


def test_digest_and_config_too(place):
    for what in "digest", "config", "credentials", "confinement":
        for option, value, around in ("status-fd", "77", SIMULATED), ("console-log", NOWHERE, SIMULATED), ("copy-out", "/a:" + NOWHERE, [*SIMULATED, "--run=true"]), ("qemu", NOWHERE, SIMULATED):
            status, said = launch(place, option, value, around, f"--print={what}")
            assert status == 125 and value.split(":")[-1] in said[0], (what, option, said)


def test_for_another_host(place):
    """With --host-caps= the files that it writes, and its programs, are there."""
    for option, value in ("console-log", NOWHERE), ("qemu", NOWHERE), ("network", "passt"):
        assert launch(place, option, value, ["--host-caps=caps"], "--print=argv")[0] == 0


def test_as_an_ordinary_user(place):
    """Places that this user may not write to."""
    if os.geteuid() != 0:
        skip_or_fail("needs root, to become another user")
    script = f"""
import os, subprocess, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
base = [{str(build_folder() / 'programs/cvmspawn')!r}, "--qemu=/bin/false", "--kvm=no", "--linux=kernel", "--initrd=good-initrd"]
for words in ["--console-log=folder/x"], ["--run=true", "--copy-out=/a:folder/x"], ["--tpm=yes", "--tpm-state=./folder/x"], ["--tpm=yes", "--tpm-state=./folder"]:
    said = [subprocess.run([*base, "--tpm=no", *words, *more], capture_output=True, text=True, stdin=subprocess.DEVNULL) for more in ([], ["--print=argv"])]
    if [s.returncode for s in said] != [125, 125] or said[0].stderr.splitlines()[-1] != said[1].stderr.splitlines()[-1]:
        sys.exit(f"{{words}}: {{[(s.returncode, s.stderr[-300:]) for s in said]}}")
"""
    folder = place
    while folder != folder.parent:
        folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False,
                          env={**os.environ, "RUNTIME_DIRECTORY": "/nonexistent"})
    assert done.returncode == 0, done.stderr
