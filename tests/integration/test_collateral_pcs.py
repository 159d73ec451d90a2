# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mirror of Intel's PCS: a stand-in with a made-up Intel (SIMULATED: throw-away keys), one download for many, nothing wrong kept, headers as the PCS sends them,
bundles; and what AMD's key service has of VLEKs."""

import concurrent.futures
import json
import os
import struct
import subprocess
from collections import Counter

import pytest
import td_chain as chain
from collateral_mirror import BUILD, KeyService, Mirror, make_chips
from cryptography import x509
from pcs_world import ALL, PLATFORM_CRL, PROCESSOR_CRL, QE, ROOT_CRL, TCB, Pcs, answers, dates, quoted

TYPES = {TCB: "application/json", QE: "application/json", ROOT_CRL: "application/pkix-crl", PLATFORM_CRL: "application/pkix-crl"}


@pytest.fixture(scope="module")
def amd(tmp_path_factory):
    return make_chips(tmp_path_factory.mktemp("amd"), 2)


@pytest.fixture(scope="module")
def world():
    return chain.World()


@pytest.fixture
def pcs(world):
    service = Pcs(world)
    yield service
    service.stop()


@pytest.fixture
def kds(amd):
    service = KeyService(amd)
    yield service
    service.stop()


@pytest.fixture
def start(tmp_path, amd, kds, pcs, world):
    running = []
    (tmp_path / "root.pem").write_bytes(chain.pem(world.root))

    def begin(*options, **more):
        words = [] if "--offline" in options else [f"--kds={kds.url}", f"--pcs={pcs.url}", "--interval=5ms"]
        mirror = Mirror(tmp_path, amd, f"--insecure-tdx-root={tmp_path}/root.pem", *words, *options, **more)
        running.append(mirror)
        return mirror

    yield begin
    for mirror in running:
        if mirror.process.poll() is None:
            mirror.stop()
        assert not [p for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")], "half-written files"


def check(mirror, pcs, path):
    status, headers, body = mirror.get_until(path)
    name, value, expected = pcs.answers[path]
    assert status == 200 and body == expected and headers["Content-Type"] == TYPES[path], (status, body[:200], mirror.said())
    assert not name or headers[name] == value
    assert "max-age=" in headers["Cache-Control"]
    return headers


def collateral(*words):
    return subprocess.run([BUILD / "programs/cvmspawn-collateral", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def test_one_download_for_many(start, pcs):
    mirror = start()

    def client(_):
        for path in ALL:
            check(mirror, pcs, path)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))
    assert Counter(pcs.requests) == Counter(ALL)
    # Other spellings are the same.
    for path in (TCB.replace("F", "f"), "/sgx/certification/v4/pckcrl?encoding=der&ca=platform"):
        assert mirror.get(path)[0] == 200
    assert Counter(pcs.requests) == Counter(ALL)
    metrics = mirror.metrics()
    assert metrics['cvmspawn_collateral_intel_downloads_total{outcome="stored"}'] == 4
    assert metrics['cvmspawn_collateral_downloads_total{outcome="stored"}'] == 0


def test_verifiers_use_it(start, pcs, world, tmp_path):
    mirror = start()
    (tmp_path / "quote").write_bytes(world.quote())
    for url in (f"unix:{mirror.socket}", mirror.url):
        done = subprocess.run([BUILD / "programs/verb-report", "verify", tmp_path / "quote", f"--insecure-root={tmp_path}/root.pem", "--cache=", f"--pcs={url}",
                               "--crl=required", "--insecure-any-measurement", "--insecure-any-report-data"], capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(pcs.requests) == Counter(ALL)


def test_addresses(start, pcs):
    mirror = start()
    other = TCB.replace("50806F", "90C06F")
    assert mirror.get_until(other, 404)[:1] == (404,) and b"Intel's PCS does not have it" in mirror.get(other)[2]
    for bad in ("/tdx/certification/v4/tcb", "/tdx/certification/v4/tcb?fmspc=50806F00000", TCB + "0", TCB + "&update=early", "/tdx/certification/v3/tcb?fmspc=50806F000000",
                "/sgx/certification/v4/pckcrl?ca=root&encoding=der", "/sgx/certification/v4/pckcert?x=1", "/sgx/certification/v4/pckcrl?ca=platform"):
        status, _, body = mirror.get(bad)
        assert status == 404 and b"/tdx/certification/v4/tcb?fmspc=" in body, bad
    assert Counter(pcs.requests) == {other: 1}


def test_wrong_answers(start, pcs, world, tmp_path):
    """What is not what was asked for is never kept and never handed out, then the honest answer is."""
    other = chain.World()
    late = answers(world, days=(-40, -10))
    wrong = [(TCB, None, world.sign("tcbInfo", world.tcb_info(fmspc="90c06f000000", **dates()))), (TCB, quoted(other.signer, other.root), answers(other)[TCB][2]),
             (TCB, None, late[TCB][2]), (TCB, "", None), (TCB, "A" * 50000, None), (TCB, None, b"x" * (2 << 20)), (QE, None, b""), (PLATFORM_CRL, None, pcs.answers[ROOT_CRL][2]),
             (ROOT_CRL, None, answers(other)[ROOT_CRL][2])]  # fmt: skip
    mirror = start("--patience=100ms")
    for path, header, body in wrong:
        good = pcs.answers[path]
        pcs.change(path, header, body)
        assert mirror.get_until(path, seconds=0.3)[0] in (429, 503), (path, header and header[:50])
        assert not list((tmp_path / "cache").glob("intel-*"))
        pcs.answers[path] = good
        check(mirror, pcs, path)
        for file in (tmp_path / "cache").glob("intel-*"):
            file.unlink()
    assert "is not used" in mirror.said()


def test_statuses_and_redirects(start, pcs, kds, tmp_path):
    """An outage of Intel's does not delay what comes from AMD."""
    for status, headers in ((503, []), (429, [("Retry-After", "1")]), (302, [("Location", "http://127.0.0.1:1/")])):
        pcs.mood = lambda handler, status=status, headers=headers: handler.reply(status, headers=headers)
        mirror = start("--patience=100ms")
        assert mirror.get_until(TCB, seconds=0.5)[0] == 429
        assert mirror.get_until("/vcek/v1/Milan/cert_chain")[0] == 200
        assert not list((tmp_path / "cache").glob("intel-*"))
        mirror.stop()


def test_stale_and_refreshed(start, pcs, world, tmp_path):
    """Within the grace what is overdue is marked; a newer one replaces it; an older one never does."""
    offset = tmp_path / "clock"
    offset.write_bytes(struct.pack("=q", 0))
    pcs.answers = answers(world, days=(-1, 1))

    def advance(seconds):
        with open(offset, "r+b") as f:  # mapped by the mirror: never truncated
            f.write(struct.pack("=q", seconds))

    mirror = start("--patience=300ms", "--grace=24h", env={"LD_PRELOAD": str(BUILD / "tests/lib/clock-at.so"), "CLOCK_AT": str(offset)})
    for path in ALL:
        check(mirror, pcs, path)
    good, pcs.mood = pcs.answers, lambda handler: handler.reply(503)
    advance(30 * 3600)
    for path in ALL:
        status, headers, body = mirror.get(path)
        assert status == 200 and headers["Warning"].startswith("110 ") and body == good[path][2]
    advance(80 * 3600)
    assert mirror.get(TCB)[0] == 429
    pcs.mood, pcs.answers = None, answers(world, days=(0.5, 20))
    check(mirror, pcs, TCB)
    newer = pcs.answers[TCB][2]
    pcs.answers = answers(world, days=(-0.5, 20))
    advance(80 * 3600 + 200000)
    assert mirror.get_until(TCB)[2] == newer


def test_cache_is_verified_each_time(start, pcs, tmp_path):
    mirror = start()
    check(mirror, pcs, TCB)
    (file,) = (tmp_path / "cache").glob("intel-tcb-*")
    good = file.read_bytes()
    for bad in (good[:-1], b"", b"x" + good, good.replace(b'"svn":5', b'"svn":4', 1)):
        file.write_bytes(bad)
        check(mirror, pcs, TCB)
    file.unlink()
    file.symlink_to("/etc/passwd")
    check(mirror, pcs, TCB)


def test_air_gap(start, pcs, world, tmp_path):
    mirror = start()
    for path in ALL:
        check(mirror, pcs, path)
    mirror.stop()
    root, bundle, far = f"--insecure-tdx-root={tmp_path}/root.pem", tmp_path / "bundle.json", tmp_path / "far"
    done = collateral("export", bundle, f"--cache={tmp_path}/cache", root)
    assert done.returncode == 0 and "exported 4 files" in done.stderr, done.stderr
    assert collateral("import", bundle, f"--cache={tmp_path}/intels").returncode == 2
    assert not list((tmp_path / "intels").iterdir())
    done = collateral("import", bundle, f"--cache={far}", root)
    assert done.returncode == 0 and "imported 4 files" in done.stderr, done.stderr
    rows = json.loads(collateral("list", f"--cache={far}", root, "--json").stdout)
    assert [r["verified"] for r in rows] == [True] * 4 and all("next-update" in r for r in rows)
    document = json.loads(bundle.read_text())
    document["files"][0]["data"] = document["files"][1]["data"]
    bundle.write_text(json.dumps(document))
    done = collateral("import", bundle, f"--cache={tmp_path}/other", root)
    assert done.returncode == 2 and "does not verify" in done.stderr
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    for file in far.iterdir():
        file.rename(tmp_path / "cache" / file.name)
    asked = len(pcs.requests)
    offline = start("--offline")
    for path in ALL:
        check(offline, pcs, path)
    assert offline.get(PROCESSOR_CRL)[0] == 503 and len(pcs.requests) == asked


def test_prefetch(start, pcs, tmp_path):
    (tmp_path / "list").write_text(f"https://api.trustedservices.intel.com{TCB}\n{QE} # ours\nhttps://certificates.trustedservices.intel.com{ROOT_CRL}\n")
    mirror = start(f"--prefetch={tmp_path}/list")
    for path in (TCB, QE, ROOT_CRL):
        check(mirror, pcs, path)
    assert Counter(pcs.requests) == Counter((TCB, QE, ROOT_CRL))


def test_wrong_roots(tmp_path, world):
    for data, says in ((b"", "--insecure-tdx-root"), (chain.pem(world.pck), "expected one root certificate"), (chain.pem(world.root, world.ca), "expected one root certificate")):
        (tmp_path / "bad").write_bytes(data)
        done = collateral("list", f"--cache={tmp_path}", f"--insecure-tdx-root={tmp_path}/bad")
        assert done.returncode == 1 and says in done.stderr, done.stderr
    assert "--pcs: expected https://" in collateral("serve", "--pcs=ftp://x").stderr


def test_real_collateral(tmp_path):
    """The compiled-in root, with a bundle of what Intel's PCS said in 2025, which is overdue by now."""
    if not os.environ.get("CVMSPAWN_SHARED"):
        pytest.skip("no vectors beside the repository")
    with open(os.path.join(os.environ["CVMSPAWN_SHARED"], "testdata/tdx/qvl-tdx-quote-collateral.json")) as f:
        old = json.load(f)
    body = f'{{"tcbInfo":{old["tcb_info"]},"signature":"{old["tcb_info_signature"]}"}}'
    fmspc = json.loads(old["tcb_info"])["fmspc"].lower()
    (tmp_path / f"intel-tcb-{fmspc}.pcs").write_text(old["tcb_info_issuer_chain"].rstrip("\n") + "\n" + body)
    done = collateral("list", f"--cache={tmp_path}")
    assert done.returncode == 0 and "verified, next update 2025-" in done.stdout, done.stdout + done.stderr


def test_vlek(tmp_path):
    """The chain and the list of VLEKs are mirrored as those of VCEKs are; a VLEK itself is refused with where it comes from. A forged or foreign chain is not kept."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    subprocess.run([BUILD / "tests/lib/fake-amd-tool", folder], check=True, timeout=60)
    (folder / "paths").touch()

    def chain_of(*names):
        return chain.pem(*(x509.load_der_x509_certificate((folder / name).read_bytes()) for name in names))

    kds, chain_path, crl_path = KeyService(folder), "/vlek/v1/Milan/cert_chain", "/vlek/v1/Milan/crl"
    mirror = Mirror(tmp_path, folder, f"--kds={kds.url}", "--interval=5ms", "--patience=100ms")
    for wrong in (chain_of("ask.der", "ark.der"), chain_of("asvk.der", "forged-ark.der"), b""):
        kds.wrong = {chain_path: wrong}
        assert mirror.get_until(chain_path, seconds=0.3)[0] == 429
    good = {chain_path: chain_of("asvk.der", "ark.der"), crl_path: (folder / "crl.der").read_bytes()}
    kds.wrong = good
    for _ in range(3):
        for path, body in good.items():
            assert mirror.get_until(path)[2] == body
    kept = {p.name for p in mirror.cache.iterdir()}
    assert kept == {"milan-vlek-chain.pem", "milan-vlek-crl.der"}
    asked = len(kds.requests)
    status, _, body = mirror.get("/vlek/v1/Milan/" + "0" * 128 + "?blSPL=1&teeSPL=0&snpSPL=1&ucodeSPL=1")
    assert status == 404 and b"cloud providers, which hand them out with the report" in body and len(kds.requests) == asked
    done = subprocess.run([BUILD / "programs/verb-report", "verify", folder / "report-vlek.bin", "--leaf", folder / "vlek.der", f"--kds=unix:{mirror.socket}", "--cache=",
                           f"--insecure-root={folder}/ark.der", "--crl=required", f"--measurement={'aa' * 48}", f"--report-data={'bb' * 64}"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([BUILD / "programs/verb-report", "verify", folder / "report-vlek.bin", f"--kds=unix:{mirror.socket}", "--cache=",
                           f"--insecure-root={folder}/ark.der", f"--measurement={'aa' * 48}", f"--report-data={'bb' * 64}"],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 4 and "VLEK certificates come from the cloud provider" in done.stdout, done.stdout
    mirror.stop()
    kds.stop()
