# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn report verify of TD quotes with flipped bits (a made-up Intel: SIMULATED, throw-away keys), and of quotes of real machines where they are."""

import json

import pytest
import td_chain as chain
from test_td_verify import ANY, SHARED, STATEMENTS, judge, last, verify, world  # noqa: F401


def flipped(data, bits):
    for bit in bits:
        yield bit, data[:bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1:]


def count_accepted(tmp_path, quote, options, bits):
    """How many of the quotes with one bit flipped are verified, and how many were tried."""
    accepted = tried = 0
    names = []
    def ask():
        done = verify(*names, *options, "--json=short")
        answers = json.loads(done.stdout)
        assert len(answers) == len(names) and done.returncode in (1, 2, 3, 4)
        return sum(a["verdict"] not in ("not-authentic", "policy-not-met", "collateral-unavailable", "unverified") for a in answers)
    for bit, data in flipped(quote, bits):
        (tmp_path / f"q{bit}").write_bytes(data)
        names.append(tmp_path / f"q{bit}")
        tried += 1
        if len(names) == 1000:
            accepted += ask()
            for name in names:
                name.unlink()
            names.clear()
    return accepted + (ask() if names else 0), tried


def bits(size, step, first=0):
    """Every bit, or one in every step-th byte, another one each time."""
    return range(8 * first, 8 * size) if step == 0 else (8 * i + (i * 5 + 3) % 8 for i in range(first, size, step))


EVERY = pytest.mark.parametrize("step", [pytest.param(0, marks=pytest.mark.soak, id="every-bit"), pytest.param(4, marks=pytest.mark.full, id="sample")])


@EVERY
def test_bits_of_the_quote(tmp_path, world, step):  # noqa: F811
    """Bits of the header that make it a file of another kind are unverified, too."""
    files = world.files()
    assert judge(tmp_path, files).returncode == 0
    # A flipped bit in what decides the technology (version, key and TEE type: the first 8 bytes) makes it a file of another kind.
    options = [f"--collateral={tmp_path / name}" for name in STATEMENTS] + [f"--time={chain.NOW}", f"--insecure-root={tmp_path / 'root.pem'}", *ANY]
    quote = files["quote"]
    for bit, data in flipped(quote, range(64)):
        (tmp_path / "header").write_bytes(data)
        done = verify(tmp_path / "header", *options)
        assert done.returncode in (1, 2), (bit, done.stdout)
    accepted, tried = count_accepted(tmp_path, quote, options, bits(len(quote), step, 8))
    assert accepted == 0 and tried == (8 * (len(quote) - 8) if step == 0 else len(range(8, len(quote), step)))


@EVERY
def test_bits_of_the_collateral(tmp_path, world, step):  # noqa: F811
    files = world.files()
    assert judge(tmp_path, files, "--crl=required").returncode == 0
    for name in STATEMENTS:
        for bit, data in flipped(files[name], bits(len(files[name]), step)):
            done = judge(tmp_path, {name: data}, "--crl=required", *(f"--collateral={tmp_path / n}" for n in STATEMENTS if n != name))
            assert done.returncode in (1, 4), (name, bit, done.stdout)
        (tmp_path / name).write_bytes(files[name])


# --- real machines --------------------------------------------------------------------------------------------------------------------------

REAL = [  # quote, collateral, time, status, what is said
    ("qvl-tdx-quote.dat", ["qvl-tdx-quote-collateral.json"], "2025-06-25", 0, "UpToDate"),
    ("trustee-tdx-quote-4.dat", ["att-tcb-info-50806f000000.json"], "2026-03-20", 3, "OutOfDate"),
    ("trustee-tdx-quote-5.dat", ["att-tcb-info-90c06f000000.json"], "2026-03-20", 3, "NotSupported"),
    ("dstack-tdx-lite-getquote.json", ["att-tcb-info-90c06f000000.json"], "2026-04-15T12:00:00Z", 0, "UpToDate"),
]
COMMON = "att-td-qe-identity.json", "att-tcb-signing-chain.pem", "att-root-ca-crl.der", "att-pck-crl-platform.der"


@pytest.mark.skipif(not SHARED or not (SHARED / "index.json").exists(), reason="needs the quotes of real machines, which are not in this repository")
@pytest.mark.parametrize("name,collateral,time,status,tcb", REAL, ids=lambda v: v if isinstance(v, str) else None)
def test_real_quotes(tmp_path, name, collateral, time, status, tcb):
    data = (SHARED / name).read_bytes()
    (tmp_path / "quote").write_bytes(bytes.fromhex(json.loads(data)["quote"]) if name.endswith(".json") else data)
    options = [f"--collateral={SHARED / c}" for c in (*collateral, *(COMMON if "qvl" not in name else ()))] + [f"--time={time}", "--crl=required"]
    done = verify(tmp_path / "quote", *options, *ANY)
    assert done.returncode == status and f" TCB status: {tcb}\n" in done.stdout and "Intel's key, as compiled in" in done.stdout, done.stdout
    if status == 0:
        assert last(done) == "verified"
    if name == "trustee-tdx-quote-4.dat":
        assert done.stdout.count("INTEL-SA-") == 11 and "level of 2023-02-15" in done.stdout and "violation: debug" in done.stdout
    quote = bytearray((tmp_path / "quote").read_bytes())
    quote[48 + 136] ^= 1  # the first bit of MRTD
    (tmp_path / "quote").write_bytes(bytes(quote))
    done = verify(tmp_path / "quote", *options, *ANY)
    assert done.returncode == 2 and "not authentic (signature)" in done.stdout
    later = [o if not o.startswith("--time=") else "--time=2040-01-01" for o in options]
    done = verify(tmp_path / "quote", *later, *ANY, "--json=short")
    assert done.returncode == 2 and json.loads(done.stdout)["step"] == "validity"


@EVERY
@pytest.mark.skipif(not SHARED or not (SHARED / "index.json").exists(), reason="needs the quotes of real machines, which are not in this repository")
def test_bits_of_a_real_quote(tmp_path, step):
    """A genuine quote that is verified when nothing is flipped; the zeros after it, which no signature covers, must stay zeros."""
    quote = (SHARED / "qvl-tdx-quote.dat").read_bytes()
    options = [f"--collateral={SHARED / 'qvl-tdx-quote-collateral.json'}", "--time=2025-06-25", "--crl=required", *ANY]
    assert verify(SHARED / "qvl-tdx-quote.dat", *options).returncode == 0
    accepted, tried = count_accepted(tmp_path, quote, options, bits(len(quote), step, 8))
    assert accepted == 0 and tried == (8 * (len(quote) - 8) if step == 0 else len(range(8, len(quote), step)))
