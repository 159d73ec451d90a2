# SPDX-License-Identifier: LGPL-2.1-or-later
"""What 'cvmspawn snpguest' prints against snpguest's lines, to the letter.

Provenance: read from the sources of virtee/snpguest v0.9.2 (sev 6.3.0), v0.10.0 (sev 7.1.0) and commit d3a2aed (sev 8.0.0): src/verify.rs,
src/display.rs, src/preattestation.rs, src/ok.rs, and the Display implementations of the crate sev (firmware/guest/types/snp.rs,
firmware/host/types/snp.rs, certs/snp/ecdsa/mod.rs). The three versions print the same 'display report'. The lines of 0.9.2 come first,
what newer versions print besides comes after them. One document of a user shows the same: YAOOK's, with 0.9.2."""

import base64
import struct
import subprocess

import pytest
from snp_world import BUILD, MEASUREMENT, REPORT_DATA, amd, expect, run  # noqa: F401


def lines(*parts):
    return "".join(part + "\n" for part in parts)


def tcb_lines(*parts):
    return lines(*(f"Reported TCB {part} from certificate matches the attestation report." for part in parts))


FOUR = tcb_lines("Boot Loader", "TEE", "SNP", "Microcode")
SIGNED = lines("VEK signed the Attestation Report!")
CHIP = lines("Chip ID from certificate matches the attestation report.")


@pytest.fixture(scope="module", params=["milan", "genoa", "turin"])
def maker(request, tmp_path_factory):
    """(generation, folder with certificates and reports)"""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([BUILD / "tests/lib/fake-amd-tool", folder, request.param], check=True, timeout=60)
    return request.param, folder


def certificates(folder, to, *names):
    to.mkdir(exist_ok=True)
    for name in names:
        (to / f"{name}.der").write_bytes((folder / f"{name}.der").read_bytes())
    return to


def test_verify_certs(maker, tmp_path):
    _, folder = maker
    root = ["--insecure-root", folder / "ark.der"]
    vcek = certificates(folder, tmp_path / "vcek", "ark", "ask", "vcek")
    assert run("snpguest", "verify", "certs", vcek, *root).stdout == lines(
        "The AMD ARK was self-signed!", "The AMD ASK was signed by the AMD ARK!", "The VCEK was signed by the AMD ASK!")
    vlek = certificates(folder, tmp_path / "vlek", "ark", "asvk", "vlek", "ask", "vcek")
    assert run("snpguest", "verify", "certs", vlek, *root).stdout == lines(
        "The AMD ARK was self-signed!", "The AMD ASVK was signed by the AMD ARK!", "The VLEK was signed by the AMD ASVK!")
    assert run("snpguest", "-q", "verify", "certs", vlek, *root).stdout == ""


def test_verify_attestation(maker, tmp_path):
    name, folder = maker
    root = ["--insecure-root", folder / "ark.der"]
    vcek = certificates(folder, tmp_path / "vcek", "ark", "ask", "vcek")
    tcb = FOUR + (tcb_lines("FMC") if name == "turin" else "")
    fields = ["-m", "0x" + MEASUREMENT, "-r", REPORT_DATA, "-d", "0x" + run(
        "report", "show", "--field=host-data", folder / "report.bin").stdout.strip()]
    for words, text in (([], tcb + SIGNED + CHIP), (["-t"], tcb + CHIP), (["-s"], SIGNED), (["-q"], ""), (fields, tcb + SIGNED + lines(
            "Measurement verified successfully.", "Host Data verified successfully.", "Report Data verified successfully.") + CHIP)):
        assert run("snpguest", "verify", "attestation", vcek, folder / "report.bin", *root, *words).stdout == text, words
    expect(run("snpguest", "verify", "attestation", vcek, folder / "report.bin", *root, "-t", "-s"), 1, "--tcb", "--signature")
    # A VLEK is for no chip.
    vlek = certificates(folder, tmp_path / "vlek", "ark", "asvk", "vlek")
    assert run("snpguest", "verify", "attestation", vlek, folder / "report-vlek.bin", *root).stdout == tcb + SIGNED


@pytest.mark.parametrize("there, part", [
    ([], "no leaf certificate in '{}': expected vcek.pem, vcek.der, vlek.pem or vlek.der"),
    (["vcek"], "no ask certificate in '{}': expected ask.pem or ask.der"),
    (["vcek", "ask"], "no ark certificate in '{}': expected ark.pem or ark.der"),
    (["vlek", "ask"], "no asvk certificate in '{}': expected asvk.pem or asvk.der (a VLEK is signed by asvk, not by ask)")])
def test_missing_certificates(amd, tmp_path, there, part):
    folder = certificates(amd, tmp_path / "c", *there)
    for words in (["certs", folder], ["attestation", folder, amd / "report.bin"]):
        expect(run("snpguest", "verify", *words), 1, part.format(folder))
    for wrong, why in ((tmp_path / "none", "No such file or directory"), (amd / "ark.der", "is not a directory")):
        expect(run("snpguest", "verify", "certs", wrong), 1, str(wrong), why)


def hexadecimal(data):
    rows = [data[i:i + 16] for i in range(0, len(data), 16)]
    return "\n" + "\n".join(" ".join(f"{b:02X}" for b in row) for row in rows)


def word(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def displayed(r, turin):
    """A report as the crate's Display prints it."""
    u32, u64 = (lambda at: struct.unpack_from("<I", r, at)[0]), (lambda at: struct.unpack_from("<Q", r, at)[0])
    version, policy, info, keys = u32(0), u64(8), u64(0x40), u32(0x48)

    def bit(value, n):
        return word(bool(value >> n & 1))

    def tcb(at):
        fmc, loader, tee, snp, microcode = [r[at + i] for i in ((0, 1, 2, 3, 7) if turin else (0, 0, 1, 6, 7))]
        return f"TCB Version:\n  Microcode:   {microcode}\n  SNP:         {snp}\n  TEE:         {tee}\n  Boot Loader: {loader}\n" \
               f"  FMC:         {fmc if turin else None}"

    def cpu(at):
        return r[at] if version >= 3 else None

    def vector(at):
        return u64(at) if version >= 5 else None

    names = (("SMT Allowed:  ", 16), ("Migrate MA:   ", 18), ("Debug Allowed:", 19), ("Single Socket:", 20), ("CXL Allowed:  ", 21),
             ("AEX 256 XTS:  ", 22), ("RAPL Allowed: ", 23), ("Ciphertext hiding:", 24), ("Page Swap Disable:", 25))
    platform = (("SMT Enabled:              ", 0), ("TSME Enabled:             ", 1), ("ECC Enabled:              ", 2),
                ("RAPL Disabled:            ", 3), ("Ciphertext Hiding Enabled:", 4), ("Alias Check Complete:     ", 5),
                ("SEV-TIO Enabled:          ", 7))
    signer = {0: "vcek", 1: "vlek", 7: "none"}.get(keys >> 2 & 7, "unknown")
    return "\n\n".join([
        "Attestation Report:", f"Version:                      {version}", f"Guest SVN:                    {u32(4)}",
        f"Guest Policy (0x{policy:x}):\n  ABI Major:     {policy >> 8 & 255}\n  ABI Minor:     {policy & 255}\n" +
        "\n".join(f"  {name} {bit(policy, n)}" for name, n in names),
        "Family ID:" + hexadecimal(r[0x10:0x20]), "Image ID:" + hexadecimal(r[0x20:0x30]), f"VMPL:                         {u32(0x30)}",
        f"Signature Algorithm:          {u32(0x34)}", "Current TCB:", tcb(0x38),
        f"Platform Info ({info}):\n" + "\n".join(f"  {name} {bit(info, n)}" for name, n in platform),
        f"Key Information:\n    author key enabled: {bit(keys, 0)}\n    mask chip key:      {bit(keys, 1)}\n    signing key:        {signer}",
        "Report Data:" + hexadecimal(r[0x50:0x90]), "Measurement:" + hexadecimal(r[0x90:0xc0]), "Host Data:" + hexadecimal(r[0xc0:0xe0]),
        "ID Key Digest:" + hexadecimal(r[0xe0:0x110]), "Author Key Digest:" + hexadecimal(r[0x110:0x140]),
        "Report ID:" + hexadecimal(r[0x140:0x160]), "Report ID Migration Agent:" + hexadecimal(r[0x160:0x180]), "Reported TCB:", tcb(0x180),
        f"CPUID Family ID:              {cpu(0x188)}", f"CPUID Model ID:               {cpu(0x189)}", f"CPUID Stepping:               {cpu(0x18a)}",
        "Chip ID:" + hexadecimal(r[0x1a0:0x1e0]), "Committed TCB:", tcb(0x1e0),
        f"Current Version:              {r[0x1ea]}.{r[0x1e9]}.{r[0x1e8]}", f"Committed Version:            {r[0x1ee]}.{r[0x1ed]}.{r[0x1ec]}",
        "Launch TCB:", tcb(0x1f0), f"Launch Mitigation Vector:     {vector(0x1f8)}", f"Current Mitigation Vector:    {vector(0x200)}",
        "Signature:\n  R:" + hexadecimal(r[0x2a0:0x2e8]) + "\n  S:" + hexadecimal(r[0x2e8:0x330])]) + "\n"


def as_version(report, version):
    data = bytearray(report)
    struct.pack_into("<I", data, 0, version)
    if version < 5:
        data[0x1f8:0x208] = bytes(16)
    if version < 3:
        data[0x188:0x18b] = bytes(3)
    return bytes(data)


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_display_report(maker, tmp_path, version):
    name, folder = maker
    report = as_version((folder / "report.bin").read_bytes(), version)
    (tmp_path / "r").write_bytes(report)
    expected = displayed(report, name == "turin")
    done = expect(run("snpguest", "display", "report", tmp_path / "r"), 0)
    assert done.stdout == expected == run("report", "show", "--format=snpguest", tmp_path / "r").stdout
    # Version 2 does not name the processor: the layout comes from CHIP_ID, as there, and a notice says so.
    assert ("-p milan, -p genoa or -p turin names it" in done.stderr) == (version == 2)
    done = expect(run("snpguest", "display", "report", "-p", name, tmp_path / "r"), 0)
    assert done.stdout == expected and not done.stderr
    shown = expect(run("report", "show", tmp_path / "r"), 0, "Reported TCB", "(fmc" if name == "turin" else "(bootloader").stdout
    assert ("version 2 reports do not name the processor; pass --generation" in shown) == (version == 2)
    expect(run("report", "show", "--generation", name, tmp_path / "r"), 0, f"Generation: {name.capitalize()}")
    if version > 2:
        other = "genoa" if name == "milan" else "milan"
        for words in (["snpguest", "display", "report", "-p", other], ["report", "show", "--generation", other]):
            expect(run(*words, tmp_path / "r"), 1, f"the CPUID in the report belongs to {name.capitalize()}, not to {other.capitalize()}")


def test_display_of_a_masked_version_2(amd, tmp_path):
    report = bytearray(as_version((amd / "report.bin").read_bytes(), 2))
    report[0x1a0:0x1e0] = bytes(64)
    (tmp_path / "r").write_bytes(report)
    done = expect(run("snpguest", "display", "report", tmp_path / "r"), 0, "CHIP_ID is masked", "pass -p turin if it is Turin")
    assert done.stdout == displayed(bytes(report), False)
    assert run("snpguest", "display", "report", "-p", "turin", tmp_path / "r").stdout == displayed(bytes(report), True)
    shown = expect(run("report", "show", tmp_path / "r"), 0).stdout
    assert f"Reported TCB: {bytes(report[0x180:0x188]).hex()}\n" in shown
    expect(run("report", "show", "--generation=turin", tmp_path / "r"), 0, "reserved in this generation's layout are not zero")
    for words in (["vcek", "pem", tmp_path, tmp_path / "r"], ["ca", "pem", tmp_path, "-r", tmp_path / "r"]):
        expect(run("snpguest", "fetch", *words), 1, "version 2 reports do not name the processor; pass -p milan")
    expect(run("snpguest", "fetch", "vcek", "pem", tmp_path, amd / "report.bin", "-p", "turin"), 1, "belongs to Milan, not to Turin")


def test_display_key(tmp_path):
    (tmp_path / "k").write_bytes(bytes(range(0xe0, 0x100)))
    assert run("snpguest", "display", "key", tmp_path / "k").stdout == "".join(
        "\n" + "".join(f"{b:02x} " for b in range(at, at + 16)) for at in (0xe0, 0xf0)) + "\n\n"


def test_generate(amd, tmp_path):
    key = tmp_path / "k.pem"
    subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key], check=True, timeout=60)
    digest = run("id-block", "key-digest", key).stdout.strip()
    assert run("snpguest", "generate", "key-digest", key, "-d", tmp_path / "d").stdout == lines("Key Digest:", digest, "0x" + digest)
    assert (tmp_path / "d").read_text() == digest
    done = run("snpguest", "generate", "id-block", key, key, "0x" + MEASUREMENT, "-i", tmp_path / "i", "-a", tmp_path / "a")
    block, auth = (tmp_path / "i").read_text(), (tmp_path / "a").read_text()
    assert done.stdout == lines("ID-BLOCK:", block, "AUTH-BLOCK:", auth)
    assert (len(base64.b64decode(block)), len(base64.b64decode(auth))) == (96, 4096)
    expect(run("snpguest", "generate", "id-block", key, key, "0x" + MEASUREMENT, "-f", "sixteen letters!"), 1, "snpguest up to 0.10 takes 16 characters")


def test_generate_measurement(firmware, tmp_path):
    words = ["snpguest", "generate", "measurement", "-o", firmware, "--vcpu-type", "epyc-v4"]
    digest = run("measure", "--mode=snp", "--ovmf", firmware, "--vcpus=1", "--vcpu-type=EPYC-v4").stdout.strip()
    assert run(*words, "-m", tmp_path / "m").stdout == lines("0x" + digest) and (tmp_path / "m").read_text() == "0x" + digest
    assert run(*words, "-f", "base64").stdout == lines(base64.b64encode(digest.encode()).decode())
    for vmm in ("qemu", "QEMU", "Qemu"):
        assert run(*words, "-t", vmm).stdout == lines("0x" + digest)
    assert run(*words, "-t", "EC2").stdout == run(*words, "-t", "ec2").stdout != lines("0x" + digest)
    page = run("snpguest", "generate", "ovmf-hash", "-o", firmware).stdout
    assert page == run("measure", "--mode=snp:ovmf-hash", "--ovmf", firmware).stdout
    for wrong in (["-f", "hxe"], ["--vcpu-sig", "1"], ["--vcpu-family", "25"], ["-i", firmware], ["-a", "x"]):
        done = expect(run(*words, *wrong), 1)
        assert not done.stdout, wrong
    alone = words[:5]
    for wrong in (["--vcpu-family", "25"], ["--vcpu-family", "25", "--vcpu-model", "1"], ["--vcpu-stepping", "1"],
                  ["--vcpu-sig", "1", "--vcpu-model", "1"]):
        expect(run(*alone, *wrong), 1, "--vcpu-")
