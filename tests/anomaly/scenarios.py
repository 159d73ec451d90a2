# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the anomaly tests run: each scenario builds its files, runs a command, and knows which ends are documented."""

import getpass
import hashlib
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/golden/launcher"))
sys.path.insert(0, str(SOURCE / "tests/lib"))
sys.path.insert(0, str(SOURCE / "tests/integration"))
import sev_owner  # noqa: E402
import sevsim_find  # noqa: E402
import world  # noqa: E402

STAND_IN = """#!/usr/bin/python3 -ISB
import sys
sys.path.insert(0, {integration!r})
import fake_qemu
sys.argv[1:1] = [{scenario!r}]
import time
try:
    fake_qemu.main()
except (BrokenPipeError, ConnectionResetError):
    time.sleep(600)  # a QEMU without its monitor goes on
"""


class Scenario:
    """A command line in the files of the launcher's golden tests."""

    argv = ()
    failures = frozenset([1, 125])  # 125: of the command that runs the verbs
    message = r"cvmspawn[a-z -]*: \S"  # how each line of standard error begins
    kills = False  # also SIGKILL at each call
    silent = frozenset()  # statuses without a message
    parallel = 1  # how many runs there are for each job
    kinds = frozenset()  # not empty: only what is done to a call, no errors and no allocations
    gnutls_may_crash = False  # a defect of that library, not of ours
    share = 1000  # how many points of a sample it may have
    stride = 1  # every how many-th allocation is a point
    notices = 1  # how many messages there may be about a failure that was survived

    def prepare(self, folder, build):
        self.build = build
        world.build(folder)

    def programs(self):
        """What is tried lies there; the other programs run as always."""
        return self.build

    def environment(self, folder):
        return {"XDG_DATA_DIRS": str(folder / "firmware")}

    def run(self, runner, prefix, environment, place, outcome, seconds):
        runner.command([self.build / "programs/cvmspawn", *self.argv], prefix, environment, place, outcome, seconds)

    def reached(self, points, targets):
        """Those of `kinds` that something is promised about."""
        return points

    def lost_output_is_allowed(self, outcome):
        return False

    def is_part(self, printed, good):
        """Whether what a failed run printed is the beginning of what the good one does."""
        return good.startswith(printed)

    def close(self):
        pass


class Measure(Scenario):
    argv = ("measure", "--coco=sev-snp", "--linux=vmlinuz", "--initrd=initrd", "--firmware=OVMF.amdsev.fd", "--", "quiet")


class MeasureExpect(Scenario):
    """A digest that does not match is explained; no failure reads as "equal"."""

    argv = ("measure", "--coco=sev-snp", "--linux=vmlinuz", "--initrd=initrd", "--firmware=OVMF.amdsev.fd", "--expect=" + "ab" * 48)

    def is_part(self, printed, good):
        return good.startswith(printed)


class ReportVerify(Scenario):
    """A genuine report is never "not authentic" (2) and never against the policy (3), whatever fails."""

    argv = ("report", "verify", "amd/report.bin", "--leaf", "amd/vcek.der", "--ca", "amd/chain.pem", "--offline", "--cache=",
            "--insecure-root", "amd/ark.der", "--measurement", "aa" * 48, "--report-data", "bb" * 64)  # fmt: skip
    failures = frozenset([1, 4, 125])

    def prepare(self, folder, build):
        self.build = build
        (folder / "amd").mkdir()
        subprocess.run([build / "tests/lib/fake-amd-tool", folder / "amd"], check=True, timeout=60)


class Validate(Scenario):
    """A genuine measurement is never a mismatch (1 is also: usage or an internal failure, with a message)."""

    def prepare(self, folder, build):
        super().prepare(folder, build)
        (folder / "tik").write_bytes(bytes(range(16, 32)))
        (folder / "tek").write_bytes(bytes(range(16)))
        firmware = (folder / "OVMF.amdsev.fd").read_bytes()
        measured = sev_owner.measurement(bytes(range(16, 32)), hashlib.sha256(firmware).digest(), 3)
        self.argv = ("validate", "-f", "OVMF.amdsev.fd", "--api-major=1", "--api-minor=55", "--build-id=21", "--policy=3", "--tik=tik",
                     "--tek=tek", "-m", measured)  # fmt: skip

    failures = frozenset([2, 3, 4, 5, 6, 125])
    message = r"(cvmspawn[a-z -]*|ERROR|usage|virt-qemu-sev-validate): \S"


class GuestSecret(Scenario):
    argv = ("secret", "get", "736869e5-84f0-4973-92ec-06879ce3da0b", "--secrets=coco")
    failures = frozenset([1, 127])  # 127: a static program's C library, before main()
    message = r"(cvmspawn-guest: \S|: error while loading shared libraries: )"

    def prepare(self, folder, build):
        self.build = build
        (folder / "coco").mkdir()
        (folder / "coco/736869e5-84f0-4973-92ec-06879ce3da0b").write_bytes(b"open sesame")

    def run(self, runner, prefix, environment, place, outcome, seconds):
        runner.command([self.build / "programs/cvmspawn-guest", *self.argv], prefix, environment, place, outcome, seconds)


class GuestNotify(GuestSecret):
    argv = ("notify", "READY=1", "EXIT_STATUS=3", "--root=root")

    def prepare(self, folder, build):
        self.build = build
        (folder / "root/sys/class/virtio-ports/vport0p1").mkdir(parents=True)
        (folder / "root/sys/class/virtio-ports/vport0p1/name").write_text("io.cvmspawn.notify\n")
        (folder / "root/dev").mkdir()
        (folder / "root/dev/vport0p1").write_bytes(b"")


class Launch(Scenario):
    """With a stand-in for QEMU that speaks QMP."""

    failures = frozenset([125])
    options = ()
    guest = "vm.start(); vm.write('console', b'hello\\r\\n'); vm.power_off()"

    def prepare(self, folder, build):
        super().prepare(folder, build)
        (folder / "guest").write_text(self.guest)
        stand_in = folder / "qemu"
        stand_in.write_text(STAND_IN.format(integration=str(SOURCE / "tests/integration"), scenario=str(folder / "guest")))
        stand_in.chmod(0o755)
        self.argv = (f"--qemu={stand_in}", "--kvm=no", "--tpm=no", "--linux=vmlinuz", "--initrd=initrd", *self.options)


class Plain(Launch):
    options = ("--console=read-only",)


class Run(Launch):
    guest = "vm.start(); vm.work(0, b'out' * 1000 + b'\\n', b'err\\n')"
    options = ("--run=true",)


class Simulated(Launch):
    guest = "vm.start(); vm.work(0, b'out\\n')"
    options = ("--coco=sev-snp", "--simulate", "--firmware=OVMF.amdsev.fd", "--run=true", "--quiet")


class SevsimIdentity(Scenario):
    """The made-up identity of a chip: whole, or a failure that names the file."""

    failures = frozenset([1])
    message = r"sevsim-identity \(simulation\): \S"
    stride = 7  # most allocations are libcrypto's

    def programs(self):
        return self.build / "sevsim/sevsim-identity"

    def prepare(self, folder, build):
        self.build = build

    def run(self, runner, prefix, environment, place, outcome, seconds):
        runner.command([self.programs(), "--short", place / "platform"], prefix, environment, place, outcome, seconds)
        made = sorted(path.name for path in (place / "platform").glob("*"))
        if outcome.status == 0 and made != self.made(made):
            outcome.problem = f"status 0, and only {made} of the identity"
        if outcome.status != 0 and "pdh.cert" in made:
            outcome.problem = "a part of an identity that looks like one"

    def made(self, now):
        """The files of the first run, which is the good one."""
        self.first = getattr(self, "first", now)
        return self.first


class Sevsim(Scenario):
    """A launch of the real QEMU on the simulated host: no failure of the simulation reads as a digest, or as a verdict on one."""

    failures = frozenset([1, 125])
    share = 60  # each is a launch of the real QEMU
    message = r"(cvmspawn[a-z -]*( \(simulation\))?: \S|SIMULATED)"

    def programs(self):
        return self.build / "programs/verb-sevsim"

    def prepare(self, folder, build):
        super().prepare(folder, build)
        self.qemu = sevsim_find.find_qemu()
        subprocess.run([build / "sevsim/sevsim-identity", "--short", folder / "platform"], check=True, timeout=60)

    def run(self, runner, prefix, environment, place, outcome, seconds):
        cvmspawn = self.build / "programs/cvmspawn"
        runner.command([cvmspawn, "sevsim", "--json=short", f"--record={place}/record", "--platform=platform", "--", cvmspawn, "--quiet",
                        f"--qemu={self.qemu}", f"--qemu-user={getpass.getuser()}", "--coco=sev-snp", "--linux=vmlinuz", "--initrd=initrd", "--firmware=OVMF.amdsev.fd"],
                       prefix, environment, place, outcome, seconds)  # fmt: skip
        if outcome.status == 0 and b'"equal":true' not in outcome.out:
            outcome.problem = f"status 0 without a verdict: {outcome.out}"
        outcome.out = outcome.out.replace(bytes(place), b"")


ALL = {
    "measure": Measure,
    "validate": Validate,
    "guest-secret": GuestSecret,
    "guest-notify": GuestNotify,
    "measure-expect": MeasureExpect,
    "report-verify": ReportVerify,
    "launch-plain": Plain,
    "launch-run": Run,
    "launch-simulated": Simulated,
    "sevsim": Sevsim,
    "sevsim-identity": SevsimIdentity,
}


def take_out_what_cannot_run():
    """Why, for each scenario that is taken out."""
    if sevsim_find.find_qemu():
        return []
    del ALL["sevsim"]
    return ["sevsim: no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program"]


def missing(build):
    """Why nothing can be injected here, or None."""
    if not (build / "tests/anomaly/anomaly-calls").exists():
        return "the injector is for x86-64 only and was not built"
    linked = subprocess.run(["ldd", build / "programs/verb-measure"], capture_output=True, check=False).stdout
    if b"libasan" in linked:
        return "a program with the address sanitizer takes no preloaded module before it"
    return None
