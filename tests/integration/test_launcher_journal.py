# SPDX-License-Identifier: LGPL-2.1-or-later
"""--forward-journal= without a guest: what systemd-journal-remote gets, what becomes of it, and the launch digest. QEMU and vhost-device-vsock are
stand-ins (test_journal_guest.py has a real guest)."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import build_folder, descendants_of, name_of, skip_or_fail
from launcher_fake import TOOK_TOO_LONG, said
from test_launcher_login import WAITS, helper, place  # noqa: F401

REMOTE = "/lib/systemd/systemd-journal-remote"
OPTIONS = ("--vsock=user", "--vsock-cid=77", "--pass-ssh-key=no")
ENTRY = ("__CURSOR=s=1;i=1;b=00000000000000000000000000000001;m=1;t=1;x=1\\n__REALTIME_TIMESTAMP=1700000000000000\\n__MONOTONIC_TIMESTAMP=1000\\n"
         "_BOOT_ID=00000000000000000000000000000001\\nMESSAGE=hello from the guest\\nPRIORITY=6\\n\\n")
CONNECT = f"""
    peer = socket.socket(socket.AF_UNIX); peer.connect(values["uds-path"] + "_77"); peer.sendall(b"{ENTRY}")
"""
STAND_IN = """\
import json, os, socket, sys
if sys.argv[1] == "--help":
    print("{help}")
    sys.exit()
listener = socket.socket(fileno=3)
json.dump({{"argv": sys.argv[1:], "fds": os.environ["LISTEN_FDS"], "me": int(os.environ["LISTEN_PID"]) == os.getpid(),
           "config": os.environ["SYSTEMD_JOURNAL_REMOTE_CONFIG_FILE"], "listens": listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
           "open": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:4]}}, open("{seen}.part", "w"))
os.rename("{seen}.part", "{seen}")
{behaviour}
"""


@pytest.fixture
def remote(tmp_path, place, helper):  # noqa: F811
    """The environment with a stand-in for journal-remote that says what it was started with and then behaves as a test says."""

    def make(behaviour="listener.accept()", words="--max-use=BYTES"):
        environment = helper()
        seen = tmp_path / "seen"
        program = tmp_path / "bin/systemd-journal-remote"
        program.write_text(f"#!{sys.executable}\n" + STAND_IN.format(help=words, seen=seen, behaviour=behaviour))
        program.chmod(0o755)
        return {**environment, "RUNTIME_DIRECTORY": str(place)}, seen

    return make


def test_what_journal_remote_gets(fake, tmp_path, remote):
    environment, seen = remote()
    run = fake.start(WAITS, *OPTIONS, f"--forward-journal={tmp_path}/journals", "--forward-journal-max-use=1G", "--forward-journal-keep-free=2M",
                     "--forward-journal-max-file-size=4096", "--forward-journal-max-files=5", "--status-fd=1",
                     env={**environment, "LISTEN_FDS": "7", "LISTEN_PID": "1"})  # fmt: skip
    run.wait_for_output(b'"started"', timeout=TOOK_TOO_LONG)
    run.wait_for(seen.exists, TOOK_TOO_LONG, "journal-remote did not start")
    found = json.loads(seen.read_text())
    assert found["argv"] == [f"--output={tmp_path}/journals", "--split-mode=host", "--max-use=1073741824", "--keep-free=2097152", "--max-file-size=4096",
                             "--max-files=5"]  # fmt: skip
    assert (found["fds"], found["me"], found["config"], found["listens"], found["open"][:4]) == ("1", True, "/dev/null", 1, [0, 1, 2, 3])
    assert (tmp_path / "journals").stat().st_mode & 0o777 == 0o755
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, []), result.err


def test_entries_are_written(fake, tmp_path, place, helper):  # noqa: F811
    if not os.path.exists(REMOTE):
        skip_or_fail("systemd-journal-remote is missing: install the package of that name")
    run = fake.start("vm.start(); time.sleep(1); vm.power_off()", *OPTIONS, f"--forward-journal={tmp_path}/guest.journal",
                     env={**helper(CONNECT), "RUNTIME_DIRECTORY": str(place)})  # fmt: skip
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, []) and list(place.iterdir()) == [], result.err
    shown = subprocess.run(["journalctl", f"--file={tmp_path}/guest.journal", "--output=cat"], capture_output=True, text=True, check=True)
    assert shown.stdout == "hello from the guest\n"


def test_a_guest_outlives_it(fake, tmp_path, remote):
    """One line says what is not written any more."""
    environment, seen = remote("sys.stderr.write('starting\\nno space left\\n'); listener.accept()")
    run = fake.start(WAITS, *OPTIONS, "--status-fd=1", f"--forward-journal={tmp_path}/x.journal", env=environment)
    run.wait_for_output(b'"started"', timeout=TOOK_TOO_LONG)
    run.wait_for(seen.exists, TOOK_TOO_LONG, "journal-remote did not start")
    os.kill(next(pid for pid in descendants_of(run.pid) if "journal" in name_of(pid)), signal.SIGKILL)
    run.wait_for_output(b"the guest's journal is not written any more", stream="stderr")
    run.signal()
    result = run.wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, [])
    assert "--forward-journal: systemd-journal-remote ended: no space left; the guest's journal is not written any more" in result.err


def test_one_that_will_not_do(fake, tmp_path, remote, helper, place):  # noqa: F811
    environment, _ = remote("sys.exit('cannot write there')", words="an old one")
    limited = fake.run(WAITS, *OPTIONS, f"--forward-journal={tmp_path}/x", "--forward-journal-max-files=2", env=environment)
    assert (limited.status, limited.leftovers) == (125, [])
    assert said(limited)[-1].startswith(f"cvmspawn: --forward-journal: '{tmp_path}/bin/systemd-journal-remote' has no limits of use")
    ends = fake.run("time.sleep(3)", *OPTIONS, f"--forward-journal={tmp_path}/x", env=environment)
    assert (ends.status, ends.leftovers) == (125, [])
    assert said(ends)[-1] == "cvmspawn: --forward-journal: systemd-journal-remote ended: cannot write there"
    nowhere = fake.run(WAITS, *OPTIONS, f"--forward-journal={tmp_path}/none/x", env=environment)
    assert said(nowhere)[-1] == f"cvmspawn: --forward-journal: cannot make the directory '{tmp_path}/none/x': No such file or directory"
    assert list(place.iterdir()) == []
    if not os.path.exists(REMOTE):
        shutil.rmtree(tmp_path / "bin")
        missing = fake.run(WAITS, *OPTIONS, f"--forward-journal={tmp_path}/x", env={**helper(), "RUNTIME_DIRECTORY": str(place)})
        assert "systemd-journal-remote was not found" in said(missing)[-1]


def test_the_address_is_part_of_the_digest(cvmspawn, firmware, kernel, small_initrd, tmp_path):
    """The port follows from the command line alone, for the launcher and for the verifier."""
    caps = tmp_path / "caps.json"
    caps.write_text(json.dumps({"kvm": True, "sev": True, "sev-es": True, "sev-snp": True, "cbitpos": 51, "reduced-phys-bits": 1, "vsock": True,
                                "qemu": "/bin/true"}))  # fmt: skip
    options = ("--coco=sev-snp", f"--firmware={firmware}", f"--linux={kernel}", f"--initrd={small_initrd}")

    def digest(*more):
        result = cvmspawn.run(*options, *more, f"--host-caps={caps}", "--print=digest")
        assert result.status == 0, result.err
        return result.out.strip()

    one = digest("--forward-journal=a", "--machine=d")
    assert one == digest("--forward-journal=b.journal", "--machine=d", "--vsock=yes") != digest("--machine=d")
    assert one == digest("--machine=x", "--set-credential=journal.forward_to_socket:vsock:2:4288012282")
    assert one != digest("--forward-journal=a", "--machine=e")
    measured = subprocess.run([build_folder() / "programs/verb-measure", *options, "--forward-journal=a", "--machine=d"], capture_output=True,
                              text=True, check=True, timeout=60)
    assert measured.stdout.strip() == one
