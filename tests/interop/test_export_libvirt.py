# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export libvirt` judged by libvirt of Debian sid (12.8 when this was written): its schema, the QEMU command line that it makes of
the XML, and its own start of the domain on the simulated host. Its programs run beside ours in a mount namespace; nothing is installed.

What is not real: libvirt is told that QEMU knows SEV and TDX (its cache of capabilities is edited), the domain has type='qemu' and no
locked memory (which needs a capability), and a script in place of QEMU puts KVM back and brings the simulated host."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt, skip_or_fail

sys.path.insert(0, str(SOURCE / "tests/integration"))
import export_launches  # noqa: E402
from export_launches import LAUNCHES, TD_LAUNCHES  # noqa: E402

pytestmark = pytest.mark.full
SECONDS = 300
# A few of all kinds. The simulated kernel takes no policy but the usual one.
STARTED = [launch for launch in LAUNCHES if "policy" not in str(launch)][::8]
SEV = "<sev><cbitpos>51</cbitpos><reducedPhysBits>1</reducedPhysBits><pdh>AA==</pdh><certChain>AA==</certChain><cpu0Id>AA==</cpu0Id></sev>"
FLAGS = ("sev-guest", "sev-snp-guest", "tdx-guest", "confidential-guest-support", "sev-guest-kernel-hashes")
EMULATOR = """#!/bin/bash
case " $* " in
*" -machine none"*) exec /usr/bin/qemu-system-x86_64 "$@" ;;
esac
export LD_PRELOAD={library} CVMSPAWN_SEVSIM_RECORD={record} CVMSPAWN_SEVSIM_NODE=0666:0:0
args=("$@")
for i in "${{!args[@]}}"; do
        [ "${{args[i]}}" != tcg ] || args[i]=kvm
done
exec /usr/bin/qemu-system-x86_64 "${{args[@]}}"
"""
CONFIG = """user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
dynamic_ownership = 0
stdio_handler = "file"
"""


class Libvirt:
    def __init__(self, peer, folder):
        self.peer, self.folder, self.root = peer, folder, folder / "root"
        self.record = folder / "record"
        self.record.mkdir()
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/qemu.conf").write_text(CONFIG)
        self.emulator = folder / "emulator"
        self.emulator.write_text(EMULATOR.format(library=BUILD / "sevsim/sevsim.so", record=self.record))
        self.emulator.chmod(0o755)
        for name, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/bin/false\n"), ("group", "libvirt-qemu:x:64055:\n")):
            (folder / name).write_text((SOURCE.__class__("/etc") / name).read_text() + line)

    def namespace(self, *argv, alone=()):
        """A mount namespace where libvirt's /usr lies over this machine's."""
        mounts = f"mount -t overlay overlay -o lowerdir={self.peer}/usr:/usr /usr && " \
            f"mount --bind {self.folder}/passwd /etc/passwd && mount --bind {self.folder}/group /etc/group && exec \"$@\""
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *user, "--mount", *alone, "sh", "-c", mounts, "sh", *map(str, argv)]

    def run(self, *argv, text=""):
        return subprocess.run(self.namespace(*argv), capture_output=True, text=True, timeout=SECONDS, check=False,
                              env={**os.environ, "LC_ALL": "C"}, input=text)

    def start(self, domain):
        """With a process namespace, so that QEMU ends with it: libvirt's line has -no-shutdown."""
        return subprocess.Popen(self.namespace("virt-qemu-run", f"--root={self.root}", domain,
                                               alone=("--pid", "--fork", "--kill-child", "--mount-proc")),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"},
                                stdin=subprocess.DEVNULL)

    def virsh(self, *commands):
        return self.run("virsh", "-q", "-c", f"qemu:///embed?root={self.root}", text="".join(f"{c}\n" for c in commands))

    def domain(self, name, text):
        path = self.folder / f"{name}.xml"
        text = text.replace("<domain type='kvm'>", "<domain type='qemu'>")
        # Without KVM libvirt takes the host's CPU by another name.
        text = text.replace("<cpu mode='host-passthrough' check='none'/>", "<cpu mode='maximum' check='none'/>")
        text = re.sub("<memoryBacking>.*?</memoryBacking>", "", text, flags=re.DOTALL)
        path.write_text(text.replace("<devices>", f"<devices><emulator>{self.emulator}</emulator>"))
        return path

    def teach(self, domain):
        """After the first probe the capabilities are a file."""
        self.virsh(f"domxml-to-native qemu-argv --xml {domain}")
        files = list((self.root / "cache/qemu/capabilities").glob("*.xml"))
        if not files:
            skip_or_fail("libvirt did not probe QEMU")
        for path in files:
            text = path.read_text()
            for flag in FLAGS:
                if f"<flag name='{flag}'/>" not in text:
                    text = text.replace("<flag ", f"<flag name='{flag}'/><flag ", 1)
            path.write_text(text if "<sev>" in text else text.replace("</qemuCaps>", f"{SEV}</qemuCaps>"))


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def verb(folder, name, *args, **options):
    return subprocess.run([BUILD / f"programs/verb-{name}", *args], cwd=folder, capture_output=True, text=True, timeout=SECONDS,
                          check=False, **options)


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory):
    if os.uname().machine != "x86_64":
        skip_or_fail("Debian's libvirt is fetched as a program for x86-64 only")
    peer = cache_folder("peers") / "libvirt-sid"
    with open(peer.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (peer / "complete").exists():
            shutil.rmtree(peer, ignore_errors=True)
            peer.mkdir()
            private_apt("sid", "closure", peer, "libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu")
            private_apt("sid", "unpack", peer, "libc6")
            (peer / "complete").touch()
    # Short: names of sockets have 107 bytes.
    host = Libvirt(peer, tmp_path_factory.mktemp("lv"))
    version = host.run("virsh", "--version")
    if version.returncode != 0:
        skip_or_fail(f"libvirt of Debian sid does not run here: {version.stderr.strip()[-300:]}")
    print("libvirt", version.stdout.strip())
    return host


@pytest.fixture(scope="module")
def exports(libvirt):
    """[(launch, XML, digest of the options)]"""
    export_launches.make_files(libvirt.folder)
    out = []
    for i, (options, words) in enumerate(LAUNCHES + TD_LAUNCHES):
        text = ok(verb(libvirt.folder, "export", "libvirt", f"--output=out{i}", *options, "--", *words))
        out.append(((options, words), text, ok(verb(libvirt.folder, "measure", *options, "--", *words)).strip()))
    libvirt.teach(libvirt.domain("first", out[-1][1]))
    return out


def test_schema(libvirt, exports):
    paths = []
    for i, (_, text, _) in enumerate(exports):
        paths.append(libvirt.folder / f"exported{i}.xml")
        paths[-1].write_text(text)
    done = libvirt.run("xmllint", "--noout", "--relaxng", "/usr/share/libvirt/schemas/domain.rng", *paths)
    assert done.returncode == 0, done.stderr


def test_command_line(libvirt, exports):
    """libvirt's own line of each domain measures as the options."""
    paths = [libvirt.domain(f"native{i}", text) for i, (_, text, _) in enumerate(exports)]
    lines = [line for line in ok(libvirt.virsh(*(f"domxml-to-native qemu-argv --xml {path}" for path in paths))).splitlines() if " -accel tcg " in line]
    assert len(lines) == len(exports)
    for line, (launch, _, digest) in zip(lines, exports):
        line = re.sub("^.*?" + re.escape(shlex.quote(str(libvirt.emulator))), "qemu-system-x86_64", line)
        (libvirt.folder / "line").write_text(line.replace(" -accel tcg ", " -accel kvm "))
        assert ok(verb(libvirt.folder, "measure", "--from-qemu=line")).strip() == digest, launch


@pytest.mark.parametrize("launch", STARTED, ids=[str(LAUNCHES.index(launch)) for launch in STARTED])
def test_started_by_libvirt(libvirt, exports, launch):
    """The digest that the simulated secure processor records of the domain."""
    _, text, digest = exports[LAUNCHES.index(launch)]
    before = set(libvirt.record.glob("launch-*/digest"))
    with libvirt.start(libvirt.domain("run", text)) as started:
        for _ in range(SECONDS * 10):
            found = set(libvirt.record.glob("launch-*/digest")) - before
            if started.poll() is not None or (found and min(p.stat().st_size for p in found) > 0):
                break
            time.sleep(0.1)
        started.kill()
        errors = started.communicate()[1]
    assert len(found) == 1, errors
    assert found.pop().read_text().strip() == digest
