# SPDX-License-Identifier: LGPL-2.1-or-later
"""--copy-out=: files of the guest for the host, whole or not at all."""

import hashlib
import json
import os
import signal
import time

import pytest
from launcher_fake import HANG, TOOK_TOO_LONG, said
from test_adapter import adapter, guest, release  # noqa: F401

BOOT = 240
READY = 'vm.start(); vm.write("port-notify", b"READY=1\\n"); '
DONE = '; vm.write("port-notify", b"EXIT_STATUS=%d\\n"); vm.power_off()'


def send(text, status=0):
    return f'{READY}vm.write("port-notify", {text}){DONE % status}'


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_bytes_of_every_value_in_any_pieces(fake, small_initrd, out):
    """Several files, an empty one among them; what looks like a notification inside of a file is none."""
    one = bytes(range(256)) * 1000 + b"\nEXIT_STATUS=9\nCOPY=2 4\n"
    text = b"COPY=1 %d\n" % len(one) + one + b"COPY=2 0\nCOPY=3 2\nhi"
    scenario = f'{READY}data = {text!r}\nfor i in range(0, len(data), 777): vm.write("port-notify", data[i:i + 777])\n' \
               'vm.write("port-notify", b"EXIT_STATUS=0\\n"); vm.power_off()'
    (out / "three").write_text("an old one")
    result = fake.run(scenario, f"--initrd={small_initrd}", "--run=true", f"--copy-out=/a:{out}/one", f"--copy-out=/b\\:c:{out}/two",
                      f"--copy-out=/a:{out}/three")
    assert result.status == 0 and said(result) == []
    assert (out / "one").read_bytes() == one and (out / "two").read_bytes() == b"" and (out / "three").read_text() == "hi"
    assert sorted(p.name for p in out.iterdir()) == ["one", "three", "two"]
    assert result.leftovers == []


@pytest.mark.parametrize(("text", "why"), [
    ('b"COPY=1 missing\\n"', "the guest has no such regular file"),
    ('b"COPY=1 1073741825\\n"', "it is 1073741825 bytes, and at most 1073741824 are copied"),
    ('b"nothing\\n"', "it did not arrive before the guest ended"),
    ('b"COPY=2 1\\nxCOPY=0 1\\nCOPY=1 -1\\nCOPY=1\\nCOPY= 1\\nCOPY=1 1 1\\n"', "it did not arrive before the guest ended"),
])
def test_what_does_not_come_is_no_success(fake, small_initrd, out, text, why):
    """The file that is there stays; a command that failed keeps its status."""
    (out / "file").write_text("an old one")
    options = [f"--initrd={small_initrd}", "--run=true", f"--copy-out=/a:{out}/file"]
    if "1073741825" in text:  # the bytes are dropped, and so is all that comes after them
        scenario = READY + f'vm.write("port-notify", {text}); vm.write("port-notify", b"x" * 1000 + b"\\nEXIT_STATUS=0\\n"); vm.power_off()'
        result = fake.run(scenario, *options)
        assert result.status == 125
    else:
        sentence = f"cvmspawn: --copy-out: '/a' was not copied to '{out}/file': {why}"
        result = fake.run(send(text), *options)
        assert (result.status, said(result)) == (125, [sentence])
        result = fake.run(send(text, 3), *options)
        assert (result.status, said(result)) == (3, [sentence])
    assert (out / "file").read_text() == "an old one" and os.listdir(out) == ["file"]


def test_half_a_file_is_none(fake, small_initrd, out):
    """The guest ends in the middle, or the launcher is killed there."""
    options = [f"--initrd={small_initrd}", "--run=true", f"--copy-out=/a:{out}/file"]
    result = fake.run(READY + 'vm.write("port-notify", b"COPY=1 100\\n" + b"x" * 99); vm.power_off()', *options)
    assert result.status == 125 and os.listdir(out) == []
    marker = out.parent / "marker"
    run = fake.start(READY + f'vm.write("port-notify", b"COPY=1 100\\n" + b"x" * 99); open({str(marker)!r}, "w").close(); {HANG}', *options)
    deadline = time.monotonic() + TOOK_TOO_LONG
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    run.process.send_signal(signal.SIGKILL)
    result = run.wait(TOOK_TOO_LONG)
    assert result.leftovers == [] and os.listdir(out) == []


@pytest.mark.parametrize(("option", "why"), [
    ("/a:{out}", "is not a regular file"), ("/a:{out}/missing/x", "cannot open the directory"), ("/a:/dev/full", "is not a regular file"),
    ("/a", "expected PATH:FILE"), ("a:x", "absolute path"), ("/a/:x", "absolute path"), ("/a\nb:x", "control characters"),
    ("/proc/version:x", "let the command of --run= copy it"), ("/a:", "expected PATH:FILE"), ("/a:x:y", "expected PATH:FILE"),
])
def test_refused(fake, small_initrd, out, option, why):
    result = fake.run("vm.start()", f"--initrd={small_initrd}", "--run=true", f"--copy-out={option.format(out=out)}")
    assert result.status == 125 and len(said(result)) == 1 and why in said(result)[0], result.err
    result = fake.run("", *[f"--copy-out=/{i}:{out}/{i}" for i in range(17)])
    assert result.status == 125 and "at most 16 files" in result.err
    result = fake.run("", f"--copy-out=/a:{out}/x", f"--copy-out=/b:{out}/x")
    assert result.status == 125 and "is given twice" in result.err


def test_the_path_is_measured_and_the_file_is_not(cvmspawn, kernel, firmware, small_initrd, out):
    def digest(*options):
        result = cvmspawn.run("--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={small_initrd}", "--run=true",
                              "--print=digest", "--json=short", *options, timeout=120)
        assert result.status == 0, result.err
        return json.loads(result.out)["digest"]["digest"]

    one = digest(f"--copy-out=/a:{out}/x")
    assert one == digest(f"--copy-out=/a:{out}/y") and len({one, digest(), digest(f"--copy-out=/b:{out}/x")}) == 3


@pytest.mark.full
def test_a_real_guest(cvmspawn, out):
    """Its systemd initrd; a guest that is measured, simulated; names that a shell would not take as they are."""
    command = "head -c 3000000 /dev/urandom >/tmp/big; sha256sum </tmp/big; echo x >'/tmp/a b*$(c)'; mkdir /tmp/d; ln -s big /tmp/link"
    result = cvmspawn.boot(f"--run={command}; exit 4", f"--copy-out=/tmp/big:{out}/big", f"--copy-out=/tmp/a b*$(c):{out}/name",
                           f"--copy-out=/tmp/d:{out}/d", f"--copy-out=/tmp/link:{out}/link", timeout=BOOT)
    assert result.status == 4, result.err
    assert hashlib.sha256((out / "big").read_bytes()).hexdigest() == result.out.split()[0]
    assert (out / "link").read_bytes() == (out / "big").read_bytes() and (out / "name").read_text() == "x\n"
    assert f"'/tmp/d' was not copied to '{out}/d': the guest has no such regular file" in result.err
    assert sorted(os.listdir(out)) == ["big", "link", "name"] and result.leftovers == []


@pytest.mark.full
@pytest.mark.parametrize("release", ["bookworm"], indirect=True)
def test_through_the_adapter(cvmspawn, qemu, adapter, release, out):  # noqa: F811
    result = cvmspawn.run(*guest(release, "initramfs-tools", qemu), "--run=seq 20000 >/a; printf '\\000\\377\\n\\r' >/b", f"--copy-out=/a:{out}/a",
                          f"--copy-out=/b:{out}/b", f"--copy-out=/none:{out}/none", timeout=BOOT)
    assert (out / "a").read_text() == "".join(f"{i}\n" for i in range(1, 20001)) and (out / "b").read_bytes() == b"\0\xff\n\r"
    assert result.status == 125 and f"'/none' was not copied to '{out}/none': the guest has no such regular file" in result.err
    assert sorted(os.listdir(out)) == ["a", "b"] and result.leftovers == []
