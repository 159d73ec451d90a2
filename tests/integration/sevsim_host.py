# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts an unmodified QEMU on the simulated SEV host and reads what was recorded."""

import base64
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess

import pytest
from sevsim_find import find_qemu

SECONDS = 60


def build_folder():
    """Where the programs under test lie: meson says so, or it is the usual build folder."""
    return pathlib.Path(os.environ.get("CVMSPAWN_BUILD", pathlib.Path(__file__).parents[2] / "b"))


def artifact(name):
    """One of tools/artifacts' files, or a skip."""
    source = pathlib.Path(__file__).parents[2]
    out = subprocess.run([source / "tools" / "artifacts"], capture_output=True, text=True, check=False).stdout
    for line in out.splitlines():
        key, _, value = line.partition("=")
        (path,) = shlex.split(value) or [""]
        if key == name and os.path.exists(path):
            return pathlib.Path(path)
    return skip_or_fail(f"{name} is not in the cache: run tools/fetch-artifacts")


def skip_or_fail(reason):
    if os.environ.get("MUST_WORK") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Launch:
    """One folder of the record."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = [json.loads(line) for line in (folder / "commands.jsonl").read_text().splitlines()]
        self.pages = (folder / "pages.bin").read_bytes()

    def text(self, name):
        path = self.folder / name
        return path.read_text().strip() if path.exists() else None

    @property
    def digest(self):
        return self.text("digest")

    def commands(self, name):
        return [line for line in self.lines if line["command"] == name]

    @property
    def refused(self):
        return [line for line in self.lines if "refused" in line]


class Qmp:
    """Just enough of the monitor's protocol for tests: one command at a time, events skipped."""

    def __init__(self, connection):
        self.connection = connection
        self.stream = connection.makefile("rwb")
        self.stream.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise EOFError(f"QEMU ended during {command}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])


class SimHost:
    def __init__(self, folder):
        self.folder = folder
        self.record = folder / "record"
        self.record.mkdir()
        self.processes = []
        self.qemu = find_qemu()
        self.library = build_folder() / "sevsim" / "sevsim.so"
        # The simulated /dev/sev is root's, as on a host; who runs the tests without being root gets it opened.
        self.environment = {} if os.geteuid() == 0 else {"CVMSPAWN_SEVSIM_NODE": "0666:0:0"}
        if not self.qemu:
            skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
        if not self.library.exists():
            skip_or_fail(f"the simulated host is not built: {self.library} is missing")

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def arguments(self, mode, firmware, vcpus=1, model="EPYC-v4", memory=256, kernel=None, initrd=None, words=None,
                  machine="", smp="", extra=(), **properties):
        snp = mode == "snp"
        sev = {"qom-type": "sev-snp-guest" if snp else "sev-guest", "id": "sev0", "cbitpos": 51,
               "reduced-phys-bits": 1, **properties}
        argv = [self.qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none",
                "-machine", "q35,accel=kvm,vmport=off,confidential-guest-support=sev0" + machine,
                "-cpu", model, "-smp", smp or str(vcpus), "-m", str(memory),
                "-bios", str(self.file("firmware.fd", firmware))]
        if kernel is not None:
            sev["kernel-hashes"] = True
            argv += ["-kernel", str(self.file("kernel", kernel))]
            if initrd is not None:
                argv += ["-initrd", str(self.file("initrd", initrd))]
            if words is not None:
                argv += ["-append", words]
        return [*argv, "-object", json.dumps(sev), *extra]

    def env(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "CVMSPAWN_SEVSIM_RECORD": str(self.record),
                **self.environment}

    def run(self, argv, **options):
        return subprocess.run(argv, env=self.env(), capture_output=True, text=True, timeout=SECONDS, check=False, **options)

    def launch(self, mode, firmware, expect=0, **options):
        """Runs QEMU to the end and returns the one launch that it recorded."""
        result = self.run(self.arguments(mode, firmware, **options))
        assert result.returncode == expect, result.stderr
        launch = self.last()
        launch.stderr = result.stderr
        return launch

    def last(self):
        return Launch(sorted(self.record.glob("launch-*"))[-1])

    def paused(self, argv):
        """QEMU with -S and a monitor: (process, monitor)."""
        ours, theirs = socket.socketpair()
        ours.settimeout(SECONDS)
        with theirs:
            process = subprocess.Popen([*argv, "-S", "-chardev", f"socket,id=qmp,fd={theirs.fileno()}",
                                        "-mon", "chardev=qmp,mode=control"],
                                       env=self.env(), pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process, Qmp(ours)

    def close(self):
        """Ends what a failed test left running."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()

    def identity(self, source):
        """Uses a platform identity that the session made."""
        self.environment["CVMSPAWN_SEVSIM_PLATFORM"] = str(source)
        return source


def text64(data):
    return base64.b64encode(data).decode()
