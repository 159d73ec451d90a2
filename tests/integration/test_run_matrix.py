# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn run-matrix`: its file, the guests at once, what is left of them, and what CI servers get. A stand-in for QEMU behaves as each test says;
the last test boots real guests."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import xml.etree.ElementTree as ElementTree

import pytest
from launcher_fake import TOOK_TOO_LONG
from sevsim_host import build_folder, skip_or_fail

yaml = pytest.importorskip("yaml", reason="python3-yaml reads the same files to compare")

GUEST = {"kvm": "no", "tpm": "no"}
WORKS, FAILS, WAITS = "vm.start(); vm.power_off()", "vm.start(); vm.power_off('guest-panic')", "vm.start(); vm.serve()"


class Matrix:
    """Files for run-matrix in a folder, with options that start stand-ins."""

    def __init__(self, fake, folder):
        self.fake, self.folder, self.results = fake, folder, folder / "results"

    def file(self, guests, name="m.json", **more):
        """guests: name to scenario, or to (scenario, members)."""
        rows = []
        for guest, what in guests.items():
            scenario, members = what if isinstance(what, tuple) else (what, {})
            options = {"qemu": str(self.fake.qemu(scenario)), "linux": str(self.fake.kernel), **GUEST, **members.pop("options", {})}
            rows.append({"name": guest, "options": options, **members})
        path = self.folder / name
        path.write_text(json.dumps({"guests": rows, **more}))
        return path

    def start(self, guests, *options, **more):
        return self.fake.cvmspawn.start("run-matrix", f"--output={self.results}", *options, self.file(guests, **more))

    def run(self, guests, *options, **more):
        result = self.start(guests, *options, **more).wait(TOOK_TOO_LONG)
        assert result.leftovers == []
        return result

    def lines(self):
        return {row["guest"]: row for row in map(json.loads, (self.results / "results.jsonl").read_text().splitlines())}

    def junit(self):
        return ElementTree.parse(self.results / "junit.xml").getroot().find("testsuite")


@pytest.fixture
def matrix(fake, tmp_path):
    return Matrix(fake, tmp_path)


def check(text, name="m.yaml", folder=None, *options):
    """Status and output of --print; the messages without the program's name."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = subprocess.run([build_folder() / "programs/cvmspawn", "run-matrix", "--print", *options, path], capture_output=True, text=True, timeout=30)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.replace("cvmspawn run-matrix: ", "").strip()


# --- the file --------------------------------------------------------------------------------------------------------------


def test_layers(tmp_path):
    """Defaults, then templates from the outermost on, then the guest; an option keeps its first place."""
    text = """
defaults:
  options: {linux: k, initrd: [a, b], cpus: 2, quiet: true}
  kernel-arguments: [x]
  retry: 3
templates:
  outer: {options: {cpus: 3, firmware: f}, expect-status: 7}
  inner: {extends: outer, options: {firmware: g}, kernel-arguments: [quiet, 9]}
guests:
- name: plain
- name: deep.one
  extends: inner
  options: {initrd: c, quiet: false, kvm: no, ram: 1024, uuid: 007}
  retry: 0
- {name: named, options: {machine: m, linux: false}}
"""
    status, guests, said = check(text, folder=tmp_path)
    assert (status, said) == (0, "")
    assert guests == [
        {"guest": "plain", "expected-status": 0, "retry": 3,
         "arguments": ["--machine=plain", "--linux=k", "--initrd=a", "--initrd=b", "--cpus=2", "--quiet", "--", "x"]},
        {"guest": "deep.one", "expected-status": 7, "retry": 0,
         "arguments": ["--machine=deep-one", "--linux=k", "--initrd=c", "--cpus=3", "--firmware=g", "--kvm=no", "--ram=1024", "--uuid=007", "--", "quiet", "9"]},
        {"guest": "named", "expected-status": 0, "retry": 3, "arguments": ["--initrd=a", "--initrd=b", "--cpus=2", "--quiet", "--machine=m", "--", "x"]}]  # fmt: skip
    # The same as JSON, as PyYAML understands it.
    read = yaml.safe_load(text.replace("kvm: no", "kvm: 'no'").replace("007", "'007'"))
    assert check(json.dumps(read), "m.json", tmp_path)[1] == guests
    assert check(json.dumps(read), "m", tmp_path)[1] == guests
    assert check(text, "m", tmp_path)[1] == guests
    assert check(text, "m.json", tmp_path)[0] == 1


WRONG = {
    "": "empty", "x": "expected an object", "[]": "expected an object", "guests: []": "guests: expected a list of 1 to 4096 guests",
    "guest: [{name: x}]": "unknown member 'guest'", "{}": "guests",
    "guests: [{name: x, option: {}}]": "guest 1 of the list: unknown member 'option'",
    "guests: [{name: x}, {options: {}}]": "guest 2 of the list: ", "guests: [{name: ../x}]": "'../x' must be 1 to 64 letters",
    "guests: [{name: .x}]": "'.x' must be", "guests: [{name: a.b}, {name: A-B}]": "the same but for case and dots: 'a.b' and 'A-B'",
    "guests: [{name: x, extends: y}]": "guest 'x': extends: no template is called 'y'",
    "templates: {a: {extends: b}, b: {extends: a}}\nguests: [{name: x}]": "in a cycle: a -> b -> a",
    "templates: {a: {extends: a}}\nguests: [{name: x, extends: a}]": "in a cycle: a -> a",
    "templates: {a: {name: b}}\nguests: [{name: x}]": "templates: 'a': unknown member 'name'",
    "defaults: {extends: a}\nguests: [{name: x}]": "the defaults cannot extend a template",
    "guests: [{name: x, options: {cpus: {}}}]": "the value of 'cpus' must be a text", "guests: [{name: x, options: {cpus: null}}]": "the value of 'cpus' must be",
    "guests: [{name: x, options: {initrd: [[]]}}]": "'initrd' is a list whose element 1", "guests: [{name: x, options: {-cpus: 1}}]": "'-cpus' is not the long name",
    "guests: [{name: x, options: {status-fd: 1}}]": "'status-fd' cannot be used in a matrix: run-matrix reads the events itself",
    "jobs: 0\nguests: [{name: x}]": "jobs: expected a number from 1 to 1024, not 0",
    "guests: [{name: x, expect-status: 256}]": "256 is not an exit status", "guests: [{name: x, retry: -1}]": "retry", "jobs: 5000\nguests: [{name: x}]": "jobs: expected a number from 1 to 1024, not 5000",
    "guests: [{name: x, kernel-arguments: quiet}]": "kernel-arguments: expected a list of texts",
    "guests: [{name: x}\n": "line 2, column 1:", "a: 1\na: 2\n": "line 2, column 1: duplicate key 'a'", "a: &x 1\n": "line 1, column 4: anchors are not supported",
    "a: *x\n": "aliases are not supported", "a: !!str 1\n": "tags are not supported", "? [a]\n: 1\n": "a key must be a text", "<<: 1\n": "merge keys are not supported",
    "a: 1\n---\nb: 1\n": "a second document", "[" * 40 + "]" * 40: "nested too deeply", "a: \"\\0\"\nguests: [{name: x}]": "unknown member 'a'",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_wrong_files(tmp_path, text):
    status, guests, said = check(text, folder=tmp_path)
    assert (status, guests) == (1, [])
    assert WRONG[text] in said and said.startswith(f"'{tmp_path}/m.yaml': ") and "\n" not in said


def test_bytes_that_are_not_text(tmp_path):
    for text in (b"guests: [{name: \xff}]", b"guests: [{name: x, options: {run: \"\\uD800\"}}]", b"\0", b"a: \x01", b"\xff\xfeg\0"):
        status, _, said = check(text, folder=tmp_path)
        assert status == 1 and said and "\n" not in said, text
    chain = {f"t{n}": {"extends": f"t{n + 1}"} for n in range(100)} | {"t100": {}}
    assert "more than 32 templates" in check(json.dumps({"templates": chain, "guests": [{"name": "x"}]}), "m.json", tmp_path)[2]


def test_an_option_that_cvmspawn_refuses_runs_nothing(matrix):
    for options, why in (({"nonsense": 1}, "unknown option '--nonsense'"), ({"expect": "aa"}, "--expect"), ({"initrd": "/none"}, "'/none'")):
        result = matrix.run({"good": WORKS, "bad": (WORKS, {"options": options})})
        assert result.status == 1 and f"m.json': guest 'bad': " in result.err and why in result.err
        assert not matrix.results.exists()
    result = matrix.run({"good": WORKS}, "--guest=goof")
    assert result.status == 1 and "--guest: the file has no guest 'goof'" in result.err


# --- guests ----------------------------------------------------------------------------------------------------------------


def test_results(matrix, small_initrd):
    """One guest of each kind: a line, a log and a test case each; what one does has no effect on the others."""
    run = {"options": {"initrd": str(small_initrd), "run": "true"}}
    result = matrix.run({
        "passed": WORKS, "panic": FAILS, "status": ("vm.start(); vm.work(3, b'<a & b>\\x1b[2J\\xff\\n')", {**run, "expect-status": 3}),
        "other": ("vm.start(); vm.work(4, b'over & out <x>\\x07\\n')", run), "late": (WAITS, {"options": {"timeout": "5s"}}), "qemu": "sys.exit(1)"},
        "--json=short", "-J3")  # fmt: skip
    assert result.status == 3
    rows = matrix.lines()
    assert {name: row["result"] for name, row in rows.items()} == {"passed": "passed", "panic": "failed", "status": "passed", "other": "failed", "late": "error", "qemu": "error"}
    assert {name: row["status"] for name, row in rows.items()} == {"passed": 0, "panic": 126, "status": 3, "other": 4, "late": 124, "qemu": 125}
    assert sorted(map(json.dumps, rows.values())) == sorted(json.dumps(json.loads(line)) for line in result.out.splitlines())
    for name, row in rows.items():
        assert row["attempts"] == 1 and row["logs"] == [f"{name}.log"] and row["digest"] is None and "simulated" not in row
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["started"]) and row["usec"] > 0
        assert (row["launch-usec"] is None) == (name == "qemu")
    assert (matrix.results / "status.log").read_bytes().endswith(b"<a & b>\x1b[2J\xff\n")
    suite = matrix.junit()
    assert {n: suite.get(n) for n in ("name", "tests", "failures", "errors", "skipped")} == {"name": "m.json", "tests": "6", "failures": "2", "errors": "2", "skipped": "0"}
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == ["passed", "panic", "status", "other", "late", "qemu"]
    assert cases["other"].find("failure").get("message") == "exit status 4, expected 0"
    assert cases["late"].find("error").get("message").startswith("the time limit ended the guest")
    assert "over & out <x>" in cases["other"].find("system-out").text and cases["passed"].find("failure") is None
    assert "[2J" not in cases["status"].find("system-out").text
    summary = (matrix.results / "summary.md").read_text()
    assert "2 passed, 2 failed, 2 with errors, 0 not run to their end" in summary and "| other | failed |" in summary
    assert sorted(p.name for p in matrix.results.iterdir()) == sorted([*(f"{n}.log" for n in rows), "junit.xml", "results.jsonl", "summary.md"])
    # Another run replaces it all.
    assert matrix.run({"passed": WORKS}, "-q").status == 0
    assert list(matrix.lines()) == ["passed"] and matrix.junit().get("tests") == "1"


def test_one_guest_of_the_file(matrix):
    result = matrix.run({"a": FAILS, "b": WORKS, "c": FAILS}, "--guest=b")
    assert result.status == 0 and list(matrix.lines()) == ["b"]


def test_one_guest_without_a_file(matrix):
    launch = [f"--qemu={matrix.fake.qemu(FAILS)}", f"--linux={matrix.fake.kernel}", "--kvm=no", "--tpm=no"]
    for status, options in ((0, ["--expect-status=126"]), (3, [])):
        result = matrix.fake.cvmspawn.run("run-matrix", f"--output={matrix.results}", "--launch=smoke", *options, "--", *launch)
        assert (result.status, result.leftovers) == (status, []) and matrix.junit().get("name") == "smoke"
    for option in ("--help", "-h", "--version", "--print=config", "--status-fd=1", "--json", "--shell"):
        result = matrix.fake.cvmspawn.run("run-matrix", f"--output={matrix.folder}/other", "--launch=smoke", "--", *launch, option)
        assert result.status == 1 and f"'{option}' cannot be used here" in result.err and not (matrix.folder / "other").exists()
    result = matrix.fake.cvmspawn.run("run-matrix", "--launch=a/b", "--", *launch)
    assert result.status == 1 and "'a/b', is not fit for a file" in result.err


def test_names_begin_at_the_file(matrix, tmp_path):
    (tmp_path / "k").symlink_to(matrix.fake.kernel)
    assert matrix.run({"a": (WORKS, {"options": {"linux": "k"}})}).status == 0


def test_at_most_so_many_at_once(matrix):
    """Each stand-in counts how many there are, until there were once as many as may be."""
    count = """import glob
open(f'{D}/run-{os.getpid()}', 'x')
for _ in range(300):
    open(f"{D}/most-{len(glob.glob(f'{D}/run-*'))}", 'w').close()
    if os.path.exists(f'{D}/most-{J}'):
        break
    time.sleep(.1)
vm.start()
time.sleep(.3)
os.unlink(f'{D}/run-{os.getpid()}')
vm.power_off()"""
    for jobs in (1, 3):
        folder = matrix.folder / f"j{jobs}"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        guests = {f"g{n}": f"D, J = {str(folder)!r}, {jobs}\n{count}" for n in range(6)}
        result = matrix.run(guests, f"-J{jobs}") if jobs > 1 else matrix.run(guests, jobs=1)
        assert result.status == 0
        assert max(int(p.name[5:]) for p in folder.glob("most-*")) == jobs


def test_retry(matrix):
    """A guest that passes the second time has passed; each attempt has its log. Attempts can have different users: the first makes the mark."""
    once = f"p = {str(matrix.folder / 'mark')!r}; first = not os.path.exists(p); first and open(p, 'x').close(); vm.start(); vm.power_off('guest-panic' if first else 'guest-shutdown')"
    matrix.folder.chmod(0o777)
    result = matrix.run({"flaky": (once, {"retry": 2}), "bad": (FAILS, {"retry": 1}), "good": WORKS})
    rows = matrix.lines()
    logs = {p.name: p.read_text() for p in matrix.results.glob("flaky*.log")}
    assert result.status == 3 and (rows["flaky"]["result"], rows["flaky"]["attempts"]) == ("passed", 2), (rows["flaky"], logs)
    assert (rows["bad"]["result"], rows["bad"]["attempts"], rows["good"]["attempts"]) == ("failed", 2, 1)
    assert rows["bad"]["logs"] == ["bad.log", "bad@2.log"] and (matrix.results / "bad@2.log").exists()
    assert matrix.run({"bad": (FAILS, {"retry": 5})}, "--retry=0").status == 3 and matrix.lines()["bad"]["attempts"] == 1


def test_fail_fast(matrix):
    result = matrix.run({"slow": WAITS, "bad": "vm.start(); time.sleep(.5); vm.power_off('guest-panic')", "never": WORKS}, "-J2", "--fail-fast")
    assert result.status == 3
    assert {name: row["result"] for name, row in matrix.lines().items()} == {"slow": "cancelled", "bad": "failed", "never": "not-run"} or \
        matrix.lines()["slow"]["result"] == "passed"  # it answered the power button
    assert matrix.junit().get("skipped") in ("1", "2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(matrix, number):
    """Every guest ends, and the results so far are complete."""
    run = matrix.start({"done": WORKS, "deaf": "vm.start(); vm.serve(deaf=['system_powerdown'])", "stuck": f"vm.start(); time.sleep(600)", "never": WORKS}, "-J2")
    run.wait_for(lambda: (matrix.results / "results.jsonl").exists() and "done" in matrix.lines() and (matrix.results / "stuck.log").exists(), 60, "guests did not start")
    run.wait_for(lambda: len([1 for p in ("deaf", "stuck") if (matrix.results / f"{p}.log").exists()]) == 2, 60, "guests did not start")
    time.sleep(.5)
    run.signal(number)
    time.sleep(.2)
    run.signal(number)
    result = run.wait(TOOK_TOO_LONG)
    assert result.status == 128 + number and result.leftovers == []
    assert {name: row["result"] for name, row in matrix.lines().items()} == {"done": "passed", "deaf": "interrupted", "stuck": "interrupted", "never": "not-run"}
    assert matrix.junit().get("tests") == "4" and matrix.junit().get("skipped") == "3"


def test_killed(matrix):
    """No guest outlives it, and results.jsonl has whole lines."""
    run = matrix.start({"done": WORKS, "stuck": "vm.start(); time.sleep(600)"}, "-J2")
    run.wait_for(lambda: (matrix.results / "results.jsonl").exists() and "done" in matrix.lines(), 60, "no result")
    run.signal(signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert [left for left in result.leftovers if left.startswith("process")] == []
    assert matrix.lines()["done"]["result"] == "passed"


def test_a_folder_that_cannot_be_written(matrix):
    matrix.results.write_text("a file")
    result = matrix.run({"a": WORKS})
    assert result.status == 1 and f"cannot make the directory '{matrix.results}'" in result.err
    matrix.results.unlink()
    (matrix.results / "junit.xml").mkdir(parents=True)
    result = matrix.run({"a": WORKS})
    assert result.status == 1 and "cannot remove" in result.err and "junit.xml" in result.err


def test_a_full_disk(matrix):
    """One page, which the first guest's log takes: the line of its result is missing as a whole, and the next guest is not started."""
    path = matrix.file({"a": WORKS, "b": WORKS})
    matrix.results.mkdir()
    argv = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=4k none "$1" && shift && "$@"; s=$?; stat -c %s "$0"; exit $s', matrix.results / "results.jsonl",
            matrix.results, build_folder() / "programs/cvmspawn", "run-matrix", "-J1", f"--output={matrix.results}", path]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TOOK_TOO_LONG)
    if "unshare" in done.stderr:
        skip_or_fail("no mount namespace here: " + done.stderr)
    assert (done.returncode, done.stdout) == (1, "0\n"), done.stderr
    assert f"cannot write '{matrix.results}/results.jsonl': No space left on device" in done.stderr


def test_a_full_standard_output(matrix):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([build_folder() / "programs/cvmspawn", "run-matrix", "--json", f"--output={matrix.results}", matrix.file({"a": WORKS, "b": WAITS})],
                              stdout=full, stderr=subprocess.PIPE, timeout=TOOK_TOO_LONG)  # fmt: skip
    assert done.returncode == 1 and b"standard output" in done.stderr
    assert matrix.lines()["a"]["result"] == "passed"


def test_table_on_a_terminal(matrix):
    """Lines of what runs, drawn over; a line that stays for each guest that has ended."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    path = matrix.file({"first": WORKS, "second": "vm.start(); time.sleep(1.3); vm.power_off()"})
    with subprocess.Popen([build_folder() / "programs/cvmspawn", "run-matrix", f"--output={matrix.results}", path], stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            pass
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0
    assert re.search(r"second +(booting|running) +[01] s", text) and "1 of 2 ended" in text and "\033[2F\033[J" in text
    assert all(len(line) < 60 for line in re.sub(r"\033\[[0-9]*[FJ]", "", text).splitlines() if line.startswith("  "))
    screen = re.split(r"\033\[\d+F\033\[J", text)
    assert "guest 'first' passed" in text and screen[-1].count("\n") >= 1 and "results in" in screen[-1]


@pytest.mark.full
def test_real_guests(cvmspawn, artifacts, tmp_path):
    """A plain guest and a simulated one under TCG, by YAML, at once; the digest is the predicted one."""
    path, results = tmp_path / "m.yaml", tmp_path / "results"
    path.write_text(f"""
defaults:
  options: {{qemu: {artifacts["QEMU"]}, kvm: no, linux: {artifacts["KERNEL"]}, initrd: {artifacts["INITRD"]}, timeout: 4min}}
templates:
  snp: {{options: {{coco: sev-snp, simulate: true, firmware: {artifacts["FIRMWARE"]}}}}}
guests:
- name: plain
  options: {{run: "echo here; exit 3"}}
  expect-status: 3
- name: snp
  extends: snp
  options: {{run: "grep -c . /proc/cmdline"}}
""")
    result = cvmspawn.run("run-matrix", "-J2", f"--output={results}", path, timeout=300)
    assert (result.status, result.leftovers) == (0, []), result.err
    rows = {row["guest"]: row for row in map(json.loads, (results / "results.jsonl").read_text().splitlines())}
    assert (rows["plain"]["result"], rows["plain"]["status"], rows["plain"]["digest"]) == ("passed", 3, None)
    assert rows["snp"]["result"] == "passed" and rows["snp"]["simulated"] is True and rows["snp"]["mode"] == "sev-snp"
    predicted = cvmspawn.run("--print=digest", *cvmspawn.guest, "--coco=sev-snp", "--simulate", f"--firmware={artifacts['FIRMWARE']}", "--run=grep -c . /proc/cmdline")
    assert rows["snp"]["digest"] == predicted.out.strip()
    assert "here" in (results / "plain.log").read_text() and "SIMULATED" in (results / "snp.log").read_text()
