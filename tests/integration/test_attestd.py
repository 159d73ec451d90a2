# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service end to end: service, curl and an unmodified QEMU on the simulated SEV host as separate processes, over TLS on
the loopback; and what hosts and strangers may try."""

import base64
import hashlib
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
import sevsim_model as model
from attestd_service import Service
from sevsim_host import build_folder, skip_or_fail, text64

SOURCE = Path(__file__).resolve().parents[2]
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
FIRMWARE = model.make_firmware(seed=41)
KERNEL, OTHER_KERNEL = model.make_kernel(seed=42), model.make_kernel(seed=44)
INITRD = model.make_initrd(seed=43)
WORDS = "console=ttyS0"
VCPUS = 2


@pytest.fixture
def lockable():
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        pytest.skip("SEV locks guest memory: needs root or an unlimited RLIMIT_MEMLOCK")


@pytest.fixture
def service(tmp_path, platform):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
    s = Service(folder, f"--certs={folder}/amd", f"--insecure-root={platform}/ark.cert")
    yield s
    s.stop()


def digest(folder, mode):
    """What the owner computes from the files that are to be launched."""
    for name, data in {"fw": FIRMWARE, "kernel": KERNEL, "initrd": INITRD}.items():
        (folder / name).write_bytes(data)
    argv = [build_folder() / "programs/cvmspawn", "measure", "--mode", mode, "--ovmf", "fw", "--kernel", "kernel", "--initrd", "initrd", "--append", WORDS]
    if mode == "seves":
        argv += ["--vcpus", str(VCPUS), "--vcpu-type", "EPYC-v4", "--vmm-type", "QEMU"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def registration(mode, digests, **more):
    return {"scheme": "amd-sev-es" if mode == "seves" else "amd-sev", "policy": 7 if mode == "seves" else 3, "cloud-cert": "any",
            "launch-digests": digests, "secrets": [{"type": "luks-passphrase", "passphrase": "open sesame"}], **more}  # fmt: skip


class Host:
    """Who runs the guest: knows the service's URL and nothing of the owner."""

    def __init__(self, sim, platform, service):
        self.sim, self.platform, self.service = sim, platform, service
        sim.identity(platform)

    def chain(self):
        process, qmp = self.sim.paused(self.sim.arguments("sev", FIRMWARE, policy=3))
        caps = qmp.execute("query-sev-capabilities")
        qmp.execute("quit")
        assert process.wait(60) == 0
        # as exported the CEK lacks AMD's signature, which a host fetches once and for all
        parts = base64.b64decode(caps["cert-chain"])
        signed = parts[: 2 * 2084] + (self.platform / "cek-signed.cert").read_bytes()
        return {"pdh": caps["pdh"], "cert-chain": text64(signed), "cpu-id": caps["cpu0-id"]}

    def start(self, answer, kernel=KERNEL):
        """QEMU, paused before its first instruction: (process, monitor, what validate wants)."""
        files = {}
        for name, key in (("dh-cert-file", "owner-cert"), ("session-file", "session")):
            path = self.sim.folder / name
            path.write_text(answer[key])
            files[name] = str(path)
        argv = self.sim.arguments("sev", FIRMWARE, vcpus=VCPUS, policy=answer["policy"], kernel=kernel, initrd=INITRD, words=WORDS,
                                  **{"legacy-vm-type": "off"}, **files)  # fmt: skip
        process, qmp = self.sim.paused(argv)
        info = qmp.execute("query-sev")
        said = {"launch-id": answer["launch-id"], "measurement": qmp.execute("query-sev-launch-measure")["data"], "qemu-version": "10.0"}
        return process, qmp, {**said, **{k: info[k] for k in ("api-major", "api-minor", "build-id", "policy")}}


@pytest.mark.parametrize("mode", ["sev", "seves"])
def test_register_launch_validate(sim, platform, service, tmp_path, lockable, mode):
    host = Host(sim, platform, service)
    status, answer = service.post("/vm/web-1", registration(mode, [digest(tmp_path, mode)]), *service.owner())
    assert status == 201, answer
    chain = host.chain()
    status, answer = service.post("/vm/web-1/launch", chain)
    assert status == 200, answer
    process, qmp, said = host.start(answer)
    # a crash of the service between the two calls loses nothing
    service.kill()
    service.start()
    status, packet = service.post("/vm/web-1/validate", said)
    assert status == 200, packet
    assert packet["secret-table"] == packet["secret-payload"]
    assert service.post("/vm/web-1/validate", said) == (200, packet)
    service.kill()
    service.start()
    assert service.post("/vm/web-1/validate", said) == (200, packet)
    qmp.execute("sev-inject-launch-secret", **{"packet-header": packet["secret-header"], "secret": packet["secret-payload"]})
    qmp.execute("cont")
    assert process.wait(60) == 0
    line = sim.last().commands("LAUNCH_SECRET")[0]
    assert (line["secret_0"], line["secret_0_size"], line["table_complete"]) == (LUKS, 11, True)
    assert sim.last().refused == []
    # one instance an hour unless the owner says more
    status, answer = service.post("/vm/web-1/launch", chain)
    process, qmp, said = host.start(answer)
    assert service.post("/vm/web-1/validate", said)[0] == 429
    qmp.execute("quit")
    process.wait(60)
    assert "sesame" not in service.text()
    assert b"sesame" not in b"".join(p.read_bytes() for p in (service.folder / "state").iterdir())


def test_files_instead_of_digests_and_a_held_launch(sim, platform, service, tmp_path, lockable):
    """The owner gives firmware and hashes; a second launch waits until the owner confirms it."""
    host = Host(sim, platform, service)
    status, firmware = service.curl("--data-binary", "@-", *service.owner(), f"{service.url}/firmware", stdin=FIRMWARE)
    assert status == 201
    hashes = {f"{name}-hash": hashlib.sha256(data).hexdigest()
              for name, data in (("kernel", KERNEL), ("initrd", INITRD), ("cmdline", WORDS.encode() + b"\0"))}  # fmt: skip
    body = registration("seves", None, **hashes, **{"firmware-hashes": [firmware["sha256"]], "cpu-count-max": 4, "over-limit": "hold"})
    del body["launch-digests"]
    assert service.post("/vm/a", body, *service.owner())[0] == 201
    assert digest(tmp_path, "seves") in service.curl(*service.owner(), f"{service.url}/vm/a")[1]["computed-digests"]
    chain = host.chain()
    process, qmp, said = host.start(service.post("/vm/a/launch", chain)[1])
    assert service.post("/vm/a/validate", said)[0] == 200
    qmp.execute("quit")
    process.wait(60)
    process, qmp, said = host.start(service.post("/vm/a/launch", chain)[1])
    assert service.post("/vm/a/validate", said)[0] == 202
    service.kill()
    service.start()
    status, held = service.post("/vm/a/validate", said)
    assert (status, held["state"], held["launch-id"]) == (202, "held", said["launch-id"])
    status, answer = service.post(f"/vm/a/launches/{said['launch-id']}/confirm", b"", *service.owner())
    assert (status, answer["state"]) == (200, "confirmed")
    status, packet = service.post("/vm/a/validate", said)
    assert status == 200
    qmp.execute("sev-inject-launch-secret", **{"packet-header": packet["secret-header"], "secret": packet["secret-payload"]})
    qmp.execute("cont")
    assert process.wait(60) == 0
    assert sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS
    status, events = service.curl(*service.owner(), f"{service.url}/vm/a/events")
    assert [e["event"] for e in events] == ["released", "confirmed", "held", "released", "registered"]


def blocks(page, section):
    """The commands of a manual page's section, code block by code block, as they stand there."""
    text = (SOURCE / "man" / page).read_text().split(f"\n# {section}\n")[1].split("\n# ")[0]
    assert text.count("```") % 2 == 0
    found = []
    for block in text.split("```")[1::2]:
        lines = [line[2:] if line.startswith("$ ") else line for line in block.replace("\\\\\n", "\\\n").strip("\n").split("\n")]
        found.append("\n".join(lines))
    return found


def shell(folder, script, **env):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **env})  # fmt: skip
    assert done.returncode == 0, (script, done)
    return done.stdout


def manual_folder(tmp_path):
    for name, data in {"OVMF.fd": FIRMWARE, "vmlinuz": KERNEL, "initrd": INITRD}.items():
        (tmp_path / name).write_bytes(data)


def test_curl_recipes_of_the_manual(sim, platform, service, tmp_path, lockable):
    """WITH CURL of cvmspawn-owner(1), literally: only what a reader has to put in is put in."""
    host = Host(sim, platform, service)
    manual_folder(tmp_path)
    (tmp_path / "alice.token").write_text(service.token)
    (tmp_path / "ca.pem").write_bytes((service.folder / "state/ca.pem").read_bytes())
    register, launch, validate, confirm, end = blocks("cvmspawn-owner.1.scd", "WITH CURL")
    url = {"URL": service.url}
    assert digest(tmp_path, "seves") in shell(tmp_path, register, **url)
    assert (tmp_path / "authorization").stat().st_mode & 0o777 == 0o600
    (tmp_path / "launch.json").write_text(json.dumps(host.chain()))
    for n in range(2):
        shell(tmp_path, launch, **url)
        process, qmp, said = host.start(json.loads((tmp_path / "session.json").read_text()))
        (tmp_path / "validate.json").write_text(json.dumps(said))
        shell(tmp_path, validate, **url)
        packet = json.loads((tmp_path / "packet.json").read_text())
        if n == 1:
            assert packet["state"] == "held"
            assert '"state":"confirmed"' in shell(tmp_path, confirm, LAUNCH=said["launch-id"], **url)
            shell(tmp_path, validate, **url)
            packet = json.loads((tmp_path / "packet.json").read_text())
        qmp.execute("sev-inject-launch-secret", **{"packet-header": packet["secret-header"], "secret": packet["secret-payload"]})
        qmp.execute("cont")
        assert process.wait(60) == 0
        assert sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS
    shell(tmp_path, end, **url)
    assert service.curl(*service.owner(), f"{service.url}/vm") == (200, [])


def test_files_by_hand_as_the_manual_says(sim, platform, service, tmp_path, lockable):
    """WITHOUT A NETWORK of cvmspawn-attestd(8), literally; the service lends its certificate and is not asked."""
    host = Host(sim, platform, service)
    manual_folder(tmp_path)
    (tmp_path / "web-1.json").write_text(json.dumps(registration("seves", [digest(tmp_path, "seves")])))
    (tmp_path / "ask_ark_milan.cert").write_bytes((service.folder / "amd").read_bytes())
    (tmp_path / "launch.json").write_text(json.dumps(host.chain()))
    launch, validate = blocks("cvmspawn-attestd.8.scd", "WITHOUT A NETWORK")
    simulated = f'cvmspawn-attestd() {{ {build_folder()}/programs/cvmspawn-attestd --insecure-root={platform}/ark.cert "$@"; }}\n'
    shell(tmp_path, simulated + launch)
    process, qmp, said = host.start(json.loads((tmp_path / "session.json").read_text()))
    (tmp_path / "validate.json").write_text(json.dumps(said))
    assert '"event":"released"' in shell(tmp_path, simulated + validate)
    packet = json.loads((tmp_path / "packet.json").read_text())
    qmp.execute("sev-inject-launch-secret", **{"packet-header": packet["secret-header"], "secret": packet["secret-payload"]})
    qmp.execute("cont")
    assert process.wait(60) == 0
    assert sim.last().commands("LAUNCH_SECRET")[0]["secret_0"] == LUKS


def test_a_changed_kernel_gets_nothing(sim, platform, service, tmp_path, lockable):
    host = Host(sim, platform, service)
    assert service.post("/vm/a", registration("seves", [digest(tmp_path, "seves")]), *service.owner())[0] == 201
    status, answer = service.post("/vm/a/launch", host.chain())
    assert status == 200
    process, qmp, said = host.start(answer, kernel=OTHER_KERNEL)
    for n in range(3):
        status, problem = service.post("/vm/a/validate", said)
        assert (status, problem["code"]) == (403, "measurement-mismatch"), n
    assert service.post("/vm/a/validate", said)[1]["code"] == "launch-burned"
    qmp.execute("quit")
    process.wait(60)
    status, events = service.curl(*service.owner(), f"{service.url}/vm/a/events")
    assert [e["event"] for e in events] == ["burned", "refused", "refused", "registered"]


def test_replays_and_stale_ids(sim, platform, service, tmp_path, lockable):
    host = Host(sim, platform, service)
    for name in ("a", "b"):
        body = registration("sev", [digest(tmp_path, "sev")], **{"max-instances": 5})
        assert service.post(f"/vm/{name}", body, *service.owner())[0] == 201
    chain = host.chain()
    first, second = (service.post("/vm/a/launch", chain)[1] for _ in range(2))
    assert first["session"] != second["session"] and first["owner-cert"] != second["owner-cert"]
    process, qmp, said = host.start(first)
    qmp.execute("quit")
    process.wait(60)
    # the first launch's measurement for the second launch, for another registration, with another API
    assert service.post("/vm/a/validate", {**said, "launch-id": second["launch-id"]})[1]["code"] == "measurement-mismatch"
    assert service.post("/vm/b/validate", said)[1]["code"] == "unknown-launch"
    assert service.post("/vm/a/validate", {**said, "api-minor": said["api-minor"] ^ 1})[1]["code"] == "measurement-mismatch"
    assert service.post("/vm/a/validate", {**said, "policy": 1})[1]["code"] == "policy-mismatch"
    assert service.post("/vm/a/validate", {k: v for k, v in said.items() if k != "launch-id"})[0] == 200
    assert service.post("/vm/a/validate", said)[0] == 200
    # what is deleted is gone
    assert service.curl("-X", "DELETE", *service.owner(), f"{service.url}/vm/a") == (204, None)
    assert service.post("/vm/a/validate", said)[1]["code"] == "unknown-vm"


def test_platforms(sim, platform, service, lockable):
    host = Host(sim, platform, service)
    body = registration("sev", ["11" * 32])
    assert service.post("/vm/a", body, *service.owner())[0] == 201
    assert service.post("/vm/b", {**body, "cloud-cert": "22" * 32}, *service.owner())[0] == 201
    chain = host.chain()
    assert service.post("/vm/b/launch", chain)[1]["code"] == "platform-owner-not-accepted"
    raw = base64.b64decode(chain["cert-chain"])
    unsigned = raw[: 2 * 2084] + (platform / "cek.cert").read_bytes()
    assert service.post("/vm/a/launch", {**chain, "cert-chain": text64(unsigned)})[1]["code"] == "cek-unsigned"
    forged = bytearray(raw)
    forged[2084 * 2 + 0x41C + 100] ^= 1  # in AMD's signature
    assert service.post("/vm/a/launch", {**chain, "cert-chain": text64(bytes(forged))})[1]["code"] == "platform-not-authentic"


def test_bad_bodies(service):
    body = registration("sev", ["11" * 32])
    assert service.post("/vm/a", body)[0] == 401
    assert service.post("/vm/a", body, "-H", "Authorization: Bearer " + "0" * 64)[0] == 401
    assert service.post("/vm/a", body, *service.owner())[0] == 201
    for data in (b"", b"{", b"[]", b"\xff\xfe", b'{"a":1,"a":1}', b"[" * 30000, b'{"pdh":"' + b"A" * 60000 + b'"}', b"\0" * 65536):
        assert service.post("/vm/a/launch", data)[0] == 400, data[:20]
        assert service.post("/vm/a/validate", data)[0] == 400, data[:20]
    # Asked first, the service says no; to one that just sends it may end the connection before all has arrived.
    assert service.post("/vm/a/launch", b"{" * 65537, "-H", "Expect: 100-continue")[0] == 413
    assert service.post("/vm/a/launch", b"{" * 65537, may_break=True)[0] in (413, 0)
    assert service.post("/vm/a/launch", b"{" * 65537, "-H", "Transfer-Encoding: chunked", may_break=True)[0] in (413, 0)
    for path in ("/vm/../../etc/passwd", "/vm/%2e%2e/launch", "/vm/a%2flaunch", "/vm//launch", "/vm/" + "a" * 129 + "/launch", "/vm/a/launch?x"):
        assert service.post(path, b"{}")[0] == (400 if path.endswith("?x") else 404), path
    assert service.curl(f"{service.url}/health") == (200, {"status": "ok"})


def test_an_id_that_is_not_allowed_is_answered_with_the_rule(service):
    """404 whatever the body: not 413, which says nothing of the id."""
    for name in (".a", "a" * 129, "a%2fb", ".."):
        for body in (b"{}", b"{" * 60000):
            status, problem = service.post(f"/vm/{name}/launch", body, "-H", "Expect: 100-continue")
            assert status == 404 and problem["code"] == "not-found", problem
            assert "the id is not allowed: use 1 to 128 letters, digits" in problem["detail"]


def test_crowds_and_slow_clients(service):
    """Connections that say nothing, or drip, do not keep a good client out, and do not cost much."""
    host, port = service.url.removeprefix("https://").split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(300)]
    context = ssl.create_default_context(cafile=service.folder / "state/ca.pem")
    slow = [context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) for _ in range(30)]
    for s in slow:
        s.sendall(b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"{" * 100)
    begin = time.monotonic()
    assert service.curl(f"{service.url}/health") == (200, {"status": "ok"})
    assert time.monotonic() - begin < 5
    status = open(f"/proc/{service.process.pid}/status").read()
    assert int(status.split("VmHWM:")[1].split()[0]) < 96 * 1024
    # who says nothing is sent away, and who drips as well
    crowd[0].settimeout(30)
    while crowd[0].recv(100):  # TLS says goodbye first
        pass
    begin = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - begin < 30:
            slow[0].sendall(b"{")
            time.sleep(0.5)
    for s in crowd + slow:
        s.close()
    assert service.curl(f"{service.url}/health")[0] == 200


def test_the_owners_program(service, tmp_path):
    def owner(*words, status=0, stdin=None):
        argv = [build_folder() / "programs/cvmspawn", "owner", f"--service={service.url}", f"--ca={service.folder}/state/ca.pem",
                f"--token-file={service.folder}/state/token", *words]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, input=stdin, check=False)
        assert done.returncode == status, done
        return done.stderr if status else json.loads(done.stdout or "null")

    body = json.dumps(registration("sev", ["11" * 32]))
    (tmp_path / "a.json").write_text(body)
    assert owner("register", "a", tmp_path / "a.json")["id"] == "a"
    assert owner("register", "b", "-", stdin=body)["id"] == "b"
    assert "409 exists" in owner("register", "a", "-", stdin=body, status=3)
    assert "422 bad-registration" in owner("register", "c", "-", stdin='{"scheme":"amd-sev"}', status=3)
    assert [v["id"] for v in owner("list")] == ["a", "b"]
    shown = owner("show", "a")
    assert shown["registration"]["launch-digests"] == ["11" * 32] and "sesame" not in json.dumps(shown)
    assert owner("delete", "a") is None
    assert [e["event"] for e in owner("events", "a")] == ["deleted", "registered"]
    assert "404" in owner("show", "a", status=3)
    owner("show", "a/b", status=1)
    owner("register", "d", tmp_path / "missing", status=1)
    (tmp_path / "token").write_text("0" * 64 + "\n")
    assert "401 unauthorized" in owner(f"--token-file={tmp_path}/token", "list", status=3)
    owner(f"--ca={tmp_path}/a.json", "list", status=4)
    owner("--service=https://127.0.0.1:1", "list", status=4)
