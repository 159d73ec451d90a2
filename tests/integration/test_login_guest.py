# SPDX-License-Identifier: LGPL-2.1-or-later
"""ssh into a real guest under TCG, by vsock and by a published port, with the key that the launcher made for it. The guest is ours, with
Debian's own sshd behind it; the vsock device is vhost-device-vsock of Debian sid, since few machines of tests have the kernel's."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SOURCE, skip_or_fail
from launcher_fake import newc

BOOT = 240  # seconds: a busy machine needs many, an idle one twenty
LIBRARIES = "usr/lib/x86_64-linux-gnu"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
CONNECT = """\
import os, select, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"CONNECT 22\\n")
answer = b""
while not answer.endswith(b"\\n"):
    byte = s.recv(1)
    if not byte:
        sys.exit("no answer")
    answer += byte
while True:
    ready, _, _ = select.select([0, s], [], [])
    for source, sink in (0, s.fileno()), (s.fileno(), 1):
        if (source if source == 0 else s) in ready:
            data = os.read(source, 65536)
            if not data:
                sys.exit(0)
            os.write(sink, data)
"""
SERVE = """\
set -e
modprobe -a vmw_vsock_virtio_transport virtio_net
mkdir -p /run/sshd /root /etc/ssh
chmod 0755 /  # the initramfs has 1777, where sshd trusts no keys
chmod 0700 /root
: >/etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/key
i=0; until [ -e /dev/vsock ] && [ -d /sys/class/net/e* ]; do sleep 0.1; i=$((i+1)); [ $i -lt 300 ]; done
cd /sys/class/net; for n in e*; do :; done
busybox ip link set lo up
busybox ip link set $n up
busybox ip addr add 10.0.2.15/24 dev $n
export CREDENTIALS_DIRECTORY=/run/credentials/@system
systemd-tmpfiles --create /usr/lib/tmpfiles.d/provision.conf
serve="/usr/sbin/sshd -h /etc/ssh/key -o UsePAM=no -o SshdSessionPath=/usr/bin/sshd-session -o SshdAuthPath=/usr/bin/sshd-auth"
$serve
systemd-socket-activate --listen=vsock::22 --inetd -a $serve -i \
    -o AuthorizedKeysFile=$CREDENTIALS_DIRECTORY/ssh.ephemeral-authorized_keys-all &
echo serving
until [ -e /run/stop ]; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def sid():
    """sshd with what it links, a static busybox, and vhost-device-vsock, unpacked once into the cache."""
    if not shutil.which("ssh"):
        skip_or_fail("ssh is missing: install openssh-client")
    cache = subprocess.run(["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True,
                           check=True)
    folder = Path(cache.stdout.strip()) / "peers" / "login"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for how, *packages in ("closure", "openssh-server", "busybox-static"), ("unpack", "vhost-device-vsock"):
                done = subprocess.run([SOURCE / "tools/private-apt", "sid", how, folder, *packages], capture_output=True, text=True)
                if done.returncode != 0:
                    skip_or_fail(f"Debian sid's sshd cannot be fetched: {done.stderr.strip()[-300:]}")
            (folder / "complete").touch()
    return folder


@pytest.fixture
def server(sid, tmp_path):
    """An initrd part with sshd."""
    files = {"etc/passwd": PASSWD.encode(), "etc/shadow": b"root:*:20000::::::\nsshd:*:20000::::::\n", "usr/bin/serve": SERVE.encode()}
    for name in "usr/bin/ssh-keygen", "usr/bin/busybox", "usr/sbin/sshd":
        files[name] = (sid / name).read_bytes()
    for name in "sshd-session", "sshd-auth":  # their own folder is missing in the guest
        files[f"usr/bin/{name}"] = (sid / "usr/lib/openssh" / name).read_bytes()
    for path in (sid / LIBRARIES).glob("*.so*"):
        if path.is_file() and path.name.startswith(("libaudit", "libcap-ng", "libcrypt", "libwrap", "libwtmpdb", "libz.", "libpam.",
                                                     "libselinux", "libpcre2", "libcbor", "libfido2", "libsqlite3")):  # fmt: skip
            files[f"{LIBRARIES}/{path.name}"] = path.read_bytes()
    part = tmp_path / "server.cpio"
    part.write_bytes(newc(files))
    return part


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ssh(key, command, *options):
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
         "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *map(str, options), command],
        capture_output=True, text=True, timeout=BOOT, check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.full
def test_ssh_runs_a_command(cvmspawn, sid, server, tmp_path):
    """By vsock with the credential as it is, by TCP with the file that the guest's tmpfiles make of the other one."""
    port, place, proxy = free_port(), tmp_path / "rt", tmp_path / "connect.py"
    place.mkdir()
    proxy.write_text(CONNECT)
    run = cvmspawn.start_guest(
        f"--initrd={server}", "--vsock=user", "--vsock-cid=77", "--pass-ssh-key=yes", "--network-user-mode", f"--publish={port}:22",
        "--tpm=no", "--ram=1G", f"--timeout={BOOT}", "--status-fd=2", "--run=sh /usr/bin/serve",
        env={"PATH": f"{os.environ['PATH']}:{sid / 'usr/bin'}", "RUNTIME_DIRECTORY": str(place)},
    )
    run.wait_for_output(b"serving", timeout=BOOT)
    event = next(json.loads(line) for line in run.output("stderr").splitlines() if b'"login"' in line)
    key, mux = event["key"], event["ssh"].removeprefix("vsock-mux")
    assert event["cid"] == 77
    deadline = time.monotonic() + 60
    while True:  # nothing says when the guest listens
        by_vsock = ssh(key, "echo vsock $((6 * 7)); echo problem >&2; exit 3", "-o",
                       f"ProxyCommand={sys.executable} {proxy} {mux}", "root@guest")  # fmt: skip
        if by_vsock[0] != 255 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert by_vsock == (3, "vsock 42\n", "problem\n")
    by_tcp = ssh(key, "echo tcp; cat /root/.ssh/authorized_keys; touch /run/stop", "-p", port, "root@127.0.0.1")
    assert by_tcp[0] == 0 and by_tcp[1] == "tcp\n" + Path(f"{key}.pub").read_text()
    result = run.wait(BOOT)
    assert (result.status, result.leftovers) == (0, []), result.err
    assert list(place.iterdir()) == []
