# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service as those who run it meet it: what monitoring reads, how it ends, and how it gets new certificates."""

import http.client
import json
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from attestd_service import SOURCE, Service, build_folder, registration


class Monitor:
    def __init__(self, path):
        self.path = str(path)

    def get(self, target):
        c = http.client.HTTPConnection("localhost", timeout=60)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(self.path)
        c.request("GET", target)
        answer = c.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


SAMPLE = re.compile(r'^[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? (\+Inf|-?[0-9.]+(e[+-]?[0-9]+)?)$')


def parse(text):
    """OpenMetrics, strictly as far as we use it: {sample: value}."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], lines[-3:]
    samples, kinds = {}, {}
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# UNIT "):
            assert SAMPLE.match(line), line
            key, _, value = line.rpartition(" ")
            assert key not in samples, key
            samples[key] = float(value)
            name = key.partition("{")[0]
            family = re.sub("_(total|bucket|count|sum)$", "", name)
            assert kinds.get(family if family in kinds else name), name
            assert kinds[family if family in kinds else name] != "counter" or name.endswith("_total")
    return samples


@pytest.fixture
def service(tmp_path):
    s = Service(tmp_path, f"--metrics=unix:{tmp_path}/monitor")
    yield s
    if s.process.poll() is None:
        s.stop()


def test_metrics(service, tmp_path):
    monitor = Monitor(tmp_path / "monitor")
    assert monitor.get("/healthz")[::2] == (200, "ok\n")
    assert monitor.get("/readyz")[::2] == (200, "ready\n")
    assert monitor.get("/vm")[0] == 404
    assert service.post("/vm/very-private-name", registration(), *service.owner())[0] == 201
    for _ in range(3):
        assert service.post("/vm/very-private-name/launch", {"x": 1})[0] == 400
    assert service.curl(service.url + "/nothing")[0] == 404
    status, kind, text = monitor.get("/metrics")
    assert status == 200 and kind.startswith("application/openmetrics-text; version=1.0.0")
    m = parse(text)
    assert m['cvmspawn_attestd_requests_total{method="POST",route="/vm/*",status="2xx"}'] == 1
    assert m['cvmspawn_attestd_requests_total{method="POST",route="/vm/*/launch",status="4xx"}'] == 3
    assert m['cvmspawn_attestd_requests_total{method="",route="",status="4xx"}'] == 1
    assert m['cvmspawn_attestd_refusals_total{code="not-found"}'] == 1
    assert m['cvmspawn_attestd_request_seconds_count{method="POST",route="/vm/*/launch"}'] == 3
    assert m['cvmspawn_attestd_request_seconds_bucket{method="POST",route="/vm/*/launch",le="+Inf"}'] == 3
    buckets = [v for k, v in m.items() if k.startswith('cvmspawn_attestd_request_seconds_bucket{method="POST",route="/vm/*/launch"')]
    assert buckets == sorted(buckets) and len(buckets) == 11
    assert m["cvmspawn_attestd_store_up"] == 1 and m['cvmspawn_attestd_launches{state="open"}'] == 0
    assert "very-private-name" not in text and service.token not in text and "127.0.0.1" not in text


def test_metrics_only_here(tmp_path):
    program = build_folder() / "programs/cvmspawn-attestd"
    for address, says in [("0.0.0.0:0", "only on a loopback address or a unix socket"), ("x", "--metrics: expected ADDRESS:PORT"), ("unix:y", "absolute path")]:
        done = subprocess.run([program, "--dev", f"--state={tmp_path}/state", "--listen=127.0.0.1:0", f"--metrics={address}"],
                              capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert done.returncode == 1 and "--metrics" in done.stderr and says in done.stderr, done.stderr


def tls(service, data=b"", authority=None):
    context = ssl.create_default_context(cafile=authority or service.folder / "state/ca.pem")
    host, _, port = service.url.removeprefix("https://").partition(":")
    s = context.wrap_socket(socket.create_connection((host, int(port)), timeout=60), server_hostname="localhost")
    s.sendall(data)
    return s


def rest(s):
    received = b""
    try:
        while chunk := s.recv(65536):
            received += chunk
    except OSError:
        pass
    s.close()
    return received


def test_drain(service, tmp_path):
    """A request that is on its way is answered, then the connection is closed; an idle connection does not keep the service."""
    body = b'{"x": 1}'
    idle = tls(service, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.recv(1000).startswith(b"HTTP/1.1 200")
    busy = tls(service, b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
    time.sleep(0.3)
    begin = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert service.process.poll() is None
    assert Monitor(tmp_path / "monitor").get("/readyz")[0] == 503
    with pytest.raises(OSError):
        tls(service).recv(1)
    busy.sendall(body)
    answer = rest(busy)
    assert answer.startswith(b"HTTP/1.1 404") and b"\r\nConnection: close\r\n" in answer, answer
    assert service.process.wait(10) == 0
    assert time.monotonic() - begin < 4
    idle.close()


def test_drain_has_an_end(service):
    """A request that never becomes whole holds the service for five seconds; a second signal, not at all."""
    stuck = tls(service, b"POST /vm/a/launch HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    time.sleep(0.3)
    begin = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0 and time.monotonic() - begin < 3
    stuck.close()


def certify(folder, name):
    folder.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key.new", "-out", folder / "cert.new"],
                   check=True, capture_output=True, timeout=60)  # fmt: skip
    (folder / "key.new").rename(folder / "key.pem")
    (folder / "cert.new").rename(folder / "cert.pem")


def shown(service):
    """The common name of the certificate that a new connection gets."""
    host, _, port = service.url.removeprefix("https://").partition(":")
    pem = ssl.get_server_certificate((host, int(port)), timeout=60)
    done = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("=")[2].strip()


@pytest.mark.parametrize("more", [[], ["--proxy-protocol=unix"]], ids=["its own", "acceptor"])
def test_reload(tmp_path, more):
    """SIGHUP under load: each new connection gets the new certificate, and no request fails; what cannot be used changes nothing."""
    folder = tmp_path / "tls"
    certify(folder, "first")
    s = Service(tmp_path, f"--tls-cert={folder}/cert.pem", f"--tls-key={folder}/key.pem", *more)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = s.url.removeprefix("https://").partition(":")
    stop, failures, done = threading.Event(), [], [0]

    def load(keep):
        c = None
        while not stop.is_set():
            try:
                c = c or http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
                c.request("GET", "/health")
                answer = c.getresponse()
                answer.read()
                if answer.status != 200:
                    failures.append(answer.status)
                done[0] += 1
                if not keep:
                    c.close()
                    c = None
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                c = None

    threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
    for t in threads:
        t.start()
    assert shown(s) == "first"
    for name in ("second", "third"):
        certify(folder, name)
        s.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while shown(s) != name:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
    (folder / "key.pem").write_text("nothing\n")
    s.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert shown(s) == "third"
    stop.set()
    for t in threads:
        t.join()
    assert not failures and done[0] > 50, (failures[:3], done)
    log = (tmp_path / "log").read_text()
    assert log.count("new connections get the certificates") == 2 and "the certificates of before stay in use" in log
    s.stop()
    assert Path(f"/proc/{s.process.pid}").exists() is False


def test_reload_without_files(service):
    service.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert service.curl(service.url + "/health")[0] == 200
    assert "no certificate files" in (service.folder / "log").read_text()


def test_dashboard(service, tmp_path):
    """Each value that the dashboard shows is one that the programs have."""
    document = json.loads((SOURCE / "data/grafana/cvmspawn-attestd.json").read_text())
    asked = {name for panel in document["panels"] for t in panel["targets"] for name in re.findall(r"cvmspawn_[a-z_]+", t["expr"])}
    service.curl(service.url + "/nothing")
    given = {key.partition("{")[0] for key in parse(Monitor(tmp_path / "monitor").get("/metrics")[2])}
    given |= set(re.findall(r"cvmspawn_[a-z_]+", "".join(f.read_text() for f in [SOURCE / "programs/collateral/collateral-answer.c", SOURCE / "attestd/attestd-metrics-text.c"])))
    assert len(asked) >= 8 and asked <= given, asked - given


def audit(service, status=0):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={service.folder}/state", "--audit"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_audit(service, tmp_path):
    """Beside the running service; over a rotation of the key; a changed row is found."""
    assert service.post("/vm/a", registration(), *service.owner())[0] == 201
    assert service.curl("-X", "DELETE", *service.owner(), service.url + "/vm/a")[0] == 204
    rows, _ = audit(service)
    assert [(r["vm"], r["event"], r["position"], r["verified"]) for r in rows] == [("a", "registered", 1, True), ("a", "deleted", 2, True)]
    assert len({r["link"] for r in rows}) == 2
    service.stop()
    state = tmp_path / "state"
    new, old = tmp_path / "new.key", tmp_path / "old.key"
    (state / "secrets.key").rename(old)
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={state}", f"--secrets-key={old}", f"--rotate-key={new}", "--rotate-wait=0"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    new.rename(state / "secrets.key")
    assert audit(service)[0] == rows
    with sqlite3.connect(state / "state.db") as database:
        with pytest.raises(sqlite3.Error, match="rows are only added"):
            database.execute("DELETE FROM audit")
        database.execute("DROP TRIGGER audit_update")
        database.execute("UPDATE audit SET vm = 'b' WHERE position = 2")
    database.close()
    rows, said = audit(service, status=2)
    assert [r["verified"] for r in rows] == [True, False]
    assert "1 of 2 rows are not as they were written" in said


@pytest.mark.parametrize("what", [["--audit"], ["--check-store"], ["--rotate-key=new"]])
def test_nothing_is_made_of_a_wrong_path(tmp_path, what):
    done = subprocess.run([build_folder() / "programs/cvmspawn-attestd", f"--state={tmp_path}/typo", *what], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "there is nothing to look at" in done.stderr and list(tmp_path.iterdir()) == [], done.stderr
