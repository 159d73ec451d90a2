# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option of the launcher together with --coco=: it changes the launch digest, or it does not, or it is refused, as the manual's table says
(WHAT THE LAUNCH DIGEST COVERS). An option that is in none of these tables fails the test."""

import concurrent.futures
import json
import re
import subprocess

import pytest
import tdx_model
from conftest import SOURCE
from launcher_fake import newc
from sevsim_host import build_folder
from sevsim_model import make_kernel
from test_wrong_files import dumped, openssl

SECONDS = 120
CAPS = {"simulation": True, "kvm": True, "kvm-reason": None, "sev": True, "sev-es": True, "sev-snp": True, "tdx": True, "cbitpos": 51, "reduced-phys-bits": 1,
        "qemu": "/bin/true", "swtpm": "/bin/true", "vsock": True}
RUN, DISK = ["--run=true"], ["--image=disk", "--image-format=raw", "--allow-untrusted=disk", "root=/dev/vda"]
QCOW, SEV, SECRET = ["--image=qcow", "--image-format=qcow2", "--allow-untrusted=disk", "root=/dev/vda"], ["--coco=sev"], ["--set-credential=a:b"]
TDX = ["--coco=tdx", "--firmware=./tdvf", "--linux=pe"]

# Option: its value, what it is tried with, and what that is compared with if the option is needed there. {digest} is the one without it.
MEASURED = {
    "coco": ("sev-es", []), "cpus": ("3", []), "cpu": ("EPYC-Milan", []), "guest-features": ("0x21", []), "linux": ("kernel2", []), "initrd": ("initrd2", []),
    "exact-words": (None, ["quiet"]), "firmware": ("./firmware2", []), "sev-vm-type": ("legacy", ["--coco=sev-es"]), "bind-ro": ("folder:/srv/x", []),
    "console-transport": ("virtio", []), "set-credential": ("a:b", []), "load-credential": ("a:./text", []), "credential-transport": ("cmdline", SECRET),
    "pass-ssh-key": ("key.pub", []), "adapter": ("adapter", ["--initrd=old", *SECRET]), "run": ("true", []), "copy-out": ("/a:x", RUN), "forward-journal": ("journal", []),
}
SAME = {
    "quiet": (None, []), "status-fd": ("1", []), "image": ("disk", DISK[1:], ["root=/dev/vda"]), "image-format": ("raw", DISK), "ephemeral": (None, DISK),
    "image-disk-type": ("nvme", DISK), "discard-disk": ("no", DISK), "grow-image": ("64M", [*DISK, "-x"]), "extra-drive": ("disk", ["--allow-untrusted=disk"]), "bind-volume": ("fs:x", ["--allow-untrusted=disk"]),
    "backing-file": ("raw:disk", ["--image=on-disk", *QCOW[1:]], QCOW), "data-file": ("data", ["--image=apart", *QCOW[1:]], QCOW), "ram": ("3G", []), "kvm": ("yes", []), "tpm": ("yes", []),
    "tpm-state": ("off", ["--tpm=yes"]), "network": ("user", []), "network-user-mode": (None, []), "network-tap": (None, []),
    "publish": ("2222:22", ["--network=user"]), "vsock": ("yes", []), "vsock-cid": ("77", []), "machine": ("other", []),
    "uuid": ("5f3c8a14-6d2b-4e0f-9a71-c0a7d3e9b826", []), "register": ("no", []), "slice": ("a.slice", []), "property": ("MemoryMax=1G", []),
    "keep-unit": (None, []), "system": (None, []), "user": (None, []), "qemu": ("/bin/false", []), "qemu-user": ("nobody", []),
    "qemu-arg": ("-S", ["--allow-untrusted=qemu-arg"]), "console": ("read-only", []), "background": ("44", []), "console-log": ("log", []), "notify-ready": ("no", []),
    "timeout": ("1h", []), "reboot": ("reset", []), "simulate": (None, []), "coco-policy": ("debug", []), "allow-untrusted": ("disk", []),
    "expect": ("{digest}", []), "lock": ("lock", []), "host-data": ("aa" * 32, []), "id-key": ("key", []), "author-key": ("key", ["--id-key=key"]),
    "vcek": ("no", []), "attestation-service": ("https://localhost/vm/x", []), "owner-dir": ("owner", SEV), "inject-secret": ("luks-key:text", [*SEV, "--owner-dir=owner"]),
    "certs": ("ark.cert", [*SEV, "--owner-dir=owner"]), "oca": ("oca.cert", [*SEV, "--owner-dir=owner"]), "online": (None, [*SEV, "--owner-dir=owner"]),
    "insecure-root": ("ark.cert", [*SEV, "--owner-dir=owner"]), "insecure-unverified-platform": (None, [*SEV, "--owner-dir=owner"]),
    "attestation-ca": ("text", [*SEV, "--attestation-service=https://localhost/vm/x"]),
    "attestation-wait": ("1min", [*SEV, "--attestation-service=https://localhost/vm/x"]), "secure-boot": ("no", []), "host-caps": ("caps2", []),
    "dh-cert": ("godh", [*SEV, "--session=launch"], SEV), "session": ("launch", [*SEV, "--dh-cert=godh"], SEV),
    **{f"forward-journal-{limit}": ("3M", ["--forward-journal=journal"]) for limit in ("max-use", "keep-free", "max-file-size")},
    "forward-journal-max-files": ("3", ["--forward-journal=journal"]),
    "firmware-features": ("amd-sev-snp", ["--firmware=./firmware.json"]),
    **{name: ("aa" * 48, TDX, TDX) for name in ("mrconfigid", "mrowner", "mrownerconfig")}, "quote-socket": ("no", TDX, TDX),
    "edk2": ("202608-inteltdx", TDX, TDX), "fw-cfg": ("fw_cfg", [*TDX, "--edk2=202502-inteltdx"], TDX), "bios": ("a,b,c", [*TDX, "--edk2=202608-inteltdx", "--fw-cfg=fw_cfg"], TDX),
    "id-block": ("block", ["--id-auth=auth"], []), "id-auth": ("auth", ["--id-block=block"], []),
}
REFUSED = {
    "directory": ("folder", []), "private-users": ("0", ["--directory=folder"]), "bind": ("folder:/srv/x", []), "bind-user": ("someone", []),
    "bind-user-shell": ("yes", ["--bind-user=someone"]), "bind-user-group": ("tty", ["--bind-user=someone"]), "efi-nvram-template": ("text", []), "efi-nvram-state": ("./state", []),
    "smbios11": ("x", []), "ssh-key-type": ("rsa", [])
}
# These print something else, or need a terminal.
ELSEWHERE = {"help", "version", "print", "json", "shell"}


def test_every_option_is_classed():
    known = {row[1].removeprefix("--") for row in dumped("verb-spawn", "list") if row[0] == "option"}
    tables = [set(MEASURED), set(SAME), set(REFUSED), ELSEWHERE]
    assert known == set().union(*tables), known.symmetric_difference(set().union(*tables))
    assert sum(map(len, tables)) == len(known)


def test_the_manual_says_so():
    """Its table names exactly the options that are measured, and those that are refused."""
    text = (SOURCE / "man/cvmspawn.1.scd").read_text()
    rows = dict(re.findall(r"^\|  ([^\n]+)\n(:  .*?)(?=^\||^$)", text[text.index("How each option counts"):text.index("Disks: a disk is covered")], re.M | re.S))
    named = {row: set(re.findall(r"\*--([a-z0-9-]+)\*", words)) for row, words in rows.items()}
    assert named["measured"] == set(MEASURED) | {"shell"}
    assert named["refused"] == set(REFUSED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, artifacts):
    place = tmp_path_factory.mktemp("options")
    systemd = {"etc/initrd-release": b"ID=x\n", "bin/sh": b"#!", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}
    firmware = bytearray(artifacts["FIRMWARE"].read_bytes())
    (place / "firmware").write_bytes(firmware)
    firmware[len(firmware) // 2] ^= 1
    (place / "firmware2").write_bytes(firmware)
    (place / "firmware.json").write_bytes(artifacts["DESCRIPTOR"].read_bytes())
    for name, data in {
        "kernel": make_kernel(), "kernel2": make_kernel(seed=9), "initrd2": newc({**systemd, "x": b"y"}), "initrd1": newc(systemd),
        "old": newc({"init": b"#!/bin/sh\n", "bin/sh": b"#!"}), "adapter": newc({".cvmspawn/adapter": b"another"}), "disk": bytes(1 << 20),
        "text": b"AAAA\n", "godh": bytes(2084), "launch": bytes(128), "caps": json.dumps(CAPS).encode() + b"\n", "caps2": json.dumps({**CAPS, "cbitpos": 47}).encode() + b"\n",
        "tdvf": tdx_model.make_tdvf(seed=6, variables={}), "pe": tdx_model.make_kernel(),
        "key.pub": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f x\n",
    }.items():
        (place / name).write_bytes(data)
    for name in "ark.cert", "oca.cert":
        (place / name).write_bytes((SOURCE / "tests/golden/sev-chain" / name).read_bytes())
    (place / "folder").mkdir()
    (place / "folder/a").write_text("a")
    for name in ("table-loader", "acpi/rsdp", "acpi/tables", "smbios/smbios-tables"):
        (place / "fw_cfg/etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "fw_cfg/etc" / name).write_bytes(bytes(128) if name == "table-loader" else b"\x7f\x04\0\0\0\0" if "smbios" in name else b"x")
    for words in (["qcow", "1M"], ["-b", "disk", "-F", "raw", "on-disk"], ["-o", "data_file=data,data_file_raw=on", "apart", "1M"]):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True, cwd=place, timeout=SECONDS)
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", place / "key")
    subprocess.run([build_folder() / "programs/verb-id-block", "build", ask(place)[1], "--id-key=key", "--id-block=block", "--id-auth=auth"], check=True,
                   cwd=place, capture_output=True, timeout=SECONDS)
    return place


def ask(folder, *options):
    given = {word.split("=")[0] for word in options}
    base = [f"--{name}={value}" for name, value in (("coco", "sev-snp"), ("host-caps", "caps"), ("firmware", "./firmware"), ("linux", "kernel"),
                                                    ("initrd", "initrd1"), ("machine", "m")) if f"--{name}" not in given]
    words = [w for w in options if not w.startswith("-")]
    done = subprocess.run([build_folder() / "programs/cvmspawn", *base, *(w for w in options if w.startswith("-")), "--print=digest", "--json=short", "--", *words],
                          cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, json.loads(done.stdout)["digest"]["digest"] if done.returncode == 0 else None, done.stderr.strip()


def two(folder, item):
    """Without the option and with it."""
    name, (value, around, *instead) = item
    without = ask(folder, *(instead[0] if instead else around))
    value = value and value.format(digest=without[1])
    return name, without, ask(folder, *around, f"--{name}" if value is None else f"--{name}={value}")


def all_of(folder, table):
    (folder / "lock").unlink(missing_ok=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda item: two(folder, item), table.items()))


def test_measured(folder):
    wrong = [(name, a, b) for name, a, b in all_of(folder, MEASURED) if a[0] != 0 or b[0] != 0 or a[1] == b[1]]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_same(folder):
    wrong = [(name, a, b) for name, a, b in all_of(folder, SAME) if a[0] != 0 or b[0] != 0 or a[1] != b[1]]
    assert not wrong, "\n".join(map(str, wrong))


def test_refused(folder):
    wrong = [(name, a, b) for name, a, b in all_of(folder, REFUSED) if b[0] == 0 or "--coco=" not in b[2]]
    assert not wrong, "\n".join(map(str, wrong))
