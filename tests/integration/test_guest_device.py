# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn-guest where it belongs, in a guest, with a simulated secure processor that signs by a made-up chain: launch, report, verdict,
end to end without hardware. All of it is SIMULATED; the bytes and the kernel's interfaces are what is proven."""

import io
import json
import os
import re
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest
from guest_device import GuestDevice, newc
from sevsim_host import build_folder
from test_launcher_guest import PROBE
from test_launcher_output import received

BOOT = 240
CVMSPAWN = build_folder() / "programs/cvmspawn"

# Each step's streams and status go into files, and all of them home in one archive: the ports carry bytes unchanged.
# t: a step; f: a step under faults.
STEPS = """\
mkdir -p /run/out; cd /run/out
t() { n=$1; shift; "$@" >$n.out 2>$n.err </dev/null; echo $? >$n.status; }
f() { n=$1; echo "$2" >/run/sevsim/faults; shift 2; t $n "$@"; : >/run/sevsim/faults; }
"""
HOME = "\ntar -C /run/out -cf - .\n"


class Steps:
    def __init__(self, result):
        assert result.status == 0, result.err[-3000:]
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
            self.files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        self.result = result

    def status(self, name):
        return int(self.files[f"{name}.status"])

    def out(self, name):
        return self.files[f"{name}.out"]

    def err(self, name):
        return self.files[f"{name}.err"].decode()

    def good(self, name):
        """Its output, if it succeeded without a word."""
        assert (self.status(name), self.err(name)) == (0, ""), name
        return self.out(name)


@pytest.fixture
def device(platform, tmp_path):
    return GuestDevice(platform, tmp_path)


def verify(report, platform, *words, certs=True, root=None):
    """Without certs those that came with the report have to do."""
    argv = [CVMSPAWN, "report", "verify", report, "--insecure-root", (root or platform) / "ark.pem", "--offline", "--cache=", *words]
    done = subprocess.run([*argv, *(["--certs", platform] if certs else [])], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


BOUND = "/etc/os-release"
REPORT = f"cvmspawn-guest report --bind={BOUND}"
LUKS, OTHER = "736869e5-84f0-4973-92ec-06879ce3da0b", "0a46e24d-478c-4eb1-8696-113eeec3aa99"

# As the guest is, without SEV: what lacks is named, up to a real TSM tree with no driver behind it.
BEFORE = f"""
t bare-ok cvmspawn-guest ok
t bare-report {REPORT}
t bare-ioctl {REPORT} --interface=ioctl
t bare-key cvmspawn-guest derived-key --mix=measurement
t bare-secret cvmspawn-guest secret list
t bare-notify cvmspawn-guest notify STATUS=busy
modprobe msr
t msr-ok cvmspawn-guest ok
t driver modprobe sev-guest
mount -t configfs none /sys/kernel/config
t tree-tsm {REPORT} --interface=tsm
t tree-auto {REPORT}
"""

# With the device.
GOOD = f"""
cp {BOUND} bound
t ok cvmspawn-guest ok --json
t tsm {REPORT} --interface=tsm --certs=tsm.certs
t ioctl {REPORT} --interface=ioctl --certs=ioctl.certs
t both {REPORT} --with-certs
t level {REPORT} --vmpl=2
t hex cvmspawn-guest report --report-data=c0ffee
t key cvmspawn-guest derived-key --mix=measurement,policy
t key-again cvmspawn-guest derived-key --mix=policy,measurement
t key-vmrk cvmspawn-guest derived-key --mix=measurement,policy --root-key=vmrk
t key-other cvmspawn-guest derived-key --mix=measurement
t key-all cvmspawn-guest derived-key --mix=policy,image-id,family-id,measurement,svn,tcb,launch-mit-vector --launch-mit-vector=3
t key-plain cvmspawn-guest derived-key
t key-svn cvmspawn-guest derived-key --mix=measurement,svn --guest-svn=1
t key-tcb cvmspawn-guest derived-key --mix=measurement,tcb --tcb=0xff00000000000000
t sg-report cvmspawn-guest snpguest report sg.bin sg.request --random
t sg-certs cvmspawn-guest snpguest certificates PEM certs
t sg-key cvmspawn-guest snpguest key sg.key vcek -g 0b1001 -v 0
t sg-ok cvmspawn-guest snpguest ok
mkdir /run/coco; printf 'open sesame' >/run/coco/{LUKS}; printf 'a\\0b' >/run/coco/{OTHER}; : >/run/coco/not-a-guid
t secret-list cvmspawn-guest secret list --secrets=/run/coco
t secret-get cvmspawn-guest secret get {OTHER} --secrets=/run/coco -o secret
stat -c %a secret >secret.mode
t secret-wipe cvmspawn-guest secret wipe {OTHER} --secrets=/run/coco
t secret-left cvmspawn-guest secret list --secrets=/run/coco
t secret-none cvmspawn-guest secret get {OTHER} --secrets=/run/coco
f vlek-tsm vlek {REPORT} --interface=tsm --with-certs
f vlek-ioctl vlek {REPORT} --interface=ioctl --with-certs
f vmpl-tsm vmpl=2 {REPORT} --interface=tsm
f vmpl-ioctl vmpl=2 {REPORT} --interface=ioctl
f race-some race=3 {REPORT} --interface=tsm
f busy-some ebusy=2 {REPORT} --interface=tsm
f again-some again=2 {REPORT} --interface=tsm
f gone no-provider {REPORT}
f old-kernel old-kernel {REPORT} --interface=ioctl
f certs-none no-certs {REPORT} --with-certs --interface=ioctl
f certs-more pages=4 {REPORT} --interface=ioctl --certs=more.certs
f certs-many pages=5 {REPORT} --with-certs --interface=ioctl
f certs-huge pages=99999 {REPORT} --with-certs --interface=ioctl
f certs-grow grow {REPORT} --with-certs --interface=ioctl
f certs-bad bad-table cvmspawn-guest snpguest certificates DER bad
f certs-der no-certs cvmspawn-guest snpguest certificates DER none
for i in 1 2 3 4 5 6 7 8; do
        interface=tsm; [ $((i % 2)) -eq 0 ] || interface=ioctl
        t many-$i cvmspawn-guest report --report-data=0$i --interface=$interface &
done
wait
ls /sys/kernel/config/tsm/report >left
"""

TSM, IOCTL = "report --interface=tsm", "report --interface=ioctl"
REFUSED = [
    # what goes wrong, command, what is said
    ("busy", TSM, "the host limits the rate of requests"),
    ("busy", IOCTL, "hypervisor error 0x2): the host limits the rate of requests"),
    ("busy", "derived-key --mix=measurement", "the host limits the rate of requests"),
    ("fw-error=0x1d", TSM, "--interface=ioctl reports their errors"),
    ("fw-error=0x1d", IOCTL, "(firmware error 0x1d, hypervisor error 0x0): see dmesg"),
    ("fw-error=0x1d", "derived-key --mix=measurement", "(firmware error 0x1d"),
    ("status=0x16", TSM, "--interface=ioctl reports its status"),
    ("status=0x16", IOCTL, "status 0x16: the firmware refused the parameters"),
    ("status=0x16", "report", "status 0x16: the firmware refused the parameters"),
    ("status=0x27", "derived-key --mix=measurement", "status 0x27: the firmware has no such key"),
    ("no-channel", TSM, "lost its channel to the firmware (VMPCK)"),
    ("no-channel", IOCTL, "lost its channel to the firmware (VMPCK)"),
    ("no-channel", "derived-key --mix=measurement", "lost its channel to the firmware (VMPCK)"),
    ("size=1000", TSM, "has 1000 bytes, but an SNP report has 1184"),
    ("size=1000", IOCTL, "has 1000 bytes, but an SNP report has 1184"),
    ("size=3969", IOCTL, "declares a report of 3969 bytes"),
    ("size=3969", TSM, "out of memory"),
    ("wrong-data", TSM, "differs from the requested data"),
    ("wrong-data", IOCTL, "differs from the requested data"),
    ("provider=other_guest", TSM, "from 'other_guest' here, not from sev_guest or tdx_guest"),
    ("provider=tdx_guest", TSM, "is not a quote"),
    ("race=99", TSM, "another process wrote to our TSM entry in each of 8 attempts"),
    ("ebusy=99", TSM, "the kernel's report interface was busy 8 times"),
    ("no-provider", TSM, "no driver provides reports"),
    ("vmpl=2", TSM + " --vmpl=1", "this guest runs at VMPL 2"),
    ("vmpl=2", IOCTL + " --vmpl=1", "status 0x16"),
]


def refused_steps():
    for i, (words, command, _) in enumerate(REFUSED):
        yield f"f refused-{i} {words} cvmspawn-guest {command}" + (f" --bind={BOUND}" if command.startswith("report") else "") + "\n"


WHOLE = STEPS + BEFORE + GuestDevice.start() + GOOD + "".join(refused_steps()) + HOME


def record(launch, platform, folder):
    """The same launch on the simulated host: what its processor measured, on QEMU's own commands. No guest code runs there."""
    key = folder / "id.pem"
    subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key], check=True, capture_output=True,
                   timeout=60)
    # Only in a simulation is the device everybody's.
    node = [] if os.geteuid() == 0 else ["--sev-node=0666"]
    argv = [CVMSPAWN, "sevsim", "--json", f"--record={folder / 'record'}", f"--platform={platform}", *node, "--", CVMSPAWN, *launch,
            f"--id-key={key}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    (launch,) = json.loads(done.stdout.splitlines()[-1])["launches"]
    assert launch["finished"] is True and launch["refused"] == [], done.stderr
    built = subprocess.run([CVMSPAWN, "id-block", "build", launch["digest"], "--id-key", key, "--json=short"], capture_output=True,
                           text=True, check=True, timeout=60)
    policy = folder / "policy.json"
    policy.write_text(json.dumps({"schema": "cvmspawn-snp-policy-1", "trusted_id_key_hashes": json.loads(built.stdout)["id-key-digest"]}))
    return launch, policy


def test_launch_report_verdict(cvmspawn, device, platform, tmp_path, artifacts):
    """Predicted, measured by the simulated processor on QEMU's own commands, shown by a report in the guest, judged outside: one digest.
    One boot for everything that cvmspawn-guest does."""
    launch = [f"--qemu={artifacts['QEMU']}", f"--linux={artifacts['KERNEL']}", f"--initrd={artifacts['INITRD']}", "--tpm=no",
              "--coco=sev-snp", f"--firmware={artifacts['FIRMWARE']}", *device.options(coco=True), f"--run={WHOLE}"]
    printed = cvmspawn.run("--print=digest", "--json=short", "--simulate", *launch)
    digest = json.loads(printed.out)["digest"]["digest"]
    assert re.fullmatch("[0-9a-f]{96}", digest)
    recorded, policy = record(launch, platform, tmp_path)
    assert recorded["digest"] == digest
    device.write(launch=Path(recorded["folder"]))
    result = cvmspawn.run("--simulate", "--kvm=no", f"--expect={digest}", *launch, timeout=BOOT)
    steps = Steps(result)
    assert "SIMULATED sev-snp" in result.err

    check_without_device(steps)
    check_reports(steps, platform, tmp_path, [f"--measurement={digest}", "--policy", policy])
    check_snpguest(steps, platform, tmp_path, digest)
    check_keys(steps)
    check_secrets(steps)
    check_refusals(steps)


def check_without_device(s):
    assert s.status("bare-ok") == 1
    assert b"[ SKIP ] SEV status register: modprobe msr, and run as root\n[ FAIL ] Report interface: modprobe sev-guest" in s.out("bare-ok")
    assert s.status("msr-ok") == 1
    assert b"[ FAIL ] SNP: this guest was not launched with it: see --coco= of the launcher\n" in s.out("msr-ok")
    for name, words in {
        "bare-report": ["'/sys/kernel/config/tsm/report' does not exist: configfs is not mounted",
                        "'/dev/sev-guest' does not exist: this is not an SNP guest, or the driver is not loaded (modprobe sev-guest)"],
        "bare-ioctl": ["'/dev/sev-guest' does not exist"],
        "bare-key": ["'/dev/sev-guest' does not exist"],
        "bare-secret": ["securityfs is not mounted, the module efi_secret is not loaded or not part of this kernel"],
        "bare-notify": ["is in use: with --run= the launcher's unit uses it"],
        # A real tree, of the real module.
        "tree-tsm": ["no driver provides reports in '/sys/kernel/config/tsm/report' (modprobe sev-guest, or tdx-guest)"],
        "tree-auto": ["no driver provides reports", "'/dev/sev-guest' does not exist"],
    }.items():
        assert s.status(name) == 1 and s.out(name) == b"", name
        assert all(word in s.err(name) for word in words), s.err(name)
    # Where the real driver could be loaded this test would prove less than it says.
    assert s.status("driver") != 0


def check_reports(s, platform, folder, expected):
    bound = folder / "bound"
    bound.write_bytes(s.files["bound"])
    words = [*expected, "--bound-to", bound]
    good = ["tsm", "ioctl", "both", "race-some", "busy-some", "again-some", "gone", "old-kernel", "certs-more", "vlek-tsm", "vlek-ioctl"]
    for name in good:
        report = folder / f"{name}.bin"
        report.write_bytes(s.good(name))
        own = name in ("both", "vlek-tsm", "vlek-ioctl")  # what came with it is enough
        assert len(s.out(name)) > 1184 if own else len(s.out(name)) == 1184
        status, text = verify(report, platform, *words, certs=not own)
        assert status == 0 and text.endswith("verified against a root that is not AMD's\n"), (name, text)
    for name, level in ("level", 2), ("vmpl-tsm", 2), ("vmpl-ioctl", 2):
        report = folder / f"{name}.bin"
        report.write_bytes(s.good(name))
        assert verify(report, platform, *words)[0] == 3, name
        assert verify(report, platform, *words, f"--vmpl={level}")[0] == 0, name
    report.write_bytes(s.good("hex"))
    assert verify(report, platform, *expected, f"--report-data={'c0ffee':0<128}")[0] == 0

    # The same table by both routes, but for the padding to whole pages.
    assert s.files["ioctl.certs"].rstrip(b"\0") == s.files["tsm.certs"].rstrip(b"\0") != b""
    assert len(s.files["more.certs"]) == 4 * 4096
    for name, words_said in {"certs-none": "the host supplied no certificates with the report: the report has no certificates",
                             "certs-many": "the host has 20480 bytes of certificates, which is more than this kernel accepts",
                             "certs-huge": "409595904 bytes of certificates, which is too much",
                             "certs-grow": "the host declares more certificates with each request"}.items():
        assert s.status(name) == 0 and words_said in s.err(name), (name, s.err(name))
        assert len(s.out(name)) == 1184
    assert s.files["left"] == b""
    # Eight at once, by both routes: to each his own.
    for i in range(1, 9):
        assert s.good(f"many-{i}")[0x50:0x90] == bytes([i]) + bytes(63)

    # Another digest, other bound data, another ID key, AMD's own root.
    report, other = folder / "tsm.bin", folder / "other.json"
    other.write_text(json.dumps({"schema": "cvmspawn-snp-policy-1", "trusted_id_key_hashes": "00" * 48}))
    assert verify(report, platform, f"--measurement={'0' * 96}", "--bound-to", bound)[0] == 3
    assert verify(report, platform, *expected, "--bound-to", report)[0] == 3
    assert verify(report, platform, expected[0], "--bound-to", bound, "--policy", other)[0] == 3
    done = subprocess.run([CVMSPAWN, "report", "verify", report, "--certs", platform, "--offline", "--cache=", *words],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stdout + done.stderr


def check_snpguest(s, platform, folder, digest):
    findings = {row["name"]: row["state"] for row in json.loads(s.good("ok"))}
    assert {findings[name] for name in ("SEV", "SEV-ES", "SNP", "Report interface", "/dev/sev-guest", "TSM report tree")} == {"PASS"}
    assert b"[ PASS ] - SEV: ENABLED\n[ PASS ] - SEV-ES: ENABLED\n[ PASS ] - SNP: ENABLED\n[ PASS ] - Optional Features statuses:\n[ PASS ]   - VTOM: " in s.good("sg-ok")
    for name in ("sg-report", "sg-certs", "sg-key"):
        assert s.good(name) == b""
    report, certs = folder / "sg.bin", folder / "certs"
    report.write_bytes(s.files["sg.bin"])
    certs.mkdir()
    for name in ("ark", "ask", "vcek"):
        (certs / f"{name}.pem").write_bytes(s.files[f"certs/{name}.pem"])
        pem = subprocess.run(["openssl", "x509", "-in", certs / f"{name}.pem", "-outform", "DER"], capture_output=True, check=True, timeout=60)
        kind = "DER" if name == "vcek" else "PEM"
        theirs = subprocess.run(["openssl", "x509", "-in", platform / f"{name}.{kind.lower()}", "-inform", kind, "-outform", "DER"],
                                capture_output=True, check=True, timeout=60)
        assert pem.stdout == theirs.stdout
    assert s.status("certs-bad") == 1 and "certificate table" in s.err("certs-bad") and not any(name.startswith("bad/") for name in s.files)
    assert s.status("certs-der") == 0 and "No certificates were loaded by the host..." in s.err("certs-der")
    # snpguest asks for VMPL 1 unless told.
    status, text = verify(report, certs, f"--measurement={digest}", f"--report-data={s.files['sg.request'].hex()}", "--vmpl=1",
                          root=platform)
    assert status == 0, text


def check_keys(s):
    """The equalities that a derived key has: 32 bytes, the same again, another for every other input."""
    assert s.status("key") == 0 and len(s.out("key")) == 32
    assert "this key is bound to this chip" in s.err("key") and "every guest" not in s.err("key")
    assert s.out("key") == s.out("key-again") == s.files["sg.key"]
    others = {s.out(name) for name in ("key", "key-vmrk", "key-other", "key-all", "key-plain")}
    assert len(others) == 5 and all(len(key) == 32 for key in others)
    assert "every guest that the host starts on this chip can derive the same key" in s.err("key-plain")
    for name in ("key-svn", "key-tcb"):
        assert (s.status(name), s.out(name)) == (1, b"") and "an SVN or TCB above its own" in s.err(name)


def check_secrets(s):
    assert s.good("secret-list") == f"{OTHER}\n{LUKS}\n".encode()
    assert s.good("secret-get") == b"" and s.files["secret"] == b"a\0b" and s.files["secret.mode"] == b"600\n"
    assert s.good("secret-wipe") == b"" and s.good("secret-left") == f"{LUKS}\n".encode()
    assert s.status("secret-none") == 1 and f"secret {OTHER} is not in" in s.err("secret-none")


def check_refusals(s):
    for i, (words, command, sentence) in enumerate(REFUSED):
        name = f"refused-{i}"
        said = [line for line in s.err(name).splitlines() if "this key is bound" not in line]
        assert (s.status(name), s.out(name)) == (1, b""), (words, command, said)
        assert len(said) == 1 and sentence in said[0], (words, command, said)


def test_notify(cvmspawn, tmp_path):
    """Without --run= the port is free for any program in the guest: for the launcher, and through it for the manager that started it."""
    probe, place = tmp_path / "probe", tmp_path / "notify"
    unit = PROBE.format("cvmspawn-guest notify STATUS=halfway; cvmspawn-guest notify READY=1 EXIT_STATUS=7; cvmspawn-guest notify nonsense")
    probe.write_bytes(newc({"etc/systemd/system/probe.service": unit.encode()}))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.setblocking(False)
        result = cvmspawn.boot(f"--initrd={probe}", "--console=read-only", "rd.systemd.unit=probe.service", "quiet",
                               env={"NOTIFY_SOCKET": str(place)}, timeout=BOOT)
        assert result.status == 7, result.err
        assert received(manager) == [b"READY=1", b"STATUS=halfway", b"EXIT_STATUS=7"]
    assert "'nonsense' is not of the form NAME=VALUE" in result.out
    assert result.leftovers == []
