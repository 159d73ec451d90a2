# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd as PID 1 in a separate root: name spaces of processes, mounts, control groups and network, this machine's files below an overlay,
and in it another release's systemd, unpacked and never installed. D-Bus and systemd-machined start on demand; nothing of the host is configured."""

import os
import shutil
import signal
import subprocess
import time

from conftest import children_of, name_of

SECONDS = 120

# Control groups of a separate tree: two of these roots would otherwise share one. $0 names the group, $1: a folder; $2: BOOT; then its arguments.
GROUP = r"""
set -e
mount --make-rprivate /
mkdir "$1/groups"
mount -t cgroup2 cgroup "$1/groups"
mkdir "$1/groups/$0"
echo 0 >"$1/groups/$0/cgroup.procs"
umount "$1/groups"
boot=$2
shift 2
exec unshare --cgroup sh -c "$boot" "$@"
"""

UNGROUP = r"""
mount --make-rprivate /
mount -t cgroup2 cgroup "$1/groups"
find "$1/groups/$0" -depth -type d -exec rmdir {} +
"""

# $0: a folder for the mounts; $1: the layer; then pairs of a folder outside and its place inside.
BOOT = r"""
set -e
work=$0 layer=$1
shift
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$work"
mkdir "$work/upper" "$work/work" "$work/root"
cp -a "$layer/." "$work/upper/"
# Older packages have /bin beside /usr/bin.
for folder in bin sbin lib lib64; do
        if [ -d "$work/upper/$folder" ]; then
                mkdir -p "$work/upper/usr/$folder"
                cp -a "$work/upper/$folder/." "$work/upper/usr/$folder/"
                rm -r "$work/upper/$folder"
        fi
done
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" root "$work/root"
cd "$work/root"
units=usr/lib/systemd/system
# Devices, sysctl(8), modules and file systems are the host's: nothing of that is touched.
rm -rf $units/sysinit.target.wants $units/local-fs.target.wants $units/timers.target.wants etc/systemd/system/*.wants etc/fstab
for socket in $units/sockets.target.wants/*; do
        case $socket in
        */dbus.socket | */systemd-machined.socket) ;;
        *) rm "$socket" ;;
        esac
done
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-udevd.service systemd-logind.service \
        modprobe@.service tmp.mount; do
        ln -sf /dev/null "etc/systemd/system/$unit"
done
echo 0123456789abcdef0123456789abcdef >etc/machine-id
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp var/tmp
mkdir -p var/lib/machines
mount -t tmpfs -o mode=755 machines var/lib/machines
while [ $# -gt 0 ]; do
        mkdir -p ".$2"
        mount --rbind "$1" ".$2"
        shift 2
done
mount -t proc proc proc
# Read-only: udev, which could be waited for, is missing.
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
        : >dev/$name
        mount --bind /dev/$name dev/$name
done
mkdir dev/net dev/pts dev/shm
if [ -e /dev/net/tun ]; then
        : >dev/net/tun
        mount --bind /dev/net/tun dev/net/tun
fi
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p old
pivot_root . old
umount -l /old
systemd-sysusers >/dev/null 2>&1 || :
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 /usr/lib/systemd/systemd --unit=basic.target --show-status=no </dev/null
"""


class NotHere(Exception):
    """This machine cannot make such a root."""


class Inside(subprocess.Popen):
    """A program in the root, behind nsenter(1), which waits for it and passes no signals on."""

    def signal(self, number=signal.SIGTERM):
        for pid in children_of(self.pid):
            os.kill(pid, number)

    def kill(self):
        """With what it runs, however young it is."""
        while self.poll() is None:
            try:
                self.signal(signal.SIGKILL)
            except ProcessLookupError:
                pass
            time.sleep(0.005)


class SystemdRoot:
    def __init__(self, folder, layer, binds):
        if os.geteuid() != 0:
            raise NotHere("only root can boot systemd in name spaces")
        for program in "unshare", "nsenter", "pivot_root", "dbus-daemon":
            if not shutil.which(program):
                raise NotHere(f"{program} is missing")
        self.folder = folder
        self.log = open(folder / "boot.log", "w+b")
        (folder / "mounts").mkdir()
        self.group = f"cvmspawn-test-{os.getpid()}-{folder.name}"
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child", "sh", "-c", GROUP, self.group, folder,
             BOOT, folder / "mounts", layer, *(path for pair in binds for path in pair)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.init = self.wait_for(self._find_init, "PID 1 did not start")
            self.wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                          "systemd did not finish to boot")
        except BaseException:
            self.close()
            raise

    def _find_init(self):
        if self.holder.poll() is not None:
            self.log.seek(0)
            raise NotHere(self.log.read().decode(errors="replace")[-500:])
        return next((pid for pid in children_of(self.holder.pid) if name_of(pid) == "systemd"), None)

    def argv(self, *words, env=()):
        return ["nsenter", f"--target={self.init}", "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *env,
                *map(str, words)]

    def run(self, *words, check=True, env=()):
        done = subprocess.run(self.argv(*words, env=env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=SECONDS)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def out(self, *words):
        return self.run(*words).stdout

    def start(self, *words, env=()):
        """A program with its output."""
        return Inside(self.argv(*words, env=env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for(self, condition, otherwise):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.02)
        raise AssertionError(otherwise() if callable(otherwise) else otherwise)

    def write(self, path, text, mode=0o644):
        """A file in the root."""
        with subprocess.Popen(self.argv("sh", "-c", 'umask 022; mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"', "sh", path, f"{mode:o}"),
                              stdin=subprocess.PIPE, text=True) as writer:
            writer.communicate(text, timeout=SECONDS)
            assert writer.returncode == 0

    def close(self):
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()
        self.log.close()
        subprocess.run(["unshare", "--mount", "sh", "-c", UNGROUP, self.group, self.folder], stdin=subprocess.DEVNULL, capture_output=True, check=False)
