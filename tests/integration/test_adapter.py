# SPDX-License-Identifier: LGPL-2.1-or-later
"""The adapter: initrds of Debian 12 and 13, made by the releases' own tools (tools/build-initrds), run a command and hand credentials to the older
systemd behind them. busybox's and a shell script's stand for all that have no systemd."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SOURCE
from launcher_fake import newc
from sevsim_host import build_folder, skip_or_fail

BOOT = 240
WORD = "rdinit=/.cvmspawn/adapter"
NEEDED = "; the adapter that is added to the initrd does it"


@pytest.fixture(scope="module")
def adapter():
    path = build_folder() / "programs/adapter.cpio"
    if not path.exists():
        skip_or_fail("this build has no adapter: a static C library is missing (tools/setup build)")
    return path


@pytest.fixture
def release(request):
    cache = subprocess.run(["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True,
                           check=True, timeout=60).stdout.strip()
    folder = Path(cache) / "releases" / request.param
    if not folder.exists():
        skip_or_fail("tools/fetch-artifacts --initrds makes the initrds of Debian's releases")
    return folder


def old(tmp_path, files=None):
    path = tmp_path / "old"
    path.write_bytes(newc({"init": b"#!/bin/sh\n", "bin/sh": b"#!", **(files or {})}))
    return path


# --- what is launched ------------------------------------------------------------------------------------------------------


def described(cvmspawn, *arguments):
    result = cvmspawn.run("--coco=sev-snp", "--print=digest,config", "--json=short", *arguments, timeout=120)
    return result, json.loads(result.out) if result.status == 0 else None


@pytest.fixture
def coco(kernel, firmware):
    return ["--simulate", f"--firmware={firmware}", f"--linux={kernel}"]


def test_it_is_measured_and_predicted(cvmspawn, coco, adapter, tmp_path):
    """Behind the initrd and before the credentials; measure predicts it; an initrd with systemd 262 gets none."""
    arguments = [*coco, f"--initrd={old(tmp_path)}", "--set-credential=a:b"]
    result, said = described(cvmspawn, *arguments)
    assert result.status == 0, result.err
    assert NEEDED in result.err
    parts = said["digest"]["parts"]["initrd"]["parts"]
    assert [p["label"] for p in parts if p["label"] != "padding"] == [str(tmp_path / "old"), "adapter", "credentials"]
    (ours,) = [p for p in parts if p["label"] == "adapter"]
    assert ours["sha256"] == hashlib.sha256(adapter.read_bytes()).hexdigest()
    digest = said["digest"]["digest"]

    measured = cvmspawn.run("measure", "--coco=sev-snp", *arguments, timeout=120)
    assert measured.status == 0 and measured.out.strip() == digest
    assert NEEDED in measured.err

    new = tmp_path / "new"
    new.write_bytes(newc({"etc/initrd-release": b"", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}))
    result, said = described(cvmspawn, *coco, f"--initrd={new}", "--set-credential=a:b")
    assert "adapter" not in result.err
    assert [p["label"] for p in said["digest"]["parts"]["initrd"]["parts"] if p["label"] != "padding"] == [str(new), "credentials"]


def test_another_one_and_none(cvmspawn, coco, adapter, tmp_path):
    arguments = [*coco, f"--initrd={old(tmp_path)}", "--set-credential=a:b"]
    first = described(cvmspawn, *arguments)[1]["digest"]["digest"]
    copy = tmp_path / "copy.cpio"
    copy.write_bytes(adapter.read_bytes())
    assert described(cvmspawn, f"--adapter={copy}", *arguments)[1]["digest"]["digest"] == first
    copy.write_bytes(newc({".cvmspawn/adapter": b"something else"}))
    assert described(cvmspawn, f"--adapter={copy}", *arguments)[1]["digest"]["digest"] != first

    for content, why in (b"nonsense", "neither a cpio archive"), (newc({"other": b""}), "a cpio archive with .cvmspawn/adapter"), (b"", "is empty"):
        copy.write_bytes(content)
        result, _ = described(cvmspawn, f"--adapter={copy}", *arguments)
        assert result.status == 125 and str(copy) in result.err and (why in result.err or content == b""), result.err
    result, _ = described(cvmspawn, f"--adapter={tmp_path / 'missing'}", *arguments)
    assert result.status == 125 and "missing" in result.err
    result, said = described(cvmspawn, "--adapter=no", *arguments)
    assert result.status == 125 and "imports no credentials" in result.err, result.err


def test_the_word(cvmspawn, qemu, coco, adapter, tmp_path):
    """Last of the kernel's, since the last one counts; before what is for the init; never added to exact words."""
    arguments = ["--coco=sev-snp", f"--qemu={qemu}", *coco, f"--initrd={old(tmp_path)}", "--set-credential=a:b", "--print=argv", "--json=short"]

    def words(*more):
        argv = json.loads(cvmspawn.run(*arguments, *more, timeout=120).out)["argv"]
        return argv[argv.index("-append") + 1]

    assert words() == f"console=ttyS0 {WORD}"
    assert words("rdinit=/sbin/mine", "quiet") == f"console=ttyS0 rdinit=/sbin/mine quiet {WORD}"
    assert words("quiet", "--", "--", "single") == f"console=ttyS0 quiet {WORD} -- single"
    assert words("--exact-words", "a", WORD) == f"a {WORD}"
    result = cvmspawn.run(*arguments, "--exact-words", "a", timeout=120)
    assert result.status == 125 and f"add {WORD} to the kernel command line, or --adapter=no" in result.err


def test_the_same_program_gives_the_same_bytes(adapter, tmp_path):
    """Elsewhere, another day: a release has one file."""
    compiler = shutil.which("gcc")
    if not compiler:
        skip_or_fail("gcc is not installed")
    archives = []
    for name in "one", "another":
        folder = tmp_path / name / ("deep" * len(name))
        shutil.copytree(SOURCE / "programs/adapter", folder)
        subprocess.run(
            [compiler, "-D_GNU_SOURCE", "-std=gnu17", "-Os", "-static", "-s", "-Wl,--build-id=none", "-o", "adapter",
             *sorted(p.name for p in folder.glob("*.c"))], cwd=folder, check=True, timeout=120)
        subprocess.run([SOURCE / "tools/make-adapter", "adapter", "adapter.cpio"], cwd=folder, check=True, timeout=60)
        archives.append((folder / "adapter.cpio").read_bytes())
    assert archives[0] == archives[1]
    built = adapter.read_bytes()
    assert built[:110] == archives[0][:110] and built.endswith(b"TRAILER!!!\0" + bytes(3))
    assert len(built) < 1 << 20


def test_in_the_launch_and_the_second_attempt(fake, adapter, tmp_path):
    """The first QEMU never runs; the second has the ports of the adapter."""
    scenario = f"""
        with open({str(tmp_path / 'launches')!r}, "a") as launches:
            launches.write(" ".join(arguments) + "\\n")
        vm.greet()
        vm.answer_until("query-version")
        vm.answer_until("cont")
        vm.power_off()
    """
    result = fake.run(scenario, f"--initrd={old(tmp_path)}", "--run=true")
    assert result.err.count(NEEDED) == 1
    first, second = (tmp_path / "launches").read_text().splitlines()
    assert WORD not in first and "isa-serial" not in first
    assert WORD in second and second.count('"isa-serial"') == 3 and "virtserialport" not in second

    result = fake.run(scenario, f"--initrd={old(tmp_path)}", "--run=true", "--adapter=no")
    assert result.status == 125 and "imports no credentials" in result.err and "adapter" not in result.err


def test_outside_of_a_guest(adapter, tmp_path):
    """It is somebody's PID 1, or nothing."""
    program = build_folder() / "programs/adapter-init"
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "this is the init of a guest" in done.stderr


# --- real initrds ------------------------------------------------------------------------------------------------------------


def guest(release, name, qemu):
    return [f"--qemu={qemu}", "--kvm=no", "--ram=1G", f"--linux={release / 'vmlinuz'}", f"--initrd={release / name}.cpio"]


ALL = [(r, n) for r in ("bookworm", "trixie") for n in ("initramfs-tools", "dracut", "dracut-sh", "busybox")]


def cases(*quick):
    return [pytest.param(r, n, marks=pytest.mark.full if (r, n) in quick else pytest.mark.soak, id=f"{r}-{n}") for r, n in ALL]


@pytest.mark.parametrize(("release", "name"), cases(("bookworm", "initramfs-tools"), ("trixie", "dracut-sh")), indirect=["release"])
def test_a_command(cvmspawn, qemu, adapter, release, name, tmp_path):
    """All streams byte for byte, the status, the credentials; nothing it leaves behind holds the guest."""
    command = (
        "cat /run/credentials/@system/word >&2; n=0; while [ $n -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123; "
        "n=$((n + 1)); done; (while :; do :; done) & printf '\\000\\377\\n\\r'; cat; exit 7"
    )
    data = bytes(range(256)) * 100
    (tmp_path / "input").write_bytes(data)
    with open(tmp_path / "input", "rb") as file:
        result = cvmspawn.run(*guest(release, name, qemu), f"--run={command}", "--set-credential=word:sesame", stdin=file, timeout=BOOT)
    assert result.status == 7, result.err
    assert result.stdout == (b"0123456789" * 6 + b"0123\n") * 3000 + b"\0\xff\n\r" + data
    assert result.err.endswith("sesame") and NEEDED in result.err
    assert result.leftovers == []


@pytest.mark.parametrize(("release", "name"), cases(("bookworm", "dracut"), ("trixie", "initramfs-tools"), ("trixie", "busybox")), indirect=["release"])
def test_credentials_in_a_unit_behind_it(cvmspawn, qemu, firmware, adapter, release, name):
    """After switch-root, in a unit of the release's systemd: measured by real firmware, which is SIMULATED here."""
    result = cvmspawn.run(
        *guest(release, name, qemu), "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--image={release / 'root.ext4'}",
        "--ephemeral", "--image-format=raw", "--allow-untrusted=disk", "--set-credential=hello:from the owner", "--console=read-only", "root=/dev/vda", "ro",
        timeout=BOOT,
    )
    version = {"bookworm": "systemd 252", "trixie": "systemd 257"}[release.name]
    assert "unit: from the owner" in result.out, result.out[-4000:]
    assert version in result.out
    assert NEEDED in result.err
    assert result.status == 0


def test_members_are_all_there_is(adapter):
    """newc as the kernel reads it: one folder, one program, no times, no owner."""
    done = subprocess.run(["cpio", "-tvn", "--quiet"], input=adapter.read_bytes(), capture_output=True, check=True, timeout=60)
    lines = done.stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines] == [".cvmspawn", ".cvmspawn/adapter"]
    assert all("1970" in line and line.split()[2:4] == ["0", "0"] for line in lines)
