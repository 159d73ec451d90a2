# SPDX-License-Identifier: LGPL-2.1-or-later
"""SEV finishes its launch at `cont`. What is refused there is told from a guest that ran and then died, in the error message, the events and
what `cvmspawn explain` says of the saved log: with a real QEMU on the simulated host, and with a stand-in for ends that no simulation has."""

import json
import os
import subprocess
import sys

import pytest
import sevsim_model as model
from launcher_fake import events, said
from sevsim_host import SECONDS, build_folder, find_qemu, skip_or_fail

NOT_RUN = "the launch failed at its end; the guest has not run an instruction: "
REFUSED = "the secure processor refused: "

# Between the launcher and QEMU: changes the SEV object as a host would that is not honest, or not careful.
WRAPPER = """\
#!{python}
import base64, json, os, sys

def flip(text, at):
    data = bytearray(base64.b64decode(text))
    data[at] ^= 1
    return base64.b64encode(data).decode()

arguments = sys.argv[1:]
i = next(i for i, word in enumerate(arguments) if '"sev-snp-guest"' in word)
sev = json.loads(arguments[i])
{change}
arguments[i] = json.dumps(sev)
os.execv({qemu!r}, [{qemu!r}, *arguments])
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, data in (("firmware.fd", model.make_firmware(seed=91)), ("kernel", model.make_kernel(seed=92)),
                       ("initrd", model.make_initrd(seed=93))):
        (folder / name).write_bytes(data)
    done = subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", folder / "key.pem"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip_or_fail(f"openssl cannot make a key: {done.stderr.strip()}")
    return folder


class Ended:
    def __init__(self, done):
        self.text = done.stderr
        self.lines = done.stderr.splitlines()
        self.events = [json.loads(line) for line in self.lines if line.startswith("{")]
        self.names = [event["event"] for event in self.events]
        self.end = self.events[-1]
        self.answer = json.loads(done.stdout.splitlines()[-1])
        self.status = self.answer["status"]


def launch(files, *options, guest="poweroff", qemu=None):
    program, real = build_folder() / "programs" / "cvmspawn", find_qemu()
    if not real:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    node = [] if os.geteuid() == 0 else ["--sev-node=0666"]
    return Ended(subprocess.run(
        [program, "sevsim", "--json", *node, f"--guest={guest}", "--", program, f"--qemu={qemu or real}", "--ram=256M",
         f"--firmware={files / 'firmware.fd'}", f"--linux={files / 'kernel'}", f"--initrd={files / 'initrd'}",
         "--status-fd=2", *options], capture_output=True, text=True, timeout=SECONDS, check=False))


def explained(text):
    done = subprocess.run([build_folder() / "programs/verb-explain"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


# --- refused at cont, by the simulated secure processor ------------------------------------------------------------------------

REFUSALS = {
    "digest": ("sev['id-block'] = flip(sev['id-block'], 0)", "(BAD_MEASUREMENT): the ID block is for another launch digest"),
    "policy": ("sev['id-block'] = flip(sev['id-block'], 88)", "(POLICY_FAILURE)"),
    "signature": ("sev['id-auth'] = flip(sev['id-auth'], 64)", "(BAD_SIGNATURE): ID block and ID key do not match"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_at_cont(files, tmp_path, name):
    change, sentence = REFUSALS[name]
    wrapper = tmp_path / "qemu-system-x86_64"
    wrapper.write_text(WRAPPER.format(python=sys.executable, change=change, qemu=find_qemu() or ""))
    wrapper.chmod(0o755)
    ended = launch(files, "--coco=sev-snp", f"--id-key={files / 'key.pem'}", qemu=wrapper)
    assert ended.status == 125, ended.text
    # Prepared, measured, but never started.
    assert ended.names == ["plan", "digest", "exit"]
    assert (ended.end["source"], ended.end["status"]) == ("qemu", 125)
    assert ended.end["cause"].startswith(NOT_RUN + REFUSED) and sentence in ended.end["cause"]
    assert [line for line in ended.lines if NOT_RUN in line and not line.startswith("{")] == [f"cvmspawn: {ended.end['cause']}"]
    (record,) = ended.answer["launches"]
    assert record["finished"] is False
    # QEMU's own line stands before it, for the log; saved, it has the same meaning.
    (line,) = [line for line in ended.lines if "LAUNCH_FINISH ret=" in line]
    status, out = explained(f"{line}\n")
    assert status == 0 and sentence in out


def test_the_same_launch_unchanged(files, tmp_path):
    wrapper = tmp_path / "qemu-system-x86_64"
    wrapper.write_text(WRAPPER.format(python=sys.executable, change="", qemu=find_qemu() or ""))
    wrapper.chmod(0o755)
    ended = launch(files, "--coco=sev-snp", f"--id-key={files / 'key.pem'}", qemu=wrapper)
    assert ended.status == 0, ended.text
    assert ended.names == ["plan", "digest", "started", "ready", "exit"]
    assert {**ended.end, "time": None} == {"event": "exit", "source": "guest", "status": 0, "cause": None, "time": None}


# --- guests that ran, or that KVM cannot run --------------------------------------------------------------------------------


@pytest.mark.parametrize(("guest", "status", "source", "cause"), [
    ("reset", 126, "guest", "the guest reset (reboot or triple fault)"),
    ("fault", 125, "qemu", "KVM could not run the guest: a page of its memory"),
    ("fail-entry", 125, "qemu", "the processor refuses to enter the guest"),
])
@pytest.mark.parametrize("mode", ["sev-snp", "sev-es"])
def test_after_the_launch(files, mode, guest, status, source, cause):
    if mode != "sev-snp" and os.geteuid() != 0:
        skip_or_fail("SEV and SEV-ES lock guest memory, which needs root")
    ended = launch(files, f"--coco={mode}", guest=guest)
    assert ended.status == status, ended.text
    assert ended.names == ["plan", "digest", "started", "ready", "exit"]
    assert ended.end["source"] == source and ended.end["cause"].startswith(cause)
    assert f"cvmspawn: {ended.end['cause']}" in ended.lines
    assert NOT_RUN not in ended.text
    (record,) = ended.answer["launches"]
    assert record["finished"] is True
    # What QEMU believes to be the registers of an encrypted guest is not shown.
    assert "EIP=" not in ended.text and "CR0=" not in ended.text


# --- with a stand-in for QEMU -----------------------------------------------------------------------------------------------

AT_CONT = """
    vm.greet()
    vm.answer_until("query-version")
    line = ""
    while "cont" not in line:
        line = vm.lines.readline()
    vm.event("RESUME")
    sys.stderr.write({words!r})
    sys.stderr.flush()
    {end}
"""
AFTER = """
    vm.start()
    sys.stderr.write({words!r})
    sys.stderr.flush()
    {end}
"""


@pytest.mark.parametrize(("words", "end", "cause"), [
    ("qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad measurement'\n", "sys.exit(1)",
     f"{REFUSED}the measurement is not the expected one (BAD_MEASUREMENT)"),
    ("qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-14 fw_error=0 ''\n", "sys.exit(1)", "an ID block needs its ID authentication"),
    ("qemu-system-x86_64: sev_launch_finish: LAUNCH_FINISH ret=-5 fw_error=2 'Guest state is invalid'\n", "sys.exit(1)",
     f"{REFUSED}the guest is in the wrong state"),
    ("SNP_LAUNCH_UPDATE ret=-5 fw_error=22 'Invalid parameter'\nSEV-SNP: CPUID validation failed for function 0x1, index: 0x0\n"
     "SEV-SNP: failed update CPUID page\n", "sys.exit(1)", "the secure processor refuses the CPU model (its CPUID page)"),
    ("sev_snp_launch_finish: Failed to locate SEV metadata header\n", "sys.exit(1)", "the firmware is not built for SEV-SNP"),
    ("", "sys.exit(1)", "QEMU exited with status 1"),
    ("", "os.abort()", "QEMU was killed by signal 6 (Aborted)"),
])
def test_the_last_command_fails(fake, words, end, cause):
    """Events may come before QEMU ends; only an answer to `cont` starts a guest."""
    result = fake.run(AT_CONT.format(words=words, end=end), "--json=short")
    assert result.status == 125
    assert [event["event"] for event in events(result)] == ["plan", "exit"]
    last = events(result)[-1]
    assert last["source"] == "qemu" and last["cause"].startswith(NOT_RUN + cause), last
    assert f"cvmspawn: {last['cause']}" in said(result)
    # One cause: no guess about QEMU's version beside it.
    assert "of version" not in result.err and len([line for line in said(result) if "QEMU: " not in line]) == 1
    assert result.leftovers == []


def test_a_late_refusal_is_no_end_of_a_guest(fake):
    """A QEMU that answers first and finishes the launch after."""
    words = "qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-5 fw_error=7 'Policy failure'\n"
    result = fake.run(AFTER.format(words=words, end="sys.exit(1)"), "--json=short")
    assert result.status == 125
    last = events(result)[-1]
    assert last["source"] == "qemu" and last["cause"].startswith(NOT_RUN + REFUSED + "the guest policy is not met")


@pytest.mark.parametrize(("words", "end", "status", "source", "cause"), [
    ("error: kvm run failed Invalid argument\n", "vm.internal_error()", 125, "qemu", "KVM could not continue to run the guest"),
    ("", "vm.internal_error()", 125, "qemu", "KVM cannot continue to run the guest"),
    # QEMU said something on its way that would explain a failure; the guest's end has nothing to do with it.
    ("qemu-system-x86_64: Cannot allocate memory\n", "vm.power_off('guest-reset')", 126, "guest",
     "the guest reset (reboot or triple fault)"),
    ("qemu-system-x86_64: SEV termination (reason set: 1 code: 4)\n",
     "vm.event('GUEST_PANICKED', action='pause', info={'type': 'sev', 'set': 1, 'code': 4}); vm.power_off('guest-panic')", 126, "guest",
     "the guest ended itself (SEV termination 1:4): its CPUID page is not valid"),
    ("", "vm.event('GUEST_PANICKED', action='pause', info={'type': 'sev', 'set': 'x'}); vm.power_off('guest-panic')", 126, "guest",
     "the guest's kernel panicked"),
    ("", "sys.exit(1)", 125, "qemu", "QEMU ended while the guest was still running"),
    ("", "os.kill(os.getpid(), signal.SIGSEGV)", 125, "qemu", "QEMU was killed"),
])
def test_a_guest_that_ran_and_died(fake, words, end, status, source, cause):
    result = fake.run(AFTER.format(words=words, end=end), "--json=short")
    assert result.status == status, result.err
    assert [event["event"] for event in events(result)] == ["plan", "started", "ready", "exit"]
    last = events(result)[-1]
    assert last["source"] == source and last["cause"].startswith(cause), last
    assert NOT_RUN not in result.err
    assert f"cvmspawn: {last['cause']}" in said(result)
    assert result.leftovers == []


@pytest.mark.skipif(os.geteuid() != 0, reason="SEV and SEV-ES lock guest memory, which needs root")
@pytest.mark.parametrize(("options", "right"), [((), True), (("--coco-policy=nosend",), False)], ids=["its policy", "another policy"])
def test_a_session_for_another_launch(files, tmp_path, platform, options, right):
    """Refused when QEMU starts its launch: said of the session, not of an ID block, and without a guest."""
    program, qemu = build_folder() / "programs" / "cvmspawn", find_qemu() or skip_or_fail("no QEMU of version 9.1 or later here")
    certs = [f"--certs={platform / name}.cert" for name in ("pek", "oca", "cek-signed", "ask", "ark")]
    subprocess.run([program, "session", *certs, f"--insecure-root={platform / 'ark.cert'}", "--policy=0x3", platform / "pdh.cert"],
                   cwd=tmp_path, check=True, capture_output=True, timeout=SECONDS)
    ended = Ended(subprocess.run(
        [program, "sevsim", "--json", f"--platform={platform}", "--", program, f"--qemu={qemu}", "--ram=256M", "--coco=sev",
         f"--firmware={files / 'firmware.fd'}", f"--linux={files / 'kernel'}", f"--initrd={files / 'initrd'}", "--status-fd=2",
         "--dh-cert=vm_godh.b64", "--session=vm_session.b64", *options],
        cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False))
    if right:
        assert ended.status == 0 and "started" in ended.names, ended.text
        return
    assert ended.end["status"] == 125 and "started" not in ended.names, ended.text
    assert (ended.end["source"], ended.end["cause"].partition(":")[0]) == ("qemu", "the secure processor refused the session")
    assert "ID block" not in ended.text
