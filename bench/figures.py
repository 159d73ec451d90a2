# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks share: where things are, processes with their times, and figures that bench/run collects.

A benchmark prints its table itself. With $BENCH_JSON it also writes its figures there, one object per row, with the aim beside the figure
where docs/performance.md states one."""

import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b")).resolve()
NAME = pathlib.Path(sys.argv[0]).name


def leave(reason):
    """The benchmark cannot run here: bench/run shows the reason in its place."""
    sys.exit(f"bench/{NAME}: {reason}")


def need(program, package):
    return shutil.which(program) or leave(f"'{program}' is not installed (Debian package {package})")


def need_module(name, package):
    try:
        __import__(name)
    except ImportError:
        leave(f"Python's {name} is not installed (Debian package {package}, for /usr/bin/python3)")


def build(*targets):
    """Builds what is not built by default, and what is older than its sources."""
    if not (BUILD / "build.ninja").exists():
        leave(f"{BUILD} holds no build: meson setup b, or set $CVMSPAWN_BUILD")
    done = subprocess.run(["ninja", "-C", BUILD, *targets], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        leave(f"ninja failed:\n{done.stdout[-2000:]}")


def artifacts(*names):
    """The files that tools/fetch-artifacts fetched, or that variables of these names name."""
    done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True, check=False)
    found = dict(shlex.split(line)[0].split("=", 1) for line in done.stdout.splitlines())
    paths = [os.environ.get(name) or found.get(name, "") for name in names]
    for name, path in zip(names, paths):
        if not os.path.exists(path):
            leave(f"no {name.lower()}: run tools/fetch-artifacts, or set {name}=FILE")
    return paths


def run(argv, **options):
    """(wall ms, processor ms, peak MiB, status) of a process and of those that it waited for."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(a) for a in argv], **options)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024, process.returncode


def cold(argv, **options):
    """(wall ms, processor ms, peak MiB) of one cold process, from a small one that starts it."""
    done = subprocess.run([BUILD / "bench/bench-cold", *(str(a) for a in argv)], stdout=subprocess.PIPE, text=True, check=True, **options)
    wall, cpu, peak, status = done.stdout.split()
    if status != "0":
        leave(f"'{argv[0]}' failed with status {status}")
    return float(wall) / 1e3, float(cpu) / 1e3, int(peak) / 1024


def in_turns(programs, rounds, **options):
    """{name: [result of cold()]}: one run of each in every round, so that a busy machine is busy for all of them."""
    results = {name: [] for name in programs}
    for _ in range(rounds):
        for name, argv in programs.items():
            results[name].append(cold(argv, **options))
    return results


def median(values):
    return statistics.median(values)


def pairs(ours, base):
    """How much more ours are, round by round."""
    return [a - b for a, b in zip(ours, base)]


class Figures:
    """Rows for $BENCH_JSON."""

    def __init__(self):
        self.rows = []

    def add(self, case, program, figure, unit, values, aim=None, more_is_better=False):
        """aim: what the median should not exceed (or, with more_is_better, reach). Returns the median."""
        values = [values] if isinstance(values, (int, float)) else list(values)
        row = {"bench": NAME, "case": case, "program": program, "figure": figure, "unit": unit, "runs": len(values),
               "median": round(statistics.median(values), 3), "best": round(max(values) if more_is_better else min(values), 3)}
        if aim is not None:
            row["aim"] = round(aim, 3)
            row["reached"] = row["median"] >= aim if more_is_better else row["median"] <= aim
        self.rows.append(row)
        return row["median"]

    def write(self):
        if os.environ.get("BENCH_JSON"):
            pathlib.Path(os.environ["BENCH_JSON"]).write_text(json.dumps(self.rows, indent=1) + "\n")
