# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users of the host in a real guest under TCG (--bind-user=): the records that its systemd gets, and the home directory by virtiofsd. The host's
user database is one of the test's, mounted over the real one where nobody else sees it. What reads the records in the guest is Debian sid's
userdbctl and libnss-systemd, which our guest itself does not have."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SOURCE, skip_or_fail
from launcher_fake import newc

BOOT = 240  # seconds: a busy machine needs many, an idle one five to ten
UID, GID, GUEST = 4321, 4322, 60514
HASH = "$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012"
FILES = {
    "passwd": "root:x:0:0::/root:/bin/sh\nalice:x:{UID}:{GID}::{home}:/bin/zsh\nlocked:x:4400:4400::{home}:\n",
    "group": "root:x:0:\nstaff:x:{GID}:\n",
    "shadow": "root:*:20000::::::\nalice:" + HASH + ":20000::::::\nlocked:!" + HASH + ":20000::::::\n",
}
SCRIPT = """
cd /run/credentials/@system
cat userdb.transient.user.alice userdb.transient.group.alice userdb.transient.user.locked
cd /run/vmhost/home/alice
stat -c '%u %g' . from-host
setpriv --reuid=60514 --regid=60514 --clear-groups sh -c 'echo from guest >from-guest'
stat -c '%u %g' from-guest
CREDENTIALS_DIRECTORY=/run/credentials/@system userdbctl load-credentials  # as its service does, which is not for initrds
getent passwd alice
getent group alice
id -un 60514
userdbctl groups-of-user alice --output=classic | sort
"""
GUEST_FILES = ("usr/bin/userdbctl", "usr/lib/x86_64-linux-gnu/libnss_systemd.so.2")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can share other users' homes")


@pytest.fixture
def host(artifacts, tmp_path):
    """What runs cvmspawn on a host with the user alice, and his home."""
    if not shutil.which("unshare"):
        skip_or_fail("unshare is missing: install util-linux")
    home = tmp_path / "home"
    home.mkdir()
    (home / "from-host").write_text("host\n")
    for place in home, home / "from-host":
        os.chown(place, UID, GID)
    mounts = []
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("{UID}", str(UID)).replace("{GID}", str(GID)).replace("{home}", str(home)))
        mounts.append(f"mount --bind {tmp_path / name} /etc/{name}")
    return {"prefix": ["unshare", "--mount", "--", "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh"],
            "env": {"PATH": f"{artifacts['VIRTIOFSD'].parent}:{os.environ['PATH']}"}}, home


@pytest.fixture
def reader(tmp_path):
    """An initrd part with what reads the records, unpacked once into the cache."""
    cache = subprocess.run(["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True,
                           check=True)
    folder = Path(cache.stdout.strip()) / "peers" / "userdb"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run([SOURCE / "tools/private-apt", "sid", "unpack", folder, "systemd-userdbd", "libnss-systemd"], capture_output=True,
                                  text=True, check=False)
            if done.returncode != 0:
                skip_or_fail(f"Debian sid's userdbctl cannot be fetched: {done.stderr.strip()[-300:]}")
            (folder / "complete").touch()
    files = {name: (folder / name).read_bytes() for name in GUEST_FILES}
    files["etc/nsswitch.conf"] = b"passwd: files systemd\ngroup: files systemd\n"
    part = tmp_path / "reader.cpio"
    part.write_bytes(newc(files))
    return part


@pytest.mark.full
def test_records_and_home(cvmspawn, host, reader):
    """Owner and group are mapped one to one, whatever numbers they have; a hash that is locked is not handed on."""
    options, home = host
    result = cvmspawn.boot("--bind-user=alice", "--bind-user=locked", "--bind-user-shell=yes", "--bind-user-group=wheel", "--bind-user-group=adm",
                           f"--initrd={reader}", f"--run={SCRIPT}", "--tpm=no", timeout=BOOT, **options)
    assert (result.status, result.leftovers) == (0, []), result.err
    lines = result.out.splitlines()
    record = {"userName": "alice", "uid": GUEST, "gid": GUEST, "homeDirectory": "/run/vmhost/home/alice", "service": "io.systemd.NSpawn",
              "memberOf": ["wheel", "adm"], "shell": "/bin/zsh", "privileged": {"hashedPassword": [HASH]}}  # fmt: skip
    assert json.loads(lines[0]) == record
    assert json.loads(lines[1]) == {"groupName": "alice", "gid": GUEST, "service": "io.systemd.NSpawn"}
    assert json.loads(lines[2]) == {"userName": "locked", "uid": GUEST + 1, "gid": GUEST + 1, "homeDirectory": "/run/vmhost/home/locked",
                                    "service": "io.systemd.NSpawn", "memberOf": ["wheel", "adm"], "privileged": {}}  # fmt: skip
    assert lines[3:6] == [f"{GUEST} {GUEST}"] * 3
    assert lines[6:9] == [f"alice:x:{GUEST}:{GUEST}:alice:/run/vmhost/home/alice:/bin/zsh", f"alice:x:{GUEST}:", "alice"]
    assert {"alice:adm", "alice:wheel"} <= set(lines[9:]), lines[9:]
    written = os.stat(home / "from-guest")
    assert (written.st_uid, written.st_gid) == (UID, GID) and (home / "from-guest").read_text() == "from guest\n"
    assert HASH not in result.err


def test_wrong_users(cvmspawn, host):
    options, _ = host
    for name, words in ("nobody", "has a user 'nobody' already"), ("bob", "this host has no user 'bob'"):
        result = cvmspawn.boot(f"--bind-user={name}", "--run=true", "--tpm=no", **options)
        assert (result.status, result.out, result.leftovers) == (125, "", []) and words in result.err
        assert result.err.count("\n") == 1
