# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn itself on the simulated host: the digest that it predicts is the one that QEMU's launch has.

Each case is a whole launch: the runner asks `cvmspawn --print=digest` first, then lets cvmspawn start QEMU, and
compares. Where no credentials are packed the model in Python agrees, too.
"""

import itertools
import json
import os
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, artifact, build_folder, find_qemu, skip_or_fail

FIRMWARE = model.make_firmware(seed=31)
KERNEL = model.make_kernel(seed=32)
INITRD = model.make_initrd(seed=33)
MODES = ["sev", "sev-es", "sev-snp"]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, data in (("firmware.fd", FIRMWARE), ("kernel", KERNEL), ("initrd", INITRD)):
        (folder / name).write_bytes(data)
    return folder


def launch(files, *options, firmware="firmware.fd", kernel="kernel", initrd="initrd", status=0):
    program, qemu = build_folder() / "programs" / "cvmspawn", find_qemu()
    if not qemu:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    for part in ("cvmspawn", "verb-spawn", "verb-measure", "verb-sevsim"):
        if not (program.parent / part).exists():
            skip_or_fail(f"{part} is not built")
    # Only in a simulation is the device everybody's; a launch of SEV or SEV-ES locks memory, which needs root.
    node = [] if os.geteuid() == 0 else ["--sev-node=0666"]
    if os.geteuid() != 0 and "--coco=sev-snp" not in options:
        skip_or_fail("SEV and SEV-ES lock guest memory, which needs root")
    argv = [program, "sevsim", "--json", *node, "--", program, f"--qemu={qemu}", f"--firmware={files / firmware}",
            f"--linux={files / kernel}", "--ram=256M"]
    if initrd:
        argv.append(f"--initrd={files / initrd}")
    result = subprocess.run([*argv, *options], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == status, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    (record,) = answer["launches"]
    assert record["refused"] == [] and record["finished"] is True
    assert record["digest"] is not None and answer["predicted"] == record["digest"] and answer["equal"] is True
    return record["digest"]


def wanted(mode, cpus=1, cpu="EPYC-v4", words="console=ttyS0", initrd=INITRD, legacy=False):
    inputs = {"kernel": KERNEL, "initrd": initrd, "words": words}
    if mode == "sev-snp":
        return model.snp_digest(FIRMWARE, cpus, cpu, **inputs)
    return model.sev_digest(FIRMWARE, cpus if mode == "sev-es" else 0, cpu, fpu=not legacy, **inputs)


@pytest.mark.parametrize("mode", MODES)
def test_plain(files, mode):
    assert launch(files, f"--coco={mode}") == wanted(mode)


@pytest.mark.parametrize("mode", MODES)
def test_words_and_processors(files, mode):
    digest = launch(files, f"--coco={mode}", "--cpus=3", "--cpu=EPYC-Milan-v2", "--", "quiet", "panic=1")
    assert digest == wanted(mode, 3, "EPYC-Milan-v2", "console=ttyS0 quiet panic=1")


def test_exact_words(files):
    assert launch(files, "--coco=sev-snp", "--exact-words", "--", "a", "b") == wanted("sev-snp", words="a b")


def test_no_initrd(files):
    assert launch(files, "--coco=sev-snp", initrd=None) == wanted("sev-snp", initrd=None)


@pytest.mark.parametrize("mode", ["sev", "sev-es"])
def test_legacy_kind(files, mode):
    assert launch(files, f"--coco={mode}", "--sev-vm-type=legacy") == wanted(mode, legacy=True)


@pytest.mark.parametrize("mode", MODES)
def test_credentials_change_the_initrd(files, mode):
    """Credentials are packed after the initrd: another digest, and still the predicted one. This needs an initrd whose
    systemd would find them, so it is the project's guest that starts here."""
    parts = {"kernel": artifact("KERNEL"), "initrd": artifact("INITRD"), "firmware": artifact("FIRMWARE")}
    options = [f"--coco={mode}", "--set-credential=foo:hello"]
    assert launch(files, *options, **parts) != launch(files, *options[:1], **parts)


MATRIX = list(itertools.product(MODES, (1, 2, 5, 32), ("EPYC-v4", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa"),
                                ("256M", "3G"), ((), ("loglevel=7", "root=/dev/vda"))))


@pytest.mark.full
@pytest.mark.parametrize("mode, cpus, cpu, ram, words", MATRIX)
def test_matrix(files, mode, cpus, cpu, ram, words):
    digest = launch(files, f"--coco={mode}", f"--cpus={cpus}", f"--cpu={cpu}", f"--ram={ram}", "--", *words)
    assert digest == wanted(mode, cpus, cpu, " ".join(["console=ttyS0", *words]))


@pytest.mark.full
@pytest.mark.parametrize("option", ["--network-user-mode", "--console-transport=virtio", "--coco-policy=debug",
                                    "--uuid=01234567-89ab-cdef-0123-456789abcdef", "--ram=6G", "--ram=512M",
                                    "--kvm=yes", "--network-user-mode --publish=22022:22",
                                    "--extra-drive=disk.raw --allow-untrusted=disk",
                                    "--extra-drive=nvme:disk.raw --allow-untrusted=disk"])
@pytest.mark.parametrize("mode", MODES)
def test_options(files, mode, option):
    words = "console=hvc0" if option.endswith("virtio") else "console=ttyS0"
    (files / "disk.raw").write_bytes(bytes(1 << 20))
    options = option.replace("disk.raw", str(files / "disk.raw")).split()
    assert launch(files, f"--coco={mode}", *options) == wanted(mode, words=words)
