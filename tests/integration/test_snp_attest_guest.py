# SPDX-License-Identifier: LGPL-2.1-or-later
"""An SNP guest's secrets, end to end: a guest under TCG with a simulated secure processor in it, whose reports by a made-up chain show the
digest that was predicted; the launcher's relay; the service over TLS on the loopback; credentials in /run/credstore that units get, and
keys of volumes that cryptsetup takes. All of it is SIMULATED: the bytes, the programs and the kernel's interfaces are what is proven."""

import base64
import io
import json
import shutil
import tarfile

import pytest
from attestd_service import Service
from guest_device import GuestDevice
from sevsim_host import build_folder, skip_or_fail

BOOT = 240
PASSWORD, DISK = b"\0a password\n", "correct horse"
PROGRAM = "cvmspawn-guest-attest"

# What a guest's own unit looks like. It gets the secret in both ways that systemd knows.
CONSUMER = """\
[Unit]
Requires=cvmspawn-guest-attest.service
After=cvmspawn-guest-attest.service
[Service]
Type=oneshot
ImportCredential=db.*
LoadCredential=again:db.password
ExecStart=/bin/sh -c 'mkdir -p /run/out && cp "$CREDENTIALS_DIRECTORY"/* /run/out/'
"""

STEPS = f"""\
{GuestDevice.start()}
systemctl start consumer.service 2>/run/start.err; echo $? >/run/start.status
mkdir -p /run/out
journalctl --version >/dev/null 2>&1 && journalctl -b -u {PROGRAM} >/run/out/journal 2>&1
cp /run/start.* /run/out/
stat -c '%a %n' /run/credstore /run/credstore/* /run/cryptsetup-keys.d /run/cryptsetup-keys.d/* >/run/out/modes 2>&1
cp /run/cryptsetup-keys.d/data.key /run/out/ 2>/dev/null
systemctl show -P ExecMainStatus {PROGRAM}.service >/run/out/status
tar -C /run/out -cf - .
"""


@pytest.fixture
def service(tmp_path, platform):
    if not shutil.which("curl"):
        skip_or_fail("curl is not installed")
    (tmp_path / "service").mkdir()
    s = Service(tmp_path / "service", f"--insecure-snp-root={platform}/ark.pem")
    yield s
    s.stop()


def words(cvmspawn, artifacts, service, platform, tmp_path, steps=STEPS, **files):
    """The device in the guest, and the launcher's arguments. The guest's program is that of this build."""
    unit = (build_folder() / f"data/units/{PROGRAM}.service").read_text()
    device = GuestDevice(platform, tmp_path, {
        f"usr/bin/{PROGRAM}": (build_folder() / f"programs/{PROGRAM}").read_bytes(),
        f"usr/lib/systemd/system/{PROGRAM}.service": unit.replace(unit.partition("ExecStart=/")[2].split("\n")[0], f"usr/bin/{PROGRAM}").encode(),
        **files,
    }.items())  # fmt: skip
    consumer = tmp_path / "consumer"
    consumer.write_text(CONSUMER)
    key = service.curl(service.url)[1]["packet-key"]
    return device, ["--coco=sev-snp", "--simulate", f"--firmware={artifacts['FIRMWARE']}", *device.options(coco=True), f"--run={steps}",
                    f"--set-credential=cvmspawn.attest.service-key:{key}",
                    f"--load-credential=systemd.extra-unit.consumer.service:{consumer}",
                    f"--attestation-service={service.url}/vm/guest-1", f"--attestation-ca={service.folder}/state/ca.pem"]  # fmt: skip


def register(service, digest):
    status, body = service.post("/vm/guest-1", {
        "scheme": "amd-sev-snp", "policy": 0x30000, "launch-digests": [digest], "report-policy": {"minimum_tcb": "any"},
        "secrets": [{"type": "credential", "name": "db.password", "data": base64.b64encode(PASSWORD).decode()},
                    {"type": "luks-passphrase", "passphrase": DISK, "name": "data"}]}, *service.owner())  # fmt: skip
    assert status == 201, body


def unpack(result):
    assert result.status == 0, result.err[-3000:]
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
        return {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def test_credentials_reach_a_unit(cvmspawn, artifacts, service, platform, tmp_path):
    device, launch = words(cvmspawn, artifacts, service, platform, tmp_path)
    digest = json.loads(cvmspawn.boot("--print=digest", "--json=short", *launch).out)["digest"]["digest"]
    device.write(digest)
    register(service, digest)
    result = cvmspawn.boot(f"--expect={digest}", *launch, timeout=BOOT)
    files = unpack(result)
    assert files["start.status"] == b"0\n", files
    assert files["db.password"] == files["again"] == PASSWORD
    assert files["data.key"] == DISK.encode()
    modes = dict(reversed(line.split(" ", 1)) for line in files["modes"].decode().splitlines())
    assert modes == {"/run/credstore": "700", "/run/credstore/db.password": "400",
                     "/run/cryptsetup-keys.d": "700", "/run/cryptsetup-keys.d/data.key": "400"}  # fmt: skip
    assert "SIMULATED sev-snp" in result.err
    assert DISK not in result.err and DISK not in service.text()
    assert [e["event"] for e in service.curl(*service.owner(), service.url + "/vm/guest-1/events")[1]] == ["released", "registered"]


@pytest.mark.full
def test_another_kernel_line_gets_nothing(cvmspawn, artifacts, service, platform, tmp_path):
    """The guest is honest and the platform genuine, but it is not what was registered."""
    device, launch = words(cvmspawn, artifacts, service, platform, tmp_path)
    digest = json.loads(cvmspawn.boot("--print=digest", "--json=short", *launch).out)["digest"]["digest"]
    register(service, digest)
    other = json.loads(cvmspawn.boot("--print=digest", "--json=short", *launch, "quiet").out)["digest"]["digest"]
    assert other != digest
    device.write(other)
    result = cvmspawn.boot(*launch, "quiet", timeout=BOOT)
    files = unpack(result)
    assert files["start.status"] != b"0\n" and files["status"] == b"3\n"
    assert "db.password" not in files and "data.key" not in files
    assert "the attestation service answered 403" in result.err
    # The guest has the unit in initrd.target, and the consumer starts it again once it has failed: each start is its own launch.
    events = [e["event"] for e in service.curl(*service.owner(), service.url + "/vm/guest-1/events")[1]]
    assert events in (["refused", "registered"], ["refused", "refused", "registered"])
