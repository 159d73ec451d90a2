# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn --coco=tdx --simulate` to the end of a --run command (simulation): systemd takes the guest for a TD and has the credential, the registers
that were predicted before the boot are those that the guest reads, and the quote that it gets is verified with them. The quote service and its
certificates are made up here."""

import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

import pytest
import td_guest
from conftest import BUILD
from td_guest import TdGuest, model
from test_td_guest import fixture_firmware, fixture_kernel, fixture_qemu  # noqa: F401
import td_chain as chain

pytestmark = pytest.mark.full
CVMSPAWN = BUILD / "programs/cvmspawn"
SECONDS = 1500
SERVICE_SECONDS = 60
REPORT_SIZE = 1024
MEASUREMENTS = "/sys/devices/virtual/misc/tdx_guest/measurements"
NONCE = "c0ffee"


class QuoteService(threading.Thread):
    """Signs, with the keys of a made-up Intel, what a report says: one connection for each quote, as QEMU's quote generation has it."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.reports = world, []
        # A QEMU that runs as another user must reach it.
        self.folder = tempfile.mkdtemp()
        os.chmod(self.folder, 0o755)
        self.path = f"{self.folder}/qgs"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.listen()
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(SERVICE_SECONDS)
                self.answer(peer)

    def answer(self, peer):
        size = struct.unpack(">I", peer.recv(4, socket.MSG_WAITALL))[0]
        message = peer.recv(size, socket.MSG_WAITALL)
        assert struct.unpack_from("<HHIIIII", message) == (1, 1, 0, 24 + REPORT_SIZE, 0, REPORT_SIZE, 0)
        report = message[24:]
        self.reports.append(report)
        info, at, values = report[512:], 0, {"report-data": report[128:192]}
        for name, length in model.FIELDS[4:14]:
            values[name] = info[at:at + length]
            at += length
        quote = self.world.quote(**values)
        answer = struct.pack("<HHIIIII", 1, 1, 1, 24 + len(quote), 0, 0, len(quote)) + quote
        peer.sendall(struct.pack(">I", len(answer)) + answer)

    def close(self):
        self.socket.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module", name="world")
def fixture_world():
    return chain.World()


@pytest.fixture(name="service")
def fixture_service(world):
    service = QuoteService(world)
    yield service
    service.close()


@pytest.fixture(scope="module", name="bios")
def fixture_bios(qemu, firmware, tmp_path_factory):
    """What the firmware calls itself in its SMBIOS table, as its build wrote it: one run that boots nothing."""
    guest = TdGuest(qemu, tmp_path_factory.mktemp("bios"), firmware["keyless"])
    guest.start().until_separator().end()
    return td_guest.bios_words(guest.ram)


@pytest.fixture(name="launch")
def fixture_launch(qemu, firmware, kernel, bios, tmp_path, monkeypatch):
    """Runs a launch with its own cache: (options) -> the finished process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*options):
        argv = [CVMSPAWN, "--coco=tdx", "--simulate", f"--qemu={qemu}", f"--firmware={firmware['keyless']}", f"--linux={kernel}",
                f"--initrd={kernel.parent / 'initrd.cpio.zst'}", "--tpm=no", "--edk2=202608-inteltdx", "--fw-cfg=auto", f"--bios={bios}", *options]
        return subprocess.run(list(map(str, argv)), capture_output=True, check=False, timeout=SECONDS)
    return run


def predict(launch, *options):
    done = launch("--print=digest", "--json=short", *options)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["digest"]["registers"]


RUN = f"""\
systemd-detect-virt --cvm
cat /run/credentials/@system/foo; echo
modprobe -a configfs tdx-guest; mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
for i in 0 1 2 3; do od -An -v -tx1 {MEASUREMENTS}/rtmr$i:sha384 | tr -d ' \\n'; echo; done
od -An -v -tx1 {MEASUREMENTS}/mrtd:sha384 | tr -d ' \\n'; echo
cvmspawn-guest quote --report-data={NONCE} --output=/run/quote && od -An -v -tx1 /run/quote | tr -d ' \\n'
"""


def test_predicted_read_and_quoted(launch, service, world, tmp_path):
    options = ["--set-credential=foo:hello", f"--quote-socket={service.path}", f"--run={RUN}"]
    predicted = predict(launch, *options)
    assert set(predicted) == {"mrtd", "rtmr0", "rtmr1", "rtmr2"}
    done = launch(f"--expect={','.join(f'{name}:{value}' for name, value in predicted.items())}", *options)
    assert done.returncode == 0, done.stderr.decode()
    assert "SIMULATED tdx" in done.stderr.decode()
    virt, credential, *registers, mrtd, quote = done.stdout.decode().splitlines()
    assert (virt, credential) == ("tdx", "hello")
    assert dict(zip(("rtmr0", "rtmr1", "rtmr2", "rtmr3"), registers), mrtd=mrtd) == {**predicted, "rtmr3": "0" * 96}

    files = {**world.files(), "quote": bytes.fromhex(quote)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    words = [f"--collateral={tmp_path / name}" for name in files if name not in ("quote", "root.pem")]

    def verify(**values):
        expected = [f"--expect={name}:{value}" for name, value in {**predicted, **values}.items() if name != "mrtd"]
        return subprocess.run([CVMSPAWN, "report", "verify", tmp_path / "quote", *words, f"--time={chain.NOW}", f"--insecure-root={tmp_path / 'root.pem'}",
                               f"--measurement={predicted['mrtd']}", *expected, f"--report-data={NONCE:0<128}"], capture_output=True, text=True,
                              check=False, timeout=SECONDS)

    judged = verify()
    assert (judged.returncode, judged.stdout.splitlines()[-1]) == (0, "verified against a root that is not Intel's"), judged.stdout + judged.stderr
    other = f"{int(predicted['rtmr2'], 16) ^ 1:096x}"
    assert verify(rtmr2=other).returncode == 3
    assert [report[128:192].hex() for report in service.reports] == [f"{NONCE:0<128}"]


SHOW = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cd /run/credentials/@system && echo "SHOWN: $(echo *)" >/dev/ttyS0; poweroff -f'
"""


def shown_by_a_lying_host(launch, qemu, tmp_path, *options):
    """The credentials that the units of a guest see whose host adds one, without --run=: PID 1 is the initrd's systemd."""
    liar = tmp_path / "liar"
    liar.write_text(f'#!/bin/sh\nexec {qemu} "$@" -smbios type=11,value=io.systemd.credential:planted=x\n')
    liar.chmod(0o755)
    (tmp_path / "show").write_text(SHOW)
    (tmp_path / "wanted").write_text("[Unit]\nWants=show.service\n")
    done = launch(f"--qemu={liar}", f"--load-credential=systemd.extra-unit.show.service:{tmp_path / 'show'}", "--set-credential=foo:hello",
                  f"--load-credential=systemd.unit-dropin.sysinit.target:{tmp_path / 'wanted'}", *options)
    output = done.stdout.decode(errors="replace")
    assert "SHOWN: " in output, done.stderr.decode() + output[-2000:]
    return output.split("SHOWN: ")[1].split("\n")[0].split()


@pytest.fixture(name="plain_launch")
def fixture_plain_launch(qemu, firmware, kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*options):
        argv = [CVMSPAWN, "--coco=tdx", "--simulate", f"--firmware={firmware['keyless']}", f"--linux={kernel}",
                f"--initrd={kernel.parent / 'initrd.cpio.zst'}", "--tpm=no", *options]
        return subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SECONDS)
    return run


def test_credentials_of_a_lying_host_are_not_imported(plain_launch, qemu, tmp_path):
    seen = shown_by_a_lying_host(plain_launch, qemu, tmp_path)
    assert "foo" in seen and "planted" not in seen


@pytest.mark.skipif(not td_guest.soak(), reason="CVMSPAWN_SOAK=1 runs it: what the test before would see without the protection")
def test_without_protection_they_are(plain_launch, qemu, tmp_path):
    seen = shown_by_a_lying_host(plain_launch, qemu, tmp_path, "--adapter=no")
    assert "foo" in seen and "planted" in seen
