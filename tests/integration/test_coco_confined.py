# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launcher and QEMU while a guest runs, as the kernel sees them, and what QEMU tries in order to get out: as another user, with memory files
that it must not change, its own nodes, and no descriptor but its own. How the launcher itself tries is in
tests/unit/test-run-confine.c."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import SOURCE
from launcher_fake import HERE as FAKES
from sevsim_host import skip_or_fail

BOOT = 240
CAP_KILL = 1 << 5
PYTHON = "/usr/bin/python3"

# Runs in QEMU's place, once the machine is built: before that its files are still being copied, and are sealed and measured after that. An
# attempt that raises is a good end; what it returns instead is told.
ATTEMPTS = """
import ctypes, fcntl, json, socket, stat

vm.greet()
if "-preconfig" in arguments:
    vm.answer_until("x-exit-preconfig")

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *words):
    if getattr(libc, name)(*words) < 0:
        raise OSError(ctypes.get_errno(), name)
    return "worked"

def lengthen(fd):
    os.ftruncate(fd, os.fstat(fd).st_size + 1)
    return "worked"

def write_into(fd):
    os.pwrite(fd, b"x", 0)
    return "worked"

def reopen(fd):
    with open(f"/proc/self/fd/{fd}", "r+b") as f:
        f.write(b"x")
    return "worked"

FDS = sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}"))
parent = os.getppid()
attempts = {
    "root": lambda: os.setuid(0), "group": lambda: os.setgroups([0]), "chown": lambda: os.chown("/dev/null", 1, 1),
    "launcher": lambda: os.kill(parent, 9), "memory": lambda: open(f"/proc/{parent}/mem", "rb"),
    "environment": lambda: open(f"/proc/{parent}/environ", "rb").read(),
    "descriptors": lambda: os.listdir(f"/proc/{parent}/fd"), "trace": lambda: call("ptrace", 16, parent, None, None),
    "shadow": lambda: open("/etc/shadow").read(), "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "node": lambda: os.mknod("/tmp/cvmspawn-node", stat.S_IFCHR | 0o600, os.makedev(1, 1)),
    "raw": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
}
for fd in (110, 112, 113):
    attempts.update({f"lengthen {fd}": lambda fd=fd: lengthen(fd), f"write {fd}": lambda fd=fd: write_into(fd),
                     f"reopen {fd}": lambda fd=fd: reopen(fd)})
got_out = {}
for name, attempt in attempts.items():
    try:
        got_out[name] = repr(attempt())
    except OSError:
        pass
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
nodes = {}
for node in ("/dev/kvm", "/dev/sev"):
    if os.path.exists(node):
        st = os.stat(node)
        nodes[node] = [stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid]
with open(PLACE, "w") as f:
    json.dump({"out": got_out, "status": {k: v.strip() for k, v in status.items()}, "nodes": nodes, "gid": os.getgid(),
               "fds": FDS,
               "seals": [fcntl.fcntl(fd, fcntl.F_GET_SEALS) for fd in (110, 112, 113)],
               "argv": " ".join(arguments), "mounts": os.readlink("/proc/self/ns/mnt")}, f)
vm.answer_until("cont")
vm.event("RESUME")
vm.power_off()
"""


@pytest.fixture
def reachable():
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cvmspawn-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def proc_status(pid):
    return {key: value.strip() for key, _, value in
            (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())}


@pytest.mark.skipif(os.geteuid() != 0, reason="to run QEMU as another user needs root")
def test_qemu_tries_to_get_out(cvmspawn, reachable, firmware, kernel, initrd):
    """Under --coco= with KVM, so that it gets its own device nodes."""
    (reachable / "told").touch()
    (reachable / "told").chmod(0o666)
    shutil.copy(FAKES / "fake_qemu.py", reachable)
    (reachable / "scenario").write_text(f"PLACE = {str(reachable / 'told')!r}\n{ATTEMPTS}")
    qemu = reachable / "qemu"
    qemu.write_text(f'#!/bin/sh\nexec {PYTHON} {reachable}/fake_qemu.py {reachable}/scenario "$@"\n')
    for path in reachable.iterdir():
        if path.name != "told":
            path.chmod(0o755)
    caps = {"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1, "qemu": str(qemu)}
    (reachable / "caps.json").write_text(json.dumps(caps))
    before = {node: os.stat(node).st_mode for node in ("/dev/kvm", "/dev/sev") if os.path.exists(node)}

    result = cvmspawn.run("--coco=sev-snp", f"--host-caps={reachable / 'caps.json'}", f"--qemu={qemu}", f"--firmware={firmware}",
                          f"--linux={kernel}", f"--initrd={initrd}")
    if "QEMU runs as this user" in result.err:
        skip_or_fail(f"another user is not possible here: {result.err}")
    assert result.status == 0, result.err
    told = json.loads((reachable / "told").read_text())
    assert told["out"] == {}
    status = told["status"]
    (uid,) = set(status["Uid"].split())
    (gid,) = set(status["Gid"].split())
    assert int(uid) != 0 and int(gid) != 0 and int(status["NoNewPrivs"]) == 1
    assert set(status["Groups"].split()) <= {gid}
    assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    # Sealed against all four: shrinking, growing, writing, and taking a seal away.
    assert all(seals & 0xF == 0xF for seals in told["seals"])
    # No descriptor that its command line does not name, but for the three standard ones.
    named = {int(number) for number in re.findall(r"(?:fd[=/]|/fd/)(\d+)", told["argv"])}
    assert set(told["fds"]) - {0, 1, 2} == named
    # Its own nodes, which nobody else sees.
    assert told["mounts"] != os.readlink("/proc/self/ns/mnt")
    assert all(mode == 0o660 and group == told["gid"] for mode, _, group in told["nodes"].values())
    assert {node: os.stat(node).st_mode for node in before} == before
    assert result.leftovers == []


def test_both_while_a_guest_runs(cvmspawn, qemu):
    """The real QEMU with a real guest."""
    run = cvmspawn.start_guest("--run=echo up; sleep 1000", "--timeout=200s")
    run.wait_for_output(b"up\n", timeout=BOOT)
    pid = run.qemu_pid()
    launcher, machine = proc_status(run.pid), proc_status(pid)
    assert (launcher["NoNewPrivs"], launcher["Seccomp"]) == ("1", "2")
    assert (machine["NoNewPrivs"], machine["Seccomp"]) == ("1", "2")
    other = machine["Uid"] != launcher["Uid"]
    assert int(launcher["CapEff"], 16) == int(launcher["CapPrm"], 16) == (CAP_KILL if other else 0)
    assert int(launcher["CapBnd"], 16) & ~CAP_KILL == 0 or os.geteuid() != 0
    if other:
        assert "0" not in machine["Uid"].split() and int(machine["CapEff"], 16) == 0
    # Neither has a file of the launcher's directories open but the launcher the folder of its control socket, and QEMU has no listening
    # socket: all its channels are pairs.
    for process, known in ((run.pid, ("/stdout", "/stderr", "/control")), (pid, ("/stdout", "/stderr"))):
        links = [os.readlink(path) for path in Path(f"/proc/{process}/fd").iterdir() if path.is_symlink()]
        assert not [link for link in links if str(run.directory) in link and not link.endswith(known)], links
    run.signal()
    assert run.wait().leftovers == []


def test_qemus_own_sandbox(cvmspawn, qemu, kernel, reachable):
    """QEMU is asked to start a program, in the way that its monitor offers: with the sandbox that every launch has it cannot."""
    printed = cvmspawn.run("--print=argv", "--json=short", f"--qemu={qemu}", "--kvm=no", f"--linux={kernel}")
    argv = json.loads(printed.out)["argv"]
    sandbox = argv[argv.index("-sandbox") + 1]
    started = {}
    for name, words in (("with", ["-sandbox", sandbox]), ("without", [])):
        out = reachable / name
        commands = [{"execute": "qmp_capabilities"}, {"execute": "migrate", "arguments": {"uri": f"exec:cat >/dev/null; touch {out}"}}]
        process = subprocess.Popen([qemu, "-machine", "q35,accel=tcg", "-m", "16M", "-nodefaults", "-display", "none", "-S", *words,
                                    "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.stdin.write(b"".join(json.dumps(command).encode() + b"\n" for command in commands))
            process.stdin.flush()
            # Where it may, it does so at once; else it ends, or goes on without.
            deadline = time.monotonic() + 5
            while not out.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        started[name] = out.exists()
    assert started == {"with": False, "without": True}


def test_what_is_printed_is_what_is_done(cvmspawn, kernel, qemu):
    """--print=confinement names the sandbox that is on the command line."""
    printed = json.loads(cvmspawn.run("--print=confinement,argv", "--json=short", f"--qemu={qemu}", f"--linux={kernel}").out)
    argv, confinement = printed["argv"], printed["confinement"]
    assert argv[argv.index("-sandbox") + 1] == confinement["qemu"]["sandbox"]
    assert "socket(AF_UNIX)" in confinement["launcher"]["system-calls"] and "openat" not in confinement["launcher"]["system-calls"]
    assert (SOURCE / "data/units/cvmspawn.sysusers.conf").exists()
