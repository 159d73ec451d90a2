# SPDX-License-Identifier: LGPL-2.1-or-later

"""cvmspawn measure as a program: golden digests, the launcher's plan dialect, answers to --expect, refusals."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "measure"
MEASURE = BUILD / "programs" / "verb-measure"
CASES = json.loads((GOLDEN / "cases.json").read_text())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    subprocess.run([GOLDEN / "generate.py", "--images", path], check=True)
    return path


@pytest.fixture
def run(images):
    def run(*args, **kwargs):
        return subprocess.run([MEASURE, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=images,
                              **kwargs)
    return run


def complaints(r):
    """What it said besides the result: the kernels here are made up and some guests have no vCPUs, which is a warning."""
    known = ("is not a bzImage", "without vCPUs", "no OVMF table at the end", "the credentials are measured, not secret")
    return [x for x in r.stderr.splitlines() if not (": warning: " in x and any(k in x for k in known))]


def ok(r):
    assert r.returncode == 0 and not complaints(r)
    return r.stdout.strip()


SNP = ("--mode", "snp", "--vcpus", "4", "--vcpu-type", "EPYC-v4", "--ovmf", "amdsev.fd")
BOOT = ("--kernel", "kernel", "--initrd", "initrd", "--append", "quiet")


def test_golden_file_is_what_the_generator_says():
    assert subprocess.run([GOLDEN / "generate.py"], stdout=subprocess.PIPE, check=True, text=True).stdout == \
        (GOLDEN / "cases.json").read_text()


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{i}-{c['args'][1]}-{c['args'][3]}") for i, c in enumerate(CASES)])
def test_golden(run, case):
    assert ok(run(*case["args"])) == case["digest"]


def test_igvm(run, images):
    digest = ok(run("--igvm", "guest.igvm"))
    lines = [x.split() for x in ok(run("--igvm", "guest.igvm", "--explain")).splitlines()]
    assert lines[-1] == [digest] and lines[-2][-1] == digest and lines[-2][3] == "vmsa"
    assert [x[3] for x in lines[:9]] == ["normal", "normal", "unmeasured", "secrets", "cpuid", "cpuid"] + ["unmeasured"] * 3
    assert json.loads(ok(run("--igvm", "guest.igvm", "--json")))["id-block-digest"] == digest
    assert ok(run("--igvm", "guest.igvm", "--expect", digest)) == "equal: " + digest
    assert run("--igvm", "guest.igvm", "--expect", "00" * 48).returncode == 3
    r = run("--igvm", "resigned.igvm")
    assert r.returncode == 1 and "the ID block in the file expects the digest 000" in r.stderr
    assert ok(run("--igvm", "resigned.igvm", "--ignore-idblock")) == digest
    for args, part in ((("--igvm", "amdsev.fd"), "not an IGVM file"), (("--igvm", "guest.igvm", "--mode", "sev"), "only for sev-snp, sev-es"),
                       (("--igvm", "guest.igvm", "--kernel", "kernel"), "everything is read from the IGVM file")):
        r = run(*args)
        assert r.returncode == 1 and part in r.stderr


def test_damaged_igvm(run, images):
    """Every byte of the headers counts: the checksum says so; cut anywhere, the file is refused."""
    data = (images / "guest.igvm").read_bytes()
    for at in range(0, 300, 7):
        (images / "bad.igvm").write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:])
        assert run("--igvm", "bad.igvm").returncode == 1, at
    for n in (0, 3, 4, 20, 23, 24, 100, len(data) - 1):
        (images / "bad.igvm").write_bytes(data[:n])
        assert run("--igvm", "bad.igvm").returncode == 1, n


def test_table_rows_are_the_single_digests(run):
    table = json.loads(ok(run(*SNP, *BOOT, "--json", "--vcpus", "1-5,9,2", "--vcpu-type", "EPYC-v4,EPYC-Milan")))
    assert [(r["cpu-model"], r["vcpus"]) for r in table["rows"]] == \
        [(c, n) for c in ("EPYC-v4", "EPYC-Milan") for n in (1, 2, 3, 4, 5, 9)]
    for row in table["rows"]:
        assert row["digest"] == ok(run(*SNP, *BOOT, "--vcpus", row["vcpus"], "--vcpu-type", row["cpu-model"]))
    text = ok(run(*SNP, *BOOT, "--vcpus", "1-2")).splitlines()
    assert len(text) == 3 and text[1].split()[-1] == table["rows"][0]["digest"]
    es = json.loads(ok(run("--mode", "seves", "--vcpus", "1-3", "--vcpu-type", "EPYC", "--ovmf", "amdsev.fd", "--json")))
    assert [r["digest"] for r in es["rows"]] == \
        [ok(run("--mode", "seves", "--vcpus", n, "--vcpu-type", "EPYC", "--ovmf", "amdsev.fd")) for n in (1, 2, 3)]


def test_json_is_canonical_and_complete(run, images):
    a = ok(run(*SNP, *BOOT, "--json"))
    assert a == ok(run(*BOOT, *SNP, "--json=short"))
    j = json.loads(a)
    assert a == json.dumps(j, sort_keys=True, separators=(",", ":"))
    assert json.loads(ok(run(*SNP, *BOOT, "--json=pretty"))) == j
    assert j["digest"] == ok(run(*SNP, *BOOT))
    for name in ("kernel", "initrd"):
        data = (images / name).read_bytes()
        assert (j["parts"][name]["sha256"], j["parts"][name]["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert j["parts"]["firmware"]["sha256"] == hashlib.sha256((images / "amdsev.fd").read_bytes()).hexdigest()
    assert j["intermediate"]["kernel-hashes"]["cmdline"] == hashlib.sha256(b"quiet\0").hexdigest()
    assert j["parameters"]["vcpu-sig"] == 0x800F12 and j["parameters"]["vmsa"] == "qemu"
    assert j["intermediate"]["ovmf-hash"] == ok(run("--mode", "snp:ovmf-hash", "--ovmf", "amdsev.fd"))


def test_output_formats(run):
    digest = ok(run(*SNP))
    assert base64.b64decode(ok(run(*SNP, "--output-format", "base64"))).hex() == digest
    assert ok(run(*SNP, "-v")) == "Calculated SEV_SNP guest measurement: " + digest
    # Unambiguous beginnings, as argparse takes them; our longer names do not make them ambiguous.
    assert ok(run("--mo", "snp", "--vcpus", 4, "--vcpu-t=EPYC-v4", "--ov", "amdsev.fd", "--out=hex")) == digest
    assert ok(run(*SNP, "--kern", "kernel", "--ini", "initrd", "--app", "quiet")) == ok(run(*SNP, *BOOT))


def test_explanation_ends_in_the_digest(run):
    for args in (SNP, SNP + BOOT, ("--mode", "seves", *SNP[2:], *BOOT), ("--mode", "sev", "--ovmf", "amdsev.fd", *BOOT[:2])):
        lines = [x for x in ok(run(*args, "--explain")).splitlines() if not x.startswith("#")]
        assert lines[-1] == lines[-2].split()[-1] == ok(run(*args))
    zeros = "0" * 96
    running = zeros
    for line in ok(run(*SNP, *BOOT, "--explain")).splitlines()[2:-1]:
        *_, contents, digest = line.split()
        kind = {"normal": 1, "vmsa": 2, "zero": 3, "secrets": 5, "cpuid": 6}[line.split()[3]]
        assert (contents == zeros) == (kind > 2)
        info = bytes.fromhex(running + contents) + b"\x70\0" + bytes([kind, 0, 0, 0, 0, 0]) + \
            int(line.split()[1], 16).to_bytes(8, "little")
        assert hashlib.sha384(info).hexdigest() == digest
        running = digest


def test_hashes_in_place_of_files(run, images):
    whole = ok(run(*SNP, *BOOT))
    hashes = {n: hashlib.sha256((images / n).read_bytes()).hexdigest() for n in ("kernel", "initrd")}
    words = hashlib.sha256(b"quiet\0").hexdigest()
    given = ("--kernel-hash", hashes["kernel"], "--initrd-hash", hashes["initrd"], "--cmdline-hash", words)
    assert ok(run(*SNP, *given)) == whole
    assert ok(run(*SNP, "--kernel-hash", base64.b64encode(bytes.fromhex(hashes["kernel"])).decode(), *given[2:4],
                  "--append=quiet")) == whole
    ovmf = ok(run("--mode", "snp:ovmf-hash", "--ovmf", "amdsev.fd"))
    assert ok(run(*SNP, *given, "--snp-ovmf-hash", ovmf)) == whole

    stored = json.loads(ok(run("--mode", "snp:ovmf-hash", "--ovmf", "amdsev.fd", "--json")))["ovmf-metadata"]
    (images / "stored.json").write_text(json.dumps(stored))
    assert ok(run(*SNP[:-2], *given, "--ovmf-metadata", "stored.json")) == whole
    for table in (None, {"GPA": "0x0", "Size": "0x0"}):
        (images / "stored.json").write_text(json.dumps({**stored, "HashTable": table} if table else
                                                       {k: v for k, v in stored.items() if k != "HashTable"}))
        r = run(*SNP[:-2], *given, "--ovmf-metadata", "stored.json")
        assert r.returncode == 1 and "no place for kernel hashes" in r.stderr


def test_signature_from_a_report(run, images):
    report = bytearray(1184)
    report[0] = 3
    report[0x188:0x18B] = bytes([0x19, 0x11, 0x01])
    (images / "report.bin").write_bytes(report)
    assert ok(run(*SNP, "--vcpu-sig", "from:report.bin")) == ok(run(*SNP, "--vcpu-sig", "0xa10f11"))
    report[0] = 2
    (images / "report.bin").write_bytes(report)
    r = run(*SNP, "--vcpu-sig", "from:report.bin")
    assert r.returncode == 1 and "does not name its CPU" in r.stderr


def test_pages_are_dumped(run, images):
    assert ok(run(*SNP, "--dump-vmsa")) == ok(run(*SNP))
    pages = [(images / f"vmsa{i}.bin").read_bytes() for i in range(4)]
    assert [len(p) for p in pages] == [4096] * 4
    assert pages[0] != pages[1] and pages[1] == pages[3]
    assert not (images / "vmsa4.bin").exists()


def test_dumped_pages_are_the_measured_ones(run, images):
    es = ("--mode", "seves", "--vcpus", "1", "--vcpu-type", "EPYC-v4", "--ovmf", "amdsev.fd", "--es-features", "0x20")
    report = json.loads(ok(run(*es, "--json")))
    ok(run(*es, "--dump-vmsa"))
    page = (images / "vmsa0.bin").read_bytes()
    assert page[0x3B0:0x3B8] == (0x20).to_bytes(8, "little")  # SEV_FEATURES
    assert hashlib.sha384(page).hexdigest() == report["intermediate"]["vmsa-boot-sha384"]
    assert hashlib.sha256((images / "amdsev.fd").read_bytes() + page).hexdigest() == report["digest"]


@pytest.mark.parametrize("made, answer", [
    (("--guest-features", "0x21"), "guest features 0x21 instead of 0x1"),
    (("--vcpus", "100"), "100 vCPUs instead of 4"),
    (("--vcpu-type", "EPYC-Milan"), "CPU signature 0xa00f11 (EPYC-Milan) instead of 0x800f12 (EPYC)"),
    (("--vmsa", "qemu-pre-6.10"), "VMM profile qemu-pre-6.10 instead of qemu"),
    (("--append", "quiet\n"), "kernel command line with a newline at its end"),
    (("--append", "console=ttyS0 quiet"), "kernel command line with 'console=ttyS0' in front, as a launcher adds it"),
    (("--initrd", "empty"), "initrd left out"),
    (("--vmsa", "qemu-pre-6.10", "--guest-features", "0x21"),
     "VMM profile qemu-pre-6.10 instead of qemu and guest features 0x21 instead of 0x1"),
    (("--vcpus", "1", "--append", "quiet "), "kernel command line with a blank at its end and 1 vCPU instead of 4"),
    (("--ovmf", "shifted.fd"), "firmware shifted.fd"),
    (("--ovmf", "shifted.fd", "--vcpus", "2"), "firmware shifted.fd and 2 vCPUs instead of 4"),
])
def test_expectation_is_explained(run, images, made, answer):
    digest = ok(run(*SNP, *BOOT, *made))
    r = run(*SNP, *BOOT, "--expect", digest)
    assert r.returncode == 3 and not complaints(r)
    assert r.stdout.splitlines()[1] == "that digest has " + answer
    command = r.stdout.splitlines()[-1].removeprefix("next: cvmspawn measure ")
    if "--explain" not in command:
        again = subprocess.run(["bash", "-c", f"{MEASURE} {command}"], stdout=subprocess.PIPE, text=True, cwd=images)
        assert again.stdout.strip() == digest


def test_expectation_equal_and_hopeless(run):
    digest = ok(run(*SNP, *BOOT))
    assert ok(run(*SNP, *BOOT, "--expect", digest)) == "equal: " + digest
    assert run(*SNP, *BOOT, "--expect", base64.b64encode(bytes.fromhex(digest)).decode()).returncode == 0
    r = run(*SNP, *BOOT, "--expect", "00" * 48)
    assert r.returncode == 3 and "different bytes" in r.stdout and r.stdout.rstrip().endswith("--explain")
    for bad in ("00" * 32, "zz", ""):
        r = run(*SNP, *BOOT, "--expect", bad)
        assert r.returncode == 1 and "--expect" in r.stderr and r.stdout == ""
    j = json.loads(run(*SNP, *BOOT, "--guest-features=0x21", "--expect", digest, "--json").stdout)
    assert j["equal"] is False and j["explanations"][0][0]["option"] == "--guest-features=0x1"


def test_expectation_without_credentials(run, images):
    """An archive that a launcher appended is recognised: the digest without it is found."""
    def entry(name, mode, data=b""):
        head = "070701%08x%08x%s%08x%08x%08x%s%08x%08x" % (1, mode, "0" * 16, 1, 0, len(data), "0" * 32, len(name) + 1, 0)
        name = name.encode() + b"\0"
        return head.encode() + name + b"\0" * (-(110 + len(name)) % 4) + data + b"\0" * (-len(data) % 4)

    base = (images / "initrd").read_bytes()
    archive = entry(".extra", 0o40555) + entry(".extra/system_credentials", 0o40500) + \
        entry(".extra/system_credentials/a.cred", 0o100400, b"x") + entry("TRAILER!!!", 0)
    (images / "with").write_bytes(base + b"\0" * (-len(base) % 4) + archive)
    digest = ok(run(*SNP, *BOOT))
    r = run(*SNP, *BOOT, "--initrd", "with", "--expect", digest)
    assert r.stdout.splitlines()[1] == "that digest has initrd without the credentials at its end"


def plan(images, **changes):
    def fd(name):
        return os.open(images / name, os.O_RDONLY)

    words = os.memfd_create("words")
    os.write(words, b"quiet")
    part = {n: fd(n) for n in ("amdsev.fd", "kernel", "initrd")}
    size = {n: os.stat(images / n).st_size for n in part}
    p = {"mode": "sev-snp", "vcpus": 4, "cpu-model": "EPYC-v4", "vcpu-sig": 0, "guest-features": 1, "policy": 0x30000,
         "kernel-hashes": True, "legacy-vm-type": False,
         "firmware": [{"label": "fw", "fd": part["amdsev.fd"], "offset": 0, "length": size["amdsev.fd"]}],
         "kernel": [{"label": "k", "fd": part["kernel"], "offset": 0, "length": size["kernel"]}],
         "initrd": [{"label": "a", "fd": part["initrd"], "offset": 0, "length": 97},
                    {"label": "padding", "fd": None, "offset": 0, "length": 3},
                    {"label": "b", "fd": part["initrd"], "offset": 100, "length": size["initrd"] - 100}],
         "cmdline": [{"label": "cmdline", "fd": words, "offset": 0, "length": 5}]}
    p.update(changes)
    fds = [*part.values(), words]
    ask = os.memfd_create("plan")
    os.write(ask, json.dumps(p).encode())
    os.lseek(ask, 0, os.SEEK_SET)
    r = subprocess.run([MEASURE, f"--plan-fd={ask}"], pass_fds=[*fds, ask], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
    for f in [*fds, ask]:
        os.close(f)
    return r


def test_plan_dialect(run, images):
    data = (images / "initrd").read_bytes()
    data = data[:97] + bytes(3) + data[100:]
    (images / "merged").write_bytes(data)
    line = ok(plan(images))
    j = json.loads(line)
    assert "\n" not in line and line == json.dumps(j, sort_keys=True, separators=(",", ":"))
    assert j["digest"] == ok(run(*SNP, *BOOT, "--initrd", "merged"))
    assert j["parts"]["initrd"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert [p["sha256"] for p in j["parts"]["initrd"]["parts"]] == \
        [hashlib.sha256(x).hexdigest() for x in (data[:97], bytes(3), data[100:])]
    assert j["kernel-hashes"]["gpa"] == 0x810C00 and len(base64.b64decode(j["kernel-hashes"]["table"])) == 176

    j = json.loads(ok(plan(images, mode="no")))
    assert j["digest"] is None and "table" in j["kernel-hashes"]
    j = json.loads(ok(plan(images, mode="sev-es", **{"legacy-vm-type": True})))
    assert j["digest"] == ok(run("--mode", "seves", "--vmsa", "qemu-pre-6.10", *SNP[2:], *BOOT, "--initrd", "merged"))


@pytest.mark.parametrize("changes, part", [
    ({"mode": "cca"}, "expected no, sev, sev-es, sev-snp or tdx"),
    ({"firmware": []}, "firmware: the file is empty"),
    ({"kernel": [{"label": "k", "fd": 999, "offset": 0, "length": 5}]}, "kernel: cannot read 'k': Bad file descriptor"),
    ({"cpu-model": "i486"}, "unknown CPU model 'i486'"),
])
def test_bad_plans(images, changes, part):
    r = plan(images, **changes)
    assert r.returncode == 1 and r.stdout == "" and part in r.stderr and r.stderr.count("\n") == 1


@pytest.mark.parametrize("args, part", [
    ((), "missing --mode"),
    (("--mode", "cca"), "--mode: unknown mode 'cca'"),
    (("--mode", "snp"), "missing --ovmf"),
    (("--mode", "snp", "--ovmf", "amdsev.fd"), "missing --vcpus"),
    (("--mode", "snp", "--ovmf", "amdsev.fd", "--vcpus", "1"), "missing --vcpu-type or --vcpu-sig or --vcpu-family"),
    (("--mode", "snp", "--ovmf", "amdsev.fd", "--vcpus", "x", "--vcpu-type", "EPYC"), "--vcpus: expected a number of vCPUs"),
    (("--mode", "snp", "--ovmf", "amdsev.fd", "--vcpus", "4-2", "--vcpu-type", "EPYC"), "--vcpus: expected a number of vCPUs"),
    (("--mode", "snp", "--ovmf", "amdsev.fd", "--vcpus", "65537", "--vcpu-type", "EPYC"), "more than 65536"),
    (SNP[:4] + ("--ovmf", "amdsev.fd", "--vcpu-family", "25"), "--vcpu-family requires --vcpu-model and --vcpu-stepping"),
    (SNP + ("--vcpu-type", "EPYC-Foo"), "unknown CPU model 'EPYC-Foo'"),
    (SNP + ("--vcpu-sig", "0x100000000"), "expected a 32 bit number"),
    (SNP + ("--initrd", "initrd"), "--kernel required when using --initrd"),
    (SNP + ("--append", "x"), "--kernel required when using --append"),
    (SNP + ("--ovmf", "nothing.fd"), "--ovmf: cannot open 'nothing.fd': No such file"),
    (SNP + ("--ovmf", "."), "Is a directory"),
    (SNP + ("--ovmf", "empty"), "--ovmf: 'empty' is empty, expected a firmware image"),
    (SNP + ("--ovmf", "kernel"), "no OVMF table at the end of the file"),
    (SNP + ("--ovmf", "plain.fd", "--kernel", "kernel"), "plain OVMF build; use an OVMF built from OvmfPkg/AmdSev"),
    (SNP + ("--vmm-type", "hyperv"), "--vmm-type: unknown VMM 'hyperv'; expected QEMU, ec2, gce or krun"),
    (SNP + ("--vmsa", "svsm"), "--vmsa=svsm cannot be used with --mode=snp"),
    (SNP + ("--guest-features", "0xg"), "--guest-features: expected a number"),
    (SNP + ("--kernel-hash", "abcd"), "--kernel-hash: expected 32 bytes, which are 64 hexadecimal digits, not 4"),
    (SNP + BOOT + ("--kernel-hash", "00" * 32), "--kernel-hash and --kernel exclude each other"),
    (SNP + ("--snp-ovmf-hash", "00"), "--snp-ovmf-hash: expected 48 bytes, which are 96 hexadecimal digits, not 2"),
    (("--mode", "sev", "--ovmf", "amdsev.fd", "--snp-ovmf-hash", "00" * 48), "--snp-ovmf-hash requires --mode=snp"),
    (("--mode", "sev", "--ovmf", "amdsev.fd", "--dump-vmsa"), "--dump-vmsa: mode sev measures no VMSA"),
    (SNP + ("--output-format", "pem"), "--output-format: expected hex or base64"),
    (SNP + ("stray",), "unexpected argument 'stray'"),
    (SNP + ("--vcpu", "3"), "ambiguous"),
    (("--mode", "snp:svsm", *SNP[2:]), "missing --svsm"),
    (("--mode", "snp:svsm", *SNP[2:], "--svsm", "svsm.bin"), "requires --vars-size or --vars-file"),
    (("--mode", "snp:svsm", *SNP[2:], "--svsm", "amdsev.fd", "--vars-size", "0x84000"), "no SVSM_INFO entry"),
    (("--mode", "snp:svsm", *SNP[2:], "--svsm", "svsm.bin", "--vars-size", "1"), "multiples of 4 KiB"),
    (("--mode", "snp:svsm", *SNP[2:], "--svsm", "svsm.bin", "--vars-size", "0xfffff000"), "do not fit below 4 GiB"),
])
def test_refusals_are_one_sentence(run, args, part):
    r = run(*args)
    assert r.returncode == 1 and r.stdout == ""
    assert part in r.stderr and r.stderr.count("\n") == 1


def test_any_file_is_a_firmware_to_plain_sev(run, images):
    data = (images / "kernel").read_bytes()
    assert ok(run("--mode", "sev", "--ovmf", "kernel")) == hashlib.sha256(data).hexdigest()


def test_inputs_from_pipes(run, images):
    r = subprocess.run(["bash", "-c", f"{MEASURE} {' '.join(SNP)} --kernel <(cat kernel) --initrd <(cat initrd) --append quiet"],
                       stdout=subprocess.PIPE, text=True, cwd=images)
    assert r.stdout.strip() == ok(run(*SNP, *BOOT))


def test_launcher_dialect_measures_what_the_launcher_prints(kernel, initrd, firmware):
    """One plan: the digest of measure --coco is that of spawn --print=digest, credentials and added words included."""
    env = {**os.environ, "XDG_DATA_DIRS": str(firmware.parent / "share")}
    for coco in ("sev", "sev-es", "sev-snp"):
        args = [f"--coco={coco}", f"--linux={kernel}", f"--initrd={initrd}", "--cpus=2",
                f"--firmware={firmware}", "--set-credential=foo:hello", "quiet", "splash"]
        spawn = subprocess.run([BUILD / "programs" / "verb-spawn", "--print=digest", "--json=short", *args], env=env,
                               stdout=subprocess.PIPE, text=True, check=True)
        measured = subprocess.run([MEASURE, *args], env=env, stdout=subprocess.PIPE, text=True, check=True)
        assert json.loads(spawn.stdout)["digest"]["digest"] == measured.stdout.strip()
        expect = subprocess.run([MEASURE, *args[:-2], "--cpus=9", "--expect", measured.stdout.strip(), "quiet", "splash"], env=env,
                                stdout=subprocess.PIPE, text=True)
        if coco != "sev":
            assert expect.returncode == 3 and "2 vCPUs instead of 9" in expect.stdout
            assert "--cpus=2" in expect.stdout.splitlines()[-1]


def test_batch_rows_are_the_single_digests(run, images):
    lines = [{"id": "a", "vcpus": 2}, {"id": "b", "append": "other", "vcpu-type": "EPYC-Milan"}, {"vcpus": "1-3"},
             {"id": 4, "mode": "sev"}, {"initrd": ["initrd", "kernel"]}]
    (images / "batch").write_text("".join(json.dumps(x) + "\n" for x in lines) + "\n")
    rows = [json.loads(x) for x in ok(run(*SNP, *BOOT, "--batch", "batch")).splitlines()]
    base = (images / "initrd").read_bytes()
    (images / "both").write_bytes(base + b"\0" * (-len(base) % 4) + (images / "kernel").read_bytes())
    assert [(r.get("id"), r["digest"]) for r in rows] == [
        ("a", ok(run(*SNP, *BOOT, "--vcpus", 2))),
        ("b", ok(run(*SNP, *BOOT, "--append", "other", "--vcpu-type", "EPYC-Milan"))),
        *[(None, ok(run(*SNP, *BOOT, "--vcpus", n))) for n in (1, 2, 3)],
        (4, ok(run("--mode", "sev", "--ovmf", "amdsev.fd", *BOOT))),
        (None, ok(run(*SNP, *BOOT, "--initrd", "both")))]


def test_batch_credentials_are_the_launchers(kernel, initrd, firmware):
    def digest(*args, stdin=None):
        return subprocess.run([MEASURE, *args], input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    launched = digest("--coco=sev-snp", f"--linux={kernel}", f"--initrd={initrd}", f"--firmware={firmware}", "--exact-words",
                      "--set-credential=foo:hello", "--set-credential=bar:abc\\x00def", "quiet")
    line = {"credentials": {"foo": "hello", "bar": {"base64": base64.b64encode(b"abc\0def").decode()}}}
    row = digest("--mode=snp", "--vcpus=1", "--vcpu-type=EPYC-v4", f"--ovmf={firmware}", f"--kernel={kernel}", f"--initrd={initrd}",
                 "--append=quiet", "--batch=-", stdin=json.dumps(line) + "\n")
    assert json.loads(row)["digest"] == launched


@pytest.mark.parametrize("line, part", [
    ("[]", "expected a JSON object"),
    ("{", "batch, line 1"),
    ('{"colour":1}', "member 'colour': no such member"),
    ('{"vcpus":true}', "member 'vcpus': expected a text or a number"),
    ('{"vcpus":0,"mode":"snp:svsm","svsm":"x"}', "no such member"),
    ('{"credentials":{"a/b":"x"}}', "member 'credentials'"),
    ('{"credentials":{"a":1}}', "credential 'a': expected a text"),
    ('{"initrd":[1]}', "expected file names"),
])
def test_bad_batches(run, images, line, part):
    (images / "batch").write_text(line + "\n")
    r = run(*SNP, *BOOT, "--batch", "batch")
    assert r.returncode == 1 and part in r.stderr and r.stderr.count("\n") == 1


def cbor(data):
    """The subset of RFC 8949 that a CoRIM uses, in its shortest form: unsigned, bytes, text, array, map, tag."""
    def item(at):
        kind, n = data[at] >> 5, data[at] & 31
        at += 1
        if n >= 24:
            k = 1 << n - 24
            n, at = int.from_bytes(data[at:at + k], "big"), at + k
            assert n >= {1: 24, 2: 256, 4: 65536, 8: 1 << 32}[k]
        if kind == 0:
            return n, at
        if kind in (2, 3):
            assert at + n <= len(data)
            return (data[at:at + n] if kind == 2 else data[at:at + n].decode()), at + n
        if kind == 4:
            out = []
            for _ in range(n):
                value, at = item(at)
                out.append(value)
            return out, at
        if kind == 5:
            out = {}
            for _ in range(n):
                key, at = item(at)
                out[key], at = item(at)
            return out, at
        assert kind == 6
        value, at = item(at)
        return ("tag", n, value), at

    value, end = item(0)
    assert end == len(data)
    return value


def test_reference_value_formats(run, images):
    rows = (*SNP, *BOOT, "--vcpus", "1-2")
    digests = [ok(run(*SNP, *BOOT, "--vcpus", n)) for n in (1, 2)]
    message = json.loads(ok(run(*rows, "--format", "rvps")))
    assert (message["version"], message["type"]) == ("0.1.0", "sample")
    assert json.loads(base64.b64decode(message["payload"])) == {"snp_launch_measurement": digests}
    message = json.loads(ok(run(*rows, "--format", "rvps", "--name", "mine")))
    assert list(json.loads(base64.b64decode(message["payload"]))) == ["mine"]

    statement = json.loads(ok(run(*rows, "--format", "in-toto")))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert [s["digest"]["sha384"] for s in statement["subject"]] == digests
    assert statement["subject"][1]["name"] == "snp_launch_measurement?vcpus=2,cpu=EPYC-v4"
    assert statement["predicate"] == json.loads(ok(run(*rows, "--json")))
    one = json.loads(ok(run(*SNP, *BOOT, "--format", "in-toto")))
    assert one["predicate"] == json.loads(ok(run(*SNP, *BOOT, "--json")))
    assert ok(run(*rows, "--format", "json")) == ok(run(*rows, "--json"))
    sev = json.loads(ok(run("--mode", "sev", "--ovmf", "amdsev.fd", "--format", "in-toto")))
    assert list(sev["subject"][0]["digest"]) == ["sha256"]


def test_corim(run, images):
    r = subprocess.run([MEASURE, *SNP, *BOOT, "--vcpus=1-2", "--format=corim"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       cwd=images)
    if b"built without libcbor" in r.stderr:
        pytest.skip("built without libcbor")
    assert r.returncode == 0
    kind, tag, corim = cbor(r.stdout)
    assert (kind, tag, corim[0], corim[3]) == ("tag", 501, "snp_launch_measurement",
                                               ("tag", 32, "tag:amd.com,2025:snp-corim-profile"))
    assert corim[1][0][:2] == ("tag", 506)
    triples = cbor(corim[1][0][2])[4][0]
    assert [t[1][0][1][2] for t in triples] == \
        [[[7, bytes.fromhex(ok(run(*SNP, *BOOT, "--vcpus", n)))]] for n in (1, 2)]
    assert all(t[1][0][0] == 641 and t[0][0][1] == "AMD" for t in triples)
    r = run("--mode", "sev", "--ovmf", "amdsev.fd", "--format", "corim")
    assert r.returncode == 1 and "SEV-SNP only" in r.stderr


@pytest.mark.parametrize("kind", ["ed25519", "p384"])
def test_signed_formats(run, images, kind):
    make = {"ed25519": "genpkey -algorithm ed25519", "p384": "ecparam -name secp384r1 -genkey -noout"}[kind]
    subprocess.run(["openssl", *make.split(), "-out", "key.pem"], cwd=images, check=True)
    subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"], cwd=images, check=True)
    public = subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-outform", "DER"], cwd=images, check=True,
                            stdout=subprocess.PIPE).stdout
    for form in ("in-toto", "rvps", "json"):
        j = json.loads(ok(run(*SNP, *BOOT, "--format", form, "--sign-key", "key.pem")))
        payload = base64.b64decode(j["payload"])
        assert payload.decode() == ok(run(*SNP, *BOOT, "--format", form))
        kind_of, signature = j["payloadType"].encode(), j["signatures"][0]
        assert signature["keyid"] == hashlib.sha256(public).hexdigest()
        (images / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind_of), kind_of, len(payload), payload))
        (images / "sig").write_bytes(base64.b64decode(signature["sig"]))
        check = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "sig", "-rawin", "-in", "pae"] + \
            (["-digest", "sha384"] if kind == "p384" else [])
        subprocess.run(["openssl", *check], cwd=images, check=True, stdout=subprocess.PIPE)


def test_keys_that_do_not_sign(run, images):
    (images / "generate.key").write_text("no key")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem"], cwd=images,
                   check=True, stderr=subprocess.PIPE)
    for args, part in ((("--format=json", "--sign-key", "rsa.pem"), "only Ed25519, P-256 and P-384 keys are supported"),
                       (("--format=json", "--sign-key", "generate.key"), "not an unencrypted private key"),
                       (("--format=json", "--sign-key", "nothing"), "--sign-key: cannot read 'nothing'"),
                       (("--sign-key", "rsa.pem"), "--sign-key has no meaning without --format"),
                       (("--format=xml",), "expected text, json, rvps, in-toto or corim")):
        r = run(*SNP, *args)
        assert r.returncode == 1 and part in r.stderr
