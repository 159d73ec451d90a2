# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reference bundles of TDs: made from predictions, and quotes of a made-up Intel (SIMULATED) judged by them. MRTD and RTMRs belong to one launch."""

import base64
import json
import os
import pathlib
import subprocess

import pytest
import td_chain as chain
from test_measure_rtmr import Boot, measure
from test_refs_export import c8s, cbor, through_libcbor
from test_td_verify import judge, last

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
NAMES = "mrtd", "rtmr0", "rtmr1", "rtmr2"
ANY_DATA = ["--insecure-any-report-data"]
SHIELD = "systemd.import_credentials=no"


def refs(*arguments, status=0):
    done = subprocess.run([BUILD / "programs/verb-refs", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module", name="world")
def fixture_world():
    return chain.World()


@pytest.fixture(scope="module", name="launches")
def fixture_launches(tmp_path_factory):
    """Two launches: what measure said of them, and a bundle with both."""
    folder, answers = tmp_path_factory.mktemp("launches"), []
    for name, words in (("one", SHIELD), ("two", f"debug {SHIELD}")):
        (folder / name).mkdir()
        boot = Boot(folder / name)
        done = measure(*boot.options("202608-inteltdx", append=words), "--json=short")
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
        (folder / f"{name}.json").write_text(done.stdout)
    refs("build", "--name=tds", "--sequence=7", f"--issued={chain.NOW}", folder / "one.json", folder / "two.json", "-o", folder / "bundle")
    return folder, [{name: bytes.fromhex(a["registers"][name]) for name in NAMES} for a in answers]


def test_bundle(launches):
    folder, values = launches
    bundle = json.loads((folder / "bundle").read_text())
    for launch, known in zip(bundle["launches"], values):
        assert launch["technology"] == "tdx" and launch["rows"] == [{"digests": [known["mrtd"].hex()]}]
        assert launch["registers"] == {name: known[name].hex() for name in NAMES[1:]} and set(launch["inputs"]) == {"firmware", "kernel", "initrd", "cmdline"}
    # Canonical, and read again.
    assert refs("build", "--name=tds", "--sequence=7", f"--issued=@{bundle['issued']}", folder / "bundle").stdout == (folder / "bundle").read_text()
    for shown in (refs("show", folder / "bundle").stdout, refs("show", "--html", folder / "bundle").stdout):
        for name in NAMES:
            assert name in shown and all(known[name].hex() in shown for known in values)


def test_only_predicted_registers_and_wrong_ones(launches, tmp_path):
    folder, _ = launches
    answer = json.loads((folder / "one.json").read_text())
    for change, said in (({"registers": {**answer["registers"], "mrtd": "00" * 48}}, "'mrtd' is not the launch digest"),):
        (tmp_path / "x").write_text(json.dumps({**answer, **change}))
        done = refs("build", tmp_path / "x", "-o", tmp_path / "b", status=1)
        assert said in done.stderr
    bundle = json.loads((folder / "bundle").read_text())
    for registers, said in (({"rtmr3": "00" * 48}, "rtmr3"), ({"rtmr1": "00"}, "rtmr1")):
        bundle["launches"][0]["registers"] = registers
        (tmp_path / "y").write_text(json.dumps(bundle))
        assert said in refs("show", tmp_path / "y", status=1).stderr


def judged(folder, world, values, *options):
    quote = world.quote(**{name: values[name] for name in NAMES})
    return judge(folder, {**world.files(), "quote": quote}, *options, policy=ANY_DATA)


def test_quotes(launches, world, tmp_path):
    folder, values = launches
    reference = f"--reference={folder / 'bundle'}"
    for known in values:
        done = judged(tmp_path, world, known, reference)
        assert (done.returncode, last(done)) == (0, "verified against a root that is not Intel's"), done.stdout + done.stderr
        assert "  reference: tdx, firmware tdvf.fd" in done.stdout and "(sequence 7)" in done.stdout
    # Registers of two launches are no launch, and neither is one that nobody predicted.
    mixed = {**values[0], "rtmr0": values[1]["rtmr0"], "rtmr2": values[1]["rtmr2"]} | {"rtmr1": bytes(48)}
    done = judged(tmp_path, world, mixed, reference)
    assert done.returncode == 3 and "nearest: tdx" in done.stdout and "rtmr1" in done.stdout
    splice = {**values[0], "rtmr2": values[1]["rtmr2"]}
    assert splice not in values
    done = judged(tmp_path, world, splice, reference, "--json=short")
    answer = json.loads(done.stdout)
    assert done.returncode == 3 and "nearest_reference" in answer and "reference" not in answer
    # An option waives a register by name, and does not decide twice.
    assert judged(tmp_path, world, splice, reference, "--expect=rtmr2:any", "--expect=rtmr0:any", "--allow-host-credentials").returncode == 0
    done = judged(tmp_path, world, values[0], reference, f"--expect=rtmr1:{values[0]['rtmr1'].hex()}")
    assert done.returncode == 1 and "rtmr1 is expected twice" in done.stderr
    done = judged(tmp_path, world, values[0], f"--reference={folder / 'one.json'}")
    assert done.returncode == 1 and "is not a bundle" in done.stderr


def test_part_of_the_registers(launches, world, tmp_path):
    """What a bundle does not say must be expected or waived by an option."""
    folder, values = launches
    bundle = json.loads((folder / "bundle").read_text())
    for launch in bundle["launches"]:
        del launch["registers"]["rtmr0"]
    (tmp_path / "part").write_text(json.dumps(bundle))
    done = judged(tmp_path, world, values[0], f"--reference={tmp_path / 'part'}")
    assert done.returncode == 1 and "rtmr0" in done.stderr
    assert judged(tmp_path, world, values[0], f"--reference={tmp_path / 'part'}", "--expect=rtmr0:any").returncode == 0


def test_other_forms(launches, tmp_path):
    """Trustee's names; what cannot be said of a TD is refused."""
    folder, values = launches
    message = json.loads(refs("export", "--format=rvps", folder / "bundle").stdout)
    payload = json.loads(base64.b64decode(message["payload"]))
    assert payload == {"mr_td": [v["mrtd"].hex() for v in values], "rtmr_1": [v["rtmr1"].hex() for v in values],
                       "rtmr_2": [v["rtmr2"].hex() for v in values]}
    bundle = json.loads((folder / "bundle").read_text())
    del bundle["launches"][1]["registers"]["rtmr2"]
    (tmp_path / "part").write_text(json.dumps(bundle))
    assert "a tdx launch has no rtmr2" in refs("export", "--format=rvps", tmp_path / "part", status=1).stderr
    for form, both in (("c8s", 0), ("tinfoil", 1)):
        done = refs("export", f"--format={form}", folder / "bundle", status=both)
    assert "several tdx digests" in done.stderr
    pins = c8s(refs("export", "--format=c8s", folder / "bundle").stdout)
    assert list(pins.values()) == [tuple(v[n].hex() for n in ("mrtd", "rtmr1", "rtmr2")) for v in values]
    assert "c8s: a tdx launch has no rtmr1 or no rtmr2" in refs("export", "--format=c8s", tmp_path / "part", status=1).stderr
    snp = {"inputs": {}, "technology": "sev-snp", "rows": [{"cpu-model": "EPYC-v4", "digests": ["ab" * 48], "vcpu-sig": 8392466, "vcpus": 1}]}

    def pair(name, *without):
        def change(launches):
            launches[1:] = [snp]
            for register in without:
                del launches[0]["registers"][register]
        return changed(folder, tmp_path, name, change)

    assert json.loads(refs("export", "--format=tinfoil", pair("both")).stdout) == {
        "snp_measurement": "ab" * 48, "tdx_measurement": {n: values[0][n].hex() for n in ("rtmr1", "rtmr2")}}
    assert "rtmr1 or no rtmr2" in refs("export", "--format=tinfoil", pair("less", "rtmr1"), status=1).stderr
    assert "no sev-snp launch" in refs("export", "--format=tinfoil", changed(folder, tmp_path, "alone", lambda x: x.pop()), status=1).stderr
    for form in ("corim-veraison", "rego", "cel", "contrast", "contrast-family", "id-blocks"):
        assert f"{form}: the bundle has launches of TDs" in refs("export", f"--format={form}", folder / "bundle", status=1).stderr


def test_corim(launches, tmp_path):
    """Each launch is a triple with all its registers in one measurement (draft-ietf-rats-corim-10, 5.1.4.7: integrity registers)."""
    folder, values = launches

    def triples(file):
        done = subprocess.run([BUILD / "programs/verb-refs", "export", "--format=corim", file], capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        kind, tag, corim = cbor(done.stdout)
        assert (kind, tag) == ("tag", 501) and set(corim) == {0, 1} and corim[0] == "tds" and corim[1][0][:2] == ("tag", 506)
        found = []
        for environment, claims in cbor(corim[1][0][2])[4][0]:
            assert environment == {0: {1: "Intel", 2: "TDX"}}
            (claim,) = claims
            assert set(claim) == {1} and set(claim[1]) == {14}
            found.append({name: digest for name, ((algorithm, digest),) in claim[1][14].items() if algorithm == 7})
        return found

    assert triples(folder / "bundle") == values
    part = changed(folder, tmp_path, "part", lambda x: x[1]["registers"].pop("rtmr0"))
    assert triples(part) == [values[0], {name: v for name, v in values[1].items() if name != "rtmr0"}]
    snp = {"inputs": {}, "technology": "sev-snp", "rows": [{"cpu-model": "EPYC-v4", "digests": ["ab" * 48], "vcpu-sig": 8392466, "vcpus": 1}]}
    both = changed(folder, tmp_path, "both", lambda x: x.append(snp))
    assert "whose profiles differ" in refs("export", "--format=corim", both, status=1).stderr
    through_libcbor(subprocess.run([BUILD / "programs/verb-refs", "export", "--format=corim", part], capture_output=True, check=True, timeout=120).stdout)


def changed(folder, tmp_path, name, change):
    bundle = json.loads((folder / "bundle").read_text())
    change(bundle["launches"])
    (tmp_path / name).write_text(json.dumps(bundle))
    return tmp_path / name


def test_diff(launches, tmp_path):
    """MRTD and RTMRs are one row: MRTD alone is the same in both launches."""
    folder, values = launches
    assert values[0]["mrtd"] == values[1]["mrtd"]
    assert "every row of" in refs("diff", folder / "bundle", folder / "bundle").stdout
    only = changed(folder, tmp_path, "only", lambda x: x.pop(1))
    done = refs("diff", folder / "bundle", only, status=3)
    assert "rows: 1 same, 0 changed, 0 came, 1 went" in done.stdout
    refs("diff", only, folder / "bundle")
    # Only a register changed: no input did it.
    zero = changed(folder, tmp_path, "zero", lambda x: x[1]["registers"].update(rtmr0="00" * 48))
    done = refs("diff", folder / "bundle", zero, status=3)
    assert f"rtmr0: {values[1]['rtmr0'].hex()[:16]} -> {'0' * 16}" in done.stdout and "recorded inputs are the same" in done.stdout
    answer = json.loads(refs("diff", "--json=short", folder / "bundle", zero, status=3).stdout)
    assert answer["rows"] == {"same": 1, "changed": 1, "came": 0, "went": 0} and not answer["complete"]
    (row,) = answer["launches"][0]["changed"]
    assert row["registers"] == [{"register": "rtmr0", "old": values[1]["rtmr0"].hex(), "new": "00" * 48}] and row["old"] == row["new"]
    # A register that only one of them knows is a difference, too; the order of launches is none.
    gone = changed(folder, tmp_path, "gone", lambda x: x[0]["registers"].pop("rtmr2"))
    assert f"rtmr2: {values[0]['rtmr2'].hex()[:16]} -> none" in refs("diff", folder / "bundle", gone, status=3).stdout
    turned = changed(folder, tmp_path, "turned", lambda x: x.reverse())
    assert "rows: 2 same" in refs("diff", folder / "bundle", turned).stdout
