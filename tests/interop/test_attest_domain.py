# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn attest-domain`, from a domain that is shut off to its first instruction. The libvirt is a stand-in with its ABI
(tests/lib/standin-libvirt.c), the processor behind it Python's own arithmetic (standin_start.py), the platform made up by
sevsim-identity. It proves nothing about libvirt itself; test_validate_libvirt.py asks the real one what it can be asked."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import BUILD, SOURCE, skip_or_fail

sys.path.insert(0, str(SOURCE / "tests/lib"))
sys.path.insert(0, str(SOURCE / "tests/integration"))
import sev_owner  # noqa: E402
import sevsim_model  # noqa: E402
import standin_start  # noqa: E402

STANDIN = BUILD / "tests/interop"
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
SECRET = b"correct horse"


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    folder = tmp_path_factory.mktemp("platform")
    tool = BUILD / "sevsim/sevsim-identity"
    if not tool.exists() or not (STANDIN / "libvirt.so.0").exists():
        skip_or_fail("sevsim-identity or the stand-in for libvirt.so.0 is not built")
    subprocess.run([tool, folder], check=True, timeout=120)
    return folder


def firmware():
    area = (0x810000).to_bytes(4, "little") + (0xC00).to_bytes(4, "little")
    reset = standin_start.RESET.to_bytes(4, "little")
    hashes = (0x810C00).to_bytes(4, "little") + (0x400).to_bytes(4, "little")
    image = sev_owner.firmware([(sev_owner.HASHES_BLOCK, hashes), (sev_owner.SECRET_BLOCK, area), (sev_owner.RESET_BLOCK, reset)])
    return bytes(-len(image) % 65536) + image  # QEMU takes no other size


class Host:
    """One host with one domain, and its owner's folder."""

    def __init__(self, folder, platform, policy=3, hashes=True, vcpus=1, launch="sev", more="", lies=None, name="web1", session=""):
        self.folder, self.platform = folder, platform
        for file, data in {"fw": firmware(), "kernel": sevsim_model.make_kernel(), "initrd": b"initrd", "other": sevsim_model.make_kernel(seed=9), "pw": SECRET}.items():
            (folder / file).write_bytes(data)
        boot = f"<kernel>{folder}/kernel</kernel><initrd>{folder}/initrd</initrd><cmdline>console=ttyS0</cmdline>" if hashes is not None else ""
        self.xml = (
            f"<domain type='kvm'><name>{name}</name><vcpu placement='static'>{vcpus}</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>"
            f"<loader type='rom'>{folder}/fw</loader>{boot}{more}</os><cpu mode='custom'><model>EPYC-v4</model></cpu>"
            f"<devices><graphics type='vnc' passwd='a &amp; b'/></devices>"
            f"<launchSecurity type='{launch}'{' kernelHashes=' + chr(39) + 'yes' + chr(39) if hashes else ''}>"
            f"<policy>0x{policy:04x}</policy>{session}</launchSecurity></domain>"
        )
        cert = {n: (platform / f"{n}.cert").read_bytes() for n in ("pdh", "pek", "oca", "cek-signed")}
        sev = {"pdh": cert["pdh"], "cert-chain": cert["pek"] + cert["oca"] + cert["cek-signed"], "cpu0-id": bytes(64)}
        self.data = {
            "hostname": "sev-host.example",
            "capabilities": "<capabilities/>",
            "platform": str(platform),
            "sev": {k: base64.b64encode(v).decode() for k, v in sev.items()},
            "lies": lies or {},
            "refuse": [],
            "domains": [{"id": 1, "name": name, "uuid": "deadbeef-0000-4000-8000-00000000cafe", "active": False, "state": 5, "vcpus": vcpus, "xml": self.xml}],
        }

    def paused(self, **change):
        """The domain as `virsh start --paused` leaves it, if its XML holds a session."""
        self.data["domains"][0].update(standin_start.start(self.data, self.xml))
        self.data["domains"][0].update(change)
        return self

    def env(self):
        start = f"{sys.executable} {SOURCE}/tests/lib/standin_start.py"
        return dict(os.environ, STANDIN_LIBVIRT=str(self.folder / "host"), STANDIN_START=start, LD_LIBRARY_PATH=str(STANDIN))

    def run(self, *words, owner=True):
        (self.folder / "host").write_text(json.dumps(self.data))
        certs = [f"--certs={self.platform}/{n}.cert" for n in ("ask", "ark")]
        side = ["--owner-dir=keys", f"--insecure-root={self.platform}/ark.cert", *certs] if owner else []
        argv = [BUILD / "programs/cvmspawn", "attest-domain", *side, *words, "web1"]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=60, env=self.env())
        self.data = json.loads((self.folder / "host").read_text())
        return done

    def log(self):
        """What the host was told; packets opened as the secure processor opens them."""
        path = self.folder / "host.log"
        lines = [tuple(s.split()) for s in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return [("inject", self.opened(*words[1:])) if words[0] == "inject" else words[0] for words in lines]

    def opened(self, header, payload):
        tek, tik = map(base64.b64decode, self.data["keys"])
        measurement = base64.b64decode(self.data["domains"][0]["launch"]["sev-measurement"])
        return sev_owner.open_packet(tik, tek, measurement, header, payload)


INJECTED = ("inject", sev_owner.secret_table([(LUKS, SECRET)]))
INJECT = "--inject-secret=luks-key:pw"


@pytest.mark.parametrize("policy, vcpus, lies", [(3, 1, {}), (7, 2, {}), (7, 3, {"init2": True})])
def test_started_checked_injected_resumed(tmp_path, platform, policy, vcpus, lies):
    host = Host(tmp_path, platform, policy=policy, vcpus=vcpus, lies=lies)
    done = host.run(INJECT)
    assert done.returncode == 0, done
    assert done.stdout == "'web1' is running: its measurement is as expected, and its secrets were injected\n"
    assert host.log() == ["start", INJECTED, "resume"]
    # the keys stay with the owner, and nobody else may read them
    files = sorted((tmp_path / "keys").iterdir())
    assert [f.name.rsplit("_", 1)[1] for f in files] == ["godh.b64", "session.b64", "tek.bin", "tik.bin"]
    assert all(f.name.startswith("web1-") and f.stat().st_mode & 0o777 == 0o600 for f in files)
    # it was started from its own configuration, with nothing but the session changed
    started = ElementTree.fromstring(host.data["domains"][0]["xml"])
    launch = started.find("launchSecurity")
    assert started.find("devices/graphics").get("passwd") == "a & b"
    assert launch.findtext("session") == files[1].read_text() and launch.findtext("dhCert") == files[0].read_text()
    for child in (launch.find("session"), launch.find("dhCert")):
        launch.remove(child)
    assert ElementTree.canonicalize(ElementTree.tostring(started)) == ElementTree.canonicalize(host.xml)
    # no key leaves the folder
    for key in (files[2], files[3]):
        assert base64.b64encode(key.read_bytes()).decode() not in done.stdout + done.stderr


def test_without_secrets_it_just_runs(tmp_path, platform):
    host = Host(tmp_path, platform)
    assert host.run().stdout == "'web1' is running: its measurement is as expected\n"
    assert host.log() == ["start", "resume"]


def test_each_start_gets_a_session_of_its_own(tmp_path, platform):
    stale = "<dhCert>b2xk</dhCert><session>b2xk</session>"
    host = Host(tmp_path, platform, session=stale)
    assert host.run("--name=one").returncode == 0
    first = (tmp_path / "keys/one_session.b64").read_text()
    host = Host(tmp_path, platform, session=stale)
    done = host.run("--name=one")
    assert done.returncode == 1 and "exists" in done.stderr
    assert host.run("--name=two").returncode == 0
    assert (tmp_path / "keys/two_session.b64").read_text() != first
    assert host.log() == ["start", "resume", "start", "resume"]


LIES = {
    "kernel": {"kernel": "other"},
    "initrd": {"initrd": "other"},
    "firmware": {"loader": "other"},
    "no hashes": {"no-hashes": True},
    "measurement": {"flip": 0},
    "end of the measurement": {"flip": 31},
    "nonce": {"flip": 47},
    "api major": {"answer": {"sev-api-major": 0}},
    "api minor": {"answer": {"sev-api-minor": 54}},
    "build": {"answer": {"sev-build-id": 20}},
    "policy": {"answer": {"sev-policy": 2}},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_host_gets_nothing(tmp_path, platform, lie):
    lies = {k: str(tmp_path / v) if v == "other" else v for k, v in LIES[lie].items()}
    host = Host(tmp_path, platform, lies=lies)
    done = host.run(INJECT)
    assert done.returncode in (2, 3) and "refused" in done.stderr and "'web1' was destroyed" in done.stderr, done
    assert done.stdout == "" and host.log() == ["start", "destroy"]
    done = Host(tmp_path, platform, lies=lies).run(INJECT, "--on-refusal=keep", "--name=again")
    assert done.returncode in (2, 3) and "'web1' stays paused" in done.stderr
    assert host.log() == ["start"]


def test_more_vcpus_than_told(tmp_path, platform):
    host = Host(tmp_path, platform, policy=7, vcpus=2, lies={"vcpus": 3})
    assert host.run(INJECT).returncode == 2
    assert host.log() == ["start", "destroy"]


def test_the_owners_files_count_more_than_the_hosts(tmp_path, platform):
    host = Host(tmp_path, platform)
    done = host.run(INJECT, "--kernel=other", "--initrd=initrd", "--cmdline=console=ttyS0")
    assert done.returncode == 2 and host.log() == ["start", "destroy"]
    for file, words in (("kernel", "console=ttyS0"), ("kernel", "console=ttyS1")):
        host = Host(tmp_path, platform)
        done = host.run(INJECT, "--firmware=fw", f"--kernel={file}", "--initrd=initrd", f"--cmdline={words}", f"--name={words}")
        assert done.returncode == (0 if words == "console=ttyS0" else 2)


def test_expected_digests(tmp_path, platform):
    good = standin_start.digest(ElementTree.fromstring(Host(tmp_path, platform).xml), {}, 3).hex()
    host = Host(tmp_path, platform)
    assert host.run("--expect=" + "00" * 32, INJECT).returncode == 2
    assert host.log() == ["start", "destroy"]
    host = Host(tmp_path, platform)
    assert host.run("--expect=" + "00" * 32, f"--expect={good}", INJECT, "--name=two").returncode == 0
    assert host.log() == ["start", INJECTED, "resume"]
    done = Host(tmp_path, platform).run("--expect=12", "--name=three")
    assert done.returncode == 1 and "64 hexadecimal digits" in done.stderr
    assert host.log() == ["start", "destroy"]


def made_before(tmp_path, platform, name="vm", **more):
    """A domain that somebody started paused, with a session that `cvmspawn session --xml` made."""
    certs = [platform / f"{n}.cert" for n in ("pdh", "pek", "oca", "cek-signed", "ask", "ark")]
    (tmp_path / "keys").mkdir(exist_ok=True)
    argv = [BUILD / "programs/cvmspawn", "session", *certs, f"--insecure-root={platform}/ark.cert", "-o", tmp_path / "keys", f"--name={name}", "--xml", "3"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=dict(os.environ))
    element = ElementTree.fromstring(done.stdout)
    session = "".join(ElementTree.tostring(element.find(n)).decode().strip() for n in ("dhCert", "session"))
    return Host(tmp_path, platform, session=session, **more)


def test_a_paused_domain_is_found_by_its_session(tmp_path, platform):
    for name in ("one", "two", "three"):
        host = made_before(tmp_path, platform, name)
    (tmp_path / "keys/junk_session.b64").write_text("junk")
    (tmp_path / "keys/one_tik.bin").write_bytes(bytes(16))  # not looked at
    done = host.paused().run(INJECT)
    assert done.returncode == 0, done
    assert host.log() == [INJECTED, "resume"]


def test_a_paused_domain_that_lies_stays_paused(tmp_path, platform):
    host = made_before(tmp_path, platform, lies={"flip": 3}).paused()
    done = host.run(INJECT)
    assert done.returncode == 2 and "'web1' stays paused" in done.stderr and host.log() == []
    done = host.run(INJECT, "--on-refusal=destroy")
    assert done.returncode == 2 and "'web1' was destroyed" in done.stderr and host.log() == ["destroy"]


def test_a_session_of_the_hosts_own(tmp_path, platform):
    """The host swaps the session for one whose keys it knows."""
    host = made_before(tmp_path, platform, "hosts-own").paused()
    for file in (tmp_path / "keys").iterdir():
        file.unlink()
    made_before(tmp_path, platform, "ours")
    done = host.run(INJECT)
    assert done.returncode == 1 and "the host used another session" in done.stderr and host.log() == []
    # and if the owner insists on her keys, they do not fit
    done = host.run(INJECT, "--name=ours")
    assert done.returncode == 2 and host.log() == [], done


REFUSED = {
    "nvram": (dict(more="<nvram>/x</nvram>"), [], 3, "not measured"),
    "kernel without hashes": (dict(hashes=False), [], 3, "kernelHashes='yes'"),
    "kernel of the owner's, not in the XML": (dict(hashes=None), ["--kernel=kernel"], 3, "kernelHashes='yes'"),
    "debug": (dict(policy=2), [], 3, "--allow-debug"),
    "another policy": (dict(policy=3), ["--policy=1"], 3, "not 1"),
    "SNP": (dict(launch="sev-snp"), [], 3, "cvmspawn-report"),
    "other launch security": (dict(launch="tdx"), [], 3, "no <launchSecurity type='sev'>"),
    "no such domain": (dict(name="web2"), [], 1, "Domain not found"),
    "no number": ({}, ["--policy=x"], 1, "expected a number"),
    "words without a kernel": ({}, ["--cmdline=x"], 1, "--cmdline has no meaning without --kernel"),
    "no such refusal": ({}, ["--on-refusal=x"], 1, "destroy or keep"),
    "no such alias": ({}, ["--inject-secret=x:pw"], 1, "x"),
    "no such file": ({}, ["--inject-secret=luks-key:none"], 1, "none"),
    "launch id": ({}, ["--launch-id=x"], 1, "--attestation-service"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_starts(tmp_path, platform, what):
    make, words, status, sentence = REFUSED[what]
    host = Host(tmp_path, platform, **make)
    done = host.run(*words)
    assert done.returncode == status and sentence in done.stderr, done
    assert host.log() == [] and not list(tmp_path.glob("keys/*"))


def test_a_running_domain_is_not_vouched_for(tmp_path, platform):
    host = made_before(tmp_path, platform).paused(state=1)
    done = host.run(INJECT)
    assert done.returncode == 1 and "is already running" in done.stderr and host.log() == []


def test_neither_desk_nor_service(tmp_path, platform):
    done = Host(tmp_path, platform).run(owner=False)
    assert done.returncode == 1 and "--owner-dir" in done.stderr and "--attestation-service" in done.stderr


@pytest.mark.parametrize("step, log", [("start", []), ("inject", ["start", "destroy"]), ("resume", ["start", INJECTED, "destroy"])])
def test_libvirt_refuses(tmp_path, platform, step, log):
    host = Host(tmp_path, platform)
    host.data["refuse"] = [step]
    done = host.run(INJECT)
    assert done.returncode == 1 and f"refuses to {step}" in done.stderr and done.stdout == ""
    assert host.log() == log


def test_a_domain_that_cannot_be_destroyed_is_named(tmp_path, platform):
    host = Host(tmp_path, platform, lies={"flip": 1})
    host.data["refuse"] = ["destroy"]
    done = host.run(INJECT)
    assert done.returncode == 2 and "could not be destroyed and stays paused" in done.stderr and host.log() == ["start"]


def test_a_platform_without_certificates(tmp_path, platform):
    host = Host(tmp_path, platform)
    pdh = bytearray(base64.b64decode(host.data["sev"]["pdh"]))
    pdh[0x420] ^= 1
    host.data["sev"]["pdh"] = base64.b64encode(pdh).decode()
    done = host.run(INJECT)
    assert done.returncode == 2 and "platform is not verified" in done.stderr
    assert host.log() == [] and not list(tmp_path.glob("keys/*"))
    del host.data["sev"]
    done = host.run(INJECT)
    assert done.returncode == 1 and "does not support SEV" in done.stderr


def test_on_the_host_itself_it_says_what_that_is_worth(tmp_path, platform):
    host = Host(tmp_path, platform)
    host.data["hostname"] = socket.gethostname()
    done = host.run()
    assert done.returncode == 0 and "a host cannot verify itself" in done.stderr


def test_a_service_decides(tmp_path, platform):
    """The owner's service holds keys, secrets and verdict; the host only carries."""
    sys.path.insert(0, str(SOURCE / "tests/integration"))
    from attestd_service import Service

    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    state = tmp_path / "service"
    state.mkdir()
    (state / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    service = Service(state, f"--certs={state}/amd", f"--insecure-root={platform}/ark.cert")
    try:
        digest = standin_start.digest(ElementTree.fromstring(Host(tmp_path, platform).xml), {}, 3).hex()
        registration = {"scheme": "amd-sev", "policy": 3, "cloud-cert": "any", "launch-digests": [digest], "max-instances": 5,
                        "secrets": [{"type": "luks-passphrase", "passphrase": SECRET.decode()}]}  # fmt: skip
        status, answer = service.post("/vm/web1", registration, *service.owner())
        assert status == 201, answer
        ask = [f"--attestation-service={service.url}/vm/web1", f"--attestation-ca={state}/state/ca.pem"]
        host = Host(tmp_path, platform)
        done = host.run(*ask, owner=False)
        assert done.returncode == 0, done
        assert host.log() == ["start", INJECTED, "resume"]
        assert not (tmp_path / "keys").exists()
        host = Host(tmp_path, platform, lies={"kernel": str(tmp_path / "other")})
        done = host.run(*ask, owner=False)
        assert done.returncode in (2, 3) and "refused" in done.stderr, done
        assert host.log() == ["start", "destroy"]
        done = Host(tmp_path, platform).run(*ask, "--expect=" + digest, owner=False)
        assert done.returncode == 1 and "--expect has no meaning together with" in done.stderr and host.log() == []
    finally:
        service.stop()
