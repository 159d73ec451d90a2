# SPDX-License-Identifier: LGPL-2.1-or-later
"""What importers make of exports: a CoRIM by the rules of Trustee's extractor, of Veraison's scheme and by libcbor, Rego and CEL policies, and Contrast's
manifest by the rules of its validation and of its way from one vCPU to more."""

import ctypes
import ctypes.util
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from snp_world import BUILD, expect
from test_measure import cbor
from test_refs import CLAIMS, GOOD, PLATFORM, TCB, Policy, build, bundle, launch, world  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from cel_subset import EvalError, evaluate  # noqa: E402


def export(file, form, status=0, part=""):
    done = subprocess.run([BUILD / "programs/cvmspawn", "refs", "export", f"--format={form}", file], capture_output=True, timeout=60, check=False)
    assert done.returncode == status and part in done.stderr.decode(), done.stderr
    return done.stdout


def digests_of(file):
    return [d for x in json.loads(file.read_text())["launches"] for r in x["rows"] for d in r["digests"] if x["technology"] == "sev-snp"]


def extracted(data):
    """The values that Trustee's extractor finds (rvps/src/extractors/corim/mod.rs, 2026-04): named by vendor, model and mkey."""
    kind, tag, corim = cbor(data)
    assert (kind, tag) == ("tag", 501)
    values = {}
    for _, number, body in corim[1]:
        assert number == 506
        for environment, claims in cbor(body)[4][0]:
            path = [environment[0][n] for n in (1, 2) if n in environment[0]]
            for claim in claims:
                name = "/".join([*path, f"claim{claim[0]}"])
                if 2 in claim[1]:
                    values[f"{name}/digests"] = [d.hex() for _, d in claim[1][2]]
                if 4 in claim[1]:
                    assert claim[1][4][:2] == ("tag", 560)
                    values[f"{name}/raw_bytes"] = claim[1][4][2].hex()
    return corim, values


def test_corim(world, bundle):  # noqa: F811
    corim, values = extracted(export(bundle, "corim"))
    assert corim[0] == "web" and corim[3] == ("tag", 32, "tag:amd.com,2025:snp-corim-profile") and 4 not in corim
    assert values == {"AMD/claim641/digests": digests_of(bundle), "AMD/claim2/raw_bytes": (0x30000).to_bytes(8, "little").hex()}
    both = build(world, "both-corim.json", "--valid=90d", words=[bundle, build(world, "sev-corim.json", words=launch(world, "sev"))])
    corim, values = extracted(export(both, "corim"))
    assert values["AMD/claim641/digests"] == digests_of(both) and corim[4][1][:2] == ("tag", 1)
    many = build(world, "many-corim.json", words=launch(world, "snp", "1-300", "EPYC-v4"))
    assert len(extracted(export(many, "corim"))[1]["AMD/claim641/digests"]) == 300
    export(build(world, "sev-corim.json", words=launch(world, "sev")), "corim", 1, "no sev-snp or tdx launch")


OID = bytes.fromhex("2b060104019c780301")  # 1.3.6.1.4.1.3704.3.1
NOT_COMPARED = {2, 6, 7, 640, 645, 646, 3328, 3329, 3330, 3936}


class Veraison:
    """The rules of Veraison's SEV-SNP scheme, retold (veraison/services, scheme/sevsnp/corim.go and scheme.go, 2026-08): which CoRIMs it takes, and when a
    report matches one."""

    def __init__(self, data):
        kind, tag, corim = cbor(data)
        if (kind, tag) != ("tag", 501) or corim[3] != ("tag", 32, "tag:amd.com,2024:snp-corim-profile"):
            raise ValueError("profile")
        self.triples = []
        for _, number, body in corim[1]:
            assert number == 506
            for environment, measurements in cbor(body)[4].get(0, []):
                if 1 not in environment:
                    raise ValueError("missing instance")
                if environment[1][:2] != ("tag", 560):
                    raise ValueError("instance: expected bytes")
                if any(0 not in m for m in measurements):
                    raise ValueError("mkey not set")
                if any(not isinstance(m[0], int) for m in measurements):
                    raise ValueError("mkey type: expected uint")
                self.triples.append((environment, {m[0]: m[1] for m in measurements}))

    def appraise(self, digest, tcb):
        """A report's environment is the class and its launch digest; each key that is compared must be in the report."""
        environment = {0: {0: ("tag", 111, OID)}, 1: ("tag", 560, bytes.fromhex(digest))}
        report = {641: {2: [[7, bytes.fromhex(digest)]]}, 647: {1: ("tag", 552, tcb)}}
        return any(all(self.matches(key, value, report) for key, value in claims.items() if key not in NOT_COMPARED)
                   for e, claims in self.triples if e == environment)

    @staticmethod
    def matches(key, value, report):
        if key not in report:
            return False
        if key == 647:
            parts = [[n >> shift & 255 for shift in (0, 8, 48, 56)] for n in (value[1][2], report[key][1][2])]
            return value[1][1] in (552, 553) and all(have >= floor for floor, have in zip(*parts))
        return value == report[key]


def test_veraison_vectors():
    """As its own test has them, cut to what the rules ask about: corim-sevsnp-valid and three that are refused."""
    def vector(measurement, instance="d90230" "41aa", profile="d820" "7822" + b"tag:amd.com,2024:snp-corim-profile".hex()):
        comid = "a2" "01a100" "6178" "04a1008182a200a100d86f49" + OID.hex() + (f"01{instance}" if instance else "") + "81" + measurement
        if not instance:
            comid = comid.replace("82a200a1", "82a100a1")
        body = bytes.fromhex(comid)
        return bytes.fromhex("d901f5a3006178" "0181d901fa58") + bytes([len(body)]) + body + bytes.fromhex("03" + profile)

    svn = "a101d90228" "1b541700000000000a"
    assert Veraison(vector("a200190287" "01" + svn)).triples[0][1] == {647: {1: ("tag", 552, 0x541700000000000a)}}
    for refused, message in ((vector("a2" "00d86f49" + OID.hex() + "01" + svn), "mkey type"), (vector("a1" "01" + svn), "mkey not set"),
                             (vector("a200190287" "01" + svn, None), "missing instance"),
                             (vector("a200190287" "01" + svn, profile="d820" "6178"), "profile")):
        with pytest.raises(ValueError, match=message):
            Veraison(refused)


def test_corim_of_veraison(world, bundle):  # noqa: F811
    v, digests = Veraison(export(bundle, "corim-veraison")), digests_of(bundle)
    assert len(v.triples) == len(digests) and all(set(claims) == {2, 641, 647} for _, claims in v.triples)
    assert v.triples[0][1][2] == {4: ("tag", 560, (0x30000).to_bytes(8, "big"))}
    floor = struct.unpack("<Q", bytes([4, 0, 0, 0, 0, 0, 24, 219]))[0]
    for digest in digests:
        assert v.appraise(digest, floor) and v.appraise(digest, floor + (1 << 48))
        # microcode is the highest byte: a newer one does not make up for an older bootloader
        for older in (floor - (1 << 56), floor - (1 << 48), floor - 1, floor + (1 << 56) - 1):
            assert not v.appraise(digest, older)
    assert not v.appraise("00" * 48, floor)
    with pytest.raises(ValueError, match="profile"):
        Veraison(export(bundle, "corim"))
    bare = Veraison(export(build(world, "bare-veraison.json", "--valid=90d"), "corim-veraison"))
    assert all(641 in c and 647 not in c for _, c in bare.triples) and bare.appraise(digests[0], 0)
    export(build(world, "v.json", TCB, TCB.replace("milan", "genoa")), "corim-veraison", 1, "at most one generation, not of 2")
    export(build(world, "v.json", "--tcb=turin:fmc=1,bootloader=1,tee=0,snp=4,microcode=72"), "corim-veraison", 1, "not of turin")
    export(build(world, "v.json", words=launch(world, "sev")), "corim-veraison", 1, "no sev-snp launch")


def through_libcbor(data):
    """The other implementation reads it, and writes the same bytes."""
    name = ctypes.util.find_library("cbor")
    if not name:
        pytest.skip("libcbor is not installed")
    library = ctypes.CDLL(name)
    library.cbor_load.restype = ctypes.c_void_p
    library.cbor_load.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
    library.cbor_serialize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.cbor_serialize.restype = ctypes.c_size_t
    result = (ctypes.c_size_t * 4)()
    item = library.cbor_load(data, len(data), result)
    out = ctypes.create_string_buffer(2 * len(data))
    assert item and result[3 - 1] == len(data)
    assert library.cbor_serialize(item, out, len(out)) == len(data) and out.raw[:len(data)] == data


@pytest.mark.parametrize("form", ["corim", "corim-veraison"])
def test_corim_through_libcbor(bundle, form):  # noqa: F811
    through_libcbor(export(bundle, form))


def test_rego(world, bundle):  # noqa: F811
    policy = export(bundle, "rego").decode()

    def judged(**claims):
        p = Policy(policy, {"snp": {**CLAIMS, **claims}}, {})
        return {n: p.evaluate("trust_claims")[n] for n in GOOD}, p.evaluate("allow")

    digests = digests_of(bundle)
    for digest in digests:
        assert judged(measurement=digest) == (GOOD, True)
    assert judged(measurement=digests[0], reported_tcb_snp=25) == (GOOD, True)  # a floor
    for name, value in (("measurement", "00" * 48), ("reported_tcb_snp", 23), ("reported_tcb_bootloader", 3), ("reported_tcb_microcode", 218),
                        ("platform_smt_enabled", False), ("platform_tsme_enabled", True), ("policy_debug_allowed", True), ("policy_migrate_ma", True),
                        ("policy_smt_allowed", False), ("policy_single_socket", True), ("policy_abi_major", 1)):
        claims, allowed = judged(**{"measurement": digests[0], name: value})
        assert claims != GOOD and allowed is False, name
    export(build(world, "no-rego.json", PLATFORM), "rego", 1, "exactly one generation, not of 0")
    export(build(world, "no-rego.json", PLATFORM, TCB, TCB.replace("milan", "genoa")), "rego", 1, "not of 2")
    export(build(world, "no-rego.json", TCB), "rego", 1, "SMT, TSME")


# Cases of our own, in the areas of CEL that the policy uses: basic values, comparisons, fields, lists, logic.
CEL_CASES = [
    ("true && true", True), ("true && false", False), ("false && true", False), ("false || true", True), ("!true", False), ("!!true", True),
    ("false && 32", False), ("'horses' && false", False), ("true || 'x'", True), ("32 || true", True), ("1 == 1", True), ("1 == 1.0", True), ("1 == 2", False),
    ("'abc' == 'abc'", True), ("'abc' != 'abd'", True), ("'1' == 1", False), ("[1, 2] == [1, 2]", True), ("[] == []", True), ("1 < 2", True), ("2 <= 2", True),
    ("3 > 2.5", True), ("'a' < 'b'", True), ("false < true", True), ("1 in [1, 2, 3]", True), ("4 in [1, 2, 3]", False), ("'e' in ['e', 'f']", True),
    ("true in [1]", False), ("0 in []", False), ("m.b.c == 5", True), ("(1 == 2) || (3 >= 3)", True), ("// note\n1 != 2 // end", True), ("[1, 2,] == [1, 2]", True),
]


@pytest.mark.parametrize("text, value", CEL_CASES)
def test_cel_evaluator(text, value):
    assert evaluate(text, {"m": {"b": {"c": 5}}}) is value


def test_cel_evaluator_refuses():
    for text in ("1 < 'a'", "!1", "true && 1", "missing", "m.none", "1 in 'a'", "false || m.none"):
        with pytest.raises(EvalError):
            evaluate(text, {"m": {}})
    for text in ("1 +", "[1, 2", "a ? b : c", "f(x)", "'a\\n'", "1 2", "for"):
        with pytest.raises(SyntaxError):
            evaluate(text)


def test_cel(world, bundle):  # noqa: F811
    policy = export(bundle, "cel").decode()
    digests = digests_of(bundle)
    for digest in digests:
        assert evaluate(policy, {"snp": {**CLAIMS, "measurement": digest}}) is True
    good = {**CLAIMS, "measurement": digests[0]}
    assert evaluate(policy, {"snp": {**good, "reported_tcb_snp": 25}}) is True
    for name, value in (("measurement", "00" * 48), ("reported_tcb_snp", 23), ("reported_tcb_bootloader", 3), ("reported_tcb_microcode", 218),
                        ("platform_smt_enabled", False), ("platform_tsme_enabled", True), ("policy_debug_allowed", True), ("policy_migrate_ma", True),
                        ("policy_smt_allowed", False), ("policy_single_socket", True), ("policy_abi_major", 1)):
        assert evaluate(policy, {"snp": {**good, name: value}}) is False, name
    for name in good:  # a claim that is missing is never affirmed
        with pytest.raises(EvalError):
            evaluate(policy, {"snp": {n: v for n, v in good.items() if n != name}})
    export(build(world, "no-cel.json", PLATFORM), "cel", 1, "cel: expected TCB versions of exactly one generation")
    export(build(world, "no-cel.json", TCB), "cel", 1, "cel: the bundle does not say all of SMT, TSME")


def go_on(seed, vcpus, ap_eip, signature):
    """Contrast's way from one vCPU to more (internal/snp/guest.go and vmsa.go, 2026-05), retold: a page of each further one, QEMU's registers, features 0x1."""
    page = bytearray(4096)
    for at, selector, attributes, base in ((0x00, 0, 0x93, 0), (0x10, 0xf000, 0x9b, ap_eip & 0xffff0000), (0x20, 0, 0x93, 0), (0x30, 0, 0x93, 0), (0x40, 0, 0x93, 0),
                                           (0x50, 0, 0x93, 0), (0x60, 0, 0, 0), (0x70, 0, 0x82, 0), (0x80, 0, 0, 0), (0x90, 0, 0x8b, 0)):
        struct.pack_into("<HHIQ", page, at, selector, attributes, 0xffff, base)
    for at, value in ((0xd0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400), (0x168, 0xffff0ff0), (0x170, 2), (0x178, ap_eip & 0xffff),
                      (0x268, 0x7040600070406), (0x310, signature), (0x3b0, 1), (0x3e8, 1)):
        struct.pack_into("<Q", page, at, value)
    struct.pack_into("<IHHH", page, 0x408, 0x1f80, 0, 0, 0x37f)
    digest, contents = bytes.fromhex(seed), hashlib.sha384(page).digest()
    for _ in range(vcpus - 1):
        info = digest + contents + struct.pack("<HBBBBBBQ", 0x70, 2, 0, 0, 0, 0, 0, 0xfffffffff000)
        digest = hashlib.sha384(info).digest()
    return digest.hex()


def test_contrast_family(world):  # noqa: F811
    cpus = {"Milan": ("EPYC-Milan", 0xa00f11), "Genoa": ("EPYC-Genoa", 0xa10f10)}
    both = build(world, "contrast-family.json", PLATFORM, TCB, TCB.replace("milan", "genoa"))
    entries = json.loads(export(both, "contrast-family"))["snp"]
    plain = json.loads(export(both, "contrast"))["snp"][0]
    launches = json.loads(both.read_text())["launches"]
    assert [e["ProductName"] for e in entries] == ["Milan", "Genoa"] * len(launches)
    for e in entries:
        assert set(e) == {*plain, "APEIP"} and e["CPUs"] == 1 and len(e["APEIP"]) == 8
        assert {n: v for n, v in e.items() if n in ("MinimumTCB", "GuestPolicy", "PlatformInfo")} == {n: plain[n] for n in ("MinimumTCB", "GuestPolicy", "PlatformInfo")}
    for e in entries[:2]:
        cpu, signature = cpus[e["ProductName"]]
        rows = build(world, "contrast-rows.json", PLATFORM, TCB, words=launch(world, "snp", "1-3,220", cpu))
        assert [go_on(e["TrustedMeasurement"], n, int(e["APEIP"], 16), signature) for n in (1, 2, 3, 220)] == digests_of(rows)
    none = build(world, "contrast-none.json", PLATFORM, TCB, "--family-vcpus=0")
    export(none, "contrast-family", 1, "launch 1: expected a family")
    export(build(world, "contrast-none.json", PLATFORM), "contrast-family", 1, "no TCB versions of milan or genoa")


def c8s(data):
    """The rules by which c8s reads a measurements file (pkg/measurements, refvalues of attestation-go, 2026-08), retold: {name: values that are pinned}."""
    def once(pairs):
        assert len({k for k, _ in pairs}) == len(pairs)
        return dict(pairs)

    def register(text):
        assert len(text) == 96 and set(text) <= set("0123456789abcdef")
        return text

    file, pins = json.loads(data, object_pairs_hook=once), {}
    assert set(file) == {"schema_version", "tee", "measurements"} and file["schema_version"] == "1" and file["tee"] in ("sev-snp", "tdx") and file["measurements"]
    for x in file["measurements"]:
        assert set(x) <= ({"name", "measurement"} if file["tee"] == "sev-snp" else {"name", "mrtd", "rtmr"}) and x["name"].strip() and x["name"] not in pins
        rtmr = x.get("rtmr", [])
        assert len(rtmr) <= 4 and (not rtmr or rtmr[0] is None)
        pins[x["name"]] = (register(x["measurement" if file["tee"] == "sev-snp" else "mrtd"]), *(r and register(r) for r in rtmr[1:]))
    assert len(set(pins.values())) == len(pins)
    return pins


def test_c8s(world, bundle):  # noqa: F811
    pins = c8s(export(bundle, "c8s"))
    assert [p for p, in pins.values()] == digests_of(bundle) and "1: sev-snp, 1 vCPU, EPYC-v4" in pins
    # A digest that two launches have is one entry.
    twice = json.loads(bundle.read_text())
    twice["launches"] *= 2
    (world / "twice.json").write_text(json.dumps(twice))
    assert c8s(export(world / "twice.json", "c8s")) == pins
    export(build(world, "c8s.json", words=launch(world, "sev")), "c8s", 1, "no sev-snp or tdx launch")


def test_tinfoil(world, bundle):  # noqa: F811
    one = build(world, "tinfoil.json", words=launch(world, "snp", "4", "EPYC-v4"))
    export(one, "tinfoil", 1, "no tdx launch")
    export(bundle, "tinfoil", 1, "several sev-snp digests")
    export(build(world, "tinfoil.json", words=launch(world, "sev")), "tinfoil", 1, "no sev-snp launch")


def test_contrast(world, bundle):  # noqa: F811
    """Contrast's own rules for an entry (internal/manifest/referencevalues.go, 2026-04), without those for fields that a user fills in."""
    entries = json.loads(export(bundle, "contrast"))["snp"]
    assert [e["TrustedMeasurement"] for e in entries] == digests_of(bundle) and [e["CPUs"] for e in entries] == [1, 2, 3, 4] * 2
    for e in entries:
        assert set(e) <= {"Platform", "ProductName", "TrustedMeasurement", "MinimumTCB", "GuestPolicy", "PlatformInfo", "MinimumMitigationVector",
                          "AllowedChipIDs", "CPUs"} and e["ProductName"] in ("Milan", "Genoa")
        assert e["MinimumTCB"] == {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24, "MicrocodeVersion": 219}
        p = e["GuestPolicy"]
        assert p["ABIMajor"] == 0 and p["ABIMinor"] in (0, 31) and p["SMT"] and not (p["MigrateMA"] or p["Debug"] or p["SingleSocket"])
        assert e["PlatformInfo"] == {"SMTEnabled": True, "TSMEEnabled": False}
    both = build(world, "contrast.json", PLATFORM, TCB, TCB.replace("milan", "genoa"))
    assert [e["ProductName"] for e in json.loads(export(both, "contrast"))["snp"]] == ["Milan", "Genoa"] * 8
    export(build(world, "contrast.json", PLATFORM), "contrast", 1, "no TCB versions of milan or genoa")
