# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest owner's programs without a host: validate, session, secret, cert-chain. The platform is the made-up one of
tests/golden/sev-chain; AMD's servers are one on the loopback."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
GOLDEN = SOURCE / "tests/golden/sev-chain"

sys.path.insert(0, str(SOURCE / "tests/lib"))
import sev_owner  # noqa: E402

TEK, TIK = bytes(range(16)), bytes(range(16, 32))
ROOT = f"--insecure-root={GOLDEN}/ark.cert"
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"


def cvmspawn(folder, *words, status=0, **env):
    done = subprocess.run(
        [BUILD / "programs/cvmspawn", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=60, env=dict(os.environ, **env)
    )
    assert done.returncode == status, (words, done)
    return done


def chain_file(folder, *names):
    path = folder / "chain"
    path.write_bytes(b"".join((GOLDEN / f"{n}.cert").read_bytes() for n in names))
    return path


WHOLE = ("pdh", "pek", "oca", "cek-signed", "ask", "ark")


def firmware():
    area = (0x810000).to_bytes(4, "little") + (0xC00).to_bytes(4, "little")
    reset = (0x80B004).to_bytes(4, "little")
    return sev_owner.firmware([(sev_owner.SECRET_BLOCK, area), (sev_owner.RESET_BLOCK, reset)])


# --- session ---------------------------------------------------------------------------------------------------------


def test_session_writes_what_sevctl_writes(tmp_path):
    cvmspawn(tmp_path, "session", chain_file(tmp_path, *WHOLE), "7", ROOT)
    sizes = {p.name: p.stat() for p in tmp_path.iterdir() if p.name.startswith("vm_")}
    assert {n: s.st_size for n, s in sizes.items()} == {"vm_tik.bin": 16, "vm_tek.bin": 16, "vm_godh.b64": 2780, "vm_session.b64": 172}
    assert all(s.st_mode & 0o777 == 0o600 for s in sizes.values())
    godh = base64.b64decode((tmp_path / "vm_godh.b64").read_text(), validate=True)
    assert len(godh) == 2084 and godh[8:12] == b"\x03\x10\0\0"
    blob = base64.b64decode((tmp_path / "vm_session.b64").read_text(), validate=True)
    tik = (tmp_path / "vm_tik.bin").read_bytes()
    assert blob[0x60:] == hmac.digest(tik, (7).to_bytes(4, "little"), "sha256")


def test_session_never_replaces_a_key(tmp_path):
    chain = chain_file(tmp_path, *WHOLE)
    (tmp_path / "a_session.b64").write_text("precious")
    done = cvmspawn(tmp_path, "session", chain, "--name=a", ROOT, status=1)
    assert "a_session.b64' exists" in done.stderr
    assert (tmp_path / "a_session.b64").read_text() == "precious"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".a", "a_t", "a_g"))]
    cvmspawn(tmp_path, "session", chain, "--name=b", ROOT)
    cvmspawn(tmp_path, "session", chain, "--name=c", ROOT)
    assert (tmp_path / "b_tik.bin").read_bytes() != (tmp_path / "c_tik.bin").read_bytes()


def b64(*names):
    return base64.b64encode(b"".join((GOLDEN / f"{n}.cert").read_bytes() for n in names)).decode()


def sev_facts():
    """What libvirt and QEMU tell of a host."""
    chain = b64("pek", "oca", "cek-signed")
    return {"pdh": b64("pdh"), "cert-chain": chain, "cpu0-id": base64.b64encode(bytes(64)).decode(), "cbitpos": 51}


def test_session_from_what_virsh_and_qmp_print(tmp_path):
    facts = sev_facts()
    certs = f"--certs={chain_file(tmp_path, 'ask', 'ark')}"
    # virsh nodesevinfo prints "%-18s: %s"
    (tmp_path / "virsh").write_text("".join(f"{k:<18s}: {v}\n" for k, v in facts.items()))
    (tmp_path / "qmp").write_text(json.dumps({"return": facts}))
    (tmp_path / "bare").write_text(json.dumps(facts))
    for name in ("virsh", "qmp", "bare"):
        cvmspawn(tmp_path, "session", name, certs, ROOT, f"--name={name}", "7")
        assert (tmp_path / f"{name}_session.b64").exists()
    (tmp_path / "broken").write_text((tmp_path / "virsh").read_text().replace(facts["pdh"], facts["pdh"][:-8]))
    done = cvmspawn(tmp_path, "session", "broken", certs, ROOT, "--name=x", status=1)
    assert "'broken'" in done.stderr and "pdh" in done.stderr
    # the facts are the host's word: a PDH of another platform is detected
    other = bytearray(base64.b64decode(facts["pdh"]))
    other[0x20] ^= 1
    (tmp_path / "other").write_text((tmp_path / "virsh").read_text().replace(facts["pdh"], base64.b64encode(other).decode()))
    cvmspawn(tmp_path, "session", "other", certs, ROOT, "--name=x", status=2)
    assert not list(tmp_path.glob("x_*"))


def test_session_for_a_libvirt_domain(tmp_path):
    """--connect asks libvirt (here the stand-in with its ABI), --xml prints what goes into the domain."""
    standin = BUILD / "tests/interop"
    if not (standin / "libvirt.so.0").exists():
        pytest.skip("the stand-in for libvirt.so.0 is not built")
    certs = f"--certs={chain_file(tmp_path, 'ask', 'ark')}"
    host = {"hostname": "h", "capabilities": "", "sev": sev_facts(), "domains": []}
    (tmp_path / "host").write_text(json.dumps(host))
    env = {"STANDIN_LIBVIRT": str(tmp_path / "host"), "LD_LIBRARY_PATH": str(standin)}
    done = cvmspawn(tmp_path, "session", "--connect=qemu:///system", certs, ROOT, "--xml", "--name=w", "5", **env)
    xml = ElementTree.fromstring(done.stdout)
    assert (xml.tag, xml.get("type"), xml.findtext("policy")) == ("launchSecurity", "sev", "0x0005")
    assert xml.findtext("dhCert") == (tmp_path / "w_godh.b64").read_text()
    assert xml.findtext("session") == (tmp_path / "w_session.b64").read_text()
    done = cvmspawn(tmp_path, "session", "--connect=nowhere:///", certs, ROOT, status=1, **env)
    assert "no connection driver" in done.stderr
    del host["sev"]["pdh"]
    (tmp_path / "host").write_text(json.dumps(host))
    done = cvmspawn(tmp_path, "session", "--connect=qemu:///system", certs, ROOT, "--name=y", status=1, **env)
    assert "does not report a PDH" in done.stderr


def test_session_wants_a_verified_platform(tmp_path):
    for names, options, status in (
        (WHOLE, [], 2),  # not AMD's root
        (WHOLE[:-1], [ROOT], 4),
        (("pdh",), [ROOT], 4),
        (("pdh", "pek", "oca", "cek", "ask", "ark"), [ROOT], 4),  # as exported: AMD has not signed this CEK
        (WHOLE, [ROOT, "--oca=" + "0" * 64], 3),
        (WHOLE[1:], [ROOT], 1),  # no PDH
        (WHOLE, [ROOT, "--policy=0"], 1),  # would allow debugging
        (WHOLE, [ROOT, "--policy=nonsense"], 1),
    ):
        cvmspawn(tmp_path, "session", chain_file(tmp_path, *names), *options, "--cache=", status=status)
        assert not list(tmp_path.glob("vm_*")), names
    owner = hashlib.sha256((GOLDEN / "oca.cert").read_bytes()).hexdigest()
    cvmspawn(tmp_path, "session", chain_file(tmp_path, *WHOLE), ROOT, f"--oca={owner}")
    cvmspawn(tmp_path, "session", GOLDEN / "pdh.cert", "--insecure-unverified-platform", "--name=x", "--policy=0,debug")


@pytest.mark.parametrize("words,policy", [("", 7), ("3", 3), ("nosend", 0xF), ("domain,sev", 0x37), ("0x37010005", 0x37010005), ("debug", 6)])
def test_session_policies(tmp_path, words, policy):
    chain = chain_file(tmp_path, *WHOLE)
    done = cvmspawn(tmp_path, "session", chain, ROOT, "--json=short", *([f"--policy={words}"] if words else []))
    told = json.loads(done.stdout)
    assert told["policy"] == policy and told["platform"] == "authentic"
    assert (tmp_path / "vm_tik.bin").read_bytes().hex() not in done.stdout


# --- cert-chain -------------------------------------------------------------------------------------------------------


def test_chain_orders_and_split(tmp_path):
    cvmspawn(tmp_path, "cert-chain", "verify", chain_file(tmp_path, *WHOLE), ROOT)
    files = [GOLDEN / f"{n}.cert" for n in reversed(WHOLE)]
    cvmspawn(tmp_path, "cert-chain", "verify", *files, ROOT)
    text = tmp_path / "text"
    text.write_bytes(base64.encodebytes((GOLDEN / "pek.cert").read_bytes() + (GOLDEN / "oca.cert").read_bytes() + (GOLDEN / "cek.cert").read_bytes()))
    rest = [GOLDEN / f"{n}.cert" for n in ("pdh", "cek-signed", "ask", "ark")]
    cvmspawn(tmp_path, "cert-chain", "verify", text, *rest, ROOT)
    cvmspawn(tmp_path, "cert-chain", "split", chain_file(tmp_path, *WHOLE))
    for name in ("pdh", "pek", "oca", "ask", "ark"):
        assert (tmp_path / f"{name}.cert").read_bytes() == (GOLDEN / f"{name}.cert").read_bytes()
    assert (tmp_path / "cek.cert").read_bytes() == (GOLDEN / "cek-signed.cert").read_bytes()
    cvmspawn(tmp_path, "cert-chain", "split", tmp_path / "chain", status=1)
    cvmspawn(tmp_path, "cert-chain", "split", "--force", tmp_path / "chain")
    shown = json.loads(cvmspawn(tmp_path, "cert-chain", "show", "--json=short", tmp_path / "chain").stdout)
    assert [c["name"] for c in shown] == ["PDH", "PEK", "OCA", "CEK", "ASK", "ARK"]
    assert shown[1]["signers"] == ["OCA", "CEK"] or shown[1]["signers"] == ["CEK", "OCA"]


def test_chain_damage_is_refused(tmp_path):
    whole = bytearray(chain_file(tmp_path, *WHOLE).read_bytes())
    path = tmp_path / "damaged"
    for at in range(3, len(whole), 389):
        whole[at] ^= 1
        path.write_bytes(whole)
        whole[at] ^= 1
        done = subprocess.run([BUILD / "programs/cvmspawn", "cert-chain", "verify", path, ROOT], capture_output=True, text=True)
        assert done.returncode == 2, (at, done)


class Amd(http.server.BaseHTTPRequestHandler):
    answers, asked = {}, []

    def do_GET(self):
        self.asked.append(self.path)
        body = self.answers.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def amd():
    Amd.answers, Amd.asked = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Amd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_missing_certificates_are_fetched_and_kept(tmp_path, amd):
    chip = bytes(range(64))
    Amd.answers = {
        f"/cek/id/{chip.hex()}": (GOLDEN / "cek-signed.cert").read_bytes(),
        "/ask_ark_milan.cert": (GOLDEN / "ask.cert").read_bytes() + (GOLDEN / "ark.cert").read_bytes(),
        "/ask_ark_naples.cert": b"garbage",
    }
    chain = chain_file(tmp_path, "pdh", "pek", "oca", "cek")
    servers = [ROOT, f"--kds={amd}", f"--downloads={amd}", f"--cache={tmp_path}/kept", "--cek-id=" + base64.b64encode(chip).decode()]
    done = cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers, status=4)
    assert not Amd.asked and "--online" in done.stderr
    cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers, "--online")
    assert Amd.asked[0] == f"/cek/id/{chip.hex()}" and "/ask_ark_milan.cert" in Amd.asked
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["ask_ark_milan.cert", f"cek-{chip.hex()}.cert"]
    asked = len(Amd.asked)
    cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers)  # from the cache, without the network
    assert len(Amd.asked) == asked
    # a lie in the cache, or of the server, does not stay: the signature of another key, found when the roots are there
    good = Amd.answers[f"/cek/id/{chip.hex()}"]
    lie = bytearray(good)
    lie[0x41C] ^= 1
    kept = tmp_path / "kept" / f"cek-{chip.hex()}.cert"
    kept.write_bytes(lie)
    cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers, "--online")
    assert kept.read_bytes() == good
    kept.write_bytes(lie)
    cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers, status=4)
    assert not kept.exists()
    Amd.answers[f"/cek/id/{chip.hex()}"] = bytes(lie)
    cvmspawn(tmp_path, "cert-chain", "verify", chain, *servers, "--online", status=4)
    assert not kept.exists()
    # the CEK of another chip does not become this one's
    Amd.answers = {f"/cek/id/{chip.hex()}": (GOLDEN / "pek.cert").read_bytes()}
    cvmspawn(tmp_path, "cert-chain", "verify", chain, ROOT, f"--kds={amd}", f"--downloads={amd}", "--cache=", "--online", f"--cek-id={chip.hex()}", status=4)


# --- secret -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def launch(tmp_path):
    (tmp_path / "tk").write_bytes(TEK + TIK)
    (tmp_path / "fw").write_bytes(firmware())
    (tmp_path / "pw").write_bytes(b"passphrase")
    measurement = sev_owner.measurement(TIK, hashlib.sha256(firmware()).digest(), 3)
    return tmp_path, measurement


def test_secret_packets(launch):
    folder, measurement = launch
    common = ["--tk=tk", f"--measurement={measurement}"]
    cvmspawn(folder, "secret", "build", *common, "-s", "luks-key:pw", "-s", f"{LUKS[:-1]}c:fw", "-f", "fw", "HEADER", "PAYLOAD")
    table = sev_owner.open_packet(TIK, TEK, base64.b64decode(measurement), *((folder / n).read_text() for n in ("HEADER", "PAYLOAD")))
    assert table == sev_owner.secret_table([(LUKS, b"passphrase"), (f"{LUKS[:-1]}c", firmware())])
    done = cvmspawn(folder, "secret", "open", *common, "HEADER", "PAYLOAD")
    assert done.stdout.splitlines()[0] == f"{LUKS} 10 bytes" and "passphrase" not in done.stdout
    for name in ("HEADER", "PAYLOAD"):
        raw = bytearray(base64.b64decode((folder / name).read_text()))
        for at in range(0, len(raw), 7):
            raw[at] ^= 1
            (folder / "damaged").write_text(base64.b64encode(raw).decode())
            raw[at] ^= 1
            words = ["damaged" if n == name else n for n in ("HEADER", "PAYLOAD")]
            cvmspawn(folder, "secret", "open", *common, *words, status=2)
    other = sev_owner.measurement(TIK, bytes(32), 3)
    cvmspawn(folder, "secret", "open", "--tk=tk", f"--measurement={other}", "HEADER", "PAYLOAD", status=2)


def test_secret_limits(launch):
    folder, measurement = launch
    (folder / "large").write_bytes(bytes(3072))
    (folder / "huge").write_bytes(bytes(16385))
    common = ["build", "--tk=tk", f"--measurement={measurement}", "HEADER", "PAYLOAD"]
    for extra, text in (
        (["-s", "luks-key:large", "-f", "fw"], "secret area has 3072"),
        (["-s", "luks-key:huge"], "larger than"),
        (["-s", "luks-key:pw", "-s", f"{LUKS}:pw"], "duplicate secret"),
        (["-s", "luks:pw"], "neither a GUID"),
        ([], "nothing to inject"),
        (["-s", "luks-key:pw", "--tk=pw"], "expected a key of 32 bytes"),
    ):
        assert text in cvmspawn(folder, "secret", *common, *extra, status=1).stderr
        assert not (folder / "HEADER").exists()
    cvmspawn(folder, "secret", *common, "-s", "luks-key:large")


# --- validate: what the original cannot do -------------------------------------------------------------------------------


def validate(folder, *words, status=0):
    return cvmspawn(folder, "validate", "-f", "fw", "--api-major=1", "--api-minor=55", "--build-id=21", *words, status=status)


def test_session_file_tells_what_is_wrong(tmp_path):
    (tmp_path / "fw").write_bytes(firmware())
    for name, policy in (("a", 3), ("b", 3)):
        cvmspawn(tmp_path, "session", chain_file(tmp_path, *WHOLE), str(policy), ROOT, f"--name={name}")
    tik = (tmp_path / "a_tik.bin").read_bytes()
    good = ["-m", sev_owner.measurement(tik, hashlib.sha256(firmware()).digest(), 3)]
    own = ["--tik=a_tik.bin", "--tek=a_tek.bin"]
    validate(tmp_path, *own, *good, "--policy=3", "--session=a_session.b64")
    for words, text in (
        ([*own, "--policy=3", "--session=b_session.b64"], "do not belong to the session"),
        (["--tik=a_tek.bin", "--tek=a_tik.bin", "--policy=3", "--session=a_session.b64"], "swapped"),
        ([*own, "--policy=1", "--session=a_session.b64"], "made for policy 3 (0x3), not for policy 1"),
        ([*own, "--policy=3", "--session=a_godh.b64"], "not a session"),
        ([*own, "--policy=3", "--session=a_tik.bin"], "not a session"),
    ):
        assert text in validate(tmp_path, *words, *good, status=2).stderr
    (tmp_path / "binary").write_bytes(base64.b64decode((tmp_path / "a_session.b64").read_text()))
    done = validate(tmp_path, *own, *good, "--policy=3", "--session=binary")
    assert "is binary" in done.stderr


SEARCHES = [
    # what the host really launched, and a part of what is said about it
    (dict(policy=1), "policy 1 (0x1)"),
    (dict(swapped=True), "swapped"),
    (dict(kernel=False), "kernel hashes off"),
    (dict(words=b"console=ttyS0\n"), "a newline after"),
    (dict(build=22), "firmware build id 22"),
    (dict(build=20, swapped=True), "TIK and TEK swapped, firmware build id 20"),
    (dict(kernel=False, swapped=True), "kernel hashes off: kernel, initrd and command line were NOT measured, TIK and TEK swapped"),
    (dict(build=23), "none of the known variations"),
]


@pytest.mark.parametrize("change,text", SEARCHES)
def test_search_names_what_fits(launch, change, text):
    folder, _ = launch
    (folder / "kernel").write_bytes(b"kernel")
    table = b"" if change.get("kernel") is False else sev_owner.kernel_table(b"kernel", b"", change.get("words", b"console=ttyS0"))
    key = TEK if change.get("swapped") else TIK
    measurement = sev_owner.measurement(key, hashlib.sha256(firmware() + table).digest(), change.get("policy", 3), build=change.get("build", 21))
    words = ["--tk=tk", "--policy=3", "-k", "kernel", "-e", "console=ttyS0", "-m", measurement]
    done = validate(folder, *words, status=1)
    assert "ERROR: Measurement does not match" in done.stderr and text in done.stderr and not done.stdout
    assert "NOTE" not in validate(folder, *words, "--strict-compat", status=1).stderr
    assert validate(folder, *words, "-q", status=1).stderr == ""


def vmsa(signature, application=False, fpu=False, features=0):
    return sev_owner.vmsa(signature, 0x80B004 if application else None, fpu, features)


@pytest.mark.parametrize(
    "change,cpus,text",
    [
        (dict(fpu=True), 2, "KVM_SEV_INIT2"),
        (dict(features=0x20), 2, "DebugSwap on"),
        (dict(signature=0x830F10), 2, "CPU EPYC-Rome"),
        ({}, 7, "7 vCPUs"),
        (dict(fpu=True, signature=0x800F12), 3, "3 vCPUs"),
        (dict(fpu=True, swapped=True), 2, "KVM_SEV_INIT2 (QEMU legacy-vm-type=off; --sev-vm-type=new), TIK and TEK swapped"),
        (dict(fpu=True, build=22), 2, "firmware build id 22"),
        (dict(features=0x40), 2, "none of the known variations"),
    ],
)
def test_search_names_the_host(launch, change, cpus, text):
    folder, _ = launch
    change = dict(change)
    key, build = TEK if change.pop("swapped", False) else TIK, change.pop("build", 21)
    pages = {"signature": 0xA00F11, **change}
    data = firmware() + vmsa(**pages) + vmsa(**pages, application=True) * (cpus - 1)
    measurement = sev_owner.measurement(key, hashlib.sha256(data).digest(), 7, build=build)
    sku = ["--cpu-family=25", "--cpu-model=1", "--cpu-stepping=1"]
    done = validate(folder, "--tk=tk", "--policy=7", "-n2", *sku, "-m", measurement, status=1)
    assert text in done.stderr
    (folder / "v0").write_bytes(vmsa(0xA00F11))
    (folder / "v1").write_bytes(vmsa(0xA00F11, application=True))
    done = validate(folder, "--tk=tk", "--policy=7", "-n2", "-0", "v0", "-1", "v1", "-m", measurement, status=1)
    assert text in done.stderr


def test_keys_never_show(launch):
    folder, measurement = launch
    (folder / "kernel").write_bytes(b"k")
    for words in (["-d"], ["-d", "-s", "luks-key:pw", "--secret-header=h", "--secret-payload=p"], ["-d", "-k", "kernel"], ["-d", "--session=tk"]):
        base = ["-f", "fw", "--tk=tk", "--api-major=1", "--api-minor=55", "--build-id=21", "--policy=3", "-m", measurement]
        done = subprocess.run([BUILD / "programs/cvmspawn", "validate", *base, *words], cwd=folder, capture_output=True)
        text = done.stdout + done.stderr
        for secret in (TIK, TEK, b"passphrase"):
            assert secret not in text and secret.hex().encode() not in text and base64.b64encode(secret) not in text


# --- other people's vectors -------------------------------------------------------------------------------------------


@pytest.fixture
def vectors():
    shared = os.environ.get("CVMSPAWN_SHARED")
    if not shared:
        pytest.skip("the vectors of sevctl and virtee/sev are not shipped; they are looked for in ../shared/testdata")
    folder = Path(shared) / "testdata/attestation"
    return folder, json.loads((folder / "session/vectors.json").read_text())


def test_vectors_of_measurements(tmp_path, vectors):
    folder, data = vectors
    seen = 0
    (tmp_path / "tek").write_bytes(bytes(16))
    for v in data["measure"]:
        if "firmware_file" not in v:
            continue  # those give a digest instead of a firmware: the unit tests have one
        words = ["--firmware", folder / v["firmware_file"], "--tik", folder / v["tik_file"], "--tek=tek", "-m", v["blob_b64"], "--policy", v["policy"]]
        words += ["--api-major", v["api_major"], "--api-minor", v["api_minor"], "--build-id", v["build"]]
        for key, option in (("kernel_file", "-k"), ("initrd_file", "-r"), ("vmsa_cpu0_file", "-0"), ("vmsa_cpu1_file", "-1")):
            words += [option, folder / v[key]] if key in v else []
        words += ["-e", v["cmdline"]] if "cmdline" in v else []
        words += ["-n", v["num_cpus"]] if "num_cpus" in v else []
        for strict in ([], ["--strict-compat"]):
            cvmspawn(tmp_path, "validate", *strict, *words)
        seen += 1
    assert seen >= 3


def test_vectors_of_secrets(tmp_path, vectors):
    folder, data = vectors
    for v in data["secret"]:
        keys = [f"--tik={folder / v['tik_file']}", f"--tek={folder / v['tek_file']}", f"--measurement={v['launch_measure_blob_b64']}"]
        (tmp_path / "h").write_text(v["header_b64"])
        (tmp_path / "p").write_text(v["payload_b64"])
        done = cvmspawn(tmp_path, "secret", "open", *keys, "h", "p")
        sizes = [f"{guid} {(folder / name).stat().st_size} bytes" for guid, name in v["entries"]]
        assert done.stdout.splitlines() == sizes
        # ours differs in its IV alone: opened, both are the same table
        cvmspawn(tmp_path, "secret", "build", *keys, *(f"--secret={guid}:{folder / name}" for guid, name in v["entries"]), "H", "P")
        tables = [
            sev_owner.open_packet((folder / v["tik_file"]).read_bytes(), (folder / v["tek_file"]).read_bytes(), base64.b64decode(v["launch_measure_blob_b64"]), *((tmp_path / n).read_text() for n in pair))
            for pair in (("h", "p"), ("H", "P"))
        ]  # fmt: skip
        assert tables[0] == tables[1]


# Measurements that virt-qemu-sev-validate 12.8.0 gave for Debian's OVMF.amdsev.fd of this digest; kernel "kernel", initrd "initrd",
# console=ttyS0, processor 25/1/1, API 1.55, build 21, TEK 00..0f, TIK 10..1f, nonce a0..af.
DEBIAN_FIRMWARE = "3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f"
GOLDEN_MEASUREMENTS = [
    (3, 0, False, "6cjLB4V6TPNJaEvOgSZFyezLbtsXEaKWkhIZK+TBlF6goaKjpKWmp6ipqqusra6v"),
    (3, 0, True, "PL1m62X92nivB5NnOSQPrB+B12r7T/ez0nJeca8GIJSgoaKjpKWmp6ipqqusra6v"),
    (7, 1, False, "EVMOPsUo3lD+iBv2U4I8gOzNLUSSvcxaZyVDeVMX3HugoaKjpKWmp6ipqqusra6v"),
    (7, 2, False, "6GwAIEPthNwZXC0x9Mj3Z26307kUBRrV/Rlsv46NKsegoaKjpKWmp6ipqqusra6v"),
    (7, 4, False, "ypfhwSLReZyFhNrLAmM85gJzPnPsrMdtxaUjmpGLTMqgoaKjpKWmp6ipqqusra6v"),
    (7, 2, True, "KZlMtEUKwIlOZgfgVbdIJSDrdJuscJThneDd9yNpDvSgoaKjpKWmp6ipqqusra6v"),
]


def test_golden_measurements(tmp_path, firmware):
    if hashlib.sha256(firmware.read_bytes()).hexdigest() != DEBIAN_FIRMWARE:
        pytest.skip("Debian's OVMF.amdsev.fd has changed since the golden measurements were made")
    for name, data in {"kernel": b"kernel", "initrd": b"initrd", "tk": TEK + TIK}.items():
        (tmp_path / name).write_bytes(data)
    for policy, cpus, kernel, measurement in GOLDEN_MEASUREMENTS:
        words = ["-f", firmware, "--tk=tk", "--api-major=1", "--api-minor=55", "--build-id=21", f"--policy={policy}", "-m", measurement]
        words += ["-k", "kernel", "-r", "initrd", "-e", "console=ttyS0"] if kernel else []
        words += [f"-n{cpus}", "--cpu-family=25", "--cpu-model=1", "--cpu-stepping=1"] if cpus else []
        for strict in ([], ["--strict-compat"]):
            cvmspawn(tmp_path, "validate", *strict, *words)
