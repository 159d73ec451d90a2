# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-qemu-sev-validate and `cvmspawn validate` as things that take a command line and give a Result."""

import json
import os
import subprocess
from pathlib import Path

from conftest import SOURCE, cache_folder, private_apt, skip_or_fail

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"  # Debian's own, for which Debian packages modules


class Peer:
    def __init__(self, script, folder, modules):
        self.script = script
        path = os.pathsep.join([str(HERE / "validate_peer"), *map(str, modules)])
        environment = dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", COLUMNS="80", LC_ALL="C.UTF-8")
        for m in modules:
            environment["LD_LIBRARY_PATH"] = str(m.parents[2] / "lib/x86_64-linux-gnu")
        self.environment = environment
        self.process = subprocess.Popen(
            [PYTHON, HERE / "validate_peer/driver.py", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv, env=None):
        words = [os.fsencode(a).hex() for a in argv]
        self.process.stdin.write(json.dumps({"argv": words, "env": env or {}}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Result(answer["status"], bytes.fromhex(answer["out"]), bytes.fromhex(answer["err"]))

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Result:
    """What a run gave, without what two programs may say differently: usage texts, Python's tracebacks, random packets."""

    def __init__(self, status, out, err):
        self.status, self.out = status, out.decode(errors="surrogateescape")
        self.err = err.decode(errors="surrogateescape")

    def lines(self):
        kept = []
        for line in self.err.splitlines():
            if line.startswith("usage:") or line.startswith(" " * 4) or line.startswith("  File "):
                continue
            if line.startswith(("[DEBUG]: Header:", "[DEBUG]: Secret:")):
                line = line.partition(" (")[0].split(":")[1] + line[line.rindex(" (") :]
            if ": error: " in line and not line.startswith("[DEBUG]"):
                line = line.partition(": error: ")[2]
            kept.append(line)
        return kept

    def seen(self):
        return self.status, self.out, self.lines()


def fetch_peer():
    """The script and the folders with modules that it needs."""
    folder = cache_folder("peers/virt-qemu-sev-validate")
    script = folder / "usr/bin/virt-qemu-sev-validate"
    if not script.exists():
        private_apt("sid", "unpack", str(folder), "libvirt-clients-qemu")
    modules = []
    probe = "import lxml.etree; from cryptography.hazmat.primitives.ciphers import Cipher"
    if subprocess.run([PYTHON, "-c", probe], capture_output=True).returncode != 0:
        packages = folder / "usr/lib/python3/dist-packages"
        if not (packages / "lxml").exists():
            release = subprocess.run(
                ["bash", "-c", '. "$0"; debian_codename', SOURCE / "tools/common.sh"], capture_output=True, text=True
            ).stdout.strip()
            if not release:
                skip_or_fail("python3-lxml and python3-cryptography are missing: install them")
            private_apt(
                release, "unpack", str(folder), "python3-lxml", "libxslt1.1", "python3-cryptography", "python3-cffi-backend"
            )
        modules.append(packages)
    print("peer: libvirt-clients-qemu", private_apt("sid", "version", "libvirt-clients-qemu"))
    return script, modules


