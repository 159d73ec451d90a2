#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Anomaly tests: makes one system call or one allocation of a program fail at a time, and looks at how it takes that.

Asserted for each point: the exit status is a documented one, the failure is explained by one message on standard error, no wrong digest,
verdict or output (the same as in the good run, or a status that is not 0), nothing is left behind (processes, files, sockets), no
crash, and an end in bounded time.

usage: anomaly.py BUILD [--points=N | --all] [--scenario=NAME] [--jobs=N]     counts injected, survived and failed points
       anomaly.py BUILD --scenario=NAME --point=POINT [--debug]               runs one point and shows all of it
       anomaly.py BUILD --scenario=NAME --list                                lists the points

POINT is what a failure names: 1.2:openat:3:EMFILE (process, call, which one of them, error) or verb-measure:17 (program, which allocation).
With --debug the process stops at that point, for gdb -p. HACKING.md has an example."""

import argparse
import collections
import ctypes
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hang  # noqa: E402
import scenarios  # noqa: E402

scenarios.ALL.update(hang.ALL)

LACKING = []  # scenarios that cannot run here

try:
    import attestd  # needs python3-cryptography and python3-pytest

    scenarios.ALL["attestd"] = attestd.Attestd
    scenarios.ALL["attestd-two"] = attestd.AttestdTwo
except ImportError as e:
    LACKING.append(f"attestd: {e}")

SECONDS = 60  # more than ten times what the slowest point needs on a busy machine
PR_SET_CHILD_SUBREAPER = 36
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE, signal.SIGSYS}
SKIP = 77


def children():
    lists = [task.read_text() for task in pathlib.Path("/proc/self/task").glob("*/children")]
    return {int(child) for child in " ".join(lists).split()}


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


class Outcome:
    """How one run ended."""

    def __init__(self):
        self.status, self.out, self.err = None, b"", ""
        self.calls, self.targets, self.hit, self.target, self.crashes = [], {}, False, "", []
        self.in_gnutls = False
        self.timed_out, self.leftovers, self.counts, self.problem = False, [], {}, None


class Runner:
    """Runs a scenario's commands below its own folder with at most one point."""

    def __init__(self, build, scenario, folder):
        self.build, self.scenario, self.folder, self.runs = build, scenario, folder, 0
        self.world = folder / "world"
        self.world.mkdir()
        scenario.prepare(self.world, build)

    def environment(self, place):
        keep = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        return {**keep, "LC_ALL": "C.UTF-8", "HOME": str(place), "TMPDIR": str(place / "tmp"), "XDG_RUNTIME_DIR": str(place / "runtime"),
                "RUNTIME_DIRECTORY": str(place), "XDG_CACHE_HOME": str(place / "cache"), **self.scenario.environment(self.world)}  # fmt: skip

    def prefix(self, point, place, environment, debug):
        """What goes in front of the program's command line."""
        if point and is_memory(point) or point == "count":
            environment.update({"LD_PRELOAD": str(self.build / "tests/anomaly/anomaly-memory.so"), "ANOMALY_PROGRAMS": str(self.scenario.programs()),
                                "ANOMALY_COUNTS": str(place / "counts")})  # fmt: skip
            if point != "count":
                environment["ANOMALY_MEMORY"] = point
            if debug:
                environment["ANOMALY_STOP"] = "1"
            return []
        words = [self.build / "tests/anomaly/anomaly-calls", f"--programs={self.scenario.programs()}", f"--report={place / 'report'}"]
        return [*words, *([f"--point={point}"] if point else []), *(["--stop"] if debug else [])]

    def run(self, point=None, debug=False):
        self.runs += 1
        place = self.folder / f"run-{self.runs}"
        place.mkdir()
        for name in ("tmp", "runtime", "counts"):
            (place / name).mkdir(mode=0o700)
        before, known = listing(self.world), children()
        environment, outcome = self.environment(place), Outcome()
        prefix = self.prefix(point, place, environment, debug)
        self.scenario.run(self, prefix, environment, place, outcome, None if debug else SECONDS)
        outcome.leftovers += survivors(known)
        outcome.leftovers += [f"file {name}" for name in sorted((listing(self.world) - before))]
        for name in ("tmp", "runtime"):
            outcome.leftovers += [f"file {path.relative_to(place)}" for path in sorted((place / name).rglob("*"))]
        read_report(place, outcome)
        shutil.rmtree(place)
        return outcome

    def command(self, argv, prefix, environment, place, outcome, seconds, watch=None):
        """One command to its end; a scenario calls it. `watch` does something meanwhile."""
        with open(place / "stdout", "ab") as out, open(place / "stderr", "ab") as err:
            process = subprocess.Popen([*map(str, prefix), *map(str, argv)], cwd=self.world, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err)  # fmt: skip
        if watch and seconds:
            watch(process, place, outcome)
        try:
            outcome.status = process.wait(0 if outcome.problem else seconds)
        except subprocess.TimeoutExpired:
            outcome.timed_out = True
            end_all({process.pid})
            outcome.status = process.wait()
        outcome.out = (place / "stdout").read_bytes()
        outcome.err = (place / "stderr").read_text(errors="replace")


def listing(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def end_all(pids):
    for pid in pids:
        try:
            below = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            below = []
        end_all({int(child) for child in below})
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def survivors(known):
    """Processes that outlive the run by more than twenty seconds; they are ended here, so that the next run starts clean."""
    deadline = time.monotonic() + 20
    while True:
        left = children() - known
        for pid in list(left):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    left.discard(pid)
            except ChildProcessError:
                left.discard(pid)
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    names = [f"process {name_of(pid)}" for pid in left]
    end_all(left)
    for pid in left:
        os.waitpid(pid, 0)
    return names


def read_report(place, outcome):
    for path in (place / "counts").iterdir():
        allocated, failed, gnutls = struct.unpack("=QQQ", path.read_bytes().ljust(24, b"\0"))
        outcome.counts[path.name] = allocated
        outcome.hit |= failed > 0
        outcome.in_gnutls |= gnutls > 0
    lines = (place / "report").read_text(errors="replace").splitlines() if (place / "report").exists() else []
    for words in (line.split(" ", 5) for line in lines):
        if words[0] == "hit":
            outcome.hit, outcome.target = True, words[5]
        elif words[0] == "signal" and int(words[2]) in CRASHES:
            outcome.crashes.append(f"process {words[1]} ended by {signal.Signals(int(words[2])).name}")
        elif words[0] == "call":
            outcome.calls.append(":".join(words[1:5]))
            outcome.targets[outcome.calls[-1]] = words[5]
    if outcome.status is not None and -outcome.status in CRASHES:
        outcome.crashes.append(f"ended by {signal.Signals(-outcome.status).name}")


def is_memory(point):
    return point.count(":") == 1


def points_of(runner):
    """All points of a scenario, from two runs without one."""
    outcome = runner.run()
    found = outcome.calls
    if runner.scenario.kills:
        found += dict.fromkeys(point.rpartition(":")[0] + ":kill" for point in found)
    if kinds := runner.scenario.kinds:
        return [point for point in runner.scenario.reached(found, outcome.targets) if point.rpartition(":")[2] in kinds]
    found = [point for point in found if not point.endswith(":hang")]
    counts = runner.run("count").counts
    found += [f"{name}:{i}" for name, n in sorted(counts.items()) for i in range(1, n + 1, runner.scenario.stride)]
    return found


def sample(points, n):
    """A part of them: one of each process, call and error first, then as chance (always the same) has it."""
    if n is None or len(points) <= n:
        return points
    chance = random.Random(0)
    groups = collections.defaultdict(list)
    for point in points:
        groups[point.split(":")[0] if is_memory(point) else re.sub(r":\d+:", ":", point)].append(point)
    for group in groups.values():
        chance.shuffle(group)
    order = [point for round_ in range(max(map(len, groups.values()))) for _, group in sorted(groups.items()) for point in group[round_ : round_ + 1]]
    calls, memory = ([p for p in order if is_memory(p) == wanted] for wanted in (False, True))
    half = max(n - len(memory), min(len(calls), n // 2))
    return calls[:half] + memory[: n - half]


def judge(scenario, good, outcome):
    """None, or what is wrong."""
    if outcome.problem:
        return outcome.problem
    if outcome.timed_out:
        return f"not finished after {SECONDS} s"
    if outcome.crashes and outcome.in_gnutls and scenario.gnutls_may_crash and not outcome.leftovers:
        print("known: GnuTLS itself crashed where it got no memory; nothing was released", flush=True)
        return None
    if outcome.crashes:
        return ", ".join(outcome.crashes)
    if outcome.leftovers:
        return "left behind: " + ", ".join(outcome.leftovers)
    known = collections.Counter(good.err.splitlines())
    said = [line for line in outcome.err.splitlines() if not known[line] or known.subtract([line])]
    if bad := [line for line in said if not re.match(scenario.message, line) or "(null)" in line]:
        return f"not a message: {bad[0]!r}"
    if outcome.status == good.status:
        if outcome.out != good.out and not scenario.lost_output_is_allowed(outcome):
            return "another output than that of the good run with the same status"
        return None if len(said) <= scenario.notices else f"{len(said)} messages about a run that went well"
    if outcome.status not in scenario.failures:
        return f"undocumented status {outcome.status}"
    if not scenario.is_part(outcome.out, good.out):
        return "the failed run printed something that the good run does not"
    silent = outcome.status == 128 + signal.SIGKILL or outcome.status in scenario.silent
    expected = 0 if silent or outcome.target.endswith("/stderr") else 1
    if len(said) > max(1, scenario.notices) or len(said) < expected:
        return f"{len(said)} messages about a failure"
    return None


def work(build, name, tasks, results):
    """One worker: takes points until there are none left."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="anomaly-") as folder:
        scenario = scenarios.ALL[name]()
        runner = Runner(build, scenario, pathlib.Path(folder))
        good = runner.run()
        if wrong := judge(scenario, good, good) or (f"status {good.status}" if good.status in scenario.failures else None):
            results.put((None, f"the good run: {wrong}: {good.err}"))
            return
        while (point := tasks.get()) is not None:
            outcome = runner.run(point)
            results.put((point, outcome.hit, judge(scenario, good, outcome), outcome.status, outcome.err))
        scenario.close()


def collect(results, total, name, tally):
    """Counts what the workers say; returns False where one could not begin."""
    for _ in range(total):
        point, *rest = results.get()
        if point is None:
            print(f"{name}: {rest[0]}")
            tally["failed"] += 1
            return False
        hit, wrong, status, err = rest
        tally["injected" if hit else "not reached"] += 1
        tally["failed" if wrong else "survived"] += hit or bool(wrong)
        if wrong:
            print(f"{name} {point}: {wrong}; status {status}, it said: {err.strip()[-600:]!r}", flush=True)
    return True


def run_scenario(build, name, n, jobs):
    tally, started, before = collections.Counter(), time.monotonic(), os.times()
    with tempfile.TemporaryDirectory(prefix="anomaly-") as folder:
        scenario = scenarios.ALL[name]()
        points = points_of(Runner(build, scenario, pathlib.Path(folder)))
        scenario.close()
    chosen = sample(points, n if n is None else min(n, scenario.share))
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    jobs *= scenario.parallel
    for point in [*chosen, *[None] * jobs]:
        tasks.put(point)
    workers = [multiprocessing.Process(target=work, args=(build, name, tasks, results)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    whole = collect(results, len(chosen), name, tally)
    for worker in workers:
        if not whole:
            worker.terminate()
        worker.join()
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    print(f"{name}: points {len(points)}, injected {tally['injected']}, survived {tally['survived']}, failed {tally['failed']}"
          f" (not reached {tally['not reached']}; {time.monotonic() - started:.0f} s, {cpu:.0f} s of CPU)", flush=True)  # fmt: skip
    return tally


def one_point(build, name, point, debug):
    with tempfile.TemporaryDirectory(prefix="anomaly-") as folder:
        scenario = scenarios.ALL[name]()
        runner = Runner(build, scenario, pathlib.Path(folder))
        good = runner.run()
        outcome = runner.run(point, debug)
        wrong = judge(scenario, good, outcome)
        print(f"status {outcome.status} (good run: {good.status}), point {'reached' if outcome.hit else 'not reached'}, at: {outcome.target}")
        print(f"standard output:\n{outcome.out.decode(errors='replace')}standard error:\n{outcome.err}{wrong or 'as it should be'}")
        scenario.close()
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--points", type=int, default=int(os.environ.get("CVMSPAWN_ANOMALY_POINTS", "150")))
    parser.add_argument("--all", action="store_true", default=os.environ.get("CVMSPAWN_SOAK") == "1")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("CVMSPAWN_ANOMALY_JOBS", min(os.cpu_count() or 1, 2))))
    parser.add_argument("--scenario", choices=scenarios.ALL, action="append")
    parser.add_argument("--point")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    os.nice(10)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if reason := scenarios.missing(options.build):
        print(f"skipped: {reason}")
        return 1 if os.environ.get("MUST_WORK") == "1" else SKIP
    LACKING.extend(scenarios.take_out_what_cannot_run())
    for reason in LACKING:
        print(f"skipped: {reason}")
    if LACKING and os.environ.get("MUST_WORK") == "1":
        return 1
    names = options.scenario or list(scenarios.ALL)
    if options.point:
        return one_point(options.build, names[0], options.point, options.debug)
    if options.list:
        with tempfile.TemporaryDirectory(prefix="anomaly-") as folder:
            print(*points_of(Runner(options.build, scenarios.ALL[names[0]](), pathlib.Path(folder))), sep="\n")
        return 0
    total = collections.Counter()
    for name in names:
        total.update(run_scenario(options.build, name, None if options.all else options.points, options.jobs))
    print(f"points injected {total['injected']}, survived {total['survived']}, failed {total['failed']}")
    return 1 if total["failed"] or not total["injected"] else 0


if __name__ == "__main__":
    sys.exit(main())
