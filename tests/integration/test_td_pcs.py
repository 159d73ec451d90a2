# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn report verify of TD quotes with Intel's statements from its PCS: a stand-in with a made-up Intel (SIMULATED: throw-away keys), honest and hostile, the cache
in front of it, and collateral of a real machine where it is."""

import hashlib
import json
import os
import pathlib
import subprocess
import time

import pytest
import td_chain as chain
from pcs_world import ALL, PLATFORM_CRL, PROCESSOR_CRL, QE, ROOT_CRL, TCB, Pcs, answers, dates, quoted

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"], "testdata/tdx") if os.environ.get("CVMSPAWN_SHARED") else None
ANY = ["--insecure-any-measurement", "--insecure-any-report-data"]
FILES = {TCB: f"intel-tcb-{chain.FMSPC}.pcs", QE: "intel-td-qe.pcs", ROOT_CRL: "intel-root-crl.der", PLATFORM_CRL: "intel-platform-crl.pcs"}


@pytest.fixture(scope="module")
def world():
    return chain.World()


@pytest.fixture
def pcs(world):
    service = Pcs(world)
    yield service
    service.stop()


class Verifier:
    def __init__(self, folder, world, pcs):
        self.folder, self.pcs, self.cache = folder, pcs, folder / "cache"
        (folder / "quote").write_bytes(world.quote())
        (folder / "root.pem").write_bytes(chain.pem(world.root))

    def run(self, *options, url=None, cache=True, policy=ANY):
        words = [f"--insecure-root={self.folder}/root.pem", f"--cache={self.cache if cache else ''}", *policy, *options]
        if "--offline" not in options and not [o for o in options if str(o).startswith("--pcs")]:
            words.append(f"--pcs={url or self.pcs.url}")
        return subprocess.run([BUILD / "programs/verb-report", "verify", self.folder / "quote", *map(str, words)], capture_output=True, text=True, check=False,
                              timeout=120)  # fmt: skip

    def refused(self, *says, **more):
        """No verdict, and nothing but genuine files in the cache."""
        done = self.run("--crl=required", **more)
        assert done.returncode == 4 and done.stderr == "", done.stdout + done.stderr
        for text in says:
            assert text in done.stdout, done.stdout
        return done

    def kept(self):
        return sorted(p.name for p in self.cache.iterdir() if p.name.startswith("intel-")) if self.cache.exists() else []


@pytest.fixture
def verifier(tmp_path, world, pcs):
    v = Verifier(tmp_path, world, pcs)
    yield v
    assert not [p for p in tmp_path.glob("cache/.*")], "half-written files"


@pytest.mark.parametrize("crl", ["required", "if-available"])
def test_everything_is_fetched_once(verifier, pcs, crl):
    for _ in range(2):
        done = verifier.run(f"--crl={crl}", "--json=short")
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert (answer["verdict"], answer["revocation"], answer["tcb-status"]) == ("verified", "checked", "UpToDate")
    assert sorted(pcs.requests) == sorted(ALL) and verifier.kept() == sorted(FILES.values())
    assert verifier.run("--crl=required", "--offline").returncode == 0
    assert sorted(pcs.requests) == sorted(ALL)


def test_without_a_cache_and_without_lists(verifier, pcs):
    for _ in range(2):
        done = verifier.run("--crl=off", cache=False)
        assert done.returncode == 0 and "turned off" in done.stdout, done.stdout + done.stderr
    assert pcs.requests == [TCB, QE] * 2 and not verifier.cache.exists()


def test_files_come_first(verifier, pcs, world, tmp_path):
    """What the options give is not downloaded; what they lack is."""
    for name, path in ("tcb.json", TCB), ("signer.der", None), ("root.crl", ROOT_CRL), ("pck.crl", PLATFORM_CRL):
        (tmp_path / name).write_bytes(pcs.answers[path][2] if path else world.files()[name])
    options = [f"--collateral={tmp_path / name}" for name in ("tcb.json", "signer.der", "root.crl", "pck.crl")]
    assert verifier.run("--crl=required", *options).returncode == 0
    assert pcs.requests == [QE]
    (tmp_path / "qe.json").write_bytes(pcs.answers[QE][2])
    assert verifier.run("--crl=required", *options, f"--collateral={tmp_path / 'qe.json'}", url="http://127.0.0.1:1", cache=False).returncode == 0


def test_what_is_missing_is_said(verifier, pcs):
    done = verifier.run("--offline")
    assert done.returncode == 4, done.stdout
    for text in (f"no TCB info is available (FMSPC {chain.FMSPC}, PCEID 0000)", f"https://api.trustedservices.intel.com{TCB}", FILES[TCB], str(verifier.cache),
                 "--offline forbids downloading it"):
        assert text in done.stdout, done.stdout
    done = verifier.run("--offline", "--crl=required")
    assert done.returncode == 4 and "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der" in done.stdout
    done = verifier.run(url="http://127.0.0.1:1")
    assert done.returncode == 4 and "http://127.0.0.1:1/tdx" in done.stdout
    done = verifier.run(url=f"unix:{verifier.folder}/nothing.sock")
    assert done.returncode == 4 and "cannot connect to this socket" in done.stdout
    del pcs.answers[TCB]
    assert "Intel has no TCB info for TDX on processors of this FMSPC" in verifier.run("--crl=off").stdout
    assert "downloaded then" in verifier.run("--offline", f"--pcs={pcs.url}").stderr
    assert "--pcs: expected https://" in verifier.run(url="ftp://x").stderr


def spoiled(w):
    """path -> what is wrong -> (header, body); None: as it should be."""
    other = chain.World()
    good, late = answers(w), answers(w, days=(-40, -10))
    early = answers(w, days=(5, 29))
    signer = chain.certificate(chain.SIGNER, other.signer_key, chain.ROOT, other.root_key)
    not_signer = chain.certificate("Intel SGX Something", w.signer_key, chain.ROOT, w.root_key)
    body = good[TCB][2]
    yield TCB, "another processor's", None, w.sign("tcbInfo", w.tcb_info(fmspc="90c06f000000", **dates())), "does not verify"
    yield TCB, "QE identity in its place", None, good[QE][2], "does not verify"
    yield TCB, "flipped", None, body.replace(b'"svn":5', b'"svn":4', 1), "does not verify"
    yield TCB, "signed by another", None, w.sign("tcbInfo", w.tcb_info(**dates()), other.signer_key), "does not verify"
    yield TCB, "empty", None, b"", "does not verify"
    yield TCB, "not JSON", None, b"<html>maintenance</html>", "does not verify"
    yield TCB, "cut", None, body[:-9], "does not verify"
    yield TCB, "of another Intel", quoted(other.signer, other.root), answers(other)[TCB][2], "does not verify"
    yield TCB, "a signer of another root", quoted(signer, w.root), answers(other)[TCB][2], "does not verify"
    yield TCB, "a signer of another name", quoted(not_signer, w.root), body, "does not verify"
    yield TCB, "overdue", None, late[TCB][2], "the next update of"
    yield TCB, "not issued yet", None, early[TCB][2], "and the time of verification is"
    yield TCB, "no chain", "", body, "lacks the header TCB-Info-Issuer-Chain"
    yield TCB, "half a chain", quoted(w.signer), body, "expected two certificates"
    yield TCB, "three", quoted(w.signer, w.root, w.root), body, "and nothing more"
    yield TCB, "not PEM", "hello%20world", body, "expected two certificates"
    yield TCB, "bad escapes", "%4", body, "not percent-encoded"
    yield TCB, "NUL", quoted(w.signer, w.root) + "%00", body, "not percent-encoded"
    yield TCB, "huge chain", "A" * 50000, body, "too large"
    yield TCB, "huge", None, body + b" " * (2 << 20), "too large"
    yield QE, "TCB info in its place", None, body, "does not verify"
    yield QE, "of the enclave for SGX", None, w.sign("enclaveIdentity", w.qe_identity(id="QE", **dates())), "does not verify"
    yield ROOT_CRL, "the CA's", None, good[PLATFORM_CRL][2], "does not verify"
    yield ROOT_CRL, "overdue", None, late[ROOT_CRL][2], "the next update of"
    yield PLATFORM_CRL, "the root's", None, good[ROOT_CRL][2], "does not verify"
    yield PLATFORM_CRL, "no chain", "", good[PLATFORM_CRL][2], "lacks the header SGX-PCK-CRL-Issuer-Chain"
    yield PLATFORM_CRL, "chain of statements", quoted(w.signer, w.root), good[PLATFORM_CRL][2], "does not verify"


def test_hostile_answers_are_not_kept(verifier, pcs, world):
    """One wrong thing at a time: no verdict, a reason, and nothing of it in the cache; then the honest answer is used."""
    for path, what, header, body, says in spoiled(world):
        for file in verifier.cache.glob("intel-*"):
            file.unlink()
        good = pcs.answers[path]
        pcs.change(path, header, body)
        done = verifier.refused(says)
        assert FILES[path] not in verifier.kept(), what
        pcs.answers[path] = good
        done = verifier.run("--crl=required")
        assert done.returncode == 0, (what, done.stdout)


@pytest.mark.parametrize("status,headers,says", [(429, [("Retry-After", "300")], "limits the rate of requests"), (503, [], "has a failure"), (500, [], "has a failure"),
                                                 (400, [], "unexpected answer 400"), (204, [], "unexpected answer 204"),
                                                 (302, [("Location", "https://example.org/")], "unexpected answer 302")])  # fmt: skip
def test_statuses_of_the_service(verifier, pcs, status, headers, says):
    pcs.mood = lambda handler: handler.reply(status, b"" if status == 204 else b"no", headers)
    verifier.refused(says)
    asked = len(pcs.requests)
    assert asked <= 2 and verifier.kept() == []  # each list
    if status in (429, 503, 500):
        verifier.refused("asks to slow down, or did not answer")
        assert len(pcs.requests) == asked
        # A mirror is asked all the same.
        pcs.mood = None
        assert verifier.run("--crl=required", url=pcs.url + "/.").returncode == 0 and len(pcs.requests) > asked


def test_slow_and_broken_service(verifier, pcs):
    def slow(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        try:
            for _ in range(400):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.2)
        except OSError:
            pass

    def reset(handler):
        handler.connection.shutdown(2)

    pcs.mood = reset
    verifier.refused("/IntelSGXRootCA.der: ")
    pcs.mood = slow
    verifier.refused("/IntelSGXRootCA.der: ")
    asked = len(pcs.requests)
    assert asked <= 4  # each list
    verifier.refused("did not answer")
    assert len(pcs.requests) == asked


def test_revoked(verifier, pcs, world):
    """A list that revokes the machine counts without being required, also when it comes from the cache."""
    pcs.change(PLATFORM_CRL, body=chain.crl(chain.CA, world.ca_key, revoked=[world.pck]))
    for options in ([], ["--offline"]):
        done = verifier.run(*options)
        assert done.returncode == 2 and "(revocation)" in done.stdout, done.stdout


def test_processor_ca(verifier, pcs, world, tmp_path):
    name = "Intel SGX PCK Processor CA"
    ca = chain.certificate(name, world.ca_key, chain.ROOT, world.root_key, ca=0)
    pck = chain.certificate(chain.LEAF, world.pck_key, name, world.ca_key, extension=chain.sgx_extension())
    (tmp_path / "quote").write_bytes(world.quote(chain=chain.pem(pck, ca, world.root) + b"\0"))
    pcs.answers[PROCESSOR_CRL] = ("SGX-PCK-CRL-Issuer-Chain", quoted(ca, world.root), chain.crl(name, world.ca_key))
    assert verifier.run("--crl=required").returncode == 0
    assert PROCESSOR_CRL in pcs.requests and PLATFORM_CRL not in pcs.requests and "intel-processor-crl.pcs" in verifier.kept()


def test_overdue_and_newer(verifier, pcs, world):
    """What is overdue in the cache is downloaded again, and is of no use where that is not possible; nothing goes back to an older statement."""
    assert verifier.run("--crl=required").returncode == 0
    later = ["--crl=required", f"--time={dates(0, 40)['nextUpdate']}"]
    done = verifier.run(*later, "--offline")
    assert done.returncode == 4 and "is overdue in the cache" in done.stdout, done.stdout
    newer = answers(world, days=(-0.5, 60))
    old = dict(pcs.answers)
    pcs.answers.update(newer)
    assert verifier.run(*later).returncode == 0
    pcs.answers.update(old)
    kept = {name: (verifier.cache / name).read_bytes() for name in verifier.kept()}
    assert verifier.run("--crl=required").returncode == 0
    far = verifier.run("--crl=required", f"--time={dates(0, 80)['nextUpdate']}")
    assert far.returncode == 4 and "the next update of" in far.stdout, far.stdout
    assert kept == {name: (verifier.cache / name).read_bytes() for name in verifier.kept()}
    # An older one that is still current: not in place of a newer one that the cache lost the date of.
    pcs.change(TCB, body=world.sign("tcbInfo", world.tcb_info(**dates(-20, 90))))
    done = verifier.run("--crl=required", f"--time={dates(0, 70)['nextUpdate']}")
    assert done.returncode == 4, done.stdout


def test_forged_cache(verifier, pcs, world):
    """Whatever lies in the cache is verified at each use."""
    assert verifier.run("--crl=required").returncode == 0
    other = chain.World()
    name, header, body = answers(other)[TCB]
    tcb = verifier.cache / FILES[TCB]
    good = tcb.read_bytes()
    for bad in (b"", b"x" * 3000000, good[:-1], b" " + good, chain.pem(other.signer, other.root) + body, (verifier.cache / FILES[QE]).read_bytes(),
                good.replace(b'"svn":5', b'"svn":1', 1)):
        tcb.write_bytes(bad)
        assert verifier.run("--crl=required", "--offline").returncode == 4
        assert verifier.run("--crl=required").returncode == 0 and tcb.read_bytes() == good
    tcb.unlink()
    os.mkfifo(tcb)
    assert verifier.run("--crl=required").returncode == 0
    verifier.cache.joinpath("retry-at").unlink(missing_ok=True)


def test_cache_that_cannot_be_written(verifier, pcs):
    """Slower, not wrong."""
    verifier.cache.write_text("a file")
    assert verifier.run("--crl=required").returncode == 0
    assert verifier.cache.read_text() == "a file"
    verifier.cache.unlink()


def test_many_at_once(verifier, pcs):
    """One download for verifiers that run at the same time."""
    words = [BUILD / "programs/verb-report", "verify", verifier.folder / "quote", f"--insecure-root={verifier.folder}/root.pem", f"--cache={verifier.cache}",
             "--crl=required", f"--pcs={pcs.url}", *ANY]
    running = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [p.wait(120) for p in running] == [0] * 6
    assert sorted(pcs.requests) == sorted(ALL)


def test_real_collateral(tmp_path):
    """A quote of a real machine and what Intel's PCS said about it, which this stand-in says again."""
    if not SHARED or not (SHARED / "qvl-tdx-quote-collateral.json").exists():
        pytest.skip("no vectors beside the repository")
    import urllib.parse

    bundle = json.loads((SHARED / "qvl-tdx-quote-collateral.json").read_text())

    def whole(name, member):
        return f'{{"{member}":{bundle[name]},"signature":"{bundle[name + "_signature"]}"}}'.encode()

    def data(name):
        return bytes.fromhex(bundle[name]) if isinstance(bundle[name], str) else bytes(bundle[name])

    def header(name):
        return urllib.parse.quote(bundle[name], safe="")

    pcs = Pcs(chain.World())
    fmspc = json.loads(bundle["tcb_info"])["fmspc"].upper()
    pcs.answers = {f"/tdx/certification/v4/tcb?fmspc={fmspc}": ("TCB-Info-Issuer-Chain", header("tcb_info_issuer_chain"), whole("tcb_info", "tcbInfo")),
                   QE: ("SGX-Enclave-Identity-Issuer-Chain", header("qe_identity_issuer_chain"), whole("qe_identity", "enclaveIdentity")),
                   PLATFORM_CRL: ("SGX-PCK-CRL-Issuer-Chain", header("pck_crl_issuer_chain"), data("pck_crl")), ROOT_CRL: (None, None, data("root_ca_crl"))}
    words = [BUILD / "programs/verb-report", "verify", SHARED / "qvl-tdx-quote.dat", "--time=2025-06-20", f"--cache={tmp_path}", *ANY]
    for more in ([f"--pcs={pcs.url}", "--crl=required"], ["--offline"]):
        done = subprocess.run([*words, *more], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "verified", done.stdout + done.stderr
    pcs.stop()
