# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn owner agent --via=: an owner's laptop, which listens nowhere, answers hosts through a relay. It is the attestation service with its state in the
owner's folder, so that hosts need nothing new."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from attestd_service import DIGEST, registration
from sevsim_host import build_folder
from test_tunnel import HOST, Psp, Relay, certificate, wait
from test_tunnel_connect import UP, client, listening

PROGRAM = build_folder() / "programs/cvmspawn"


@pytest.fixture
def relay(tmp_path):
    r = Relay(tmp_path)
    yield r
    r.stop()


class Laptop:
    def __init__(self, folder, platform, relay):
        self.folder, self.path = folder, folder / "laptop.log"
        certificate(folder, "service", HOST, "127.0.0.1")
        (folder / "amd").write_bytes((platform / "ask.cert").read_bytes() + (platform / "ark.cert").read_bytes())
        done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={folder}/owner", "--answer=POST /vm/a"], input=json.dumps(registration()),
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode == 0, done
        self.words = ["owner", "agent", f"--via=https://127.0.0.1:{relay.port}/alice", f"--via-token-file={folder}/alice.token", f"--via-ca={folder}/relay-ca.pem",
                      f"--owner-dir={folder}/owner", f"--tls-cert={folder}/service.pem", f"--tls-key={folder}/service.key", f"--certs={folder}/amd",
                      f"--insecure-root={platform}/ark.cert"]  # fmt: skip

    def start(self):
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, *self.words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_up(1)

    def wait_up(self, times):
        wait(lambda: self.path.read_text().count(UP) == times, seconds=60)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.path.read_text()


@pytest.fixture
def laptop(tmp_path, platform, relay):
    one = Laptop(tmp_path, platform, relay)
    one.start()
    yield one
    one.stop()


def test_a_launch_through_the_relay(tmp_path, platform, relay, laptop):
    """Begun through one relay, ended through the next one; and the laptop never listens on an address."""
    psp = Psp(platform)
    status, opened = client(tmp_path, relay).request("POST", "/vm/a/launch", psp.launch())
    assert status == 200, opened
    relay.kill()
    relay.start()
    laptop.wait_up(2)
    said = psp.measured(opened, DIGEST)
    status, packet = client(tmp_path, relay).request("POST", "/vm/a/validate", said)
    assert status == 200 and b"open sesame" in psp.unsealed(opened, said, packet)
    assert client(tmp_path, relay).request("GET", "/vm/a")[0] == 401  # the registration is its owner's
    children = Path(f"/proc/{laptop.process.pid}/task/{laptop.process.pid}/children").read_text().split()
    assert children and not any(listening(int(pid)) for pid in [laptop.process.pid, *children])


def test_what_it_needs(tmp_path, platform, relay):
    one = Laptop(tmp_path, platform, relay)

    def refused(words, says):
        done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and re.search(says, done.stderr), done
        assert (tmp_path / "alice.token").read_text().strip() not in done.stderr

    for option in "owner-dir", "via-token-file", "tls-cert", "tls-key":
        refused([w for w in one.words if not w.startswith(f"--{option}=")], "--via= requires --owner-dir=, --via-token-file=, --tls-cert= and --tls-key=")
    refused([w for w in one.words if not w.startswith("--via=")], "has no meaning without --via")
    refused([*one.words, "--inject-secret=luks-key:/dev/null"], "has no meaning together with --(via|inject-secret)")
    refused([w.replace(f"https://127.0.0.1:{relay.port}", "http://relay") for w in one.words], "--via")
    refused([w if not w.startswith("--tls-key=") else f"--tls-key={tmp_path}/relay.key" for w in one.words], "key")
