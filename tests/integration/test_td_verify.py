# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn report verify of TD quotes: a made-up Intel (SIMULATED: throw-away keys) with one thing wrong at a time, every bit flipped, and quotes of real
machines where they are."""

import datetime
import hashlib
import json
import os
import pathlib
import struct
import subprocess

import pytest
import td_chain as chain
import tdx_model

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"], "testdata/tdx") if os.environ.get("CVMSPAWN_SHARED") else None
ANY = ["--insecure-any-measurement", "--insecure-any-report-data"]
STATEMENTS = "tcb.json", "qe.json", "signer.der", "root.crl", "pck.crl"


@pytest.fixture(scope="module")
def world():
    return chain.World()


def verify(*arguments):
    return subprocess.run([BUILD / "programs/verb-report", "verify", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=580)


def judge(folder, files, *arguments, root=True, policy=ANY, time=chain.NOW, network=("--offline", "--cache=")):
    """The answer about files["quote"], with the collateral among the files."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    options = [f"--collateral={folder / name}" for name in STATEMENTS if name in files]
    return verify(folder / "quote", *options, *network, f"--time={time}", *([f"--insecure-root={folder / 'root.pem'}"] if root else []), *policy, *arguments)


def last(done):
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("version,td15", [(4, False), (5, False), (5, True)])
def test_good(tmp_path, world, version, td15):
    files = {**world.files(), "quote": world.quote(version, td15, rest=bytes(70))}
    done = judge(tmp_path, files, "--crl=required")
    assert (done.returncode, last(done)) == (0, "verified against a root that is not Intel's"), done.stdout + done.stderr
    assert "NOT INTEL'S: a test key" in done.stdout and "not checked: measurement, rtmr0, rtmr1, rtmr2, report_data, rtmr3" in done.stdout
    answer = json.loads(judge(tmp_path, files, "--json=short").stdout)
    body = world.body(td15)
    assert {"verdict": "verified", "authentic": True, "root-is-intel": False, "revocation": "checked", "tcb-status": "UpToDate", "fmspc": chain.FMSPC,
            "violations": [], "step": None}.items() <= answer.items()
    assert answer["quote"]["mrtd"] == body["mrtd"].hex() and answer["quote"]["verified"] is True and answer["quote"]["version"] == version


def test_root_is_intels_unless_named(tmp_path, world):
    done = judge(tmp_path, world.files(), root=False)
    assert done.returncode == 2 and last(done).startswith("not authentic (root): ") and "Intel's key" in last(done)
    other = chain.World()
    done = judge(tmp_path, {**world.files(), "root.pem": chain.pem(other.root)})
    assert done.returncode == 2 and "(root)" in last(done)
    # A CA that has the root's name, and a chain below it.
    done = judge(tmp_path, {**world.files(), "quote": other.quote()})
    assert done.returncode == 2 and "(root)" in last(done)
    for wrong in (b"", chain.pem(world.root, world.ca), chain.pem(world.pck)):
        done = judge(tmp_path, {**world.files(), "root.pem": wrong})
        assert done.returncode == 1 and "--insecure-root" in done.stderr and done.stdout == ""


def spoiled_quotes(w):
    other = chain.World()
    short = datetime.datetime(2026, 2, 1)
    forged_ca = chain.certificate(chain.CA, other.ca_key, chain.ROOT, w.root_key, ca=0)
    not_ca = chain.certificate(chain.CA, w.ca_key, chain.ROOT, w.root_key)
    expired = chain.certificate(chain.LEAF, w.pck_key, chain.CA, w.ca_key, extension=chain.sgx_extension(), end=short)
    bare = chain.certificate(chain.LEAF, w.pck_key, chain.CA, w.ca_key)
    half = chain.certificate(chain.LEAF, w.pck_key, chain.CA, w.ca_key, extension=chain.sgx_extension(svn=(5,) * 15))
    named = chain.certificate("Intel SGX PCK", w.pck_key, chain.CA, w.ca_key, extension=chain.sgx_extension())
    tail = chain.pem(w.ca, w.root) + b"\0"
    return {
        "another enclave vendor": (w.quote(vendor=bytes(16)), 2, "layout"),
        "two certificates": (w.quote(chain=chain.pem(w.pck, w.ca)), 2, "chain"),
        "order of certificates": (w.quote(chain=chain.pem(w.ca, w.pck, w.root)), 2, "chain"),
        "text between certificates": (w.quote(chain=chain.pem(w.pck) + b"text\n" + tail), 2, "chain"),
        "text behind certificates": (w.quote(chain=chain.pem(w.pck) + tail + b"text"), 2, "chain"),
        "a CA of another root": (w.quote(chain=chain.pem(w.pck, other.ca, w.root)), 2, "chain"),
        "a PCK of another CA": (w.quote(chain=chain.pem(w.pck, forged_ca, w.root)), 2, "chain"),
        "a CA that is none": (w.quote(chain=chain.pem(w.pck, not_ca, w.root)), 2, "chain"),
        "a leaf of another name": (w.quote(chain=chain.pem(named) + tail), 2, "chain"),
        "an expired PCK": (w.quote(chain=chain.pem(expired) + tail), 2, "validity"),
        "a PCK without extension": (w.quote(chain=chain.pem(bare) + tail), 2, "extensions"),
        "a PCK with half an extension": (w.quote(chain=chain.pem(half) + tail), 2, "extensions"),
        "a QE report by another PCK": (w.quote(qe_key=other.pck_key), 2, "qe-report"),
        "another attestation key": (w.quote(data=hashlib.sha256(b"another").digest()), 2, "binding"),
        "more report data of the QE": (w.quote(qe={383: b"\1"}), 2, "binding"),
        "a signature by another key": (w.quote(sign_key=other.quote_key), 2, "signature"),
        "an enclave of another signer": (w.quote(qe={128: bytes(32)}), 2, "qe-identity"),
        "another enclave": (w.quote(qe={256: b"\1\0"}), 2, "qe-identity"),
        "a debug enclave": (w.quote(qe={48: b"\x17"}), 2, "qe-identity"),
        "an enclave with MISCSELECT": (w.quote(qe={16: b"\1"}), 2, "qe-identity"),
        "a module of another signer": (w.quote(mrsignerseam=b"\1" + bytes(47)), 2, "module"),
        "a module with attributes": (w.quote(**{"seam-attributes": b"\1" + bytes(7)}), 2, "module"),
        "an unknown module": (w.quote(**{"tee-tcb-svn": bytes([3, 7]) + bytes([2] * 14)}), 4, "module"),
    }


def spoiled_statements(w):
    other = chain.World()
    other_signer = chain.certificate(chain.SIGNER, w.signer_key, chain.ROOT, other.root_key)
    spliced = w.sign("tcbInfo", w.tcb_info()).replace(b'"TDX_03"', b'"TDX_07"')
    def tcb(**members):
        return w.sign("tcbInfo", w.tcb_info(**members))
    def qe(**members):
        return w.sign("enclaveIdentity", w.qe_identity(**members))
    unsigned = chain.certificate(chain.SIGNER, other.signer_key, chain.ROOT, other.root_key)
    return {
        "no TCB info": ({"tcb.json": None}, 4, "collateral"), "no QE identity": ({"qe.json": None}, 4, "collateral"),
        "no signer": ({"signer.der": None}, 4, "collateral"),
        "a signer of another root": ({"signer.der": chain.pem(other_signer)}, 4, "collateral"),
        "both by another Intel": ({"signer.der": chain.pem(unsigned), "tcb.json": w.sign("tcbInfo", w.tcb_info(), other.signer_key)}, 4, "collateral"),
        "a QE identity of another signer": ({"qe.json": w.sign("enclaveIdentity", w.qe_identity(), w.pck_key)}, 4, "collateral"),
        "a spliced module identity": ({"tcb.json": spliced}, 4, "collateral"),
        "other processors": ({"tcb.json": tcb(fmspc="90c06f000000")}, 4, "collateral"), "another PCE": ({"tcb.json": tcb(pceId="0001")}, 4, "collateral"),
        "SGX TCB info": ({"tcb.json": tcb(id="SGX")}, 4, "collateral"), "another version": ({"tcb.json": tcb(version=2)}, 4, "collateral"),
        "an SGX QE identity": ({"qe.json": qe(id="QE")}, 4, "collateral"),
        "old TCB info": ({"tcb.json": tcb(nextUpdate="2026-05-30T00:00:00Z")}, 4, "collateral"),
        "TCB info of the future": ({"tcb.json": tcb(issueDate="2026-06-02T00:00:00Z")}, 4, "collateral"),
        "an old QE identity": ({"qe.json": qe(nextUpdate="2026-05-30T00:00:00Z")}, 4, "collateral"),
        "an unknown status": ({"tcb.json": tcb(levels=[chain.level("Fine")])}, 4, "collateral"),
        "a revoked PCK": ({"pck.crl": chain.crl(chain.CA, w.ca_key, [w.pck])}, 2, "revocation"),
        "a revoked CA": ({"root.crl": chain.crl(chain.ROOT, w.root_key, [w.ca])}, 2, "revocation"),
        "a revoked PCK in an old list": ({"pck.crl": chain.crl(chain.CA, w.ca_key, [w.pck], datetime.datetime(2026, 2, 1))}, 2, "revocation"),
        "a revoked signer": ({"root.crl": chain.crl(chain.ROOT, w.root_key, [w.signer])}, 4, "collateral"),
        "no list of the CA": ({"pck.crl": None}, 4, "revocation"), "no list of the root": ({"root.crl": None}, 4, "revocation"),
        "an old list": ({"pck.crl": chain.crl(chain.CA, w.ca_key, (), datetime.datetime(2026, 2, 1))}, 4, "revocation"),
        "a list by another CA": ({"pck.crl": chain.crl(chain.CA, other.ca_key)}, 4, "revocation"),
    }


def check(done, status, step):
    words = {2: "not authentic", 4: "collateral unavailable"}
    assert done.returncode == status and last(done).startswith(f"{words[status]} ({step}): "), done.stdout + done.stderr
    assert "TCB status" not in done.stdout


def test_one_thing_wrong_in_the_quote(tmp_path, world):
    files = world.files()
    for name, (quote, status, step) in spoiled_quotes(world).items():
        print(name)
        check(judge(tmp_path, {**files, "quote": quote}), status, step)


def test_one_thing_wrong_in_the_collateral(tmp_path, world):
    files = world.files()
    for name, (changes, status, step) in spoiled_statements(world).items():
        print(name)
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        changed = {n: d for n, d in {**files, **changes}.items() if d is not None}
        check(judge(folder, changed, "--crl=required"), status, step)


def test_lists_are_optional_by_default(tmp_path, world):
    files = {n: d for n, d in world.files().items() if not n.endswith(".crl")}
    done = judge(tmp_path, files)
    assert done.returncode == 0 and "revocation: not checked: no genuine and current list of the 'Intel SGX Root CA'" in done.stdout
    assert "revocation: not checked: turned off" in judge(tmp_path, world.files(), "--crl=off").stdout


OLD, NEW = bytes([2, 1] + [1] * 14), bytes([3, 1] + [2] * 14)
OLD_TD = {"version": 5, "td15": True, "tee-tcb-svn": OLD}
OLD_LEVEL = chain.level("OutOfDate", sgx=1, tdx=(0,) * 16, pcesvn=1)
STATUSES = [  # PCK and quote against levels; the status; what accepts it
    ({}, {}, "UpToDate"),
    ({"levels": [chain.level("SWHardeningNeeded")]}, {}, "SWHardeningNeeded"),
    ({"levels": [chain.level("ConfigurationNeeded")]}, {}, "ConfigurationNeeded"),
    ({"levels": [chain.level(sgx=6), chain.level("OutOfDate", sgx=5)]}, {}, "OutOfDate"),
    ({"levels": [chain.level(pcesvn=12), chain.level("OutOfDate", pcesvn=11)]}, {}, "OutOfDate"),
    ({"levels": [chain.level(tdx=(0,) * 15 + (3,)), chain.level("OutOfDate")]}, {}, "OutOfDate"),
    # The first two numbers are the module's and are left to its identity.
    ({"levels": [chain.level(tdx=(9, 9) + (2,) * 14)]}, {}, "UpToDate"),
    ({}, {"tee-tcb-svn": bytes([2, 1]) + bytes([2] * 14)}, "OutOfDate"),
    ({"levels": [chain.level("ConfigurationNeeded")]}, {"tee-tcb-svn": bytes([2, 1]) + bytes([2] * 14)}, "OutOfDateConfigurationNeeded"),
    ({"levels": [chain.level("SWHardeningNeeded")]}, {"tee-tcb-svn": bytes([2, 1]) + bytes([2] * 14)}, "OutOfDate"),
    # Without an identity they count.
    ({"levels": [chain.level(tdx=(2, 0) + (2,) * 14)]}, {"tee-tcb-svn": bytes([3, 0]) + bytes([2] * 14)}, "UpToDate"),
    ({"levels": [chain.level(tdx=(4, 0) + (2,) * 14), chain.level("OutOfDate")]}, {"tee-tcb-svn": bytes([3, 0]) + bytes([2] * 14)}, "OutOfDate"),
    ({"levels": [chain.level(sgx=6)]}, {}, "NotSupported"),
    ({}, {"tee-tcb-svn": bytes([0, 1]) + bytes([2] * 14)}, "NotSupported"),
    ({"levels": [chain.level("Revoked")]}, {}, "Revoked"),
    ({"modules": [("tdx_01", [chain.isv_level(1, "Revoked")])]}, {}, "Revoked"),
    ({}, {"qe": {258: b"\2\0"}}, "OutOfDate"),
    ({}, {"qe": {258: b"\1\0"}}, "NotSupported"),
    # The platform was updated under a TD that runs: TD 1.5 reports both, and both the level and the module of its launch are old.
    ({}, {**OLD_TD, "tee-tcb-svn2": NEW}, "TDRelaunchAdvised"),
    ({"levels": [chain.level("SWHardeningNeeded"), OLD_LEVEL]}, {**OLD_TD, "tee-tcb-svn2": NEW}, "TDRelaunchAdvised"),
    ({"levels": [chain.level("ConfigurationNeeded"), OLD_LEVEL]}, {**OLD_TD, "tee-tcb-svn2": NEW}, "TDRelaunchAdvisedConfigurationNeeded"),
    ({}, {**OLD_TD, "tee-tcb-svn2": OLD}, "OutOfDate"),
    ({}, {**OLD_TD, "tee-tcb-svn2": bytes([2, 1]) + NEW[2:]}, "OutOfDate"),
    ({}, {**OLD_TD, "tee-tcb-svn2": bytes([3, 9]) + NEW[2:]}, "OutOfDate"),
    ({"levels": [chain.level(sgx=6), OLD_LEVEL]}, {**OLD_TD, "tee-tcb-svn2": NEW}, "OutOfDate"),
    ({"levels": [chain.level("OutOfDate"), OLD_LEVEL]}, {**OLD_TD, "tee-tcb-svn2": NEW}, "OutOfDate"),
    ({}, {**OLD_TD, "tee-tcb-svn": bytes([3, 1]) + OLD[2:], "tee-tcb-svn2": NEW}, "OutOfDate"),
    ({}, {"tee-tcb-svn": OLD}, "OutOfDate"),
    ({}, {**OLD_TD, "tee-tcb-svn2": NEW, "qe": {258: b"\2\0"}}, "OutOfDate"),
    ({"levels": [chain.level("ConfigurationNeeded"), OLD_LEVEL]}, {**OLD_TD, "tee-tcb-svn2": NEW, "qe": {258: b"\2\0"}}, "OutOfDateConfigurationNeeded"),
]


def test_tcb_statuses(tmp_path, world):
    for info, quote, status in STATUSES:
        files = {**world.files(), "tcb.json": world.sign("tcbInfo", world.tcb_info(**info)), "quote": world.quote(**quote)}
        done = judge(tmp_path, files)
        assert f" TCB status: {status}\n" in done.stdout and done.returncode == (0 if status == "UpToDate" else 3), done.stdout
        if status != "UpToDate":
            assert f"violation: tcb_status: expected UpToDate, got {status}" in done.stdout
        done = judge(tmp_path, files, f"--tcb-status={status}")
        if status in ("NotSupported", "Revoked"):
            assert done.returncode == 1 and "--tcb-status: expected UpToDate" in done.stderr
        else:
            assert done.returncode == 0, done.stdout


def test_newest_of_several(tmp_path, world):
    """Of two current TCB infos the one of the later evaluation counts; foreign and forged ones are not in the way."""
    files = world.files()
    (tmp_path / "new.json").write_bytes(world.sign("tcbInfo", world.tcb_info(levels=[chain.level("OutOfDate")], tcbEvaluationDataNumber=19)))
    (tmp_path / "foreign.json").write_bytes(world.sign("tcbInfo", world.tcb_info(fmspc="90c06f000000", tcbEvaluationDataNumber=20)))
    (tmp_path / "forged.json").write_bytes(world.sign("tcbInfo", world.tcb_info(tcbEvaluationDataNumber=21), world.pck_key))
    extra = [f"--collateral={tmp_path / name}" for name in ("new.json", "foreign.json", "forged.json")]
    assert judge(tmp_path, files, *extra[1:]).returncode == 0
    done = judge(tmp_path, files, *extra)
    assert done.returncode == 3 and "got OutOfDate" in done.stdout


def expectations(body):
    return [f"--measurement={body['mrtd'].hex()}", f"--report-data={body['report-data'].hex()}", *(f"--expect=rtmr{i}:{body[f'rtmr{i}'].hex()}" for i in range(3))]


def test_policy(tmp_path, world):
    files, body = world.files(), world.body()
    good = expectations(body)
    names = [f"--expect={name}:{body[name].hex()}" for name in ("rtmr3", "mrconfigid", "mrowner", "mrownerconfig", "mrseam")]
    done = judge(tmp_path, files, *names, policy=good)
    assert done.returncode == 0 and "not checked: minimum_tcb_evaluation_number, xfam, mrservicetd\n" in done.stdout, done.stdout + done.stderr
    for i, option in enumerate([*good, *names]):
        wrong = [*good, *names]
        wrong[i] = option[:-1] + ("0" if option[-1] != "0" else "1")
        done = judge(tmp_path, files, policy=wrong)
        rule = option.split("=")[1].split(":")[0] if "--expect" in option else option[2:].split("=")[0].replace("-", "_")
        assert done.returncode == 3 and f"violation: {rule}: expected " in done.stdout and done.stdout.count("violation:") == 1, done.stdout
        # What a quote is bound by must be decided.
        done = judge(tmp_path, files, policy=[o for o in good if o != option])
        assert (done.returncode == 1 and f"no expected {rule.replace('_', ' ')}" in done.stderr) if i < len(good) else done.returncode == 0
    done = judge(tmp_path, files, "--expect=rtmr0:any", policy=[o for o in good if "rtmr0" not in o])
    assert done.returncode == 0 and "not checked: rtmr0, " in done.stdout
    assert "both expected and waived" in judge(tmp_path, files, "--expect=rtmr0:any", policy=good).stderr
    (tmp_path / "bound").write_bytes(b"nonce")
    bound = {**files, "quote": world.quote(**{"report-data": hashlib.sha512(b"nonce").digest()})}
    assert judge(tmp_path, bound, f"--bound-to={tmp_path / 'bound'}", policy=[ANY[0]]).returncode == 0
    assert judge(tmp_path, files, f"--bound-to={tmp_path / 'bound'}", policy=[ANY[0]]).returncode == 3


@pytest.mark.parametrize("bit,accepted_by,rule", [
    (0, "--allow-debug", "debug"), (29, "--allow-migration-agent", "migration_agent"), (1, None, "attributes"), (7, None, "attributes"),
    (40, None, "attributes"), (30, "", None), (63, "", None)])
def test_attributes(tmp_path, world, bit, accepted_by, rule):
    files = {**world.files(), "quote": world.quote(attributes=struct.pack("<Q", 1 << 28 | 1 << bit))}
    done = judge(tmp_path, files)
    assert done.returncode == (3 if rule else 0) and (not rule or f"violation: {rule}: " in done.stdout)
    if accepted_by:
        assert judge(tmp_path, files, accepted_by).returncode == 0
    files["quote"] = world.quote(attributes=bytes(8))
    assert "SEPT_VE_DISABLE" in judge(tmp_path, files).stdout


def test_unsigned_bytes_behind_the_quote(tmp_path, world):
    done = judge(tmp_path, {**world.files(), "quote": world.quote(rest=b"text")})
    assert done.returncode == 3 and "violation: trailing_bytes" in done.stdout


def test_policy_file(tmp_path, world):
    files, body = world.files(), world.body()
    policy = {"schema": "cvmspawn-tdx-policy-1", "measurement": [body["mrtd"].hex(), "00" * 48], "report_data": body["report-data"].hex(), "rtmr0": "any",
              "rtmr1": body["rtmr1"].hex(), "rtmr2": body["rtmr2"].hex(), "tcb_status": ["SWHardeningNeeded"], "minimum_tcb_evaluation_number": 18,
              "description": "a test"}
    def answer(**changes):
        (tmp_path / "policy").write_text(json.dumps({**policy, **changes}))
        return judge(tmp_path, files, policy=[f"--policy={tmp_path / 'policy'}"])
    assert answer().returncode == 0
    files["tcb.json"] = world.sign("tcbInfo", world.tcb_info(levels=[chain.level("SWHardeningNeeded")]))
    assert answer().returncode == 0 and answer(tcb_status="ConfigurationNeeded").returncode == 3
    assert "minimum_tcb_evaluation_number: expected at least 19, got 18" in answer(minimum_tcb_evaluation_number=19).stdout
    assert answer(measurement="11" * 48).returncode == 3
    for changes in ({"schema": "cvmspawn-snp-policy-1"}, {"measurement": "any"}, {"rtmr9": "any"}, {"rtmr1": "00"}, {"rtmr1": []}, {"tcb_status": "Revoked"},
                    {"vmpl": 0}, {"allow_debug": 1}, {"measurement": 5}):
        done = answer(**changes)
        assert done.returncode == 1 and f"member '{next(iter(changes))}'" in done.stderr and done.stdout == "", changes


def test_schema_knows_every_member():
    """The shipped schema and the reader name the same members."""
    source = pathlib.Path(__file__).resolve().parents[2] / "attest"
    members = set(json.loads((source / "tdx-policy.schema.json").read_text())["properties"])
    code = (source / "td-policy-file.c").read_text() + (source / "td-policy.c").read_text()
    assert {m for m in members if f'"{m}"' not in code} == set()
    assert len(members) == 20


def test_options_of_the_other_technology(tmp_path, world):
    files = world.files()
    for option in ("--leaf=x", "--ca=x", "--certs=x", "--kds=http://x", "--generation=milan", "--host-data=00", "--vmpl=0"):
        done = judge(tmp_path, files, option, network=())
        assert done.returncode == 1 and f"{option.split('=')[0]} has no meaning for TDX quotes" in done.stderr and done.stdout == ""
    done = judge(tmp_path, files, "--", "--mode=snp", policy=[ANY[1]])
    assert done.returncode == 1 and "not computed from arguments of measure" in done.stderr
    for option in ("--format=ear", "--html"):
        done = judge(tmp_path, files, option)
        assert done.returncode == 1 and f"{option} is not supported for TDX quotes" in done.stderr and done.stdout == ""
    (tmp_path / "snp").write_bytes(struct.pack("<I", 3).ljust(0x34, b"\0") + struct.pack("<I", 1) + bytes(1184 - 0x38))
    for option in ("--collateral=x", "--pcs=http://x", "--expect=rtmr0:any", "--tcb-status=OutOfDate", "--allow-host-credentials"):
        done = verify(tmp_path / "snp", *ANY, option)
        assert done.returncode == 1 and f"{option.split('=')[0]} has no meaning for SEV-SNP reports" in done.stderr


def test_what_is_no_evidence_has_no_technology(tmp_path, world):
    """An empty file, a directory without evidence, no file: neither options nor sentences take it for a SEV-SNP report."""
    (tmp_path / "nothing").touch()
    (tmp_path / "folder").mkdir()
    for name, said in ("nothing", "it looks like an empty file"), ("folder", "folder/outblob': No such file"), ("missing", "missing': No such file"):
        for options in ["--collateral=x"], ["--expect=rtmr0:any"], []:
            done = verify(tmp_path / name, *ANY, *options)
            assert done.returncode == 1 and said in done.stderr and "SEV-SNP reports" not in done.stderr, done.stderr
    (tmp_path / "quote").write_bytes(world.files()["quote"])
    done = verify(tmp_path / "nothing", tmp_path / "folder", tmp_path / "quote", *ANY)
    assert done.returncode != 0 and done.stdout.splitlines()[-1].endswith("2 not readable"), done.stdout


def test_forms_and_several(tmp_path, world):
    files = world.files()
    assert judge(tmp_path, files).returncode == 0
    options = [f"--collateral={tmp_path / name}" for name in STATEMENTS] + [f"--time={chain.NOW}", f"--insecure-root={tmp_path / 'root.pem'}", *ANY]
    tree = tmp_path / "tsm"
    tree.mkdir()
    (tree / "outblob").write_bytes(files["quote"])
    (tmp_path / "hex").write_text(files["quote"].hex())
    (tmp_path / "bad").write_bytes(world.quote(sign_key=world.pck_key))
    assert verify(tree, *options).returncode == 0 and verify(tmp_path / "hex", *options).returncode == 0
    done = verify(tmp_path / "quote", tmp_path / "bad", tree, *options)
    assert done.returncode == 2 and last(done) == "3 reports: 2 verified, 1 not-authentic"
    done = verify(tmp_path / "quote", tmp_path / "bad", *options, "--json=short")
    assert [(a["verdict"], a["file"]) for a in json.loads(done.stdout)] == [("verified", str(tmp_path / "quote")), ("not-authentic", str(tmp_path / "bad"))]
    # A bundle as dcap-qvl keeps it.
    info, identity = json.loads(files["tcb.json"]), json.loads(files["qe.json"])
    bundle = {"tcb_info": json.dumps(info["tcbInfo"], separators=(",", ":")), "tcb_info_signature": info["signature"],
              "tcb_info_issuer_chain": chain.pem(world.signer, world.root).decode(), "root_ca_crl": files["root.crl"].hex(), "pck_crl": files["pck.crl"].hex(),
              "qe_identity": json.dumps(identity["enclaveIdentity"], separators=(",", ":")), "qe_identity_signature": identity["signature"]}
    (tmp_path / "bundle").write_text(json.dumps(bundle))
    assert verify(tmp_path / "quote", f"--collateral={tmp_path / 'bundle'}", "--crl=required", *options[-4:]).returncode == 0
    (tmp_path / "junk").write_bytes(bytes(100))
    done = verify(tmp_path / "quote", f"--collateral={tmp_path / 'junk'}", *options[-4:])
    assert done.returncode == 1 and "--collateral: " in done.stderr
    (tmp_path / "report").write_bytes(tdx_model.make_td_report())
    done = verify(tmp_path / "report", *options)
    assert done.returncode == 2 and "only by the processor that made it" in done.stdout


@pytest.mark.parametrize("piped", [False, True])
def test_standard_input(tmp_path, world, piped):
    files = world.files()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    words = [f"--collateral={tmp_path / name}" for name in STATEMENTS] + [f"--time={chain.NOW}", f"--insecure-root={tmp_path / 'root.pem'}", *ANY]
    source = {"input": files["quote"]} if piped else {"stdin": (tmp_path / "quote").open("rb")}
    done = subprocess.run([BUILD / "programs/verb-report", "verify", "-", *map(str, words)], capture_output=True, check=False, timeout=60, **source)
    assert done.returncode == 0 and done.stdout.decode().splitlines()[-1] == "verified against a root that is not Intel's", done.stderr


def test_collateral_that_is_none(tmp_path, world):
    files = world.files()
    (tmp_path / "text").write_text("hello\n")
    for name, says in (("quote", "is a TD quote; expected Intel's TCB info"), ("text", "expected TCB info or a QE identity (JSON)")):
        done = judge(tmp_path, files, f"--collateral={tmp_path / name}")
        assert (done.returncode, done.stdout) == (1, "") and f"'{tmp_path / name}'" in done.stderr and says in done.stderr
        assert done.stderr.count("\n") == 1
