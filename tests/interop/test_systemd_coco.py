# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's own test of confidential guests, TEST-94-COCO of Debian sid's package systemd-tests, unmodified and with sid's systemd-vmspawn, on the simulated host. It goes as
far as a host without such a processor lets it: the launch is complete, and the guest, whose code the simulation does not run, reports nothing. The script says
so, and sevsim says where.

A simulation: nothing here says anything about a machine with an AMD processor."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, skip_or_fail
from test_vmspawn_cpio import peer  # noqa: F401

sys.path[:0] = [str(SOURCE / "tests/integration"), str(SOURCE / "tests/lib")]
import sevsim_host  # noqa: E402
import vmspawn_peer  # noqa: E402

pytestmark = pytest.mark.full

SECONDS = 300
CVMSPAWN = BUILD / "programs/cvmspawn"
SCRIPT = "usr/lib/systemd/tests/testdata/units/TEST-94-COCO.sh"
# The type is that of a root file system for x86-64 (UAPI group, Discoverable Partitions Specification).
DISK = "label: gpt\ntype=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, uuid=57fc81a3-35d9-ab44-a77e-9f0414d77632\n"
WORDS = "console=hvc0 selinux=0 systemd.firstboot=no rw root=PARTUUID=57fc81a3-35d9-ab44-a77e-9f0414d77632"

# The script has fixed paths, /work/vm-images and /testok: it sees a root file system of which it changes a layer in memory.
IN_A_ROOT = ["unshare", "--mount", "sh", "-ec", """
place=$1
shift
mount -t tmpfs layer "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
for folder in proc sys dev tmp run "$KEPT"; do
        mount --rbind "/$folder" "$place/root/$folder"
done
mkdir -p "$place/root/work/vm-images"
mount --bind "$IMAGES" "$place/root/work/vm-images"
status=0
/usr/sbin/chroot "$place/root" "$@" || status=$?
for mark in testok skipped failed; do
        [ ! -e "$place/upper/$mark" ] || echo "MARK: $mark"
done
exit "$status"
""", "sh"]

# systemd-vmspawn asks for the unit that it runs in.
VMSPAWN = """#!/bin/sh -e
mount --bind {folder}/unit /proc/$$/cgroup
exec {command} "$@"
"""


@pytest.fixture(scope="module")
def script():
    folder = vmspawn_peer.cache_folder() / "peers" / "systemd-tests"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run([SOURCE / "tools/private-apt", "sid", "unpack", folder, "systemd-tests"], capture_output=True, text=True, check=False, timeout=600)
            if done.returncode != 0:
                skip_or_fail(f"systemd-tests of Debian sid could not be fetched: {done.stderr.strip()}")
            (folder / "complete").touch()
    if not (folder / SCRIPT).exists():
        skip_or_fail(f"systemd-tests of Debian sid has no {SCRIPT}")
    return folder / SCRIPT


@pytest.fixture
def host(peer, tmp_path):  # noqa: F811
    """The environment of the script: programs, images, a unit."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the script wants /work/vm-images and a unit, and this user may not mount them")
    qemu = sevsim_host.find_qemu() or skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    folder = peer.folder
    images = folder / "images"
    images.mkdir()
    (images / "image.raw").write_bytes(bytes(64 << 20))
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", images / "image.raw"], input=DISK, text=True, check=True, timeout=60)
    shutil.copy(sevsim_host.artifact("KERNEL"), images / "image.vmlinuz")
    shutil.copy(sevsim_host.artifact("INITRD"), images / "image.initrd")
    (folder / "unit").write_text("0::/system.slice/vmspawn.service\n")
    (folder / "place").mkdir()
    for name, text in (
        ("systemd-vmspawn", VMSPAWN.format(folder=folder, command=shlex.join(map(str, peer.command)))),
        ("qemu", f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/given\ncp "$(sed -n "/^-initrd$/{{n;p}}" {folder}/given)" {folder}/initrd\nexec {shlex.quote(str(qemu))} "$@"\n'),
    ):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    kept = str(vmspawn_peer.cache_folder()).lstrip("/")
    return {**peer.env, "IMAGES": str(images), "KEPT": kept}, folder


def run(host, script, coco):
    env, folder = host
    argv = [CVMSPAWN, "sevsim", "--", *IN_A_ROOT, folder / "place", "bash", script]
    done = subprocess.run(list(map(str, argv)), env={**env, "COCO_TYPE": coco}, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert f"Host coco type: {coco}" in done.stdout and "MARK: " not in done.stdout, done
    assert done.returncode == 1 and "guest coco self-check did not pass: vmspawn exit" in done.stderr, done
    return done


def test_the_launch_is_complete(host, script):
    done = run(host, script, "sev-snp")
    folder = host[1]
    assert "vmspawn exit 0 (expected 123)" in done.stderr  # the simulated guest powers off
    assert re.search(r"^sevsim \(simulation\): launch-001: the launch is complete; from here on, hardware runs the guest's code, encrypted, and the simulation does not$",
                     done.stdout, re.MULTILINE), done.stdout  # fmt: skip
    recorded = re.search(r"launch-001: recorded digest ([0-9a-f]{96})$", done.stdout, re.MULTILINE).group(1)
    given = (folder / "given").read_text().splitlines()
    value = {name: given[given.index(name) + 1] for name in ("-bios", "-append", "-cpu")}
    assert value["-append"] == WORDS
    # Its credentials are in the initrd, a fresh SSH key among them, so that only what QEMU was given can be measured.
    initrd = (folder / "initrd").read_bytes()
    assert b".extra/system_credentials/systemd.extra-unit.coco-guest.service.cred" in initrd and b"ssh.ephemeral-authorized_keys-all.cred" in initrd
    argv = [CVMSPAWN, "measure", "--mode=snp", "--vcpus=1", f"--vcpu-type={value['-cpu']}", f"--ovmf={value['-bios']}",
            f"--kernel={folder}/images/image.vmlinuz", f"--initrd={folder}/initrd", f"--append={WORDS}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS).stdout.strip() == recorded


def test_technologies_that_it_does_not_know(host, script):
    """systemd 262 launches SEV-SNP and TDX."""
    for coco in "sev", "sev-es":
        done = run(host, script, coco)
        assert f"Unknown --coco= value: {coco}" in done.stderr and "sevsim (simulation): no launch was recorded" in done.stdout
