# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every way in which a launch can end, with a stand-in for QEMU that behaves as the test says: statuses, sentences, events, and
that nothing is left behind. What real guests do is in test_launcher_guest.py."""


import signal

import pytest
from launcher_fake import HANG, events, newc, said


# --- ends that QEMU reports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "status", "source", "sentence"),
    [
        ("vm.start(); vm.power_off()", 0, "guest", None),
        ("vm.start(); vm.power_off('guest-reset')", 126, "guest", "the guest reset (reboot or triple fault)"),
        ("vm.start(); vm.event('GUEST_PANICKED', action='pause'); vm.power_off('guest-panic')", 126, "guest",
         "the guest's kernel panicked"),
        ("vm.start(); vm.write('port-notify', b'EXIT_STATUS=9\\n'); vm.power_off('guest-reset')", 9, "guest", None),
        ("vm.start(); vm.write('port-notify', b'EXIT_STATUS=256\\nEXIT_STATUS=-1\\nEXIT_STATUS=\\n'); vm.power_off()", 0,
         "guest", None),
        ("vm.start(); sys.exit(0)", 125, "qemu", "QEMU ended while the guest was still running"),
        ("vm.start(); sys.exit(1)", 125, "qemu", "QEMU ended while the guest was still running"),
        ("vm.start(); os.kill(os.getpid(), signal.SIGKILL)", 125, "qemu", "QEMU was killed"),
        ("vm.start(); os.abort()", 125, "qemu", "QEMU was killed"),
        ("vm.start(); vm.event('STOP'); vm.answer_until('query-status'); vm.power_off()", 0, "guest", None),
    ],
)
def test_ends_of_the_guest(fake, scenario, status, source, sentence):
    result = fake.run(scenario, "--json=short")
    assert result.status == status
    assert result.leftovers == []
    end = events(result)[-1]
    assert (end["event"], end["source"], end["status"], end["cause"]) == ("exit", source, status, sentence)
    assert [event["event"] for event in events(result)] == ["plan", "started", "ready", "exit"]
    shown = [line for line in said(result) if line.startswith("cvmspawn: ")]
    assert (f"cvmspawn: {sentence}" in shown) if sentence else not shown


def test_values_of_vmspawn_that_ask_for_what_happens_anyway(fake):
    result = fake.run("vm.start(); vm.power_off()", "--discard-disk=on", "--discard-disk", "1", "--secure-boot=no",
                      "--secure-boot=auto", "--tpm-state=off", "--efi-nvram-state=off", "--image-disk-type=virtio-blk", "--bind-user-shell=no")
    assert result.status == 0
    result = fake.run("vm.start(); vm.power_off()", "--bind-user-shell=yes")
    assert result.status == 125
    assert "--bind-user-shell= and --bind-user-group= require --bind-user=" in result.err


@pytest.mark.parametrize("status", [0, 1, 7, 125, 255])
def test_the_commands_status_and_output(fake, small_initrd, status):
    scenario = f"vm.start(); vm.work({status}, bytes(range(256)) * 1000, b'\\xff\\x00err')"
    result = fake.run(scenario, f"--initrd={small_initrd}", "--run=true", "-q")
    assert result.status == status
    assert result.stdout == bytes(range(256)) * 1000
    assert result.stderr == b"\xff\x00err"
    assert result.leftovers == []


def test_a_power_off_without_the_commands_word(fake, small_initrd):
    """Is a failure; and what the guest's console said last is shown."""
    result = fake.run("vm.start(); vm.write('console', b'no sh here\\r\\n'); vm.power_off()", f"--initrd={small_initrd}",
                      "--run=true")
    assert result.status == 125
    assert "the guest powered off before the --run= command reported an exit status" in result.err
    assert "no sh here" in result.err
    assert result.out == ""


# --- ends before the guest runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ("sys.exit(0)", "QEMU exited with status 0 during set-up; is '@' QEMU 8.0 or later?"),
        ("sys.exit(3)", "QEMU exited with status 3 during set-up; is '@' QEMU 8.0 or later?"),
        ("vm.greet(); sys.exit(1)", "QEMU exited with status 1 during set-up; is '@' QEMU 8.0 or later?"),
        ("os.kill(os.getpid(), signal.SIGSEGV)",
         "QEMU was killed by signal 11 (Segmentation fault) during set-up"),
        ("vm.greet(7); vm.answer_until('cont')", "QEMU 7.0 is too old: 8.0 or later is needed, 10.0 for --coco="),
    ],
)
def test_qemu_that_ends_at_once(fake, scenario, sentence):
    result = fake.run(scenario, "--status-fd=1", "-q")
    program = fake.directory / "qemu-1"
    sentence = sentence.replace("@", str(program))
    assert result.status == 125
    assert said(result) == [f"cvmspawn: {sentence}"]
    assert events(result)[-1:] == [{"event": "exit", "cause": sentence, "status": 125, "source": events(result)[-1]["source"]}]
    assert events(result)[-1]["source"] == ("launcher" if "too old" in sentence else "qemu")
    assert result.seconds < 20
    assert result.leftovers == []


@pytest.mark.parametrize(
    "rubbish",
    [
        "b'\\x00\\xff\\xfe rubbish\\n'", "b'{\"QMP\": 1}\\n'", "b'[1,2]\\n'", "b'SSH-2.0-OpenSSH\\r\\n'",
        "b'{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"ten\"}}, \"capabilities\": []}}\\n'", "b'[' * 100000 + b'\\n'",
    ],
)
def test_qemu_that_talks_rubbish(fake, rubbish):
    result = fake.run(f"vm.monitor.sendall({rubbish}); {HANG}", "-q", "--timeout=20")
    assert result.status == 125
    assert len(said(result)) == 1
    assert result.leftovers == []


def test_a_time_limit_after_the_text_of_a_panic(fake):
    """It proves nothing, but who looks for the cause begins there."""
    result = fake.run(f"vm.start(); vm.write('console', b'[    0.05] Kernel panic - not syncing: IO-APIC\\r\\n'); {HANG}", "--timeout=3", "-q")
    assert result.status == 124
    assert said(result)[0] == "cvmspawn: the guest did not end within --timeout=; its console speaks of a kernel panic"
    assert result.leftovers == []


def test_qemu_that_says_nothing(fake):
    result = fake.run(HANG, "--timeout=1", "-q")
    assert result.status == 124
    assert said(result) == ["cvmspawn: the guest did not end within --timeout="]
    assert result.seconds < 20
    assert result.leftovers == []


@pytest.mark.full
def test_qemu_that_never_greets(fake):
    """Without --timeout= too."""
    result = fake.start(HANG, "-q").wait(120)
    assert result.status == 125
    assert len(said(result)) == 1
    assert "not even with the QMP greeting" in said(result)[0]
    assert result.leftovers == []


CLOSED = "vm.lines.close(); vm.monitor.close(); "


@pytest.mark.parametrize("kind", ["nothing", "shutdown", "status", "deaf"])
def test_qemu_that_closes_its_monitor_and_stays(fake, small_initrd, kind):
    """It is ended; what the guest said of its end counts."""
    scenario = {
        "nothing": f"vm.start(); {CLOSED} {HANG}",
        "shutdown": f"vm.start(); vm.event('SHUTDOWN', guest=True, reason='guest-shutdown'); {CLOSED} {HANG}",
        "status": f"vm.start(); vm.write('port-notify', b'EXIT_STATUS=7\\n'); {CLOSED} {HANG}",
        "deaf": f"signal.signal(signal.SIGTERM, signal.SIG_IGN); vm.start(); {CLOSED} {HANG}",
    }[kind]
    result = fake.start(scenario, "-q", "--console=headless", f"--initrd={small_initrd}",
                        *(["--run=true"] if kind == "status" else [])).wait(60)
    assert result.status == {"shutdown": 0, "status": 7}.get(kind, 125)
    assert said(result) == ([] if kind in ("shutdown", "status") else ["cvmspawn: QEMU closed its monitor and did not end; it was killed"])
    assert result.seconds < 30
    assert result.leftovers == []


@pytest.mark.parametrize("late", [False, True])
def test_qemu_whose_monitor_breaks_when_the_guest_begins(fake, small_initrd, late):
    """With the answer to `cont` and after it: nobody waits for a guest of which nothing is heard."""
    nonsense = b"nonsense\r\n"
    scenario = f"vm.greet(); vm.answer_until('cont', {b'' if late else nonsense!r}); "
    scenario += f"time.sleep(1); vm.monitor.sendall({nonsense!r}); " if late else ""
    result = fake.start(scenario + HANG, "-q", "--console=headless", f"--initrd={small_initrd}").wait(60)
    assert result.status == 125
    assert len(said(result)) == 1
    assert result.leftovers == []


def test_messages_of_qemu_reach_the_user(fake):
    """Also the last one without its newline, and one of more bytes than are read at once."""
    long = "x" * 10000
    result = fake.run(f"sys.stderr.write('first\\n\\n{long}\\nlast'); sys.stderr.flush(); sys.exit(1)", "-q")
    lines = said(result)
    assert lines[0] == "cvmspawn: QEMU: first"
    assert lines[1].startswith("cvmspawn: QEMU: xxxx")
    assert lines[2] == "cvmspawn: QEMU: last"
    assert len(lines) == 4
    assert result.status == 125


def test_known_messages_are_explained(fake):
    result = fake.run("sys.stderr.write('qemu-system-x86_64: cannot set up guest memory ram0: Cannot allocate memory\\n'); "
                      "sys.exit(1)", "-q", "--status-fd=1")
    assert said(result)[0] == "cvmspawn: QEMU: cannot set up guest memory ram0: Cannot allocate memory"
    assert "the host lacks memory for --ram=" in result.err
    assert result.status == 125


def test_warnings_are_explained_at_once(fake):
    """A launch that goes well has no message at its end that could explain them; with -q they are no errors."""
    scenario = """
    sys.stderr.write("qemu-system-x86_64: warning: ram0: Discarding RAM in private file mappings is possibly dangerous, because it will modify the "
                     "underlying file and will affect other users of the file\\nqemu-system-x86_64: warning: netdev n has no peer\\n")
    sys.stderr.flush()
    vm.start()
    vm.power_off()
"""
    result = fake.run(scenario, "--console=headless")
    assert result.status == 0
    first, second = said(result)
    assert first.startswith("cvmspawn: warning: QEMU: ram0: Discarding RAM in private file mappings") and first.endswith(
        "(the guest's memory backend is private, so private pages of the guest use memory twice: use share=on in its memory backend)")
    assert second == "cvmspawn: warning: QEMU: netdev n has no peer"
    assert fake.run(scenario, "--console=headless", "-q").err == ""


OLD_OR_NEW = """
    with open({log!r}, "a") as log:
        log.write(" ".join(arguments) + "\\n")
    if "-mon" in arguments and {without_mon}:
        sys.stderr.write("qemu-system-x86_64: -mon: invalid option\\n")
        sys.exit(1)
    sys.stderr.write("qemu-system-x86_64: -mon chardev=qmp,mode=control: warning: '-mon' is deprecated, use '-object' with "
                     "'monitor-hmp' or 'monitor-qmp' types instead\\n")
    sys.stderr.flush()
    vm.start()
    vm.power_off()
"""


@pytest.mark.parametrize("without_mon", [False, True])
def test_the_option_for_the_monitor(fake, tmp_path, without_mon):
    """A QEMU that calls it deprecated is used as it is; one that has it no more is started again with the object. Neither is news."""
    log = tmp_path / "log"
    result = fake.run(OLD_OR_NEW.format(log=str(log), without_mon=without_mon), "--json=short")
    assert result.status == 0 and said(result) == []
    assert [event["event"] for event in events(result)] == ["plan", "started", "ready", "exit"]
    starts = log.read_text().splitlines()
    assert ["-mon" in line for line in starts] == ([True, False] if without_mon else [True])
    assert ('"qom-type":"monitor-qmp"' in starts[-1]) is without_mon
    assert result.leftovers == []


COPIES = """
    with open({log!r}, "a") as log:
        log.write(" ".join(arguments) + "\\n")
    if "-preconfig" in arguments and {without}:
        sys.stderr.write("qemu-system-x86_64: -preconfig: invalid option\\n")
        sys.exit(1)
    vm.greet()
    if "-preconfig" in arguments:
        vm.answer_until("x-exit-preconfig")
    import fcntl
    with open("/proc/self/fd/113", "rb") as f:
        with open({log!r}, "a") as log:
            log.write(f"{{len(f.read())}} {{fcntl.fcntl(113, 1034)}}\\n")
    vm.answer_until("cont")
    vm.event("RESUME")
    vm.power_off()
"""


@pytest.mark.parametrize("without", [False, True])
def test_copies_beside_the_start(fake, small_initrd, tmp_path, without):
    """QEMU waits for its files; one that cannot is started again when they are there. What it reads is whole, and sealed."""
    log = tmp_path / "log"
    result = fake.run(COPIES.format(log=str(log), without=without), "--json=short", f"--initrd={small_initrd}", "--set-credential=a:b")
    assert result.status == 0 and said(result) == []
    assert [event["event"] for event in events(result)] == ["plan", "started", "ready", "exit"]
    lines = log.read_text().splitlines()
    assert ["-preconfig" in line for line in lines[:-1]] == ([True, False] if without else [True])
    assert lines[-1] == f"{(len(small_initrd.read_bytes()) + 3) // 4 * 4 + 528} 15"
    assert result.leftovers == []


def test_no_copies_no_waiting(fake, small_initrd, tmp_path):
    log = tmp_path / "log"
    result = fake.run(COPIES.format(log=str(log), without=False), f"--initrd={small_initrd}")
    assert "-preconfig" not in log.read_text()
    assert result.leftovers == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_while_it_waits(fake, small_initrd, tmp_path, number):
    """A QEMU that never says that the machine is built."""
    marker = tmp_path / "marker"
    run = fake.start(f"vm.greet(); vm.answer_until('query-version'); open('{marker}', 'w'); time.sleep(60)", f"--initrd={small_initrd}",
                     "--set-credential=a:b")
    run.wait_for(marker.exists, 60, "QEMU was not asked")
    run.signal(number)
    result = run.wait(30)
    assert result.status == 128 + number
    assert result.leftovers == []


def test_no_monitor_in_either_way(fake):
    """There is no third attempt."""
    result = fake.run("sys.stderr.write('qemu-system-x86_64: -mon: invalid option\\n'); sys.exit(1)")
    assert result.status == 125
    assert len(said(result)) == 1 and "QEMU exited with status 1 during set-up" in said(result)[0]


# --- the initrd's verdict --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"init": b"#!"}, "the initrd has no etc/initrd-release: its PID 1 is not systemd and imports no credentials"),
        ({"etc/initrd-release": b"ID=x\n"}, "the initrd has no systemd, so nothing there imports credentials"),
        ({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-252.so": b"ELF"},
         "the initrd has systemd 252, which does not support credentials in the initrd (systemd 262 or later does)"),
    ],
)
def test_an_initrd_that_cannot_import(fake, tmp_path, files, sentence):
    """Falls back to SMBIOS strings, saying so, unless what is asked needs the initrd: the paused QEMU never runs."""
    initrd = tmp_path / "old"
    initrd.write_bytes(newc(files))
    scenario = f"""
        with open({str(tmp_path / 'launches')!r}, "a") as launches:
            launches.write(" ".join(arguments) + "\\n")
        vm.greet()
        vm.answer_until("query-version")
        vm.answer_until("cont")
        vm.power_off()
    """
    result = fake.run(scenario, f"--initrd={initrd}", "--set-credential=a:sesame")
    assert said(result) == [f"cvmspawn: {sentence}; passing them as SMBIOS strings instead"]
    assert result.status == 0
    first, second = (tmp_path / "launches").read_text().splitlines()
    assert "type=11" not in first and "-initrd /proc/self/fd/113" in first
    assert "-smbios type=11,path=/proc/self/fd/120" in second and f"-initrd {initrd}" in second
    assert "sesame" not in first + second

    result = fake.run(scenario, f"--initrd={initrd}", "--run=true")
    assert said(result) == ["cvmspawn: --run: the initrd has no /bin/sh to run the command with"]
    assert result.status == 125
    result = fake.run(scenario, f"--initrd={initrd}", "--run=true", "--adapter=no")
    assert said(result) == ["cvmspawn: --run: the initrd has no /bin/sh to run the command with"]
    initrd.write_bytes(newc({**files, "bin/sh": b"#!"}))
    result = fake.run(scenario, f"--initrd={initrd}", "--run=true", "--adapter=no")
    assert said(result) == [f"cvmspawn: {sentence}"]
    assert result.status == 125
    result = fake.run(scenario, f"--initrd={initrd}", "--set-credential=a:b", "--credential-transport=initrd")
    assert said(result) == [f"cvmspawn: {sentence}; --credential-transport=initrd leaves them in /.extra/system_credentials "
                            "for a program there"]
    assert result.status == 0
    assert (tmp_path / "launches").read_text().splitlines()[-1].count("-initrd /proc/self/fd/113") == 1
    assert result.leftovers == []
    assert result.seconds < 20


def test_an_initrd_larger_than_memory(fake, tmp_path):
    """Said before the guest starts: the kernel itself only says "write error", or resets."""
    initrd = tmp_path / "large"
    initrd.write_bytes(newc({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF",
                             "large": bytes(60 << 20)}))
    scenario = """
        vm.greet()
        vm.answer_until("query-version")
        vm.answer_until("cont")
        vm.power_off()
    """
    for ram, needed in (("128M", True), ("2G", False)):
        for credential in (["--set-credential=a:b"], []):
            result = fake.run(scenario, f"--initrd={initrd}", *credential, f"--ram={ram}")
            assert [f"--ram={ram} is too little" in line for line in said(result)] == [True] * needed
            assert result.status == 0


def test_a_foreign_initrd_in_little_memory(fake, tmp_path):
    """Without credentials it does not matter whether it can be read."""
    initrd = tmp_path / "foreign"
    initrd.write_bytes(b"not an archive at all" * 1000000)
    scenario = """
        vm.greet()
        vm.answer_until("query-version")
        vm.answer_until("cont")
        vm.power_off()
    """
    result = fake.run(scenario, f"--initrd={initrd}", "--ram=64M")
    assert result.status == 0
    assert [line.partition("' ")[2] for line in said(result)] == ["begins neither like a cpio archive nor like compressed data: the guest's kernel will not unpack it"]


def test_an_initrd_without_a_shell(fake, tmp_path):
    initrd = tmp_path / "no-sh"
    initrd.write_bytes(newc({"etc/initrd-release": b"ID=x\n", "usr/lib/systemd/libsystemd-shared-262.so": b"ELF"}))
    result = fake.run("vm.start(); vm.work()", f"--initrd={initrd}", "--run=true", "-q")
    assert result.status == 125
    assert said(result) == ["cvmspawn: --run: the initrd has no /bin/sh to run the command with"]
