# SPDX-License-Identifier: LGPL-2.1-or-later
"""SEV and SEV-ES launches by an unmodified QEMU on the simulated host: digest, measurement, session, secret."""

import base64
import hashlib
import os
import resource
import shutil

import pytest
import sevsim_model as model
from sevsim_host import text64

FIRMWARE = model.make_firmware(seed=11)
KERNEL = model.make_kernel(seed=12)
INITRD = model.make_initrd(seed=13)
WORDS = "console=ttyS0"
DIRECT = {"kernel": KERNEL, "initrd": INITRD, "words": WORDS}

# Guest memory is pinned: as any user but root the simulated host refuses it like a real one.
LOCKABLE = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] in (-1, resource.RLIM_INFINITY)
pytestmark = pytest.mark.skipif(not LOCKABLE, reason="SEV locks guest memory: needs root or an unlimited RLIMIT_MEMLOCK")

LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
OTHER = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("boot", [{}, DIRECT], ids=["none", "all"])
@pytest.mark.parametrize("legacy", ["on", "off", "auto"])
@pytest.mark.parametrize("vcpus", [1, 4])
@pytest.mark.parametrize("policy", [0x1, 0x3, 0x5, 0x7])
def test_digest(sim, policy, vcpus, legacy, boot):
    es = bool(policy & 4)
    launch = sim.launch("sev", FIRMWARE, vcpus=vcpus, policy=policy, **{"legacy-vm-type": legacy}, **boot)
    assert launch.digest == model.sev_digest(FIRMWARE, vcpus if es else 0, fpu=legacy == "off", **boot)
    assert launch.digest == hashlib.sha256(launch.pages).hexdigest()
    assert launch.refused == []
    init = "INIT2" if legacy == "off" else "ES_INIT" if es else "INIT"
    assert launch.lines[0]["command"] == init


@pytest.mark.parametrize("cpu", sorted(model.SIGNATURES))
def test_models(sim, cpu):
    launch = sim.launch("sev", FIRMWARE, vcpus=2, model=cpu, policy=5, **{"legacy-vm-type": "off"})
    assert launch.digest == model.sev_digest(FIRMWARE, 2, cpu)


def test_flash(sim):
    """SEV can measure flash; the variables in the second unit are not measured."""
    argv = sim.arguments("sev", FIRMWARE, policy=3)
    at = argv.index("-bios")
    variables = sim.file("variables.fd", bytes(0x10000))
    argv[at : at + 2] = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={sim.folder / 'firmware.fd'}",
                         "-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
    result = sim.run(argv)
    assert result.returncode == 0, result.stderr
    assert sim.last().digest == model.sev_digest(FIRMWARE)


@pytest.mark.parametrize("changed", ["firmware", "kernel", "initrd", "words", "vcpus"])
def test_one_change_another_digest(sim, changed):
    def flip(data):
        return data[:6000] + bytes([data[6000] ^ 1]) + data[6001:]

    base = {"firmware": FIRMWARE, "vcpus": 1, **DIRECT}
    other = {"firmware": flip(FIRMWARE), "kernel": flip(KERNEL), "initrd": flip(INITRD), "words": "console=ttyS1",
             "vcpus": 2}
    digests = []
    for inputs in (base, {**base, changed: other[changed]}):
        launch = sim.launch("sev", policy=5, **{"legacy-vm-type": "off"}, **inputs)
        assert launch.digest == model.sev_digest(**inputs)
        digests.append(launch.digest)
    assert digests[0] != digests[1]


def owner(sim, platform, policy, start_policy=None, es=False, spoil=None):
    """An owner's session for this platform, and QEMU paused with it."""
    pytest.importorskip("cryptography", reason="python3-cryptography is the owner's side here")
    sim.identity(platform)
    cert, session, tek, tik = model.make_session((platform / "pdh.cert").read_bytes(), policy)
    if spoil:
        at = {"wrapped": 0x10, "wrap-mac": 0x40, "policy-mac": 0x60}[spoil]
        session = session[:at] + bytes([session[at] ^ 1]) + session[at + 1 :]
    files = {"dh-cert-file": str(sim.file("godh.b64", text64(cert).encode())),
             "session-file": str(sim.file("session.b64", text64(session).encode()))}
    argv = sim.arguments("sev", FIRMWARE, vcpus=2, policy=policy if start_policy is None else start_policy,
                         **{"legacy-vm-type": "off" if es else "auto"}, **files, **DIRECT)
    return argv, tek, tik


@pytest.mark.parametrize("policy", [0x3, 0x7])
def test_measurement_and_secret(sim, platform, policy):
    """The whole of an owner's flow: session, measurement, secret, start."""
    argv, tek, tik = owner(sim, platform, policy, es=policy == 7)
    process, qmp = sim.paused(argv)
    info = qmp.execute("query-sev")
    assert info["state"] == "launch-secret" and info["policy"] == policy

    blob = base64.b64decode(qmp.execute("query-sev-launch-measure")["data"])
    digest = bytes.fromhex(model.sev_digest(FIRMWARE, 2 if policy == 7 else 0, **DIRECT))
    api = info["api-major"], info["api-minor"]
    assert blob[:32] == model.measurement(tik, api, info["build-id"], policy, digest, blob[32:])

    table = model.secret_table([(LUKS, b"passphrase"), (OTHER, bytes(range(40)))])
    header, packet = model.secret_packet(tek, tik, blob[:32], table)
    qmp.execute("sev-inject-launch-secret", **{"packet-header": text64(header), "secret": text64(packet)})
    seen = sim.folder / "seen.bin"
    qmp.execute("pmemsave", val=model.SECRET_AREA[0], size=len(table), filename=str(seen))
    qmp.execute("cont")
    assert process.wait(60) == 0

    launch = sim.last()
    assert launch.digest == digest.hex() and launch.text("measurement") == blob.hex()
    assert seen.read_bytes() == table
    line = launch.commands("LAUNCH_SECRET")[0]
    assert line["secrets"] == 2 and line["table_complete"] is True
    assert (line["secret_0"], line["secret_0_size"]) == (LUKS, 10)
    assert (line["secret_1"], line["secret_1_size"]) == (OTHER, 40)
    secret = launch.folder / "secret.bin"
    assert secret.read_bytes() == table and secret.stat().st_mode & 0o777 == 0o600
    assert launch.refused == []


@pytest.mark.parametrize("spoiled", ["header", "packet", "measurement", "key"])
def test_bad_secret(sim, platform, spoiled):
    argv, tek, tik = owner(sim, platform, 3)
    process, qmp = sim.paused(argv)
    blob = base64.b64decode(qmp.execute("query-sev-launch-measure")["data"])
    measure = bytes(32) if spoiled == "measurement" else blob[:32]
    header, packet = model.secret_packet(tek, bytes(16) if spoiled == "key" else tik, measure,
                                         model.secret_table([(LUKS, b"passphrase")]))
    if spoiled == "header":
        header = header[:-1] + bytes([header[-1] ^ 1])
    if spoiled == "packet":
        packet = bytes([packet[0] ^ 1]) + packet[1:]
    with pytest.raises(RuntimeError, match="fw_error=11"):
        qmp.execute("sev-inject-launch-secret", **{"packet-header": text64(header), "secret": text64(packet)})
    qmp.execute("quit")
    assert process.wait(60) == 0
    assert not (sim.last().folder / "secret.bin").exists()


@pytest.mark.parametrize("spoiled", ["wrapped", "wrap-mac", "policy-mac"])
def test_bad_session(sim, platform, spoiled):
    argv, *_ = owner(sim, platform, 3, spoil=spoiled)
    result = sim.run(argv)
    assert result.returncode == 1 and "LAUNCH_START ret=1 fw_error=11" in result.stderr


def test_session_for_another_policy(sim, platform):
    """The policy is bound into the session: debugging allowed behind the owner's back is refused."""
    argv, *_ = owner(sim, platform, 3, start_policy=2)
    result = sim.run(argv)
    assert result.returncode == 1 and "fw_error=11" in result.stderr


def test_binary_session_file(sim, platform):
    """QEMU wants base64 text; a binary file gives a short blob, which the processor refuses."""
    argv, *_ = owner(sim, platform, 3)
    (sim.folder / "session.b64").write_bytes(bytes(range(128, 256)))
    result = sim.run(argv)
    assert result.returncode == 1
    assert sim.last().commands("LAUNCH_START")[0]["refused"]


@pytest.mark.parametrize("policy, error", [(0x40, 7), (0x02020001, 7)])
def test_refused_policies(sim, policy, error):
    result = sim.run(sim.arguments("sev", FIRMWARE, policy=policy))
    assert result.returncode == 1 and f"fw_error={error} " in result.stderr


def test_attestation_report(sim, platform):
    """The older ATTESTATION command: nonce, digest, policy, signed by the PEK."""
    cryptography = pytest.importorskip("cryptography", reason="python3-cryptography checks the signature")
    assert cryptography
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    argv, *_ = owner(sim, platform, 3)
    process, qmp = sim.paused(argv)
    nonce = bytes(range(16))
    report = base64.b64decode(qmp.execute("query-sev-attestation-report", mnonce=text64(nonce))["data"])
    qmp.execute("quit")
    process.wait(60)
    assert len(report) == 0xD0 and report[:16] == nonce
    assert report[0x10:0x30].hex() == sim.last().digest
    r, s = (int.from_bytes(report[at : at + 72], "little") for at in (0x40, 0x88))
    pek = model.ec_key_from_bytes((platform / "pek.cert").read_bytes()[16 : 16 + 1028])
    pek.verify(encode_dss_signature(r, s), report[:0x34], ec.ECDSA(hashes.SHA256()))


def test_locked_memory_limit(sim):
    """SEV pins guest memory: without CAP_IPC_LOCK the limit counts, as on a real host."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("setpriv of util-linux is not installed")

    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))

    argv = [setpriv, "--inh-caps=-ipc_lock", "--bounding-set=-ipc_lock", *sim.arguments("sev", FIRMWARE, policy=3)]
    result = sim.run(argv, preexec_fn=limit)
    assert result.returncode == 1
    assert "failed to register region" in result.stderr and "Cannot allocate memory" in result.stderr
