# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories of the host in real guests under TCG: --bind=, --bind-ro= and --directory= by virtiofsd."""

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from conftest import Cvmspawn, adopt_orphans, build_folder, descendants_of, name_of, skip_or_fail

BOOT = 240  # seconds: a busy machine needs many, an idle one five to ten
INSTALLED = [place for place in ("/usr/libexec/virtiofsd", "/usr/lib/virtiofsd") if os.path.exists(place)]


@pytest.fixture
def path(artifacts):
    """The environment that finds the artifacts' virtiofsd."""
    return {"PATH": f"{artifacts['VIRTIOFSD'].parent}:{os.environ['PATH']}"}


def folders(parent):
    for name in "rw", "ro":
        (parent / name).mkdir(parents=True)
        (parent / name / "from-host").write_text(f"host {name}\n")
    return parent / "rw", parent / "ro"


SCRIPT = (
    "cat /src/from-host /src/sub/a*/from-host; echo from guest >/src/from-guest; mkdir /src/made; "
    "for i in 1 2; do "
    "for what in 'touch /src/sub/a:b/new' 'rm /src/sub/a:b/from-host' 'mkdir /src/sub/a:b/made' 'chmod 777 /src/sub/a:b/from-host'; do "
    "eval \"$what\" 2>/dev/null && echo \"done: $what\"; done; "
    "echo changed 2>/dev/null >/src/sub/a:b/from-host && echo overwritten; mount -o remount,rw /src/sub/a:b; done; :"
)


def test_written_and_read_only(cvmspawn, path, tmp_path):
    """The host sees what the guest writes; where it may not, the guest's own mount options do not help it."""
    rw, ro = folders(tmp_path)
    result = cvmspawn.boot(
        f"--bind={rw}:/src", f"--bind-ro={ro}:/src/sub/a\\:b", f"--run={SCRIPT}", "--tpm=no", env=path, timeout=BOOT)
    assert (result.status, result.out, result.leftovers) == (0, "host rw\nhost ro\n", []), result.err
    assert (rw / "from-guest").read_text() == "from guest\n" and (rw / "made").is_dir()
    assert os.stat(rw / "from-guest").st_uid == os.geteuid()
    assert sorted(os.listdir(ro)) == ["from-host"] and (ro / "from-host").read_text() == "host ro\n"
    assert os.stat(ro / "from-host").st_mode & 0o777 == os.stat(rw / "from-host").st_mode & 0o777
    assert "virtiofsd" not in result.err and "vhost" not in result.err


@contextlib.contextmanager
def as_nobody(artifacts):
    """A folder of user 65534 and a function that runs cvmspawn as that user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tool = Cvmspawn(build_folder() / "programs" / "cvmspawn", artifacts, folder)

        def run(*arguments):
            for place in [folder, *folder.rglob("*")]:
                os.chown(place, 65534, 65534, follow_symlinks=False)
            result = tool.start(
                *arguments, env={"PATH": f"{artifacts['VIRTIOFSD'].parent}:{os.environ['PATH']}", "HOME": name, "XDG_CACHE_HOME": name},
                prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).wait(BOOT)
            if "Permission denied" in result.err and str(build_folder()) in result.err:
                skip_or_fail("the build directory cannot be reached by another user")
            return result

        adopt_orphans(True)
        try:
            yield folder, tool.guest, run
        finally:
            adopt_orphans(False)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a user without privileges runs the tests anyway")


@needs_root
def test_without_privileges(artifacts):
    """All that the guest makes belongs to the user, whatever user of the guest made it; nothing needs a privilege."""
    with as_nobody(artifacts) as (folder, guest, run):
        rw, ro = folders(folder)
        result = run(*guest, f"--bind={rw}:/src", f"--bind-ro={ro}:/src/sub/a\\:b", "--tpm=no",
                     "--run=touch /src/x && chown 7:8 /src/x && stat -c %u /src /src/x; " + SCRIPT)
        assert (result.status, result.out) == (0, "0\n0\nhost rw\nhost ro\n"), result.err
        for entry in "from-guest", "made", "x":
            assert os.stat(rw / entry).st_uid == 65534
        assert sorted(os.listdir(ro)) == ["from-host"] and (ro / "from-host").read_text() == "host ro\n"


@needs_root
@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_root_directory_without_privileges(artifacts, kernel, ephemeral):
    with as_nobody(artifacts) as (folder, guest, run):
        root = make_root(folder / "root", kernel)
        before = state_of(root)
        result = run(guest[0], "--kvm=no", "--tpm=no", "-D", root, *["-x"] * ephemeral)
        assert (result.status, result.leftovers) == (0, []), result.err
        if ephemeral:
            assert {place: state[0] for place, state in state_of(root).items()} == {place: state[0] for place, state in before.items()}
            assert (root / "owned").stat().st_mtime_ns == before[root / "owned"][5]
        else:
            assert (root / "result").read_text().splitlines()[-3:] == ["owner 0 0", "/rw: written", "/ro: written"]
            assert {place.stat().st_uid for place in root.rglob("*")} == {65534}


def servers_of(run):
    return [pid for pid in descendants_of(run.pid) if name_of(pid) == "virtiofsd"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_server(cvmspawn, path, tmp_path, which):
    """virtiofsd is two processes; if one of them ends, the guest ends, and one line says why."""
    rw, _ = folders(tmp_path)
    run = cvmspawn.start_guest(f"--bind={rw}:/src", "--run=echo up; sleep 1000", "--tpm=no", "-q", env=path)
    run.wait_for_output(b"up", timeout=BOOT)
    os.kill(servers_of(run)[which], signal.SIGKILL)
    result = run.wait(60)
    assert (result.status, result.leftovers) == (125, [])
    assert result.err.splitlines() == [
        f"cvmspawn: virtiofsd, which gives the guest --bind='{rw}', "
        + ("was killed by signal 9" if which == 0 else "exited with status 247")]


def test_a_killed_qemu_is_not_the_servers_fault(cvmspawn, path, tmp_path):
    rw, _ = folders(tmp_path)
    run = cvmspawn.start_guest(f"--bind={rw}:/src", "--status-fd=1", "--run=sleep 1000", "--tpm=no", "-q", env=path)
    run.wait_for_output(b'"started"', timeout=60)
    os.kill(run.qemu_pid(), signal.SIGKILL)
    result = run.wait(60)
    assert (result.status, result.leftovers) == (125, [])
    assert result.err.splitlines() == ["cvmspawn: QEMU was killed"]


@pytest.mark.parametrize("phase", ["servers", "qemu", "running"])
def test_a_killed_launcher_leaves_nothing(cvmspawn, path, tmp_path, phase):
    rw, ro = folders(tmp_path)
    run = cvmspawn.start_guest(f"--bind={rw}:/src", f"--bind-ro={ro}:/ro", "--status-fd=1", "--run=sleep 1000", "--tpm=no", env=path)
    if phase == "servers":
        run.wait_for(lambda: servers_of(run), 60, "virtiofsd did not start")
    else:
        run.qemu_pid(timeout=60)
    if phase == "running":
        run.wait_for_output(b'"started"', timeout=60)
        assert len(servers_of(run)) == 4
    run.signal(signal.SIGKILL)
    result = run.wait(60)
    assert (result.status, result.leftovers) == (-signal.SIGKILL, [])


def stand_in(folder, text):
    folder.mkdir()
    program = folder / "virtiofsd"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_server_that_will_not_do(cvmspawn, tmp_path):
    rw, _ = folders(tmp_path)
    words = f"--bind={rw}:/src", "--run=true", "--tpm=no", "-q"
    old = cvmspawn.boot(*words, env=stand_in(tmp_path / "old", "echo virtiofsd version 7.2.22; echo using FUSE kernel interface"))
    assert (old.status, old.leftovers) == (125, [])
    assert old.err == (
        f"cvmspawn: --bind: '{tmp_path}/old/virtiofsd' does not do ('virtiofsd version 7.2.22'); install virtiofsd 1.13 or later "
        "(package virtiofsd; Debian 12 has none that is new enough, take Debian 13's)\n")

    script = 'case $1 in --version) echo virtiofsd 1.14.0;; *) echo "[now ERROR virtiofsd] no sandbox here" >&2; exit 3;; esac'
    fails = cvmspawn.boot(*words, env=stand_in(tmp_path / "fails", script))
    assert (fails.status, fails.leftovers) == (125, [])
    lines = fails.err.splitlines()
    assert lines[0] == f"cvmspawn: --bind='{rw}': virtiofsd: no sandbox here"
    assert lines[-1] == f"cvmspawn: virtiofsd, which gives the guest --bind='{rw}', exited with status 3"

    if not INSTALLED and not shutil.which("virtiofsd"):
        none = cvmspawn.boot(*words)
        assert (none.status, none.leftovers) == (125, [])
        assert none.err.startswith("cvmspawn: --bind: virtiofsd was not found; install virtiofsd 1.13 or later")


def make_root(folder, kernel):
    """A root directory whose PID 1 is tests/lib/guest-root, and whose kernel lies where distributions have it."""
    program = build_folder() / "tests/lib/guest-root"
    if not program.exists():
        skip_or_fail("guest-root is not built: it needs a static libc")
    for name in ("dev", "proc", "sys", "run", "tmp", "rw", "ro", "boot", "sbin", "etc"):
        (folder / name).mkdir(parents=True)
    shutil.copy(program, folder / "sbin/init")
    (folder / "etc/os-release").write_text("ID=test\n")
    (folder / "owned").touch()
    shutil.copy(kernel, folder / "boot/vmlinuz-7.10")
    (folder / "boot/vmlinuz-7.9").write_bytes(b"an older one, and no kernel")
    (folder / "boot/initrd.img-7.9").write_bytes(b"of the older one")
    return folder


@pytest.fixture
def root(tmp_path, kernel):
    return make_root(tmp_path / "root", kernel)


def boot_root(cvmspawn, qemu, root, path, *arguments):
    result = cvmspawn.run(f"--qemu={qemu}", "--kvm=no", "--tpm=no", "-D", root, *arguments, env=path, timeout=BOOT)
    assert (result.status, result.leftovers) == (0, []), result.err
    return (root / "result").read_text()


def test_a_root_directory_without_an_initrd(cvmspawn, qemu, root, path, tmp_path):
    """The kernel is the newest in there, and mounts the root itself; all of it is the guest's."""
    rw, ro = folders(tmp_path)
    for place in [root, *root.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(place, 100000, 100000)
    owner = os.stat(root).st_uid
    result = boot_root(cvmspawn, qemu, root, path, f"--bind={rw}:/rw", f"--bind-ro={ro}:/ro", "--", "--", "mnt0=/rw", "mnt1=/ro")
    assert [line.split()[:4:3] for line in result.splitlines()[:3]] == [
        [name, "rw,relatime"] for name in ("root" if "root / " in result else "/dev/root", "mnt0", "mnt1")]
    assert result.splitlines()[3:] == ["owner 0 0", "/rw: written", "/ro: Read-only file system"]
    assert (rw / "from-guest").read_text() == "guest\n" and not (ro / "from-guest").exists()
    assert os.stat(root / "result").st_uid == owner
    owned = os.stat(root / "owned")
    assert (owned.st_uid, owned.st_gid) == ((100007, 100008) if os.geteuid() == 0 else (owner, os.getegid()))


def state_of(folder):
    found = {place: os.lstat(place) for place in [folder, *folder.rglob("*")]}
    return {place: (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns) for place, st in found.items()}


def test_an_ephemeral_root(cvmspawn, qemu, root, path, tmp_path):
    """The guest changes its root as it likes, sees it, and nothing of it stays; a bind beside it stays what it is."""
    rw, _ = folders(tmp_path)

    before = state_of(root)
    words = f"--qemu={qemu}", "--kvm=no", "--tpm=no", "-D", root
    result = cvmspawn.run(*words, "-x", f"--bind={rw}:/rw", "--", "--", "mnt0=/rw", env=path, timeout=BOOT)
    assert (result.status, result.leftovers) == (0, []), result.err
    assert state_of(root) == before
    assert (rw / "from-guest").read_text() == "guest\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_other_user_ids(cvmspawn, qemu, root, path):
    """--private-users= counts from another id than the owner's."""
    for place in [root, *root.rglob("*")]:
        os.chown(place, 200005, 200006)
    root.chmod(0o777)
    result = boot_root(cvmspawn, qemu, root, path, "--private-users=200000:10")
    assert "owner 5 6" in result.splitlines()
    assert os.stat(root / "result").st_uid == 200000
    owned = os.stat(root / "owned")
    assert (owned.st_uid, owned.st_gid) == (200007, 200008)


def test_a_root_directory_with_its_initrd(cvmspawn, qemu, initrd, root, path, tmp_path):
    """systemd in the initrd mounts root and directories, and starts the root's PID 1. A second guest does not get the root."""
    rw, ro = folders(tmp_path)
    shutil.copy(initrd, root / "boot/initrd.img-7.10")
    result = boot_root(cvmspawn, qemu, root, path, f"--bind={rw}:/rw", f"--bind-ro={ro}:/ro")
    assert sorted(line.split()[0] for line in result.splitlines() if "virtiofs" in line) == ["mnt0", "mnt1", "root"]
    assert result.splitlines()[3:] == ["owner 0 0", "/rw: written", "/ro: Read-only file system"]
    assert (rw / "from-guest").read_text() == "guest\n" and not (ro / "from-guest").exists()


def test_a_root_directory_in_use(cvmspawn, qemu, root, path):
    words = f"--qemu={qemu}", "--kvm=no", "--tpm=no", "-D", root, "--status-fd=1"
    first = cvmspawn.start(*words, "init=/nowhere", "panic=0", env=path)
    first.wait_for_output(b'"started"', timeout=60)
    second = cvmspawn.run(*words, env=path)
    assert (second.status, second.leftovers) == (125, [])
    assert f"--directory='{root}': the directory is in use, perhaps by another guest" in second.err
    first.signal()
    first.signal()
    assert first.wait(60).leftovers == []


@pytest.mark.full
def test_a_reset_keeps_the_directories(cvmspawn, qemu, root, path, tmp_path):
    rw, _ = folders(tmp_path)
    result = boot_root(cvmspawn, qemu, root, path, "--reboot=reset", f"--bind={rw}:/rw", "--", "--", "mnt0=/rw", "twice")
    assert (root / "first").exists() and result.splitlines()[-2] == "/rw: written"
    assert (rw / "from-guest").read_text() == "guest\n"


def test_the_servers_arguments(cvmspawn, qemu, kernel, tmp_path):
    """As systemd-vmspawn 262.1 has them, but for --readonly, and for an ordinary user."""
    rw, ro = folders(tmp_path)
    log = tmp_path / "log"
    record = f'case $1 in --version) echo virtiofsd 1.13.0;; *) echo "$@" >>{log}; sleep 1; exit 3;; esac'
    user = os.geteuid() == 0
    words = ["--private-users=70000:9"] * user
    result = cvmspawn.run(f"--qemu={qemu}", "--kvm=no", "--tpm=no", f"--linux={kernel}", "-D", tmp_path, f"--bind={rw}:/rw", f"--bind-ro={ro}:/ro", *words,
                          env=stand_in(tmp_path / "record", record))
    assert (result.status, result.leftovers) == (125, [])
    common = "--xattr --no-announce-submounts --log-level=error --modcaps=-mknod"
    root = "--translate-uid=map:0:70000:9 --translate-gid=map:0:70000:9"
    own = (f"--uid-map=:0:{os.geteuid()}:1: --gid-map=:0:{os.getegid()}:1: "
           "--translate-uid=squash-guest:0:0:4294967295 --translate-gid=squash-guest:0:0:4294967295")
    said = sorted(re.sub(r"--fd=\d+", "--fd=N", line) for line in log.read_text().splitlines())
    assert said == sorted(f"--shared-dir={place} --fd=N {common} {further}".strip() for place, further in (
        (tmp_path, root if user else own), (rw, "" if user else own), (ro, "--readonly" if user else f"--readonly {own}")))


@pytest.mark.full
@pytest.mark.parametrize("ephemeral", [False, True])
def test_killed_at_50_points(cvmspawn, qemu, root, path, tmp_path, ephemeral):
    """SIGKILL of the launcher, from its first instruction to a guest that boots: no process, file or mount is left."""
    rw, ro = folders(tmp_path)
    mounts = Path("/proc/mounts").read_text()
    for point in range(50):
        run = cvmspawn.start(f"--qemu={qemu}", "--kvm=no", "--tpm=no", "-D", root, *["-x"] * ephemeral, f"--bind={rw}:/rw", f"--bind-ro={ro}:/ro", env=path)
        time.sleep(point * 0.01)
        run.signal(signal.SIGKILL)
        assert run.wait(60).leftovers == [], point
    assert [line for line in Path("/proc/mounts").read_text().splitlines() if line not in mounts and str(tmp_path) in line] == []
