# SPDX-License-Identifier: LGPL-2.1-or-later
"""A call that never returns (a file on a server that is gone, a pipe that nobody serves), in each program: a launch is ended by --timeout=, and by
the third SIGTERM at the latest, by whatever call and in whichever of its processes; the other programs by the first SIGTERM."""

import os
import pathlib
import signal
import subprocess
import time

import scenarios

SLACK = 20  # seconds more than documented, on a busy machine


def was_hit(place):
    try:
        return "hit " in (place / "report").read_text(errors="replace")
    except OSError:
        return False


def main_process(injector):
    """The program that the injector runs."""
    return int(pathlib.Path(f"/proc/{injector.pid}/task/{injector.pid}/children").read_text().split()[0])


class Hanging:
    """How a run is ended where a call hangs. The scenario's own files and options stay."""

    kinds = frozenset(["hang"])
    parallel = 4  # they wait most of the time
    signals = 0  # so many, half a second apart
    seconds = 0  # when it has to end by itself

    def watch(self, process, place, outcome):
        """Until it has ended: within `seconds` of its start, or at the last signal."""
        started = last = time.monotonic()
        left = self.signals
        while process.poll() is None:
            now = time.monotonic()
            if left and (left < self.signals or was_hit(place)) and (left == self.signals or now - last > 0.5):
                left, last = left - 1, now
                try:
                    os.kill(main_process(process), signal.SIGTERM)
                except (OSError, IndexError):
                    pass  # it is ending
            if not left and now - (last if self.signals else started) > self.seconds + SLACK:
                outcome.problem = f"not ended {now - last if self.signals else now - started:.0f} s after {'the last signal' if self.signals else 'its start'}"
                return
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass

    def run(self, runner, prefix, environment, place, outcome, seconds):
        runner.command(self.line(), prefix, environment, place, outcome, seconds, watch=self.watch)

    def line(self):
        return [self.build / "programs/cvmspawn", *self.argv]


class Launch(Hanging, scenarios.Simulated):
    keeper = "1.3:"  # removes the control socket behind a launcher that was killed, and so outlives it

    def reached(self, points, targets):
        """From the options, which are read before any limit is known, to the confinement: behind it only SIGKILL ends a launcher whose own
        output, or the folder of its control socket, does not answer (LIMITATIONS.md)."""
        confined = next(i for i, point in enumerate(points) if point.startswith("1:seccomp:"))
        begun = next(i for i, point in enumerate(points) if targets[point] == "/etc/passwd")
        return [point for i, point in enumerate(points)
                if not point.startswith(self.keeper) and (begun <= i < confined or not point.startswith("1:"))]  # fmt: skip


class TimedLaunch(Launch):
    options = (*scenarios.Simulated.options, "--timeout=6")
    failures = frozenset([124, 125])
    seconds = 6
    share = 24


class SignalledLaunch(Launch):
    failures = silent = frozenset([125, 128 + signal.SIGTERM])
    signals = 3
    share = 32


class SignalledMeasure(Hanging, scenarios.Measure):
    failures = silent = frozenset([128 + signal.SIGTERM])
    signals = 1
    share = 16


class SignalledVerify(Hanging, scenarios.ReportVerify):
    parallel = 1  # each worker makes RSA keys
    failures = silent = frozenset([128 + signal.SIGTERM])
    signals = 1
    share = 16


class SignalledGuest(Hanging, scenarios.GuestNotify):
    failures = silent = frozenset([128 + signal.SIGTERM])
    signals = 1
    share = 16

    def line(self):
        return [self.build / "programs/cvmspawn-guest", *self.argv]


ALL = {
    "hang-launch-timeout": TimedLaunch,
    "hang-launch-signals": SignalledLaunch,
    "hang-measure": SignalledMeasure,
    "hang-report-verify": SignalledVerify,
    "hang-guest": SignalledGuest,
}
