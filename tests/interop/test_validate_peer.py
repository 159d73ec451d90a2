# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn validate` and libvirt's virt-qemu-sev-validate side by side.

With --strict-compat both give the same status, the same OK and ERROR lines, the same usage errors, the same debug lines, and packets
that open to the same table. What the default does differently is its own table, DIFFERENCES, so that nothing else can slip in."""

import base64
import hashlib
import os
import random
import subprocess
import sys

import pytest
from conftest import SOURCE
from validate_programs import PYTHON, Peer, Result, fetch_peer

sys.path.insert(0, str(SOURCE / "tests/lib"))
import sev_owner  # noqa: E402

TEK, TIK = bytes(range(16)), bytes(range(16, 32))
NONCE = bytes(range(0xA0, 0xB0))
LUKS = "736869e5-84f0-4973-92ec-06879ce3da0b"
SECRETS = {
    "pw": b"passphrase",
    "aligned": b"B" * 24,
    "empty": b"",
    "newline": b"with a newline\n",
    "large": bytes(range(256)) * 20,
    "colon:name": b"colon",
}


# ---------------------------------------------------------------------------------------------------------- the files


def make_vmsa(seed):
    return hashlib.sha256(seed).digest() * 128


def write_files(folder):
    reset = (0x80B004).to_bytes(4, "little")
    area = (0x810000).to_bytes(4, "little") + (0xC00).to_bytes(4, "little")
    fw = sev_owner.firmware
    block, secret = sev_owner.RESET_BLOCK, sev_owner.SECRET_BLOCK
    other = "11111111-2222-3333-4444-555555555555"
    files = {
        "fw": fw([(secret, area), (block, reset)]),
        "fw-plain": b"no table at all",
        "fw-empty": b"",
        "fw-zero": fw([(block, reset)], length=0),
        "fw-no-info": fw([(secret, area)]),
        "fw-twice": fw([(block, b"\x44\x33\x22\x11"), (block, reset)]),
        "fw-long-info": fw([(block, reset + b"\1\2\3\4\5\6\7\x08\x09")]),
        "fw-short-info": fw([(block, b"\x77")]),
        "fw-cut": fw([(block, reset)])[-60:],
        "fw-huge-length": fw([(block, reset)], length=0xFFFF),
        "fw-short-length": fw([(block, reset)], length=5),
        "fw-remainder": fw([(block, reset)], length=18 + 22 + 7),
        "fw-footer": fw([(block, reset)], footer=other),
        "fw-no-area": fw([(block, reset)]),
        "kernel": b"kernel",
        "initrd": b"initrd",
        "nothing": b"",
        "vmsa0": make_vmsa(b"0"),
        "vmsa1": make_vmsa(b"1"),
        "vmsa-short": bytes(4095),
        "vmsa-long": bytes(4097),
        "tk": TEK + TIK,
        "tk-swapped": TIK + TEK,
        "tk-31": bytes(31),
        "tk-33": bytes(33),
        "tik": TIK,
        "tek": TEK,
        "key-15": bytes(15),
        "key-17": bytes(17),
        "a b": b"kernel",
        **SECRETS,
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "directory").mkdir()
    return files


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validate")
    return folder, write_files(folder)


# ------------------------------------------------------------------------------------------------------- the programs


@pytest.fixture(scope="session")
def peer(files):
    script, modules = fetch_peer()
    running = Peer(script, files[0], modules)
    yield running
    running.close()


@pytest.fixture(scope="session")
def ours(program, files):
    validate = program("validate")

    def run(argv, strict=True, env=None):
        done = subprocess.run(
            [validate, *(["--strict-compat"] if strict else []), *argv],
            cwd=files[0],
            capture_output=True,
            env=dict(os.environ, **(env or {})),
            timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


# ---------------------------------------------------------------------------------------------------- the command lines

FIELDS = ["--api-major", "1", "--api-minor", "55", "--build-id", "21"]
SKU = ["--cpu-family", "25", "--cpu-model", "1", "--cpu-stepping", "1"]
ES_FILES = ["-0", "vmsa0", "-1", "vmsa1"]
KERNEL = ["-k", "kernel", "-r", "initrd", "-e", "console=ttyS0"]


def good(data, policy="3", firmware="fw", kernel=False, vmsas=b""):
    """The measurement of a launch, by our Python's own arithmetic."""
    measured = data[firmware]
    if kernel:
        measured += sev_owner.kernel_table(data["kernel"], data["initrd"], b"console=ttyS0")
    return sev_owner.measurement(TIK, hashlib.sha256(measured + vmsas).digest(), int(policy), nonce=NONCE)


def base_line(data, policy="3", **keywords):
    return ["-f", "fw", "--tk", "tk", *FIELDS, "--policy", policy, "-m", good(data, policy, **keywords)]


def usage_lines(data):
    """Every rule between options, alone and with the next one broken as well."""
    b = base_line(data)
    yield []
    yield ["--tk", "tk"]
    yield from (["--tk", "tk", *b[:2], *extra] for extra in (["--tik", "tik"], ["--tek", "tek"], ["--tik", "tik", "--tek", "tek"]))
    yield ["--tik", "tik"]
    yield ["--tek", "tek", "-f", "fw"]
    whole = {"-m": "AAAA", "--api-major": "1", "--api-minor": "1", "--build-id": "1", "--policy": "1", "-f": "fw"}
    for missing in whole:
        yield ["--tk", "tk", *(w for k, v in whole.items() if k != missing for w in (k, v))]
    yield ["--tk", "tk", *(w for k, v in list(whole.items())[:3] for w in (k, v))]
    for extra in (
        ["-s", "luks-key:pw"],
        ["-s", "luks-key:pw", "--secret-header", "h"],
        ["-s", "luks-key:pw", "--secret-payload", "p"],
        ["--secret-payload", "p"],
        ["--secret-header", "h"],
        ["--secret-header", "h", "--secret-payload", "p"],
        ["-r", "initrd"],
        ["-e", "x"],
        ["-e", ""],
        ["-1", "vmsa1"],
        ["-0", "vmsa0", *SKU],
        ["-1", "vmsa1", "--cpu-family", "1"],
        *(SKU[:n] for n in (2, 4)),
        SKU[2:],
        ["--tk", ""],
        ["--tik", ""],
    ):
        yield [*b, *extra]
        yield [*b, "-q", *extra]


def parser_lines(data):
    """How argparse reads: abbreviations, clusters, values that look like options, integers."""
    b = base_line(data)
    m = good(data)
    yield ["--firm", "fw", "--tk", "tk", "--api-ma", "1", "--api-mi=55", "--bu", "21", "--pol", "3", "--meas", m]
    yield ["-ffw", "--tk=tk", *FIELDS, "--policy=3", f"-m{m}", "-dq"]
    yield ["-f=fw", "--tk=tk", *FIELDS, "--policy=3", f"-m={m}", "-qd"]
    yield ["--firmware=nosuch", *b, "--firmware=fw"]
    for extra in (
        ["--cpu", "1"],
        ["--cpu=1"],
        ["--s"],
        ["--se"],
        ["--secret"],
        ["--t", "x"],
        ["--api", "1"],
        ["--=x"],
        ["--nonsense"],
        ["--nonsense=1"],
        ["-x"],
        ["-dx"],
        ["-xd"],
        ["-d1"],
        ["-d="],
        ["-d=q"],
        ["-dq=1"],
        ["--debug=1"],
        ["--quiet="],
        ["--no-search-x"],
        ["extra"],
        ["extra", "more", "-q"],
        ["-"],
        [""],
        ["--"],
        ["--", "-q"],
        ["-e"],
        ["-k", "kernel", "-e", "-x y"],
        ["-k", "kernel", "-e", "-xy"],
        ["-k", "kernel", "-e", "-q z"],
        ["-k", "kernel", "-e", "--debug"],
        ["-k", "kernel", "-e", "--cpu"],
        ["-k", "kernel", "-e", "-"],
        ["-k", "kernel", "-e", "--", "x"],
        ["-k", "kernel", "-e=x"],
        ["-k", "kernel", "-e", ""],
        ["-n", "-1"],
        ["-n-1"],
        ["-1"],
        ["-0"],
        ["-e", "x y", "-kkernel"],
        ["-o"],
        ["-s"],
        ["-m"],
        ["--help=1"],
        ["-q-d"],
    ):
        yield [*b, *extra]
        yield [*extra, *b]
    for number in ("0x3", "0b11", "", " ", "3.0", "1_0", "1__0", "_1", "1_", "+3", "-3", "--3", "+ 3", " 3 ", "\t3\n", "003", "3a", "'", '"', "a'b", "a\"'b", "\\", "\x07", "é", "3" * 30):
        yield [*b, f"--policy={number}"]
    for option in ("--api-major", "--api-minor", "--build-id", "--num-cpus", "--cpu-family", "--cpu-model", "--cpu-stepping"):
        yield [*b, option, "x"]
        yield [*b, option]


def file_lines(data):
    """Keys, firmware and VMSAs of the wrong kind, in every place, and which error wins."""
    f = [*FIELDS, "--policy", "3", "-m", good(data)]
    for tk in ("tk", "tk-31", "tk-33", "nosuch", "directory", "nothing", "/dev/null", "tk-swapped", "no such 'file'", "ö"):
        yield ["-f", "fw", "--tk", tk, *f]
        yield ["-f", "fw", "-d", "--tk", tk, *f]
    for tik, tek in (("tik", "tek"), ("tek", "tik"), ("key-15", "tek"), ("tik", "key-15"), ("key-17", "key-17"), ("tik", "nosuch"), ("nosuch", "key-15"), ("", "tek")):
        yield ["-f", "fw", "--tik", tik, "--tek", tek, *f]
        yield ["-f", "fw", "-d", "--tik", tik, "--tek", tek, *f]
    for name in ("nosuch", "directory", "fw-empty", "fw-plain", ""):
        yield ["-f", name, "--tk", "tk", *f]
    for option in ("-k", "-r", "-0", "-1"):
        for name in ("nosuch", "directory", "vmsa-short", "vmsa-long", "nothing"):
            yield [*base_line(data), "-k", "kernel", "-0", "vmsa0", option, name]
    yield ["-f", "nosuch", "--tk", "nosuch", *f]
    yield ["-f", "fw", "--tk", "nosuch", "-k", "nosuch", *f]
    yield ["-f", "fw", "--tk", "tk", "-k", "nosuch", "-r", "nosuch2", *f]


def measurement_lines(data):
    """base64 as Python reads it; numbers out of range; what is compared."""
    rest = ["-f", "fw", "--tk", "tk", *FIELDS, "--policy", "3"]
    m = good(data)
    raw = base64.b64decode(m)
    texts = [m, m + "\n", "\n".join(m), m + "!", m.replace("/", "_"), m[:-1], m[:-2], m[:-3], m[:-4], m + "AAAA", m + "A", m + "AA", m + "AAA",
             m + "====", "", "=", "A", "AA", "AAA", "AA=", "AA==", "A===", "AA==BB==", "6c=jL", "é", "A" * 200,
             base64.b64encode(raw[:32]).decode(), base64.b64encode(raw[:40]).decode(), base64.b64encode(raw[:31]).decode(),
             base64.b64encode(raw + b"more").decode(), base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode(),
             base64.b64encode(raw[:47] + bytes([raw[47] ^ 1])).decode(), sev_owner.measurement(TIK, hashlib.sha256(data["fw"]).digest(), 3, nonce=b"")]  # fmt: skip
    for text in texts:
        yield [*rest, f"--measurement={text}"]
    for option, number in [(o, n) for o in ("--api-major", "--api-minor", "--build-id", "--policy") for n in ("-1", "255", "256", "4294967295", "4294967296", "99999999999999999999", "18446744073709551619", "-99999999999999999999")]:
        yield [*rest, "-m", m, f"{option}={number}"]
    yield [*rest, "-m", m, "--api-major=256", "--api-minor=-1"]
    yield [*rest, "-m", m, "--policy=4294967300", "-n", "1"]
    yield [*rest, "-m", "A", "--policy=7"]
    for words in ("console=ttyS0", " console=ttyS0", "console=ttyS0\n", "", "ä", "a" * 3000):
        yield [*base_line(data, kernel=True), *KERNEL[:4], "-e", words]
    yield [*base_line(data, kernel=True), *KERNEL]
    yield [*base_line(data, kernel=True), "-d", *KERNEL]
    yield [*base_line(data), "-d", "-k", "kernel"]
    yield [*base_line(data), "-d", "-k", "a b", "-r", "nothing"]


def es_lines(data):
    """SEV-ES: counts, pages from files and built ones, and every kind of firmware table."""
    v0, v1 = data["vmsa0"], data["vmsa1"]
    for n, pages in ((1, v0), (2, v0 + v1), (5, v0 + 4 * v1)):
        line = ["-f", "fw", "--tk", "tk", *FIELDS, "--policy", "7", "-m", good(data, "7", vmsas=pages)]
        yield [*line, *ES_FILES, "-n", str(n)]
        yield [*line, *ES_FILES, "-n", str(n), "-d"]
        yield [*line, *ES_FILES, "-n", str(n + 1)]
        yield [*line, "-0", "vmsa0", "-n", str(n)]
        yield [*line, "-n", str(n)]
        yield [*line, *ES_FILES]
        yield line
    yield [*line, *ES_FILES, "-n", "0"]
    yield [*line, *ES_FILES, "-n", "-5"]
    yield [*line, *ES_FILES[:2], "-n", "0"]
    yield [*line, *ES_FILES, "-n", "2", *KERNEL]
    for name in (n for n in data if n.startswith("fw")):
        for policy in ("3", "7"):
            yield ["-f", name, "--tk", "tk", *FIELDS, "--policy", policy, "-m", good(data), *SKU, "-n", "2", "-d"]
    for family, model, stepping in ((23, 1, 2), (25, 17, 1), (26, 2, 1), (15, 4, 1), (16, 10, 0), (0, 0, 0), (255, 255, 255), (4095, 4095, 17), (-1, -2, -3), (270, 0, 0), (271, 0, 0)):
        yield [*line[:-1], good(data), f"--cpu-family={family}", f"--cpu-model={model}", f"--cpu-stepping={stepping}", "-n", "3", "-d"]


def secret_lines(data):
    b = [*base_line(data), "--secret-header", "HEADER", "--secret-payload", "PAYLOAD"]
    specs = [["luks-key:pw"], ["luks-key:aligned"], ["luks-key:empty"], [f"{LUKS}:pw"], [f"{LUKS.upper()}:newline"],
             ["luks-key:pw", "11111111-2222-3333-4444-555555555555:initrd"], ["11111111-2222-3333-4444-555555555555:large", "luks-key:pw"],
             ["luks-key:pw", f"{LUKS}:pw"], ["luks-key:pw", f"{LUKS.upper()}:nosuch"], ["luks:pw"], ["luks-key"], ["luks-key:colon:name"], ["luks-key:"],
             [":pw"], [""], ["luks-key:nosuch"], ["luks-key:directory"], ["luks-key:pw", "x"], ["LUKS-KEY:pw"], [f"{{{LUKS}}}:pw"], [f"{LUKS[:-1]}:pw"]]  # fmt: skip
    for spec in specs:
        extra = [w for s in spec for w in ("-s", s)]
        yield [*b, *extra]
        yield [*b, "-q", *extra]
        yield [*b, "-m", "AAAA", *extra]
        if spec[0] != "luks-key:directory":
            yield [*b, "-d", *extra]
    yield [*base_line(data), "-s", "luks-key:pw", "--secret-header", "no/such", "--secret-payload", "PAYLOAD"]
    yield [*base_line(data), "-s", "luks-key:pw", "--secret-header", "HEADER", "--secret-payload", "directory"]


def random_lines(data, count):
    """Options thrown together, with a fixed seed: the order of errors is what is asked for here."""
    rng = random.Random(20261122)
    pool = [
        *(["--" + n, v] for n, values in {
            "measurement": [good(data), good(data, "7", vmsas=data["vmsa0"]), "AAAA", "A"],
            "api-major": ["1", "1", "256"], "api-minor": ["55", "55", "-1"], "build-id": ["21", "21", "x"],
            "policy": ["3", "3", "7", "4294967296"], "firmware": ["fw", "fw", "fw-plain", "nosuch"], "kernel": ["kernel", "nosuch"],
            "initrd": ["initrd"], "cmdline": ["console=ttyS0", ""], "num-cpus": ["1", "2", "0"], "vmsa-cpu0": ["vmsa0", "vmsa-short"],
            "vmsa-cpu1": ["vmsa1"], "cpu-family": ["25"], "cpu-model": ["1"], "cpu-stepping": ["1"], "tk": ["tk", "tk-31"], "tik": ["tik", "key-15"],
            "tek": ["tek", "key-17"], "inject-secret": ["luks-key:pw", "x:pw", "luks-key:nosuch"], "secret-header": ["HEADER"], "secret-payload": ["PAYLOAD"],
        }.items() for v in values),
        ["-q"], ["-d"], ["-i"], ["-g"],
    ]  # fmt: skip
    for _ in range(count):
        line = base_line(data, rng.choice("37")) if rng.random() < 0.7 else []
        for words in rng.sample(pool, rng.randint(1, 7)):
            line = [*line, *words] if rng.random() < 0.8 else [*words, *line]
        yield line


GROUPS = [usage_lines, parser_lines, file_lines, measurement_lines, es_lines, secret_lines]


def all_lines(data):
    lines = [(g.__name__, line) for g in GROUPS for line in g(data)]
    return lines + [("random_lines", line) for line in random_lines(data, 150)]


# ---------------------------------------------------------------------------------------------------------- the tests


def take_packet(folder, reported):
    paths = [folder / "HEADER", folder / "PAYLOAD"]
    there = [p.exists() for p in paths]
    if there == [True, False]:  # theirs leaves a header whose payload cannot be written; ours writes both or none
        there = [False, False]
    table = sev_owner.open_packet(TIK, TEK, reported, *(p.read_text() for p in paths)) if all(there) else None
    for p in paths:
        p.unlink(missing_ok=True)
    return there, table


@pytest.mark.full
def test_strict_is_the_same(peer, ours, files):
    folder, data = files
    lines = all_lines(data)
    reported = base64.b64decode(good(data))
    different = []
    for group, line in lines:
        theirs = peer.run(line)
        their_packet = take_packet(folder, reported) if group != "random_lines" else take_files(folder)
        mine = ours(line)
        my_packet = take_packet(folder, reported) if group != "random_lines" else take_files(folder)
        if mine.seen() != theirs.seen() or my_packet != their_packet:
            different.append(f"{group}: {line}\n  theirs {theirs.seen()} {their_packet}\n  ours   {mine.seen()} {my_packet}")
    print(f"{len(lines)} command lines, {len(different)} different")
    assert len(lines) >= 300
    assert not different, "\n".join(different[:20])


def take_files(folder):
    """Which of the two files a run left: in the random lines every launch has another measurement."""
    there = [(folder / n).exists() for n in ("HEADER", "PAYLOAD")]
    if there == [True, False]:  # see take_packet()
        there = [False, False]
    for n in ("HEADER", "PAYLOAD"):
        (folder / n).unlink(missing_ok=True)
    return there


@pytest.mark.full
def test_the_driver_is_the_program(peer, ours, files):
    """A few lines by the real program as users start it, against the driver that runs it for the other tests."""
    folder, data = files
    for line in ([], base_line(data), [*base_line(data), "-d", "-m", "AAAA"], ["--cpu"]):
        done = subprocess.run([PYTHON, peer.script, *line], cwd=folder, env=peer.environment, capture_output=True)
        assert Result(done.returncode, done.stdout, done.stderr).seen() == peer.run(line).seen()


def differences(data):
    """(what, command line, the original's status and a part of what it says, the default's)"""
    b = base_line(data)
    out = ["--secret-header", "HEADER", "--secret-payload", "PAYLOAD"]
    es = ["-f", "fw", "--tk", "tk", *FIELDS, "--policy", "7", "-m", good(data, "7", vmsas=data["vmsa0"])]
    yield "one vCPU with its VMSA alone", [*es, "-0", "vmsa0", "-n", "1"], (6, "NoneType"), (0, "OK: Looks good")
    yield "no vCPU at all", [*es, *ES_FILES, "-n", "0"], (0, "OK: Looks good"), (2, "at least 1")
    yield "OK before a bad alias", [*b, *out, "-s", "x:pw"], (2, "OK: Looks good"), (2, "ERROR: Secret alias")
    yield "OK before a missing file", [*b, *out, "-s", "luks-key:nosuch"], (6, "OK: Looks good"), (6, "ERROR: [Errno 2]")
    yield "a path with a colon", [*b, *out, "-s", "luks-key:colon:name"], (2, "Expecting"), (0, "OK: Injected 1")
    yield "more secrets than fit", [*b, *out, "-s", "luks-key:large"], (0, "OK: Injected"), (2, "secret area has only 3072")
    no_area = ["-f", "fw-no-area", *b[2:-1], good(data, firmware="fw-no-area")]
    yield "no place for secrets", [*no_area, *out, "-s", "luks-key:pw"], (0, "OK: Injected"), (2, "no area for secrets")
    plain = ["-f", "fw-plain", *b[2:-1], good(data, firmware="fw-plain")]
    yield "VMSAs nobody asked for", [*plain, *SKU], (6, "footer GUID not found"), (0, "OK: Looks good")
    yield "keys in the debug log", [*b, "-d"], (0, "[DEBUG]: TIK(hex): " + TIK.hex()), (0, "[DEBUG]: Measured-msg")


@pytest.mark.full
def test_default_differs_as_intended(peer, ours, files):
    folder, data = files
    for what, line, (their_status, their_text), (my_status, my_text) in differences(data):
        theirs = peer.run(line)
        take_files(folder)
        mine = ours(line, strict=False)
        take_files(folder)
        strict = ours(line)
        take_files(folder)
        assert strict.seen() == theirs.seen(), what
        assert theirs.status == their_status and their_text in theirs.out + theirs.err, (what, theirs.seen())
        assert mine.status == my_status and my_text in mine.out + mine.err, (what, mine.seen())
        assert TIK.hex() not in mine.err and TEK.hex() not in mine.err, what
        if my_status != 0:
            assert "OK" not in mine.out, what


@pytest.mark.full
def test_default_is_the_same_elsewhere(peer, ours, files):
    """Outside the intended differences the default has the original's status and its first words."""
    folder, data = files
    intended = {tuple(line) for _, line, _, _ in differences(data)}
    for group, line in all_lines(data):
        if tuple(line) in intended or group in ("secret_lines", "random_lines", "es_lines"):
            continue
        theirs = peer.run(line)
        mine = ours(["--no-search", *line], strict=False)
        assert mine.status == theirs.status, line
        their_lines = [x for x in theirs.lines() if not x.startswith(("[DEBUG]: TIK(hex)", "[DEBUG]: TEK(hex)"))]
        assert [x for x in mine.lines() if not x.startswith("NOTE")] == their_lines, line
        assert mine.out == theirs.out, line


def test_padding_without_the_extra_block(ours, files):
    folder, data = files
    for name, content in SECRETS.items():
        if name == "large":
            continue
        line = [*base_line(data), "--secret-header", "HEADER", "--secret-payload", "PAYLOAD", "-s", f"luks-key:{name}"]
        assert ours(line, strict=False).status == 0
        _, table = take_packet(folder, base64.b64decode(good(data)))
        assert table == sev_owner.secret_table([(LUKS, content)])
        if ":" in name:
            continue
        assert ours(line).status == 0
        _, table = take_packet(folder, base64.b64decode(good(data)))
        assert table == sev_owner.secret_table([(LUKS, content)], pad_always=True)
