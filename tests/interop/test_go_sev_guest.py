# SPDX-License-Identifier: LGPL-2.1-or-later
"""go-sev-guest (Debian sid's package, built in the cache) and `cvmspawn report verify` about the same reports: real ones with every leaf
that there is, real ones with every byte changed, made-up ones against each option of a policy. Where the two verdicts differ, the difference
is in the table INTENDED, with its reason; anything else fails."""

import base64
import json
import os
import struct
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE, skip_or_fail

pytestmark = pytest.mark.full
SHARED = os.environ.get("CVMSPAWN_SHARED")
DATA = Path(SHARED or "/nowhere") / "testdata/attestation/snp"
NOW = 1767225600  # 2026-01-01, inside the validity of most real leaves
LATER = 1790812800  # 2026-10-01, of the others
# what may be allowed at most: SMT, migration agent, debugging, CXL; bit 17 is always one
LAX_POLICY = 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 21
LAX = {"schema": "cvmspawn-snp-policy-1", "insecure_any_measurement": True, "insecure_any_report_data": True, "vmpl": "any", "allow_debug": True,
       "allow_migration_agent": True, "policy": LAX_POLICY, "permit_provisional_firmware": True}  # fmt: skip
LAX_TEXT = f"policy: {LAX_POLICY} permit_provisional_firmware: true"


class Peer:
    """The questioner, one process for all."""

    def __init__(self, folder):
        self.process = subprocess.Popen([folder / "ask"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, report, leaf, roots, line, now=NOW, policy=LAX_TEXT):
        question = {"report": base64.b64encode(report).decode(), "leaf": base64.b64encode(leaf).decode(), "roots": roots, "line": line, "now": now,
                    "policy": policy}  # fmt: skip
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return 2 if answer["verify"] else 3 if answer["validate"] else 0, answer["verify"] or answer["validate"]


@pytest.fixture(scope="session")
def folder():
    if not DATA.exists():
        pytest.skip("Debian's package of go-sev-guest lacks the certificate chains that it embeds; they are looked for in ../shared/testdata")
    done = subprocess.run([SOURCE / "tests/interop/snp_peer/build", DATA / "ca"], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(f"go-sev-guest cannot be had: {done.stderr.strip()[-300:]}")
    print("peer:", done.stderr.strip().splitlines()[-1])
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def peer(folder):
    p = Peer(folder)
    yield p
    p.process.stdin.close()
    p.process.wait(10)


def we_say(work, report, leaf, roots, line, now=NOW, policy=LAX, insecure=None):
    """The status, and what was said. AMD's roots are ours to know; a made-up one is named."""
    name = f"{time.monotonic_ns()}"
    for suffix, data in (("report", report), ("leaf", leaf), ("roots", roots.encode()), ("policy", json.dumps(policy).encode())):
        (work / f"{name}.{suffix}").write_bytes(data)
    argv = [BUILD / "programs/verb-report", "verify", work / f"{name}.report", "--leaf", work / f"{name}.leaf", "--ca", work / f"{name}.roots", "--offline",
            "--cache=", "--crl=off", f"--time=@{now}", "--policy", work / f"{name}.policy"]  # fmt: skip
    argv += ["--insecure-root", insecure] if insecure else []
    argv += [f"--generation={line.lower()}"] if report[:4] == b"\2\0\0\0" else []
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    for suffix in ("report", "leaf", "roots", "policy"):
        (work / f"{name}.{suffix}").unlink()
    return done.returncode, (done.stdout + done.stderr).strip()


# Differences that are meant: (part of the question, our status, part of our words, their status, part of theirs)
INTENDED = {
    "something else than a report has no verdict": [("milan_lit_corrupt.bin", 1, "a report has 1184 bytes", 2, "array size is")],
    "a leaf for another TCB or chip proves nothing: not authentic; to it that is policy": [
        ("reported TCB", 2, "(tcb)", 3, "does not match the TCB"), ("chip 01", 2, "(chip)", 3, "CHIP_ID")],
    "firmware guarantees reported <= committed and launch <= current, so a report that says otherwise is refused": [
        ("committed TCB", 3, "tcb_order", 0, ""), ("launch TCB", 3, "tcb_order", 0, "")],
    "reports above version 5 begin as version 5 does: its own status, and a policy can take them": [
        ("version", 3, "maximum_report_version", 2, "Expected between 2 and 5")],
    "a guest policy that no firmware takes is found with the other rules": [
        ("policy bit", 3, "bit 17 set, bits 26 to 63 clear", 2, "malformed guest policy")],
    "bytes that a version does not define are zero": [("mitigation vectors before", 2, "(layout)", 0, "")],
    "MASK_CHIP_KEY says that nothing was signed": [("key info 0x2", 2, "MASK_CHIP_KEY", 0, "")],
    "Bergamo and Siena (models A0 to AF) are signed under Genoa's root; it does not know that": [
        ("CPUID 19a002", 0, "verified", 2, "by any trusted roots"), ("bergamo_v5.bin", 0, "verified", 2, "by any trusted roots")],
}  # fmt: skip
USED = set()


def meant(name, ours, said, theirs, words):
    for reason, rows in INTENDED.items():
        if any((a in name, b == ours, c in said, d == theirs, e in words) == (True,) * 5 for a, b, c, d, e in rows):
            USED.add(reason)
            return True
    return False


def last(said):
    lines = [x for x in said.splitlines() if x.startswith(("violation", "not authentic", "verified"))]
    return "; ".join(lines) or said[-200:]


def compare(work, peer, questions):
    """questions: (name, arguments of both, the policy in their words and in ours). Verdicts are compared as accepted, not authentic, policy not
    met; a certificate that is missing (4) is not authentic to go-sev-guest, which is given all of them."""
    pool = ThreadPoolExecutor(2)
    ours = pool.map(lambda q: we_say(work, *q[1], policy=q[3], **q[4]), questions)
    different, seen = [], {0: 0, 2: 0, 3: 0}
    for (name, arguments, text, _, _), (status, said) in zip(questions, ours):
        status = 2 if status == 4 else status
        theirs, their_words = peer.ask(*arguments, policy=text)
        seen[status] = seen.get(status, 0) + 1
        if status != theirs and not meant(name, status, said, theirs, their_words):
            different.append(f"{name}: ours {status}: {last(said)}\n    theirs {theirs}: {their_words}")
    print(f"{len(questions)} questions, ours: {seen}")
    assert not different, f"{len(different)} of {len(questions)}\n" + "\n".join(different[:40])
    return seen


def generation(report):
    family, model = report[0x188], report[0x189]
    if report[0] < 3:
        return None
    return "Turin" if family == 0x1A else "Milan" if model < 0x10 else "Genoa"


def real(name):
    return (DATA / "report" / name).read_bytes()


def roots_of(line, report):
    kind = "vlek" if struct.unpack_from("<I", report.ljust(1184, b"\0"), 0x48)[0] >> 2 & 7 == 1 else "vcek"
    return (DATA / f"ca/kds_cert_chain_{kind}_{line.lower()}.pem").read_text()


def test_every_real_report_with_every_leaf(tmp_path, peer):
    questions = []
    for report in sorted((DATA / "report").iterdir()):
        data = report.read_bytes()
        for leaf in sorted((DATA / "leaf").iterdir()):
            lines = [generation(data)] if len(data) == 1184 and generation(data) else ["Milan"]
            for line, now in ((n, t) for n in lines for t in (NOW, LATER)):
                arguments = (data, leaf.read_bytes(), roots_of(line, data), line, now)
                questions.append((f"{report.name} {leaf.name} {line} {now}", arguments, LAX_TEXT, LAX, {}))
    seen = compare(tmp_path, peer, questions)
    assert seen[0] >= 15 and seen[2] >= 400


def test_every_byte_of_a_real_report(tmp_path, peer):
    data, leaf = real("milan_ms.bin"), (DATA / "leaf/milan_ms.der").read_bytes()
    questions = []
    for at in range(1184):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        questions.append((f"byte {at:#x}", (bytes(changed), leaf, roots_of("Milan", data), "Milan"), LAX_TEXT, LAX, {}))
    seen = compare(tmp_path, peer, questions)
    assert seen[2] == 1184


# --- a made-up platform ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """sevsim-identity's: a Genoa whose keys are ours."""
    where = tmp_path_factory.mktemp("platform")
    tool = BUILD / "sevsim/sevsim-identity"
    if not tool.exists():
        skip_or_fail(f"{tool} is not built")
    subprocess.run([tool, where], check=True, timeout=120)
    return where


TCB = bytes([10, 0, 0, 0, 0, 0, 23, 84])  # that of its VCEK: boot loader, TEE, SNP, microcode
MEASUREMENT, DATA64, DATA32 = b"\xaa" * 48, b"\xbb" * 64, b"\xcc" * 32
FIELDS = {"version": (0, 4), "guest_svn": (4, 4), "policy_bits": (8, 8), "family_id": (0x10, 16), "image_id": (0x20, 16), "vmpl": (0x30, 4),
          "algorithm": (0x34, 4), "current_tcb": (0x38, 8), "platform_info": (0x40, 8), "key_info": (0x48, 4), "reserved_4c": (0x4C, 4),
          "report_data": (0x50, 64), "measurement": (0x90, 48), "host_data": (0xC0, 32), "id_key": (0xE0, 48), "author_key": (0x110, 48),
          "report_id": (0x140, 32), "report_id_ma": (0x160, 32), "reported_tcb": (0x180, 8), "cpuid": (0x188, 3), "chip_id": (0x1A0, 64),
          "committed_tcb": (0x1E0, 8), "current_build": (0x1E8, 3), "reserved_1eb": (0x1EB, 1), "committed_build": (0x1EC, 3),
          "launch_tcb": (0x1F0, 8), "launch_mit": (0x1F8, 8), "current_mit": (0x200, 8), "reserved_208": (0x208, 152)}  # fmt: skip


def report_of(platform, key="vcek", **change):
    """A report of that platform; fields as numbers or bytes. Signed by its VCEK or VLEK."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    fields = {"version": 3, "guest_svn": 5, "policy_bits": 0x30000, "family_id": b"\x11" * 16, "image_id": b"\x22" * 16, "algorithm": 1, "platform_info": 0x25,
              "report_data": DATA64, "measurement": MEASUREMENT, "host_data": DATA32, "id_key": b"\x33" * 48, "author_key": b"\x44" * 48,
              "report_id": b"\x55" * 32, "report_id_ma": b"\xff" * 32, "cpuid": bytes([0x19, 0x11, 1]), "current_build": bytes([40, 55, 1]),
              "committed_build": bytes([40, 55, 1]), **{f"{n}_tcb": TCB for n in ("current", "reported", "committed", "launch")},
              "chip_id": (platform / "chip-id.bin").read_bytes() if key == "vcek" else bytes(64), "key_info": 4 if key == "vlek" else 0, **change}  # fmt: skip
    raw = bytearray(1184)
    for name, value in fields.items():
        at, size = FIELDS[name]
        raw[at : at + size] = value if isinstance(value, bytes) else value.to_bytes(size, "little")
    private = serialization.load_pem_private_key((platform / f"{key}.key").read_bytes(), None)
    r, t = decode_dss_signature(private.sign(bytes(raw[:0x2A0]), ec.ECDSA(hashes.SHA384())))
    raw[0x2A0:0x2E8] = r.to_bytes(72, "little")
    raw[0x2E8:0x330] = t.to_bytes(72, "little")
    return bytes(raw)


def question(platform, name, text="", policy=None, key="vcek", lax=True, **change):
    arguments = (report_of(platform, key, **change), (platform / f"{key}.der").read_bytes(), (platform / f"{key}-chain.pem").read_text(), "Genoa",
                 int((platform / "vcek.der").stat().st_mtime) + 60)  # fmt: skip
    ours = {**(LAX if lax else {k: LAX[k] for k in ("schema", "insecure_any_measurement", "insecure_any_report_data", "vmpl")}), **(policy or {})}
    theirs = text if "policy:" in text else f"policy: {LAX_POLICY} {text}"
    theirs += "" if "permit_provisional_firmware" in theirs else " permit_provisional_firmware: true"
    return name, arguments, theirs, ours, {"insecure": platform / "ark.pem"}


def octets(data):
    return '"' + "".join(f"\\x{b:02x}" for b in data) + '"'


def tcb_word(**parts):
    at = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
    return sum(v << 8 * at[k] for k, v in parts.items())


def policy_questions(platform):
    def ask(name, text, policy, **more):
        return question(platform, name, text, policy, **more)

    yield ask("nothing but the signature", "", {})
    yield ask("VLEK", "", {}, key="vlek")
    for field, value in (("family_id", b"\x11" * 16), ("image_id", b"\x22" * 16), ("report_data", DATA64), ("measurement", MEASUREMENT),
                         ("host_data", DATA32), ("report_id", b"\x55" * 32), ("report_id_ma", b"\xff" * 32),
                         ("chip_id", (platform / "chip-id.bin").read_bytes())):  # fmt: skip
        for kind, wanted in (("right", value), ("wrong", value[:-1] + bytes([value[-1] ^ 1])), ("zero", bytes(len(value)))):
            waived = {f"insecure_any_{field}": False} if field in ("report_data", "measurement") else {}
            yield ask(f"{field} {kind}", f"{field}: {octets(wanted)}", {field: wanted.hex(), **waived})
    for svn in (0, 5, 6, 0xFFFFFFFF):
        yield ask(f"guest SVN {svn}", f"minimum_guest_svn: {svn}", {"minimum_guest_svn": svn})
    for vmpl in range(4):
        for asked in range(4):
            yield ask(f"VMPL {vmpl} for {asked}", f"vmpl: {{value: {asked}}}", {"vmpl": asked}, vmpl=vmpl)
    for build in (0, 39, 40, 41, 255):
        yield ask(f"build {build}", f"minimum_build: {build}", {"minimum_build": build})
    for version in ("0.0", "1.54", "1.55", "1.56", "2.0", "0.255"):
        yield ask(f"version {version}", f'minimum_version: "{version}"', {"minimum_version": version})
    for part in ("bootloader", "tee", "snp", "microcode"):
        at = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}[part]
        for more in (-1, 0, 1):
            wanted = {part: max(TCB[at] + more, 0)}
            yield ask(f"TCB {part} {more:+}", f"minimum_tcb: {tcb_word(**wanted)}", {"minimum_tcb": {"genoa": wanted}})
            yield ask(f"launch TCB {part} {more:+}", f"minimum_launch_tcb: {tcb_word(**wanted)}", {"minimum_launch_tcb": {"genoa": wanted}})
    yield ask("one part higher, another lower", f"minimum_tcb: {tcb_word(bootloader=11, snp=1)}", {"minimum_tcb": {"genoa": {"bootloader": 11, "snp": 1}}})


def guest_policy_questions(platform):
    """The guest's policy against the most that may be allowed, and the least that must be required."""
    bits = (0, 1 << 16, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25)
    for has in bits:
        for may in bits:
            words = f"policy: {may | 1 << 17}"
            ours = {"policy": may | 1 << 17, "allow_debug": bool(may & 1 << 19), "allow_migration_agent": bool(may & 1 << 18)}
            yield question(platform, f"policy {has:#x} for {may:#x}", words, ours, policy_bits=has | 1 << 17)
    for has, may in ((0x0137, 0x0137), (0x0136, 0x0137), (0x0138, 0x0137), (0x0200, 0x0137), (0x00FF, 0x0137), (0x1F, 0)):
        yield question(platform, f"ABI {has:#x} for {may:#x}", f"policy: {may | LAX_POLICY}", {"policy": may | LAX_POLICY}, policy_bits=has | 1 << 17)


def key_questions(platform):
    """ID block and author key: required, and whose."""
    id_key, author, other = b"\x33" * 48, b"\x44" * 48, b"\x99" * 48
    for enabled in (0, 1):
        for blank in (False, True):
            keys = {"key_info": enabled, "id_key": bytes(48) if blank else id_key, "author_key": author if enabled else bytes(48)}
            for name, text, ours in (
                ("id", f"require_id_block: true trusted_id_key_hashes: {octets(id_key)}", {"require_id_block": True, "trusted_id_key_hashes": [id_key.hex()]}),
                ("other id", f"require_id_block: true trusted_id_key_hashes: {octets(other)}", {"require_id_block": True, "trusted_id_key_hashes": [other.hex()]}),
                ("author", f"require_author_key: true trusted_author_key_hashes: {octets(author)}", {"require_author_key": True, "trusted_author_key_hashes": [author.hex()]}),
                ("other author", f"require_author_key: true trusted_author_key_hashes: {octets(other)}", {"require_author_key": True, "trusted_author_key_hashes": [other.hex()]}),
            ):  # fmt: skip
                yield question(platform, f"keys {enabled} {blank}: {name}", text, ours, **keys)


def firmware_questions(platform):
    """Versions that disagree with each other or with the leaf."""
    for part in (0, 6, 7):
        for more in (-1, 1):
            tcb = bytearray(TCB)
            tcb[part] += more
            for field in ("current", "reported", "committed", "launch"):
                yield question(platform, f"{field} TCB part {part} {more:+}", "permit_provisional_firmware: true", **{f"{field}_tcb": bytes(tcb)})
                strict = {"permit_provisional_firmware": False}
                yield question(platform, f"{field} TCB part {part} {more:+}, not provisional", "permit_provisional_firmware: false", strict, **{f"{field}_tcb": bytes(tcb)})
    for field in ("current_build", "committed_build"):
        for build in (bytes([39, 55, 1]), bytes([41, 55, 1]), bytes([40, 54, 1]), bytes([40, 56, 1]), bytes([40, 55, 2])):
            for may in (True, False):
                text = f"permit_provisional_firmware: {str(may).lower()}"
                yield question(platform, f"{field} {build.hex()} provisional {may}", text, {"permit_provisional_firmware": may}, **{field: build})


def malformed_questions(platform):
    for version in (0, 1, 2, 3, 4, 5, 6, 7, 0x10003):
        yield question(platform, f"version {version}", version=version)
    for name, bit in (("policy_bits", 17), ("policy_bits", 26), ("policy_bits", 63)):
        value = 0x30000 ^ 1 << bit
        yield question(platform, f"policy bit {bit}", **{name: value})
    for bit in range(0, 64, 3):
        yield question(platform, f"platform info bit {bit}", platform_info=1 << bit)
    for name in ("reserved_4c", "reserved_1eb", "reserved_208"):
        yield question(platform, f"{name} set", **{name: 1})
        yield question(platform, f"{name} set, version 5", **{name: 1}, version=5)
    yield question(platform, "mitigation vectors before version 5", launch_mit=1)
    yield question(platform, "mitigation vectors", launch_mit=11, current_mit=11, version=5)
    for algorithm in (0, 2, 0x101, 1 << 31):
        yield question(platform, f"algorithm {algorithm:#x}", algorithm=algorithm)
    for info in (2, 4, 8, 0x1C, 0x20, 1 << 31):
        yield question(platform, f"key info {info:#x}", key_info=info)
    for cpuid in (bytes([0x19, 1, 1]), bytes([0x19, 0xA0, 2]), bytes([0x1A, 2, 1]), bytes([0x19, 0x11, 0]), bytes(3), bytes([0x17, 0x31, 0])):
        yield question(platform, f"CPUID {cpuid.hex()}", cpuid=cpuid)
    for chip in (bytes(64), b"\1" * 64):
        yield question(platform, f"chip {chip[:1].hex()}", chip_id=chip)
    yield question(platform, "VLEK with a chip", key="vlek", chip_id=b"\1" * 64)
    for vmpl in (4, 0xFFFFFFFF):
        yield question(platform, f"VMPL {vmpl}", vmpl=vmpl)


@pytest.mark.parametrize("group", [policy_questions, guest_policy_questions, key_questions, firmware_questions, malformed_questions])
def test_made_up_reports(tmp_path, peer, platform, group):
    seen = compare(tmp_path, peer, list(group(platform)))
    assert seen[0] > 0 and seen[2] + seen[3] > 0


def test_each_difference_was_met(folder):
    assert USED == set(INTENDED), "run the whole file: the table is of all its tests"


# --- its check tool ------------------------------------------------------------------------------------------------------


def certificate_table(**certificates):
    """The host's table behind a report (AMD GHCB, SNP extended guest request)."""
    guids = {"vcek": "63da758d-e664-4564-adc5-f4b93be8accd", "ask": "4ab7b379-bbac-4fe4-a02f-05aef327c782", "ark": "c0b406a4-a803-4952-9743-3fb6014cd0ae"}
    head, body, at = b"", b"", 24 * (len(certificates) + 1)
    for name, data in certificates.items():
        head += uuid.UUID(guids[name]).bytes + struct.pack("<II", at + len(body), len(data))
        body += data
    return head + bytes(24) + body


CHECKS = [
    # (its arguments, ours, status: 0 good, 2 not authentic, 5 there and 3 here: policy)
    ([], [], 0),
    (["-measurement={measurement}"], ["--measurement={measurement}"], 0),
    (["-measurement={other48}"], ["--measurement={other48}"], 3),
    (["-report_data={report_data}"], ["--report-data={report_data}"], 0),
    (["-report_data={other64}"], ["--report-data={other64}"], 3),
    (["-host_data={host_data}"], ["--host-data={host_data}"], 0),
]


@pytest.mark.parametrize("change", [None, 0x90, 0x2A0])
def test_the_check_tool(tmp_path, folder, change):
    raw, leaf = bytearray(real("milan_ms.bin")), (DATA / "leaf/milan_ms.der").read_bytes()
    names = {n: raw[at : at + size].hex() for n, (at, size) in FIELDS.items()} | {"other48": "fe" * 48, "other64": "fe" * 64}
    if change:
        raw[change] ^= 1
    whole = bytes(raw) + certificate_table(vcek=leaf, ask=(DATA / "ca/milan_ask.der").read_bytes(), ark=(DATA / "ca/milan_ark.der").read_bytes())
    path = tmp_path / "report"
    path.write_bytes(whole)
    for theirs, ours, status in CHECKS:
        status = 2 if change else status
        words = [folder / "check", "-in", path, "-inform", "bin", "-network=false", "-guest_policy", str(LAX_POLICY), "-provisional=true", "-quiet"]
        done = subprocess.run([*words, *(w.format(**names) for w in theirs)], capture_output=True, text=True, timeout=60)
        # 2: the signature, 3: certificates, 5: the policy
        assert done.returncode == {0: 0, 2: 2, 3: 5}[status], (theirs, done)
        waived = [w for w in ("--insecure-any-measurement", "--insecure-any-report-data") if not any(o.startswith("--" + w[15:]) for o in ours)]
        words = [BUILD / "programs/verb-report", "verify", path, "--offline", "--cache=", "--crl=off", f"--time=@{LATER}", "--vmpl=any", "--allow-debug"]
        done = subprocess.run([*words, *waived, *(w.format(**names) for w in ours)], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, (ours, done)
