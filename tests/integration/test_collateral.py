# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mirror of AMD's key service: one download for any number of askers, nothing wrong or old ever kept, and answers while AMD is away. The key service is a
stand-in with AMD's behaviour as far as it is known; its pauses are milliseconds where AMD's are seconds."""

import concurrent.futures
import json
import os
import struct
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from collateral_mirror import BUILD, KeyService, Mirror, UnixConnection, make_chips

CHIPS = 100
CHAIN, CRL = "/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/crl"
FAST = ["--interval=1ms"]


@pytest.fixture(scope="module")
def amd(tmp_path_factory):
    return make_chips(tmp_path_factory.mktemp("amd"), CHIPS)


@pytest.fixture
def kds(amd):
    service = KeyService(amd)
    yield service
    service.stop()


@pytest.fixture
def start(tmp_path, amd, kds):
    running = []

    def begin(*options, **more):
        mirror = Mirror(tmp_path, amd, f"--kds={kds.url}", *options, **more)
        running.append(mirror)
        return mirror

    yield begin
    for mirror in running:
        if mirror.process.poll() is None:
            mirror.stop()
        assert not [p for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")], "half-written files"


def collateral(*words):
    return subprocess.run([BUILD / "programs/cvmspawn-collateral", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def verify(amd, chip, kds, *options):
    return subprocess.run([BUILD / "programs/cvmspawn", "report", "verify", amd / f"report-{chip}.bin", f"--kds={kds}", "--cache=",
                           f"--insecure-root={amd}/ark.der", f"--measurement={'aa' * 48}", f"--report-data={'bb' * 64}", *options],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip


@pytest.mark.full
def test_one_download_for_many(amd, kds, start):
    """10 000 requests of 16 clients for 100 chips: 100 downloads of chips, and one each of the chain and of the list that they need."""
    mirror = start(*FAST)
    paths = (amd / "paths").read_text().split()

    def client(number):
        connection = UnixConnection(mirror.socket)
        for i in range(625):
            path = paths[(i * 7 + number * 13) % CHIPS]
            for _ in range(600):
                status, _, body = mirror.get(path, connection)
                if status == 200:
                    break
                assert status == 429
                time.sleep(0.01)
            assert status == 200 and body == (amd / kds.paths[path]).read_bytes()
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    counts = Counter(kds.requests)
    assert set(counts.values()) == {1}, counts.most_common(3)
    assert sum(p.startswith("/vcek/v1/Milan/0") for p in counts) == CHIPS
    assert set(counts) - set(paths) <= {CHAIN, CRL}
    # What is spelled differently is the same thing.
    assert mirror.get(paths[0].replace("blSPL=04", "blSPL=4").replace("&snpSPL=24", "") + "&snpSPL=24")[0] == 200
    assert Counter(kds.requests) == counts
    assert mirror.metrics()['cvmspawn_collateral_downloads_total{outcome="stored"}'] == len(counts)


def test_verifiers_use_it(amd, kds, start, tmp_path):
    """cvmspawn report and snpguest, over the socket and over the loopback."""
    mirror = start(*FAST)
    for chip, url in enumerate([f"unix:{mirror.socket}", mirror.url]):
        done = verify(amd, chip, url, "--crl=required")
        assert done.returncode == 0, done.stderr
    done = subprocess.run([BUILD / "programs/cvmspawn", "snpguest", "fetch", "vcek", "der", tmp_path, amd / "report-2.bin", f"--kds=unix:{mirror.socket}",
                           "--cache="], capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "vcek.der").read_bytes() == (amd / "chip-2.der").read_bytes()
    done = verify(amd, 0, f"unix:{tmp_path}/nothing")
    assert done.returncode == 4 and "cannot connect to this socket" in done.stderr + done.stdout


@pytest.mark.full
def test_herd(amd, kds, start):
    """A thousand clients at once for one chip that nobody has asked for: one download, all answered."""
    mirror = start("--interval=300ms", "--patience=30s")
    path = (amd / "paths").read_text().split()[5]
    connections = []
    for _ in range(1000):
        c = UnixConnection(mirror.socket)
        c.request("GET", path)
        connections.append(c)
    expected = (amd / "chip-5.der").read_bytes()
    for c in connections:
        answer = c.getresponse()
        assert (answer.status, answer.read()) == (200, expected)
        c.close()
    assert kds.requests.count(path) == 1


def test_order(amd, kds, start):
    """Chips are downloaded in the order in which they were asked for; who has to wait too long is told for how long."""
    mirror = start("--interval=100ms", "--patience=150ms")
    paths = (amd / "paths").read_text().split()[:20]
    assert mirror.get(CHAIN)[0] == 200
    retry = []
    for path in paths:
        status, headers, _ = mirror.get(path)
        assert status in (200, 429)
        if status == 429:
            retry.append(int(headers["Retry-After"]))
    assert retry == sorted(retry) and retry[0] >= 1
    for path in paths:
        assert mirror.get_until(path)[0] == 200
    assert [p for p in kds.requests if p in paths] == paths


@pytest.mark.full
@pytest.mark.parametrize("retry_after", [None, 1], ids=["without Retry-After", "with Retry-After"])
def test_limit(amd, kds, start, retry_after):
    """The key service refuses more often than the mirror asks: it gets slower, and loses nothing."""
    kds.interval, kds.retry_after = 0.2, retry_after
    mirror = start("--interval=100ms", "--patience=10s")
    paths = (amd / "paths").read_text().split()[:4]
    for path in paths:
        assert mirror.get_until(path)[0] == 200
    assert kds.refused > 0 and set(Counter(kds.requests).values()) == {1}


def outage(handler):
    handler.reply(503)


def silence(handler):
    time.sleep(1)


def reset(handler):
    handler.connection.shutdown(2)


@pytest.mark.parametrize("mood", [outage, pytest.param(silence, marks=pytest.mark.full), pytest.param(reset, marks=pytest.mark.full)])
def test_outage(amd, kds, start, tmp_path, mood):
    """Six simulated hours without the key service, and the list expires in the third: what was cached is answered, the stale list marked as one."""
    offset = tmp_path / "clock"
    offset.write_bytes(struct.pack("=q", 0))
    mirror = start("--interval=20ms", "--patience=200ms", "--grace=6h",
                   env={"LD_PRELOAD": str(BUILD / "tests/lib/clock-at.so"), "CLOCK_AT": str(offset)})  # fmt: skip
    paths = (amd / "paths").read_text().split()
    for path in [CHAIN, CRL, *paths[:10]]:
        assert mirror.get_until(path)[0] == 200
    kds.mood = mood
    for hour in range(1, 7):
        with open(offset, "r+b") as f:
            f.write(struct.pack("=q", hour * 3600))
        for path in [CHAIN, *paths[:10]]:
            status, headers, _ = mirror.get(path)
            assert status == 200 and "Warning" not in headers
        status, headers, _ = mirror.get(CRL)
        assert status == 200
        assert ("Warning" in headers) == (hour > 3), hour
        status, headers, _ = mirror.get(paths[50])
        assert status == 429 and int(headers["Retry-After"]) >= 1
    assert "should have been updated at" in mirror.said()
    # Beyond the grace the list is not given out.
    with open(offset, "r+b") as f:
        f.write(struct.pack("=q", 10 * 3600))
    assert mirror.get(CRL)[0] == 429
    # When it is over, everything comes.
    kds.mood, kds.crl = None, "crl-newer.der"
    assert mirror.get_until(paths[50])[0] == 200
    status, headers, body = mirror.get_until(CRL)
    assert status == 200 and "Warning" not in headers and body == (amd / "crl-newer.der").read_bytes()


@pytest.mark.full
def test_wrong_answers(amd, kds, start, tmp_path):
    """What is not what was asked for is never kept and never handed out."""
    paths = (amd / "paths").read_text().split()
    good = (amd / "chip-0.der").read_bytes()
    flipped = bytes([*good[:-5], good[-5] ^ 1, *good[-4:]])
    wrong = [b"", b"<html>maintenance</html>", good, flipped, good + good, good[:-1], b"\0" * 300000, (amd / "ark.der").read_bytes(), b"x" * (2 << 20)]
    kds.wrong = {path: body for path, body in zip(paths[1:], wrong)}
    kds.wrong[CRL] = (amd / "crl-forged.der").read_bytes()
    mirror = start("--interval=5ms", "--patience=100ms")
    assert mirror.get_until(CHAIN)[0] == 200
    for path in [*kds.wrong]:
        assert mirror.get_until(path, seconds=1)[0] in (429, 503), path
    names = {p.name for p in (tmp_path / "cache").iterdir()}
    assert names == {"milan-vcek-chain.pem"}, names
    assert "is not used" in mirror.said()
    kds.wrong = {}
    for path in [CRL, *paths[:10]]:
        assert mirror.get_until(path)[0] == 200


@pytest.mark.full
def test_lists_do_not_go_back(amd, kds, start, tmp_path):
    """A genuine list that is older than the one in the cache, or overdue, is not taken."""
    kds.crl = "crl-overdue.der"
    mirror = start("--interval=5ms", "--patience=100ms", "--refresh=1s")
    assert mirror.get_until(CRL, seconds=1)[0] == 429
    assert not (tmp_path / "cache/milan-vcek-crl.der").exists()
    kds.crl = "crl.der"
    assert mirror.get_until(CRL)[2] == (amd / "crl.der").read_bytes()
    mirror.stop()
    for kind, taken in [("crl-older.der", False), ("crl-newer.der", True)]:
        kds.crl = kind
        old = time.time() - 7200
        os.utime(tmp_path / "cache/milan-vcek-crl.der", (old, old))
        before = len(kds.requests)
        mirror.start()
        deadline = time.monotonic() + 60
        while len(kds.requests) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.3)
        assert mirror.get(CRL)[2] == (amd / (kind if taken else "crl.der")).read_bytes()
        mirror.stop()
    assert "older than the revocation list in the cache" in mirror.said()


def test_tampered_cache(amd, kds, start, tmp_path):
    """Somebody changes the cache under the running mirror: it is downloaded again, and nothing wrong is handed out."""
    mirror = start(*FAST)
    path = (amd / "paths").read_text().split()[0]
    good = mirror.get_until(path)[2]
    (file,) = (tmp_path / "cache").glob("milan-vcek-0*")
    for bad in [good[:-1] + bytes([good[-1] ^ 1]), b"", (amd / "chip-1.der").read_bytes()]:
        file.write_bytes(bad)
        status, _, body = mirror.get_until(path)
        assert status == 200 and body == good
    file.unlink()
    file.symlink_to("/etc/passwd")
    assert mirror.get_until(path)[2] == good


def test_unknown(amd, kds, start):
    """What the key service does not have is asked for once; what is not an address, never."""
    mirror = start(*FAST)
    path = (amd / "paths").read_text().split()[0]
    missing = path.replace("/0100", "/ffff")
    for _ in range(5):
        assert mirror.get_until(missing, 404)[0] == 404
    assert kds.requests.count(missing) == 1
    def asked():
        return [request for request in kds.requests if not request.endswith("/crl")]  # lists are fetched ahead, at any time

    before = asked()
    for bad, status in [("/", 404), ("/vcek/v1/Rome/crl", 404), ("/vcek/v2/Milan/crl", 404), ("/vlek/v1/Milan/abc?x=1", 404),
                        ("/vcek/v1/Milan/00", 400), (path + "&blSPL=4", 400), (path.replace("219", "256"), 400), (path + "&fmcSPL=1", 400),
                        (path.partition("?")[0], 400), ("/vcek/v1/Milan/../Milan/crl", 400), (path.replace("0100", "0000", 1).replace("Milan/0", "Milan/g"), 400),
                        ("/vcek/v1/Milan/" + "0" * 128 + "?blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1", 400), ("/" + "a" * 2000, 404)]:  # fmt: skip
        got = mirror.get(bad)
        assert got[0] == status and got[2], bad
    assert asked() == before


@pytest.mark.full
def test_prefetch(amd, kds, start, tmp_path):
    """A list of chips is downloaded when nobody waits; who asks meanwhile goes first."""
    listed = tmp_path / "chips"
    paths = (amd / "paths").read_text().split()
    listed.write_text("# ours\n" + "".join(f"https://kdsintf.amd.com{p}\n" for p in paths[:40]) + "\n")
    mirror = start("--interval=50ms", f"--prefetch={listed}")
    assert mirror.get_until(paths[90])[0] == 200
    assert len([p for p in kds.requests if p in paths[:40]]) < 20
    deadline = time.monotonic() + 30
    while len(kds.requests) < 43 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(kds.requests) == {CHAIN, CRL, paths[90], *paths[:40]} and len(kds.requests) == 43
    mirror.stop()
    mirror.start()
    time.sleep(0.5)
    assert len(kds.requests) == 43
    listed.write_text("/vcek/v1/Milan/nonsense\n")
    done = collateral("serve", f"--cache={tmp_path}/cache", "--listen=127.0.0.1:0", f"--prefetch={listed}")
    assert done.returncode == 1 and f"--prefetch: '{listed}' line 1: expected cert_chain, crl, or the 128" in done.stderr


def test_air_gap(amd, kds, start, tmp_path):
    """export, carry, import: a mirror without a network answers the same; a bundle that was changed adds nothing that is wrong."""
    mirror = start(*FAST)
    paths = (amd / "paths").read_text().split()[:5]
    for path in [CHAIN, CRL, *paths]:
        assert mirror.get_until(path)[0] == 200
    root, bundle = f"--insecure-root={amd}/ark.der", tmp_path / "bundle.json"
    done = collateral("export", bundle, f"--cache={tmp_path}/cache", root)
    assert done.returncode == 0 and "exported 7 files" in done.stderr
    far = tmp_path / "far"
    done = collateral("import", bundle, f"--cache={far}", root)
    assert done.returncode == 0 and "imported 7 files" in done.stderr, done.stderr
    done = collateral("list", f"--cache={far}", root, "--json")
    assert [r["verified"] for r in json.loads(done.stdout)] == [True] * 7
    assert "next update" in collateral("list", f"--cache={far}", root).stdout
    mirror.stop()
    (tmp_path / "gap").mkdir()
    offline = Mirror(tmp_path / "gap", amd, "--offline")
    offline.stop()
    offline.cache = far
    offline.start()
    for path in [CHAIN, CRL, *paths]:
        assert offline.get(path)[0] == 200
    assert offline.get((amd / "paths").read_text().split()[60])[0] == 503
    offline.stop()
    # Not AMD's, not a bundle, older than what is there.
    document = json.loads(bundle.read_text())
    names = [f["name"] for f in document["files"]]
    assert collateral("import", bundle, f"--cache={tmp_path}/amd").returncode == 2
    assert not list((tmp_path / "amd").iterdir())
    for change, text in [(lambda d: d["files"][0].update(name="../../evil.der"), "not the name of a file"),
                         (lambda d: d["files"][3].update(data=d["files"][4]["data"]), "does not verify"),
                         (lambda d: d["files"][0].update(data="%%%"), "in base64"),
                         (lambda d: d["files"][0].update(more=1), "more"),
                         (lambda d: d.update(format="x"), "not a bundle of collateral")]:  # fmt: skip
        copy = json.loads(bundle.read_text())
        change(copy)
        (tmp_path / "changed.json").write_text(json.dumps(copy))
        done = collateral("import", tmp_path / "changed.json", f"--cache={tmp_path}/other", root)
        assert done.returncode in (1, 2) and text in done.stderr, done.stderr
    assert {p.name for p in (tmp_path / "other").iterdir()} <= set(names)


@pytest.mark.full
def test_killed(amd, kds, start, tmp_path):
    """kill -9 at any moment: nothing half-written, no child left, and it goes on where it was."""
    mirror = start("--interval=2ms", "--patience=50ms")
    paths = (amd / "paths").read_text().split()
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            for path in paths:
                try:
                    mirror.get(path)
                except OSError:
                    time.sleep(0.01)
                if stop.is_set():
                    return

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(10):
        time.sleep(0.15)
        mirror.kill()
        mirror.start()
    stop.set()
    thread.join()
    for path in paths:
        assert mirror.get_until(path)[0] == 200
    for name in (tmp_path / "cache").glob(".*"):
        name.unlink()  # of a child that was killed with its parent


def test_drain(amd, kds, start):
    """SIGTERM: who waits for a download is told to come back; no connection just ends."""
    mirror = start("--interval=10s", "--patience=30s")
    assert mirror.get(CHAIN)[0] == 200
    waiting = UnixConnection(mirror.socket)
    waiting.request("GET", (amd / "paths").read_text().split()[0])
    time.sleep(0.3)
    mirror.process.terminate()
    answer = waiting.getresponse()
    assert answer.status == 503 and int(answer.headers["Retry-After"]) == 1
    answer.read()
    assert mirror.process.wait(10) == 0
    assert not Path(mirror.folder / "cache/.lock").exists()
