# SPDX-License-Identifier: LGPL-2.1-or-later
"""An attestation service behind cvmspawn-tunnel: hosts reach it through the relay as they reach it directly, and the relay can read and forge
nothing. The relay is killed in the middle of a launch, lies, and is abused."""

import contextlib
import ctypes
import datetime
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attestd_service import DIGEST, Client, made_up, registration
from sevsim_host import build_folder, skip_or_fail
from test_attestd_proxy import whole_way

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

NAME = "relay.localhost"
HOST = f"alice.{NAME}"
PROGRAM = build_folder() / "programs/cvmspawn-tunnel"


def wait(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def certificate(folder, name, *names):
    """An authority NAME-ca.pem, and a certificate of it for these names in NAME.pem and NAME.key."""
    now = datetime.datetime.now(datetime.timezone.utc)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} authority")])
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def build(subject, public, ca, alternatives=()):
        b = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(2))
        b = b.add_extension(x509.BasicConstraints(ca, None), critical=True)
        if alternatives:
            b = b.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return b.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    wanted = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    (folder / f"{name}-ca.pem").write_bytes(build(issuer, ca_key.public_key(), True))
    (folder / f"{name}.pem").write_bytes(build(x509.Name([]), key.public_key(), False, wanted))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


class Relay:
    def __init__(self, folder, *options, address="127.0.0.1"):
        self.folder, self.options, self.address, self.port = folder, options, address, 0
        certificate(folder, "relay", NAME, "127.0.0.1", "10.77.1.1")
        self.add("alice")
        self.start()

    def add(self, name):
        subprocess.run([PROGRAM, "add", name, f"--tunnels={self.folder}/tunnels", f"--token-file={self.folder}/{name}.token"], check=True)

    def start(self):
        argv = [PROGRAM, "serve", f"--listen={self.address}:{self.port}", f"--name={NAME}", f"--tunnels={self.folder}/tunnels",
                f"--tls-cert={self.folder}/relay.pem", f"--tls-key={self.folder}/relay.key", *self.options]  # fmt: skip
        self.log = self.folder / "relay.log"
        with open(self.log, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(argv, stderr=log)
        wait(lambda: b"relaying on " in self.log.read_bytes()[before:])
        line = self.log.read_bytes()[before:].split(f"relaying on {self.address}:".encode())[1]
        self.port = int(line.split(b":")[0])

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def peak(self):
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmHWM:")[1].split()[0])


class Owner:
    """A service that only this machine can reach, and the address at which hosts find it."""

    def __init__(self, folder, platform, port, address="127.0.0.1", more=()):
        self.folder = folder / "owner"
        self.folder.mkdir()
        certificate(self.folder, "service", HOST, "127.0.0.1")
        self.service = made_up(self.folder, platform, f"--tls-cert={self.folder}/service.pem", f"--tls-key={self.folder}/service.key",
                               f"--via=https://{address}:{port}/alice", f"--via-token-file={folder}/alice.token",
                               f"--via-ca={folder}/relay-ca.pem", *more)  # fmt: skip
        self.token = self.service.token

    def ups(self):
        return self.service.text().count("hosts reach this service at https://alice.relay.localhost:")

    def client(self, port, timeout=30, address="127.0.0.1"):
        context = ssl.create_default_context(cafile=self.folder / "service-ca.pem")
        c = Client(address, port, context, timeout)
        c.connection.sock = connect(context, port, timeout, address=address)
        return c


def connect(context, port, timeout=30, name=HOST, address="127.0.0.1", source=None):
    return context.wrap_socket(socket.create_connection((address, port), timeout, source and (source, 0)), server_hostname=name)


@pytest.fixture
def relay(tmp_path):
    r = Relay(tmp_path)
    yield r
    r.stop()


@pytest.fixture
def owner(tmp_path, platform, relay):
    o = Owner(tmp_path, platform, relay.port)
    wait(lambda: o.ups() == 1)
    yield o
    o.service.stop()


def test_as_if_it_were_the_service(tmp_path, platform, relay, owner):
    whole_way(lambda: owner.client(relay.port), Psp(platform), owner.token)
    assert "alice: the owner's end is connected" in relay.log.read_text()


def test_owners_program_and_a_large_body(tmp_path, relay, owner):
    """curl and our own client, by the name; libcurl takes *.localhost for this machine."""
    url = f"https://{HOST}:{relay.port}"
    done = subprocess.run(["curl", "-sS", "--cacert", owner.folder / "service-ca.pem", f"{url}/health"], capture_output=True, check=False)
    assert done.returncode == 0, done
    listed = subprocess.run([build_folder() / "programs/cvmspawn", "owner", f"--service={url}", f"--ca={owner.folder}/service-ca.pem",
                             f"--token-file={owner.folder}/state/token", "list"], capture_output=True, text=True, check=False)  # fmt: skip
    assert listed.returncode == 0, listed
    assert owner.client(relay.port).request("POST", "/vm/a", b" " * 60000, token=owner.token)[0] == 400


def test_killed_in_the_middle_of_a_launch(platform, relay, owner):
    """Between launch and validation, and while a validation is on its way: the host asks again with the launch-id, and gets the same packet."""
    psp = Psp(platform)
    assert owner.client(relay.port).request("POST", "/vm/a", registration(), token=owner.token)[0] == 201
    for turn in range(3):
        status, answer = owner.client(relay.port).request("POST", "/vm/a/launch", psp.launch())
        assert status == 200
        said = psp.measured(answer, DIGEST)
        if turn == 0:
            relay.kill()
            relay.start()
            wait(lambda: owner.ups() == 2)
            status, packet = owner.client(relay.port).request("POST", "/vm/a/validate", said)
            assert status == 200 and b"open sesame" in psp.unsealed(answer, said, packet)
            again = owner.client(relay.port)
            again.connection.putrequest("POST", "/vm/a/validate")
            again.connection.putheader("Content-Length", str(len(json.dumps(said))))
            again.connection.endheaders(json.dumps(said).encode())
            relay.kill()
            relay.start()
            wait(lambda: owner.ups() == 3)
            assert owner.client(relay.port).request("POST", "/vm/a/validate", said) == (200, packet)


def test_service_comes_and_goes(tmp_path, platform, relay):
    """Without the owner's end a host gets an alert at once; an unknown tunnel gets a different one."""
    context = ssl.create_default_context()
    for name, reason in ((HOST, "INTERNAL_ERROR"), (f"bob.{NAME}", "UNRECOGNIZED_NAME"), ("example.com", "UNRECOGNIZED_NAME")):
        with pytest.raises(ssl.SSLError) as e:
            connect(context, relay.port, name=name)
        assert reason in str(e.value).upper().replace(" ", "_")
    o = Owner(tmp_path, platform, relay.port)
    wait(lambda: o.ups() == 1)
    assert o.client(relay.port).request("GET", "/health")[0] == 200
    o.service.stop()
    wait(lambda: "the owner's end is gone" in relay.log.read_text())


def test_tokens(tmp_path, platform, relay):
    """A wrong token, a token that was taken out of the list, and the file of tokens, which opens nothing."""
    right = (tmp_path / "alice.token").read_text()
    assert right.strip() not in (tmp_path / "tunnels").read_text()
    assert (tmp_path / "alice.token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "alice.token").write_text("ab" * 32)
    o = Owner(tmp_path, platform, relay.port)
    wait(lambda: "it refuses: unknown tunnel, or wrong token" in o.service.text())
    assert "alice: refused an owner's end" in relay.log.read_text()
    o.service.stop()
    (tmp_path / "alice.token").write_text(right)
    o.service.start()
    wait(lambda: o.ups() == 1)
    open_one = o.client(relay.port)
    assert open_one.request("GET", "/health")[0] == 200
    (tmp_path / "tunnels").write_text("# nobody\n")
    relay.process.send_signal(signal.SIGHUP)
    wait(lambda: "the owner's end is gone" in relay.log.read_text())
    with pytest.raises((OSError, http.client.HTTPException)):
        open_one.request("GET", "/health")
    o.service.stop()


def test_a_relay_that_is_not_ours(tmp_path, platform, relay):
    """Its certificate is not of the authority that the owner names: it gets no token."""
    certificate(tmp_path, "relay", NAME)  # the file of authorities has a different one from now on
    o = Owner(tmp_path, platform, relay.port)
    wait(lambda: "is not reachable, trying again: its certificate:" in o.service.text())
    assert "connected" not in relay.log.read_text()
    o.service.stop()


class Liar:
    """In the relay's place: has the relay's own key, and plays with what hosts send. Counts what a host accepted."""

    def __init__(self, folder, upstream, mood):
        self.folder, self.upstream, self.mood, self.recorded = folder, upstream, mood, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(near,), daemon=True).start()

    def one(self, near):
        try:
            if self.mood == "answers":  # with the certificate that it has
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.folder / "relay.pem", self.folder / "relay.key")
                s = context.wrap_socket(near, server_side=True)
                s.recv(65536)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                return
            far = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            self.pump(far, near, True)
        except OSError:
            pass
        finally:
            near.close()

    def pump(self, a, b, answers):
        n, held = 0, b""
        try:
            while data := a.recv(4096):
                n += len(data)
                if answers and self.mood == "truncates" and n > 2500:
                    break
                if answers and self.mood == "replays" and n > 2500:
                    data += data
                if answers and self.mood == "changes" and n > 2500:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                if answers and self.mood == "reorders" and n > 800:
                    held, data = data, held
                b.sendall(data)
            b.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.mark.parametrize("mood", ["answers", "truncates", "replays", "changes", "reorders"])
def test_a_malicious_relay(tmp_path, platform, relay, owner, mood):
    """It cannot give a host an answer that the service did not give. What a host takes for an answer is one: its session opens with the keys of the
    processor that it was made for, and its launch-id is one that the service knows."""
    psp = Psp(platform)
    assert owner.client(relay.port).request("POST", "/vm/a", registration(), token=owner.token)[0] == 201
    liar = Liar(tmp_path, relay.port, mood)
    accepted, broken = [], 0
    for _ in range(5):
        try:
            c = owner.client(liar.port, timeout=3)
            status, answer = c.request("POST", "/vm/a/launch", psp.launch())
            assert status == 200
            accepted.append(answer)
            c.request("GET", "/health")
            c.request("GET", "/health")
        except (OSError, http.client.HTTPException):
            broken += 1
    liar.listener.close()
    assert broken == 5 and (accepted == [] or mood != "answers")
    for number, answer in enumerate(accepted):
        status, problem = owner.client(relay.port).request("POST", "/vm/a/validate", psp.measured(answer, "5b" * 32))
        assert (status, problem["code"]) == (403, "measurement-mismatch"), number


def test_strangers(relay, owner):
    """Silence, noise, halves of what is expected, and many at once: hosts are served all the same, and memory is bounded."""
    silent = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(600)]
    assert owner.client(relay.port).request("GET", "/health")[0] == 200
    for noise in (b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + b"\xff" * 16380, b"\x16\x03\x01\x00\x00",
                  b"cvmspawn-data/1 " + b"a" * 64 + b"\n", b"cvmspawn-data/1 " + b"z" * 65, b"\x16\x03\x01\xff\xff"):  # fmt: skip
        s = socket.create_connection(("127.0.0.1", relay.port), 20)
        s.sendall(noise)
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
        s.close()
    half = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(20)]
    for s in half:
        s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    cpu = Path(f"/proc/{relay.process.pid}/stat").read_text().split()[13:15]
    time.sleep(1)
    after = Path(f"/proc/{relay.process.pid}/stat").read_text().split()[13:15]
    assert sum(map(int, after)) - sum(map(int, cpu)) < 20  # ticks: it waits, and does not ask again and again
    assert owner.client(relay.port).request("GET", "/health")[0] == 200
    assert relay.files() < 300 and relay.peak() < 64 * 1024
    for s in silent + half:
        s.close()


def test_slow_and_cut_hellos(relay, owner):
    """A ClientHello byte by byte, and in several records, is that of a host."""
    context = ssl.create_default_context(cafile=owner.folder / "service-ca.pem")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    body = hello[5:]
    cut = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:3], body[3:50], body[50:]))
    for data, step in ((hello, 1), (cut, 7)):
        s = socket.create_connection(("127.0.0.1", relay.port), 20)
        for i in range(0, len(data), step):
            s.sendall(data[i : i + step])
            if i < 100:
                time.sleep(0.002)
        assert s.recv(5)[:2] == b"\x16\x03"  # the service's ServerHello
        s.close()


def test_limits_and_back_pressure(tmp_path, platform):
    relay = Relay(tmp_path, "--connections=6", "--per-tunnel=3")
    owner = Owner(tmp_path, platform, relay.port)
    wait(lambda: owner.ups() == 1)
    held = [owner.client(relay.port) for _ in range(3)]
    with pytest.raises(ssl.SSLError):
        owner.client(relay.port)
    wait(lambda: "alice: refused a host: too many connections" in relay.log.read_text())
    for c in held:
        c.close()
    time.sleep(0.3)
    c = owner.client(relay.port)
    assert c.request("GET", "/health")[0] == 200
    owner.service.stop()
    relay.stop()


class Networks:
    """Namespaces with a cable between some of them: owner - nat - relay - host. The owner's addresses are known to nobody but its NAT, which
    masquerades and lets nothing in."""

    CABLES = [("owner", "10.77.9.2", "nat", "10.77.9.1"), ("nat", "10.77.1.2", "relay", "10.77.1.1"), ("host", "10.77.2.2", "relay", "10.77.2.1")]
    RULES = "table ip t { chain c { type nat hook postrouting priority 100; oifname nat-relay masquerade; }; chain f { type filter hook forward priority 0; policy drop; iifname nat-owner accept; ct state established accept; }; }"  # fmt: skip

    def __init__(self):
        self.keepers = {n: subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) for n in ("owner", "nat", "relay", "host")}
        for k in self.keepers.values():
            k.stdout.readline()
        for a, address_a, b, address_b in self.CABLES:
            self.run(a, "ip", "link", "add", f"{a}-{b}", "type", "veth", "peer", "name", f"{b}-{a}", "netns", str(self.keepers[b].pid))
            for one, other, address in ((a, b, address_a), (b, a, address_b)):
                self.run(one, "ip", "address", "add", f"{address}/24", "dev", f"{one}-{other}")
                self.run(one, "ip", "link", "set", f"{one}-{other}", "up")
        for n in self.keepers:
            self.run(n, "ip", "link", "set", "lo", "up")
        self.run("owner", "ip", "route", "add", "default", "via", "10.77.9.1")
        self.run("host", "ip", "route", "add", "default", "via", "10.77.2.1")
        self.run("nat", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.run("nat", "nft", self.RULES)

    def run(self, name, *words):
        subprocess.run(["nsenter", "-t", str(self.keepers[name].pid), "-n", *words], check=True)

    @contextlib.contextmanager
    def inside(self, name):
        """This thread, and what it starts, is in the network of that name."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/proc/{self.keepers[name].pid}/ns/net", "rb") as there:
            assert libc.setns(there.fileno(), 0x40000000) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), 0x40000000) == 0

    def end(self):
        for k in self.keepers.values():
            k.kill()
            k.wait(30)
            k.stdout.close()


@pytest.fixture
def networks():
    if os.geteuid() != 0:
        pytest.skip("network namespaces with cables need root")
    for tool in ("ip", "nft", "unshare", "nsenter"):
        if not shutil.which(tool):
            skip_or_fail(f"'{tool}' is not installed")
    n = Networks()
    yield n
    n.end()


def test_owner_behind_nat(tmp_path, platform, networks):
    """The owner behind a masquerading network, the host in a second one, the relay between them; it is killed and started again in the middle of a launch."""
    with networks.inside("relay"):
        relay = Relay(tmp_path, address="0.0.0.0")
    with networks.inside("owner"):
        owner = Owner(tmp_path, platform, relay.port, address="10.77.1.1")
        wait(lambda: owner.ups() == 1)
        assert owner.client(relay.port, address="10.77.1.1").request("POST", "/vm/a", registration(), token=owner.token)[0] == 201
    psp, service = Psp(platform), int(owner.service.url.rsplit(":", 1)[1])
    with networks.inside("relay"):
        with pytest.raises(OSError):
            socket.create_connection(("10.77.9.2", service), 2)
    with networks.inside("host"):
        with pytest.raises(OSError):
            socket.create_connection(("10.77.9.2", service), 2)
        status, answer = owner.client(relay.port, address="10.77.2.1").request("POST", "/vm/a/launch", psp.launch())
        assert status == 200
    with networks.inside("relay"):
        relay.kill()
        relay.start()
    wait(lambda: owner.ups() == 2)
    said = psp.measured(answer, DIGEST)
    with networks.inside("host"):
        status, packet = owner.client(relay.port, address="10.77.2.1").request("POST", "/vm/a/validate", said)
        assert status == 200 and b"open sesame" in psp.unsealed(answer, said, packet)
    owner.service.stop()
    relay.stop()


@pytest.mark.parametrize("words, says", [
    (["serve"], "requires --name=, --tls-cert= and --tls-key="),
    (["add", "Alice", "--token-file=t"], "lower-case letters, digits and hyphens"),
    (["add", "alice"], "requires --token-file=FILE"),
    (["serve", "--name=UPPER", "--tls-cert=c", "--tls-key=k"], "--name: expected a domain name"),
    (["serve", "--name=a", "--tls-cert=c", "--tls-key=k", "--connections=0"], "--connections: expected 1 to"),
    (["serve", "--name=a", "--tls-cert=c", "--tls-key=k", "--connections=4", "--per-tunnel=5"], "--per-tunnel: expected 1 to 4"),
    (["serve", "--name=a", "--tls-cert=c", "--tls-key=k", "--tunnels=missing"], "missing"),
])  # fmt: skip
def test_what_is_refused(tmp_path, words, says):
    done = subprocess.run([PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and says in done.stderr, done
