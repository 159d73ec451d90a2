# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn validate --domain`. The host is a stand-in: one JSON file that our stand-in for libvirt.so.0 (tests/lib/standin-libvirt.c)
and the peer's stand-in for Python's libvirt module both read. Another test asks the real libvirt's test driver."""

import base64
import copy
import ctypes
import hashlib
import json
import os
import socket
import subprocess
import sys

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt, skip_or_fail
from validate_programs import Peer, Result, fetch_peer

sys.path.insert(0, str(SOURCE / "tests/lib"))
import sev_owner  # noqa: E402

TEK, TIK = bytes(range(16)), bytes(range(16, 32))
NONCE = bytes(range(0xA0, 0xB0))
UUID = "deadbeef-0000-4000-8000-00000000cafe"
STANDIN = BUILD / "tests/interop"


def firmware():
    area = (0x810000).to_bytes(4, "little") + (0xC00).to_bytes(4, "little")
    reset = (0x80B004).to_bytes(4, "little")
    return sev_owner.firmware([(sev_owner.SECRET_BLOCK, area), (sev_owner.RESET_BLOCK, reset)])


def domain_xml(folder, **change):
    """A domain as `virsh dumpxml` prints one; None leaves a part out."""
    parts = {
        "loader": f"<loader readonly='yes' type='rom'>{folder}/fw</loader>",
        "nvram": None,
        "kernel": None,
        "initrd": None,
        "cmdline": None,
        "cpu": "<cpu mode='host-passthrough'/>",
        "hashes": None,
        "type": "sev",
        "dhCert": "<dhCert>AAAA</dhCert>",
        "session": "<session>BBBB</session>",
        **change,
    }
    os_parts = "".join(parts[n] or "" for n in ("loader", "nvram", "kernel", "initrd", "cmdline"))
    hashes = f" kernelHashes='{parts['hashes']}'" if parts["hashes"] else ""
    launch = f"<launchSecurity type='{parts['type']}'{hashes}><policy>0x3</policy>{parts['dhCert'] or ''}{parts['session'] or ''}</launchSecurity>"
    if parts["type"] is None:
        launch = ""
    return f"<domain type='kvm' id='1'><name>sevguest</name><os><type arch='x86_64'>hvm</type>{os_parts}</os>{parts['cpu'] or ''}{launch}</domain>"


def host(folder, policy=3, extra=b"", vcpus=2, xml=None, **change):
    m = sev_owner.measurement(TIK, hashlib.sha256(firmware() + extra).digest(), policy, nonce=NONCE)
    data = {
        "hostname": "sev-host.example",
        "capabilities": "<capabilities><host><cpu><arch>x86_64</arch><signature family='25' model='1' stepping='1'/></cpu></host></capabilities>",
        "domains": [
            {
                "id": 1,
                "name": "sevguest",
                "uuid": UUID,
                "active": True,
                "state": 3,
                "vcpus": vcpus,
                "xml": domain_xml(folder, **(xml or {})),
                "launch": {"sev-measurement": m, "sev-api-major": 1, "sev-api-minor": 55, "sev-build-id": 21, "sev-policy": policy},
            },
            {"id": 2, "name": "cafe", "uuid": UUID.replace("cafe", "0002"), "active": True, "state": 3, "vcpus": 1, "xml": domain_xml(folder), "launch": {}},
        ],
    }
    data["domains"][1]["launch"] = copy.deepcopy(data["domains"][0]["launch"])
    for key, value in change.items():
        target = data["domains"][0] if key in data["domains"][0] else data
        target[key] = value
    return data


def without(data, key):
    del data["domains"][0]["launch"][key]
    return data


def without_launch(data):
    del data["domains"][0]["launch"]
    return data


KERNEL = {n: f"<{n}>{{folder}}/{n}</{n}>" for n in ("kernel", "initrd")} | {"cmdline": "<cmdline>console=ttyS0</cmdline>"}
LOCAL = {"hostname": socket.getfqdn()}


def cases(folder):
    """(name, host, arguments, status of strict, status of the default)"""
    kernel = {n: t.format(folder=folder) for n, t in KERNEL.items()}
    table = sev_owner.kernel_table(b"kernel", b"initrd", b"console=ttyS0")
    pages = sev_owner.vmsa(0xA00F11) + sev_owner.vmsa(0xA00F11, 0x80B004)
    tk, fw, d = ["--tk", "tk"], ["-f", "fw"], ["-o", "sevguest"]
    k = ["-k", "kernel", "-r", "initrd", "-e", "console=ttyS0"]
    sku = ["--cpu-family", "25", "--cpu-model", "1", "--cpu-stepping", "1"]
    hashed = {**kernel, "hashes": "yes"}
    local = {**LOCAL}
    i = ["-i"]
    yield "good", host(folder), [*fw, *tk, *d], 0, 0
    yield "by id", host(folder), [*fw, *tk, "-o", "1"], 0, 0
    yield "by id with zeros", host(folder), [*fw, *tk, "-o", "001"], 0, 0
    yield "by uuid", host(folder), [*fw, *tk, "-o", UUID], 0, 0
    yield "by upper uuid", host(folder), [*fw, *tk, "-o", UUID.upper()], 6, 6
    yield "no such name", host(folder), [*fw, *tk, "-o", "nobody"], 6, 6
    yield "no such id", host(folder), [*fw, *tk, "-o", "77"], 6, 6
    yield "a name that looks like a uuid", host(folder), [*fw, *tk, "-o", "cafe"], 6, 0
    yield "no connection", host(folder), [*fw, *tk, *d, "-c", "nowhere:///"], 6, 6
    yield "local", host(folder, **local), [*fw, *tk, *d], 3, 3
    if socket.gethostname() != socket.getfqdn():
        yield "local by its own name", host(folder, hostname=socket.gethostname()), [*fw, *tk, *d], 0, 3
    yield "local, insecure", host(folder, **local), [*tk, *d, *i], 0, 0
    yield "local, loader missing", host(folder, **local, xml={"loader": None}), [*tk, *d, *i], 4, 4
    yield "local, loader missing, ignored", host(folder, **local, xml={"loader": None}), [*tk, *d, *i, "-g"], 2, 2
    yield "local, loader empty", host(folder, **local, xml={"loader": "<loader/>"}), [*tk, *d, *i], 6, 6
    yield "local, loader not there", host(folder, **local, xml={"loader": "<loader>/no/such</loader>"}), [*tk, *d, *i], 6, 6
    yield "inactive", host(folder, active=False), [*fw, *tk, *d], 5, 5
    yield "running", host(folder, state=1), [*fw, *tk, *d], 5, 5
    yield "running, insecure", host(folder, state=1), [*fw, *tk, *d, *i], 0, 0
    yield "no launch security", host(folder, xml={"type": None}), [*fw, *tk, *d], 4, 4
    yield "SNP", host(folder, xml={"type": "sev-snp"}), [*fw, *tk, *d], 4, 4
    yield "no dhCert", host(folder, xml={"dhCert": None}), [*fw, *tk, *d], 4, 4
    yield "no session", host(folder, xml={"session": None}), [*fw, *tk, *d], 4, 4
    yield "two sessions", host(folder, xml={"session": "<session>A</session><session>B</session>"}), [*fw, *tk, *d], 4, 4
    yield "nvram", host(folder, xml={"nvram": "<nvram>x</nvram>"}), [*fw, *tk, *d], 3, 3
    yield "nvram, insecure", host(folder, xml={"nvram": "<nvram>x</nvram>"}), [*fw, *tk, *d, *i], 0, 0
    yield "two loaders", host(folder, xml={"loader": "<loader>a</loader><loader>b</loader>"}), [*fw, *tk, *d], 4, 4
    yield "all wrong, ignored", host(folder, xml={"type": None, "loader": None}), [*fw, *tk, *d, "-g"], 0, 0
    yield "kernel given, hashes off", host(folder), [*fw, *tk, *d, *k], 2, 2
    yield "kernel given, hashes no", host(folder, xml={"hashes": "no"}), [*fw, *tk, *d, *k], 2, 2
    yield "kernel in the XML, hashes off", host(folder, xml=kernel), [*fw, *tk, *d], 3, 3
    yield "kernel in the XML, hashes off, remote and insecure", host(folder, xml=kernel), [*fw, *tk, *d, *i], 2, 0
    yield "hashes on, no kernel", host(folder, xml={"hashes": "yes"}), [*fw, *tk, *d], 4, 4
    yield "hashes on, kernel given", host(folder, extra=table, xml=hashed), [*fw, *tk, *d, *k], 0, 0
    yield "hashes on, kernel not given", host(folder, extra=table, xml=hashed), [*fw, *tk, *d], 2, 2
    yield "hashes on, initrd not given", host(folder, extra=table, xml=hashed), [*fw, *tk, *d, *k[:2]], 2, 2
    yield "hashes on, words not given", host(folder, extra=table, xml=hashed), [*fw, *tk, *d, *k[:4]], 3, 3
    yield "hashes on, words not given, insecure", host(folder, extra=table, xml=hashed), [*fw, *tk, *d, *k[:4], *i], 0, 0
    yield "local, hashes on", host(folder, extra=table, xml=hashed, **local), [*tk, *d, *i], 0, 0
    yield "local, hashes off, kernel in the XML", host(folder, xml=kernel, **local), [*tk, *d, *i], 1, 0
    yield "local, empty words", host(folder, xml={**hashed, "cmdline": "<cmdline/>"}, extra=sev_owner.kernel_table(b"kernel", b"initrd"), **local), [*tk, *d, *i], 6, 0
    yield "no launch information", without_launch(host(folder)), [*fw, *tk, *d], 6, 6
    yield "no api-major", without(host(folder), "sev-api-major"), [*fw, *tk, *d], 2, 2
    for name in ("sev-measurement", "sev-api-minor", "sev-build-id", "sev-policy"):
        yield f"no {name}", without(host(folder), name), [*fw, *tk, *d], 6, 6
    yield "all from the command line", without(host(folder), "sev-policy"), [*fw, *tk, *d, "--policy", "3"], 0, 0
    yield "another measurement", host(folder), [*fw, *tk, *d, "-m", "AAAA"], 1, 1
    es = dict(policy=7, extra=pages)
    yield "ES, no count", host(folder, **es), [*fw, *tk, *d, *sku], 3, 3
    yield "ES, no pages", host(folder, **es), [*fw, *tk, *d, "-n", "2"], 3, 3
    yield "ES", host(folder, **es), [*fw, *tk, *d, *sku, "-n", "2"], 0, 0
    yield "ES, insecure", host(folder, **es), [*fw, *tk, *d, *i], 0, 0
    yield "ES, local", host(folder, **es, **local), [*tk, *d, *i], 0, 0
    yield "ES, named model", host(folder, **es, xml={"cpu": "<cpu mode='custom'/>"}), [*fw, *tk, *d, *i], 2, 2
    yield "ES, no cpu element", host(folder, **es, xml={"cpu": None}), [*fw, *tk, *d, *i], 2, 2
    yield "ES, old libvirt", host(folder, **es, capabilities="<capabilities/>"), [*fw, *tk, *d, *i], 2, 2
    yield "ES, other host", host(folder, **es, vcpus=3), [*fw, *tk, *d, *i], 1, 1
    yield "no firmware, remote", host(folder), [*tk, *d], 2, 2
    yield "no firmware, remote, insecure", host(folder), [*tk, *d, *i], 2, 2
    yield "debug", host(folder), [*fw, *tk, *d, "-d"], 0, 0
    yield "secret", host(folder), [*fw, *tk, *d, "-s", "luks-key:pw"], 0, 0
    yield "secret, files ignored", host(folder), [*fw, *tk, *d, "-s", "luks-key:pw", "--secret-header", "h", "--secret-payload", "p"], 0, 0
    yield "secret, mismatch", host(folder), [*fw, *tk, *d, "-s", "luks-key:pw", "-m", "AAAA"], 1, 1
    yield "secret, bad alias", host(folder), [*fw, *tk, *d, "-s", "x:pw"], 2, 2


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("libvirt")
    for name, data in {"fw": firmware(), "tk": TEK + TIK, "kernel": b"kernel", "initrd": b"initrd", "pw": b"passphrase"}.items():
        (path / name).write_bytes(data)
    return path


@pytest.fixture(scope="session")
def ours(program, folder):
    if not (STANDIN / "libvirt.so.0").exists():
        skip_or_fail("the stand-in for libvirt.so.0 is not built")

    def run(argv, strict):
        env = dict(os.environ, STANDIN_LIBVIRT=str(folder / "host"), LD_LIBRARY_PATH=str(STANDIN))
        words = [program("validate"), *(["--strict-compat"] if strict else ["--no-search"]), *argv]
        done = subprocess.run(words, cwd=folder, capture_output=True, env=env, timeout=60)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def injected(folder):
    """What the guest was given, opened; and whether its CPUs were started."""
    log = folder / "host.log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    found = []
    for line in lines:
        words = line.split()
        if words[0] == "inject":
            m = base64.b64decode(json.loads((folder / "host").read_text())["domains"][0]["launch"]["sev-measurement"])
            words = ["inject", sev_owner.open_packet(TIK, TEK, m, words[1], words[2])]
        found.append(tuple(words))
    return found


def test_every_rule(folder, ours):
    seen = 0
    for name, data, argv, strict_status, default_status in cases(folder):
        (folder / "host").write_text(json.dumps(data))
        strict = ours(argv, strict=True)
        assert strict.status == strict_status, (name, strict.seen())
        strict_log = injected(folder)
        default = ours(argv, strict=False)
        assert default.status == default_status, (name, default.seen())
        default_log = injected(folder)
        if "-s" in argv and default_status == 0:
            plain = sev_owner.secret_table([("736869e5-84f0-4973-92ec-06879ce3da0b", b"passphrase")])
            assert default_log == [("inject", plain), ("resume",)] and strict_log == default_log, name
        else:
            assert not default_log and not strict_log, name
        if default_status != 0:
            assert "OK" not in default.out, name
        seen += 1
    assert seen >= 60


@pytest.mark.full
def test_strict_is_the_peer(folder, ours):
    script, modules = fetch_peer()
    peer = Peer(script, folder, modules)
    env = {"STANDIN_LIBVIRT": str(folder / "host")}
    different = []
    for name, data, argv, _, _ in cases(folder):
        (folder / "host").write_text(json.dumps(data))
        theirs, their_log = peer.run(argv, env), injected(folder)
        mine, my_log = ours(argv, strict=True), injected(folder)
        # where libvirt refuses, the message is the stand-ins' own
        same = mine.status == theirs.status == 6 and "omain not found" in theirs.err or mine.seen() == theirs.seen()
        if not same or my_log != their_log:
            different.append(f"{name}\n  theirs {theirs.seen()} {their_log}\n  ours   {mine.seen()} {my_log}")
    peer.close()
    assert not different, "\n".join(different)


def test_without_libvirt(folder, program):
    """On a machine without libvirt the answer is a sentence with a remedy."""
    try:
        ctypes.CDLL("/usr/lib/x86_64-linux-gnu/libvirt.so.0")
        pytest.skip("libvirt is installed here, so nothing is missing")
    except OSError:
        pass
    env = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}  # meson points it to the stand-in
    line = [program("validate"), "-f", "fw", "--tk", "tk", "-o", "x"]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and "install libvirt0" in done.stderr


@pytest.mark.full
def test_real_libvirt(folder, program):
    """libvirt's own test driver: everything up to the launch information, which it does not have."""
    where = cache_folder("peers/libvirt")
    libraries = where / "usr/lib/x86_64-linux-gnu"
    if not (libraries / "libvirt.so.0").exists():
        release = subprocess.run(["bash", "-c", '. "$0"; debian_codename', SOURCE / "tools/common.sh"], capture_output=True, text=True).stdout.strip()
        private_apt(release, "closure", str(where), "libvirt0")
    env = dict(os.environ, LD_LIBRARY_PATH=f"{libraries}:{where}/lib/x86_64-linux-gnu")

    def run(*words):
        line = [program("validate"), "-f", "fw", "--tk", "tk", "-c", "test:///default", *words]
        return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=60)

    done = run("-o", "test")
    if "cannot be loaded" in done.stderr:
        skip_or_fail(f"libvirt0 does not run unpacked here: {done.stderr}")
    assert (done.returncode, done.stderr) == (3, "ERROR: running locally on the hypervisor host is not secure\n")
    done = run("-o", "test", "-i", "-d")
    assert done.returncode == 4 and "Domain is not configured with SEV launch security" in done.stderr
    assert "VM: id=1 name=test uuid=6695eb01-f6a4-8304-79aa-97f2502e193f" in done.stderr
    assert "6695eb01" in run("-o", "6695eb01-f6a4-8304-79aa-97f2502e193f", "-i", "-d").stderr
    done = run("-o", "nobody", "-i")
    assert done.returncode == 6 and done.stderr == "ERROR: Domain not found\n"
    done = run("-o", "test", "-i", "-g")
    # the driver's function refuses a flag that libvirt's own front end sets: its message is the only information
    assert done.returncode == 6 and "LaunchSecurityInfo" in done.stderr
