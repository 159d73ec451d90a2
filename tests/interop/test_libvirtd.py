# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirtd of Debian sid (12.8 when this was written) on the simulated SEV host: it starts domains that `cvmspawn export libvirt` wrote, virsh lists them, and the digest that is
recorded is the one that measure says. And the guest owner's side online: virt-qemu-sev-validate, the peer, and `cvmspawn validate` ask that libvirtd for the
measurement of a paused SEV domain, and inject a secret.

What is not real: see test_export_libvirt.py; the platform is made up by `cvmspawn sevsim platform make`. The daemon has its own /run, /etc, /var and processes, all of which end
with it."""

import base64
import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt, skip_or_fail
from test_export_libvirt import CONFIG, EMULATOR, FLAGS, SEV, libvirt  # noqa: F401
from validate_programs import PYTHON, fetch_peer

sys.path.insert(0, str(SOURCE / "tests/integration"))
import sevsim_model as model  # noqa: E402

pytestmark = pytest.mark.full
SECONDS = 300
CVMSPAWN = BUILD / "programs/cvmspawn"
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
MODES = "sev-snp", "sev", "sev-es"

# /usr of libvirt lies over this machine's; what it writes goes into memory. It is asked for its capabilities once, and they are edited.
HOST = """
mount -t overlay -o lowerdir={peer}/usr:/usr overlay /usr
mount -t tmpfs place {folder}/place
for tree in etc var; do
        mkdir {folder}/place/$tree {folder}/place/$tree.work
        mount -t overlay -o lowerdir=/$tree,upperdir={folder}/place/$tree,workdir={folder}/place/$tree.work overlay /$tree
done
mount -t tmpfs run /run
mkdir -p /run/libvirt /etc/libvirt
echo 'libvirt-qemu:x:64055:64055::/:/bin/false' >>/etc/passwd
printf 'libvirt-qemu:x:64055:\\nlibvirt:x:64056:\\nkvm:x:64057:\\n' >>/etc/group
cp {folder}/qemu.conf {folder}/libvirtd.conf /etc/libvirt
start() {{
        libvirtd 2>>{folder}/log &
        daemon=$!
        for i in $(seq 600); do
                ! virsh -q version >/dev/null 2>&1 || return 0
                sleep 0.1
        done
        cat {folder}/log >&2
        exit 1
}}
export LC_ALL=C LIBVIRT_DEFAULT_URI=qemu:///system
start
virsh -q domxml-to-native qemu-argv --xml {folder}/first.xml >/dev/null || true
kill $daemon
wait $daemon || true
{python} {folder}/teach.py
start
"""
TEACH = """import glob
for path in glob.glob("/var/cache/libvirt/qemu/capabilities/*.xml"):
    text = open(path).read()
    for flag in {flags}:
        if f"<flag name='{{flag}}'/>" not in text:
            text = text.replace("<flag ", f"<flag name='{{flag}}'/><flag ", 1)
    open(path, "w").write(text if "<sev>" in text else text.replace("</qemuCaps>", {sev!r} + "</qemuCaps>"))
"""


class Daemon:
    def __init__(self, peer, folder):
        self.peer, self.folder = peer, folder
        self.record, self.platform = folder / "record", folder / "platform"
        (folder / "place").mkdir()
        for name, data in {"fw.fd": model.make_firmware(seed=81), "kernel": model.make_kernel(seed=82), "initrd": model.make_initrd(seed=83), "pw": b"open sesame"}.items():
            (folder / name).write_bytes(data)
        (folder / "qemu.conf").write_text(CONFIG + "seccomp_sandbox = 0\n")
        (folder / "libvirtd.conf").write_text('auth_unix_rw = "none"\nauth_unix_ro = "none"\n')
        (folder / "teach.py").write_text(TEACH.format(flags=FLAGS, sev=SEV))
        self.cvmspawn("sevsim", "platform", "make", self.platform, "--generation=milan")
        emulator = EMULATOR.format(library=BUILD / "sevsim/sevsim.so", record=self.record)
        (folder / "emulator").write_text(emulator.replace("export ", f"export CVMSPAWN_SEVSIM_PLATFORM={self.platform} "))
        (folder / "emulator").chmod(0o755)
        self.digests = {mode: self.domain(mode) for mode in MODES}
        (folder / "first.xml").write_text((folder / "sev.xml").read_text())

    def cvmspawn(self, *words):
        done = subprocess.run([CVMSPAWN, *map(str, words)], cwd=self.folder, capture_output=True, text=True, check=False, timeout=SECONDS)
        assert done.returncode == 0, (words, done)
        return done.stdout

    def domain(self, mode):
        """The export, as this libvirt can start it, and the digest that both ways of measuring it give."""
        options = [f"--coco={mode}", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd", f"--machine=g-{mode}",
                   *(["--sev-vm-type=legacy"] if mode != "sev-snp" else [])]  # fmt: skip
        text = self.cvmspawn("export", "libvirt", *options, "--", "quiet")
        (self.folder / "export.xml").write_text(text)
        digest = self.cvmspawn("measure", "--from-libvirt=export.xml").strip()
        assert digest == self.cvmspawn("measure", *options, "--", "quiet").strip()
        text = text.replace("<domain type='kvm'>", "<domain type='qemu'>").replace("<devices>", f"<devices><emulator>{self.folder}/emulator</emulator>")
        (self.folder / f"{mode}.xml").write_text(re.sub("<memoryBacking>.*?</memoryBacking>", "", text, flags=re.DOTALL))
        return digest

    def session(self):
        """A session of the guest owner for the made-up platform, put into the domain."""
        read = {n: (self.platform / f"{n}.cert").read_bytes() for n in ("pdh", "pek", "oca", "cek")}
        (self.folder / "pdh").write_text(base64.b64encode(read["pdh"]).decode())
        (self.folder / "chain").write_text(base64.b64encode(read["pek"] + read["oca"] + read["cek"]).decode())
        amd = [f"--certs={self.platform}/{n}.cert" for n in ("cek-signed", "ask", "ark")]
        self.cvmspawn("session", "pdh", "chain", *amd, f"--insecure-root={self.platform}/ark.cert", "--policy=3")
        parts = {tag: (self.folder / f"vm_{name}.b64").read_text().strip() for tag, name in (("dhCert", "godh"), ("session", "session"))}
        elements = "".join(f"<{tag}>{text}</{tag}>" for tag, text in parts.items())
        path = self.folder / "sev.xml"
        path.write_text(path.read_text().replace("</policy>", f"</policy>{elements}"))

    def run(self, script):
        """In namespaces with the daemon. Everything ends with the script."""
        self.record.mkdir()
        host = HOST.format(peer=self.peer, folder=self.folder, python=PYTHON)
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-euc", f"{host}\n{script}"]
        done = subprocess.run(argv, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=SECONDS,
                              env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout
        return done.stdout

    def recorded(self, name="digest"):
        return [p.read_text().strip() for p in sorted(self.record.glob(f"launch-*/{name}"))]


@pytest.fixture
def daemon(libvirt, tmp_path_factory):  # noqa: F811
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("libvirtd runs in mount and process namespaces, which need root here")
    return Daemon(libvirt.peer, tmp_path_factory.mktemp("lvd"))


def until_off(name):
    return f"for i in $(seq 600); do case $(virsh -q domstate {name}) in running|paused) sleep 0.1 ;; *) break ;; esac; done"


def test_domains(daemon):
    out = daemon.run("\n".join(
        ["virsh -q define {0}.xml && virsh -q start g-{0} --paused".format(mode) for mode in MODES] + ["virsh list", "virsh -q domlaunchsecinfo g-sev"]
        # The simulated guest powers off at once, before virsh has its answer or after.
        + [f"virsh -q resume g-{mode} || true\n{until_off(f'g-{mode}')}" for mode in MODES]))  # fmt: skip
    assert re.findall(r"^ \d+ +(g-\S+) +paused$", out, re.MULTILINE) == [f"g-{mode}" for mode in MODES], out
    assert "sev-build-id   : 21" in out and "sev-policy     : 3" in out
    assert daemon.recorded() == [daemon.digests[mode] for mode in MODES]
    (measured,) = re.findall(r"^sev-measurement: (\S+)$", out, re.MULTILINE)
    assert base64.b64decode(measured).hex() in daemon.recorded("measurement") and len(base64.b64decode(measured)) == 48


@pytest.fixture(scope="module")
def peer_validate():
    """The command line of virt-qemu-sev-validate with Python's libvirt module, for the Python of this machine."""
    script, modules = fetch_peer()
    release = subprocess.run(["bash", "-c", '. "$0"; debian_codename', SOURCE / "tools/common.sh"], capture_output=True, text=True, check=False).stdout.strip()
    if not release:
        skip_or_fail("python3-libvirt is fetched for Debian's own Python only")
    folder = cache_folder(f"peers/python3-libvirt-{release}")
    packages = folder / "usr/lib/python3/dist-packages"
    if not (packages / "libvirt.py").exists():
        private_apt(release, "unpack", str(folder), "python3-libvirt")
    path = os.pathsep.join(map(str, [packages, *modules]))
    return shlex.join(["env", f"PYTHONPATH={path}", PYTHON, str(script)])


def test_the_owner_online(daemon, peer_validate):
    """Both validate the same paused domain and release it with a secret; both detect swapped keys."""
    daemon.session()
    files = '--firmware fw.fd --kernel kernel --initrd initrd --cmdline "console=ttyS0 quiet"'
    programs = {"peer": f"{peer_validate} --insecure {files}", "ours": f"{shlex.quote(str(CVMSPAWN))} validate --insecure {files}"}
    script = ["virsh -q define sev.xml"]
    for name, program in programs.items():
        script += [
            "virsh -q start g-sev --paused",
            f"{program} --tik vm_tek.bin --tek vm_tik.bin --domain g-sev || echo {name} refuses: $?",
            f"{program} --tik vm_tik.bin --tek vm_tek.bin --domain g-sev && echo {name} accepts",
            f"{program} --tik vm_tik.bin --tek vm_tek.bin --domain g-sev --inject-secret {LUKS}:pw && echo {name} injects",
            until_off("g-sev"),
            f"echo {name} left it $(virsh -q domstate g-sev)",
        ]
    said = daemon.run("\n".join(script)).splitlines()
    for name in programs:
        assert {f"{name} refuses: 1", f"{name} accepts", f"{name} injects", f"{name} left it shut off"} <= set(said), said
    assert daemon.recorded() == [daemon.digests["sev"]] * 2
    assert len(list(daemon.record.glob("launch-*/secret*"))) == 2
