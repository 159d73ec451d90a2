# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secure Boot in a simulated TD: RTMR0 has the key that let the kernel start. virt-firmware puts keys into Debian's image, sbsign signs the kernel; what is
predicted is what the firmware extends."""

import os
import pathlib
import subprocess

import pytest
from conftest import cache_folder, private_apt
from test_td_guest import CVMSPAWN, SECONDS, Boot, check, debian_firmware, fixture_kernel, fixture_qemu, fixture_tables  # noqa: F401

OWNER = "11111111-2222-3333-4444-555555555555"


def unpacked(suite, package):
    folder = cache_folder("peers") / f"{package}-{suite}"
    if not (folder / "usr").exists():
        folder.mkdir(exist_ok=True)
        private_apt(suite, "unpack", folder, package)
    return folder


class Keys:
    """A key's files, and the certificate that goes into an image."""

    def __init__(self, folder, name):
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}",
                        "-days", "100"], check=True, capture_output=True, timeout=SECONDS)  # fmt: skip

    def sign(self, image, to):
        tool = unpacked("bookworm", "sbsigntool") / "usr/bin/sbsign"
        subprocess.run([tool, "--key", self.key, "--cert", self.certificate, "--output", to, image], check=True, capture_output=True, timeout=SECONDS)
        return to


def enrolled(to, platform, *db):
    """Debian's keys go first."""
    folder = unpacked("sid", "python3-virt-firmware")
    tool = ["/usr/bin/python3", folder / "usr/bin/virt-fw-vars", "-o", to]
    more = {"check": True, "capture_output": True, "timeout": SECONDS,
            "env": {**os.environ, "PYTHONPATH": str(folder / "usr/lib/python3/dist-packages")}}  # fmt: skip
    words = [w for k in db for w in ("--add-db", OWNER, k.certificate)]
    subprocess.run([*tool, "-i", debian_firmware("sid", "ovmf-inteltdx", "OVMF.inteltdx.ms.fd"), "--delete", "PK", "--delete", "KEK", "--delete", "db"], **more)
    subprocess.run([*tool, "-i", to, "--set-pk", OWNER, platform.certificate, "--add-kek", OWNER, platform.certificate, *words, "--secure-boot"], **more)
    return to


@pytest.fixture(scope="module", name="keys")
def fixture_keys(tmp_path_factory):
    pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
    folder = tmp_path_factory.mktemp("keys")
    return Keys(folder, "platform"), Keys(folder, "kernels"), Keys(folder, "others")


@pytest.fixture(scope="module", name="unsigned")
def fixture_unsigned(kernel, tmp_path_factory):
    """Without Debian's own signature: in a PE image of Linux nothing stands after the certificates."""
    data = bytearray(pathlib.Path(kernel).read_bytes())
    directory = int.from_bytes(data[0x3C:0x40], "little") + 24 + 112 + 4 * 8
    start, size = (int.from_bytes(data[directory + i : directory + i + 4], "little") for i in (0, 4))
    if size:
        assert start + size == len(data)
        data[directory : directory + 8] = bytes(8)
        del data[start:]
    image = tmp_path_factory.mktemp("kernel") / "vmlinuz"
    image.write_bytes(data)
    return image


def test_the_key_that_is_used(qemu, tables, keys, unsigned, tmp_path):  # noqa: F811
    platform, kernels, _ = keys
    image = enrolled(tmp_path / "keys.fd", platform, kernels)
    boot = Boot(image, kernels.sign(unsigned, tmp_path / "vmlinuz"))
    predicted, guest = check(boot, tables, qemu, tmp_path / "td")
    assert {n: v for n, v in guest.registers().items() if n != "rtmr3"} == {n: v for n, v in predicted["registers"].items() if n.startswith("rtmr") and v}
    log = tmp_path / "ccel"
    log.write_bytes(guest.event_log())
    done = boot.measure(tables, f"--from-ccel={log}")
    assert done.returncode == 0, done.stdout
    alone = subprocess.run([CVMSPAWN, "measure", f"--from-ccel={log}"], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert "key used from db" in alone.stdout


def test_what_is_not_predicted(qemu, tables, keys, unsigned, tmp_path):  # noqa: F811
    """Each would be wrong in silence."""
    platform, kernels, others = keys
    one, two = enrolled(tmp_path / "one.fd", platform, kernels), enrolled(tmp_path / "two.fd", platform, kernels, others)
    signed = kernels.sign(unsigned, tmp_path / "vmlinuz")
    for image, kernel, edk2, sentence in (
        (two, signed, "202608-inteltdx", "not with 2 keys and hashes"),
        (one, unsigned, "202608-inteltdx", "which is not signed; sign it"),
        (one, signed, "202502-inteltdx", "RTMR0 is predicted with --edk2=202608-inteltdx only then"),
    ):
        done = Boot(image, kernel, edk2=edk2).measure(tables)
        assert done.returncode == 1 and sentence in done.stderr and not done.stdout, done
