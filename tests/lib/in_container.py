# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command as container engines do without privileges: user 1000 without capabilities and with no_new_privs, read-only root, PID 1 of a PID namespace, a
/dev with seven nodes (no kvm, no shm unless wanted), the denials of Docker's default seccomp profile, and /tmp as the only place to write. Started as root.

    in_container.py [--shm] [--writable=DIR]... [--no-tmp] COMMAND...
"""

import argparse
import ctypes
import ctypes.util
import os
import subprocess
import sys

UID = 1000
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
# moby/profiles, seccomp/default.json: what a container without CAP_SYS_ADMIN and its like may not call.
DENIED = ("acct add_key bpf clock_settime delete_module finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup kcmp "
          "kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open pivot_root quotactl "
          "reboot request_key setdomainname sethostname setns settimeofday swapon swapoff syslog umount umount2 unshare userfaultfd vhangup").split()
NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
ALLOW, ERRNO, MASKED_EQ = 0x7FFF0000, 0x00050000, 7
EPERM, ENOSYS = 1, 38


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def filter_calls():
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(ALLOW)))

    def deny(name, error, *compare):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            array = (Compare * len(compare))(*compare)
            assert seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(ERRNO | error), number, len(compare), array) == 0, name

    for name in DENIED:
        deny(name, EPERM)
    for bit in range(32):
        if NAMESPACES >> bit & 1:
            deny("clone", EPERM, Compare(0, MASKED_EQ, 1 << bit, 1 << bit))
    deny("clone3", ENOSYS)
    assert seccomp.seccomp_load(context) == 0


def must(*words):
    subprocess.run(words, check=True)


def inside(options):
    """In namespaces of our own, as root; PID 1 here is a shell's child and replaced by the command below."""
    must("mount", "--make-rprivate", "/")
    must("mount", "-t", "proc", "proc", "/proc")
    must("mount", "-t", "tmpfs", "-o", "mode=755", "dev", "/mnt")
    for name in DEVICES:
        open(f"/mnt/{name}", "w").close()
        must("mount", "--bind", f"/dev/{name}", f"/mnt/{name}")
    if options.shm:
        os.mkdir("/mnt/shm")
        must("mount", "-t", "tmpfs", "-o", "mode=1777,size=64m", "shm", "/mnt/shm")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        os.symlink(target, f"/mnt/{name}")
    must("mount", "--rbind", "/mnt", "/dev")
    for place in options.writable:
        must("mount", "--bind", place, place)
    if not options.no_tmp:
        # What tests have made there stays visible, to read.
        keep = os.open("/tmp", os.O_PATH)
        must("mount", "-t", "tmpfs", "-o", "mode=1777", "tmp", "/tmp")
        for word in {*options.writable, *options.visible}:
            if word.startswith("/tmp/"):
                os.makedirs(word, exist_ok=True)
                must("mount", "--no-canonicalize", "--bind", f"/proc/{os.getpid()}/fd/{keep}/{word[5:]}", word)
        os.close(keep)
    must("mount", "-o", "remount,bind,ro", "/")
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            place = line.split()[4]
            if place.startswith(("/run", "/var", "/root", "/home", "/work", "/sys")):
                subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False, stderr=subprocess.DEVNULL)
    os.setgroups([])
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(41):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    filter_calls()
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **{n: v for n, v in os.environ.items() if n.startswith(("XDG_DATA", "CVMSPAWN_"))}}
    os.execvpe(options.command[0], options.command, env)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shm", action="store_true")
    parser.add_argument("--no-tmp", action="store_true")
    parser.add_argument("--writable", action="append", default=[])
    parser.add_argument("--visible", action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if os.environ.pop("IN_CONTAINER", None):
        inside(options)
    os.execvpe("unshare", ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child", sys.executable, "-B", *sys.argv], {**os.environ, "IN_CONTAINER": "1"})


main()
