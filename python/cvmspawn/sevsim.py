# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands on the simulated SEV and TDX host of cvmspawn-sevsim(1), for tests in Python. Everything here is a SIMULATION: nothing is
encrypted, no guest code runs, nothing is signed by AMD or Intel.

    from cvmspawn.sevsim import Host
    result = Host("records").run("qemu-system-x86_64", ...)
    assert result.launch.digest == expected

With pytest, in conftest.py or a test module (see cvmspawn-sevsim-helpers(7)):

    pytest_plugins = ["cvmspawn.sevsim"]

    def test_launch(sevsim):
        assert sevsim.run("my-launcher", "--sev-snp").launch.digest == expected

Only the standard library is needed; the fixtures exist where pytest is installed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess

__all__ = ["Host", "Launch", "Result", "SevsimError", "SharedHost", "make_platform"]


class SevsimError(Exception):
    """The simulated host could not be set up, or its record has not the expected form. Not raised for a command that fails."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """One launch, as the simulated secure processor saw it. digest, vm_type and measurement are None where the launch did not get that far."""

    name: str
    folder: pathlib.Path
    vm_type: str | None
    digest: str | None
    measurement: str | None
    finished: bool
    refused: tuple[str, ...]
    secrets: tuple[str, ...]

    def commands(self, name=None):
        """The recorded commands in their order, as dictionaries; with a name only those."""
        lines = (self.folder / "commands.jsonl").read_text(encoding="utf-8").splitlines()
        commands = [json.loads(line) for line in lines if line]
        return [c for c in commands if name in (None, c["command"])]

    def pages(self, command):
        """The bytes that a command of commands() handed to the secure processor; empty if it has none."""
        if "pages_offset" not in command:
            return b""
        with open(self.folder / "pages.bin", "rb") as pages:
            pages.seek(command["pages_offset"])
            return pages.read(command["pages_size"])


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command ended, what it printed, and what it launched. status is that of cvmspawn sevsim: the command's, or 3 if a recorded
    digest is not the expected one."""

    status: int
    stdout: str
    stderr: str
    predicted: str | None
    equal: bool | None
    launches: tuple[Launch, ...]

    @property
    def launch(self):
        """The only launch; any other number of launches is an error."""
        if len(self.launches) != 1:
            raise SevsimError(f"expected one recorded launch, found {len(self.launches)}; the command ended with status {self.status} "
                              f"and said: {self.stderr.strip() or 'nothing'}")
        return self.launches[0]


def _program(program):
    return os.fspath(program or os.environ.get("CVMSPAWN") or "cvmspawn")


def _split(output):
    """What the command printed, and the object that cvmspawn sevsim printed after it."""
    head, newline, last = output.rstrip("\n").rpartition("\n")
    start = last.find("{")
    while start >= 0:
        try:
            answer = json.loads(last[start:])
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.get("simulation") is True and "launches" in answer:
            return head + newline + last[:start], answer
        start = last.find("{", start + 1)
    return output, None


def _launch(answer):
    return Launch(name=answer["name"], folder=pathlib.Path(answer["folder"]), vm_type=answer["vm-type"], digest=answer["digest"],
                  measurement=answer["measurement"], finished=answer["finished"], refused=tuple(answer["refused"]),
                  secrets=tuple(answer["secrets"]))


def _options(**values):
    return [f"--{name.replace('_', '-')}={os.fspath(value)}" for name, value in values.items() if value is not None]


class Host:
    """A simulated host. Records of all its launches are kept in the folder record, which is created if it is missing.

    program: cvmspawn(1) (default: $CVMSPAWN, otherwise the one in $PATH). platform, guest and sev_node are options of
    cvmspawn-sevsim(1). Only arguments that are given are passed on.
    """

    def __init__(self, record, *, platform=None, guest=None, sev_node=None, program=None):
        self.record = pathlib.Path(record)
        self.platform = None if platform is None else pathlib.Path(platform)
        self.program = _program(program)
        self.options = [f"--record={self.record}", *_options(platform=platform, guest=guest, sev_node=sev_node)]

    def run(self, *command, expect_digest=None, **options):
        """Run a command with its children on this host, and return the Result with its launches. Keyword arguments go to subprocess.run():
        env, cwd, timeout, input and the like; output is captured as text."""
        if not command:
            raise SevsimError("no command: run('PROGRAM', 'ARGUMENT', ...)")
        argv = [self.program, "sevsim", "--json=short", *self.options]
        if expect_digest is not None:
            argv.append(f"--expect-digest={expect_digest}")
        done = _run([*argv, "--", *map(os.fspath, command)], options)
        stdout, answer = _split(done.stdout)
        if answer is None:
            raise SevsimError(f"the simulated host did not report its launches (status {done.returncode}): {done.stderr.strip()}")
        return Result(status=done.returncode, stdout=stdout, stderr=done.stderr, predicted=answer["predicted"], equal=answer["equal"],
                      launches=tuple(_launch(launch) for launch in answer["launches"]))


class SharedHost(Host):
    """A simulated host that stays until stop(), or until the end of a with statement: commands after and beside one another share its platform,
    its address space identifiers and the handles of its guests.

        with SharedHost("host", record="records") as host:
            host.run("my-launcher", "--sev-snp")

    folder is the host's and goes away with it, as do the records unless record names another folder; each command has a folder run-NNN there.
    platform, generation, guest, sev_node and faults are options of cvmspawn-sevsim(1).
    """

    def __init__(self, folder, *, record=None, platform=None, generation=None, guest=None, sev_node=None, faults=None, program=None):
        super().__init__(record or pathlib.Path(folder) / "record", platform=platform, program=program)
        self.folder = pathlib.Path(folder)
        self.process = None
        self._listen = _options(listen=folder, record=record, platform=platform, generation=generation, guest=guest, sev_node=sev_node, faults=faults)
        self.options = [f"--join={self.folder}"]

    def start(self):
        """Set the host up, and return it when commands can run there. The first start on a platform takes some seconds, for its keys."""
        if self.process is not None:
            raise SevsimError(f"the simulated host in '{self.folder}' runs already")
        # pylint: disable-next=consider-using-with
        process = _found(subprocess.Popen, [self.program, "sevsim", "--json=short", *self._listen], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, errors="replace")  # fmt: skip
        try:
            answer = json.loads(process.stdout.readline())
            self.folder, self.record, self.platform = (pathlib.Path(answer[name]) for name in ("folder", "record", "platform"))
        except (ValueError, KeyError, TypeError):
            process.terminate()
            said = process.communicate()[1].strip()
            raise SevsimError(f"the simulated host could not be started (status {process.returncode}): {said or 'it said nothing'}") from None
        except BaseException:
            process.terminate()
            process.communicate()
            raise
        self.process = process
        self.options = [f"--join={self.folder}"]
        return self

    def stop(self):
        """End the host, and the commands that run on it."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            said = process.communicate()[1].strip()
            if process.returncode != 0:
                raise SevsimError(f"the simulated host ended with status {process.returncode}: {said or 'it said nothing'}")

    def guests(self):
        """The guests that are there now: dictionaries with type, id-kind, id, handle and process."""
        done = _run([self.program, "sevsim", "--json=short", *self.options], {})
        if done.returncode != 0:
            raise SevsimError(f"the simulated host does not answer: {done.stderr.strip()}")
        return json.loads(done.stdout)["guests"]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def _found(call, argv, **options):
    try:
        return call(argv, **options)
    except FileNotFoundError as error:
        if error.filename != argv[0]:
            raise
        raise SevsimError(f"'{argv[0]}' was not found: install the package cvmspawn-sevsim, or set CVMSPAWN to the program's path") from None


def _run(argv, options):
    return _found(subprocess.run, argv, **{"capture_output": True, "text": True, "errors": "replace", "check": False, **options})


def make_platform(folder, program=None):
    """Create a simulated platform with all its certificates and keys in a folder, unless it contains one; returns its path. Takes some
    seconds."""
    folder = pathlib.Path(folder)
    done = _run([_program(program), "sevsim", f"--platform={folder}", "--", "true"], {})
    if done.returncode != 0:
        raise SevsimError(f"no simulated platform was created in '{folder}': {done.stderr.strip()}")
    return folder


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(scope="session")
    def sevsim_program():
        """The program cvmspawn; override this fixture to use another one."""
        return _program(None)

    @pytest.fixture(scope="session")
    def sevsim_platform(tmp_path_factory, sevsim_program):  # pylint: disable=redefined-outer-name
        """The folder of one simulated platform for the whole session, with AMD's part of the certificates made up, too."""
        return make_platform(tmp_path_factory.mktemp("sevsim-platform"), sevsim_program)

    @pytest.fixture
    def sevsim(tmp_path, sevsim_program):  # pylint: disable=redefined-outer-name
        """A simulated host for one test. Its platform is made for each run; sevsim_with_platform has the session's."""
        return Host(tmp_path / "sevsim", program=sevsim_program)

    @pytest.fixture(scope="session")
    def sevsim_shared(tmp_path_factory, sevsim_program, sevsim_platform):  # pylint: disable=redefined-outer-name
        """One simulated host for the whole session, on the session's platform."""
        with SharedHost(tmp_path_factory.mktemp("sevsim") / "host", platform=sevsim_platform, program=sevsim_program) as host:
            yield host

    @pytest.fixture
    def sevsim_with_platform(tmp_path, sevsim_program, sevsim_platform):  # pylint: disable=redefined-outer-name
        """A simulated host for one test on the session's platform, whose certificates and keys the test can read."""
        return Host(tmp_path / "sevsim", platform=sevsim_platform, program=sevsim_program)
