#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs commands on a small disk: `unshare -m small_disk.py MOUNTPOINT`, with {"argv", "stdin", "stdout", "fd", "cwd", "rooms", "again"} as a line of JSON for each on
standard input. Each runs with room, then with fewer and fewer free pages, then on a read-only disk; a line of JSON says how it went."""

import ctypes
import hashlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = 64 << 20
ROOMS = 10  # how many sizes are tried
REMOUNT, READ_ONLY = 32, 1


def mount(place, flags, data):
    if ctypes.CDLL(None, use_errno=True).mount(b"none", os.fsencode(place), b"tmpfs", flags, data.encode()) < 0:
        sys.exit(f"a tmpfs cannot be mounted: {os.strerror(ctypes.get_errno())}")


def listing(folder):
    return {str(p.relative_to(folder)): [p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest()] for p in sorted(folder.rglob("*")) if p.is_file()}


class Disk:
    def __init__(self, place):
        self.place, self.out, self.fill = place, place / "out", place / "fill"
        mount(place, 0, f"size={SIZE},mode=0755")

    def free(self):
        s = os.statvfs(self.place)
        return s.f_bavail * s.f_frsize // PAGE

    def clean(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.fill.unlink(missing_ok=True)
        self.out.mkdir(mode=0o711)

    def leave(self, pages):
        with open(self.fill, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, max(self.free() - pages, 1) * PAGE)

    def run(self, case):
        """One run of the command."""
        text, pipes = case.get("stdin", ""), {"stdout": subprocess.PIPE}
        opened = []
        try:
            if name := case.get("stdout"):
                opened.append(os.open(self.out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
                pipes["stdout"] = opened[-1]
            if name := case.get("fd"):
                opened.append(os.open(self.out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
                opened.append(os.dup2(opened[-1], 60))
                pipes["pass_fds"] = [60]
        except OSError:
            return None  # the shell would say so
        done = subprocess.run(case["argv"], input=text.encode(), stderr=subprocess.PIPE, timeout=60, check=False, cwd=self.out if case.get("cwd") else self.place, **pipes)
        for fd in opened:
            os.close(fd)
        return {"status": done.returncode, "out": (done.stdout or b"").decode(errors="replace"), "err": done.stderr.decode(errors="replace"), "files": listing(self.out)}

    def try_all(self, case):
        self.clean()
        before = self.free()
        good = self.run(case)
        taken = before - self.free()
        n = case.get("rooms", ROOMS)
        rooms = sorted({round(i * taken / n) for i in range(n)}) if taken > n else range(taken)
        runs = []
        for pages in rooms:
            self.clean()
            self.leave(pages)
            runs.append({"room": pages, **(self.run(case) or {"refused": True})})
            self.fill.unlink()
            if case.get("again"):
                runs[-1]["again"] = self.run(case)
        self.clean()
        if case.get("again"):
            self.run(case)  # what is read-only now was made before
        mount(self.place, REMOUNT | READ_ONLY, f"size={SIZE}")
        runs.append({"room": "read-only", **(self.run(case) or {"refused": True})})
        mount(self.place, REMOUNT, f"size={SIZE}")
        return {"good": good, "taken": taken, "runs": runs}


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    disk = Disk(pathlib.Path(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(disk.try_all(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
