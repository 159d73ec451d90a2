# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the suites share: the artifacts of tools/fetch-artifacts, cvmspawn run as a user runs it with what it leaves behind
counted, and the simulated SEV host.

CVMSPAWN_BUILD names the build directory (default: b). With MUST_WORK=1 what is missing is a failure, else a skip."""

import ctypes
import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sevsim_host
from launcher_fake import fake, small_initrd  # noqa: F401
from sevsim_host import build_folder, skip_or_fail

SOURCE = Path(__file__).resolve().parents[2]

PR_SET_CHILD_SUBREAPER = 36


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell: what is started here would not hear it either
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "full: takes long; runs with CVMSPAWN_FULL=1 only")
    config.addinivalue_line("markers", "soak: exceeds ./check --full; runs with CVMSPAWN_SOAK=1 only")


def pytest_collection_modifyitems(items):
    for item in items:
        if "soak" in item.keywords and os.environ.get("CVMSPAWN_SOAK") != "1":
            item.add_marker(pytest.mark.skip(reason="exceeds ./check --full: CVMSPAWN_SOAK=1, as ./check --soak sets it, runs it"))
    if os.environ.get("CVMSPAWN_FULL") == "1":
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes long: CVMSPAWN_FULL=1, as ./check --full sets it, runs it"))


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path_factory, monkeypatch):
    """Guests of other tests may have the same name."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("runtime")))


@pytest.fixture(scope="session")
def artifacts():
    done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(done.stderr.strip() or "tools/artifacts failed")
    words = (shlex.split(line)[0].partition("=") for line in done.stdout.splitlines())
    return {name: Path(value) for name, _, value in words}


@pytest.fixture(scope="session")
def kernel(artifacts):
    return artifacts["KERNEL"]


@pytest.fixture(scope="session")
def initrd(artifacts):
    return artifacts["INITRD"]


@pytest.fixture(scope="session")
def firmware(artifacts):
    return artifacts["FIRMWARE"]


@pytest.fixture(scope="session")
def descriptor(artifacts):
    return artifacts["DESCRIPTOR"]


@pytest.fixture(scope="session")
def qemu(artifacts):
    return artifacts["QEMU"]


def children_of(pid):
    try:
        lists = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for child in " ".join(lists).split()]


def descendants_of(pid):
    for child in children_of(pid):
        yield child
        yield from descendants_of(child)


# A child that removes what a killed launcher leaves.
KEEPER = "cvmspawn-keeper"


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


@dataclass
class Result:
    """How a run ended. `leftovers` names processes and files that outlived it: always to be empty."""

    status: int
    stdout: bytes
    stderr: bytes
    seconds: float
    leftovers: list = field(default_factory=list)

    @property
    def out(self):
        return self.stdout.decode(errors="replace")

    @property
    def err(self):
        return self.stderr.decode(errors="replace")


class Running:
    """A cvmspawn that has been started. `directory` holds its output, its TMPDIR, XDG_RUNTIME_DIR and RUNTIME_DIRECTORY."""

    def __init__(self, argv, directory, environment, stdin, pass_fds):
        self.directory = directory
        self.known = set(children_of(os.getpid()))
        self.places = [directory / "tmp", directory / "runtime"]
        self.control = directory / "control"
        for place in [*self.places, self.control]:
            place.mkdir(mode=0o700, parents=True)
        self.files = [open(directory / name, "w+b") for name in ("stdout", "stderr")]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=self.files[0],
            stderr=self.files[1],
            pass_fds=pass_fds,
            env={"RUNTIME_DIRECTORY": str(self.control), **environment, "TMPDIR": str(self.places[0]),
                 "XDG_RUNTIME_DIR": environment.get("TEST_XDG_RUNTIME_DIR", str(self.places[1]))},
        )

    @property
    def pid(self):
        return self.process.pid

    def qemu_pid(self, timeout=10):
        """The process id of its QEMU, as soon as there is one."""
        return self.wait_for(self._find_qemu, timeout, "QEMU did not start")

    def _find_qemu(self):
        return next((pid for pid in descendants_of(self.pid) if name_of(pid).startswith("qemu")), None)

    def output(self, stream="stdout"):
        return (self.directory / stream).read_bytes()

    def wait_for_output(self, text, stream="stdout", timeout=60):
        self.wait_for(lambda: text in self.output(stream), timeout, f"{text!r} did not come on {stream}")

    def wait_for(self, condition, timeout, otherwise):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if value := condition():
                return value
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        pytest.fail(f"{otherwise}; it said:\n" + self.output("stderr").decode(errors="replace")[-4000:])

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=120):
        """Waits for its end. A run that takes longer than `timeout` is killed and fails the test."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            leftovers = self._collect()
            said = self.output("stderr").decode(errors="replace")[-4000:]
            pytest.fail(f"not finished after {timeout} s (then left: {leftovers}); it said:\n{said}")
        seconds = time.monotonic() - self.started
        leftovers = self._collect()
        return Result(status, self.output("stdout"), self.output("stderr"), seconds, leftovers)

    def _collect(self):
        """What is still there 20 s after the end; processes are ended here, so that the next test starts clean."""
        deadline = time.monotonic() + 20
        while (left := self._survivors()) and time.monotonic() < deadline:
            time.sleep(0.01)
        leftovers = []
        for pid in left:
            leftovers.append(f"process {name_of(pid)}")
            for victim in [*descendants_of(pid), pid]:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self._survivors()
        for place in [*self.places, self.control]:
            leftovers += [f"file {path.relative_to(self.directory)}" for path in sorted(place.rglob("*"))]
        for file in self.files:
            file.close()
        return leftovers

    def _survivors(self):
        """Orphans that came to us since the start; those that have ended are reaped."""
        alive = []
        for pid in set(children_of(os.getpid())) - self.known - {self.pid}:
            try:
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    alive.append(pid)
            except ChildProcessError:
                pass
        return alive


class Cvmspawn:
    """cvmspawn from the build directory, told of the artifacts' QEMU and firmware, never with KVM: the same everywhere."""

    def __init__(self, program, artifacts, directory):
        self.program = program
        self.artifacts = artifacts
        self.directory = directory
        self.runs = 0
        self.running = []

    def start(self, *arguments, stdin=subprocess.DEVNULL, env=None, pass_fds=(), prefix=()):
        """Starts `cvmspawn ARGUMENTS`, as they are."""
        environment = dict(os.environ)
        for name in ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY"):
            environment.pop(name, None)
        environment["XDG_DATA_DIRS"] = f"{self.artifacts['FIRMWARE_DATA_DIR']}:/usr/local/share:/usr/share"
        environment.update(env or {})
        self.runs += 1
        argv = [str(word) for word in (*prefix, self.program, *arguments)]
        run = Running(argv, self.directory / f"run-{self.runs}", environment, stdin, pass_fds)
        self.running.append(run)
        return run

    def run(self, *arguments, timeout=120, **options):
        """Runs `cvmspawn ARGUMENTS` to its end."""
        return self.start(*arguments, **options).wait(timeout)

    @property
    def guest(self):
        """The options that boot the artifacts' guest."""
        return (
            f"--qemu={self.artifacts['QEMU']}",
            "--kvm=no",
            f"--linux={self.artifacts['KERNEL']}",
            f"--initrd={self.artifacts['INITRD']}",
        )

    def start_guest(self, *arguments, **options):
        return self.start(*self.guest, *arguments, **options)

    def boot(self, *arguments, timeout=120, **options):
        """Boots the artifacts' guest with these further options, to its end."""
        return self.start_guest(*arguments, **options).wait(timeout)


def adopt_orphans(adopt):
    """Whatever outlives its parent becomes our child: nothing can be left behind unseen."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


@pytest.fixture
def cvmspawn(artifacts, tmp_path):
    program = build_folder() / "programs" / "cvmspawn"
    if not program.exists():
        skip_or_fail(f"{program} is not built")
    tool = Cvmspawn(program, artifacts, tmp_path)
    adopt_orphans(True)
    yield tool
    for run in tool.running:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
            run._collect()
    adopt_orphans(False)


@pytest.fixture
def sim(tmp_path):
    """A simulated SEV host with an empty record."""
    host = sevsim_host.SimHost(tmp_path)
    yield host
    host.close()


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """The folder of a freshly made-up platform identity."""
    folder = tmp_path_factory.mktemp("platform")
    tool = sevsim_host.build_folder() / "sevsim" / "sevsim-identity"
    if not tool.exists():
        sevsim_host.skip_or_fail(f"the identity tool is not built: {tool} is missing")
    subprocess.run([tool, folder], check=True, timeout=120)
    return folder
