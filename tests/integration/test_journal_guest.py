# SPDX-License-Identifier: LGPL-2.1-or-later
"""The journal of a real guest under TCG on the host (--forward-journal=): by the real systemd-journal-remote, read by journalctl. The vsock device is
vhost-device-vsock of Debian sid, since few machines of tests have the kernel's."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SOURCE, skip_or_fail

BOOT = 240  # seconds: a busy machine needs many, an idle one twenty
REMOTE = "/lib/systemd/systemd-journal-remote"
SCRIPT = """\
modprobe vmw_vsock_virtio_transport
i=0; until [ -e /dev/vsock ]; do sleep 0.1; i=$((i+1)); [ $i -lt 300 ]; done
systemctl start systemd-journald.service  # which --run= does without
echo "text that only this guest has: $((6 * 7))" | systemd-cat -t marker
journalctl --sync
echo synced
"""


@pytest.fixture(scope="module")
def path():
    """The environment that finds vhost-device-vsock, unpacked once into the cache."""
    if not os.path.exists(REMOTE):
        skip_or_fail("systemd-journal-remote is missing: install the package of that name")
    cache = subprocess.run(["bash", "-c", '. "$0"; cache_directory', SOURCE / "tools/common.sh"], capture_output=True, text=True,
                           check=True)
    folder = Path(cache.stdout.strip()) / "peers" / "vsock"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run([SOURCE / "tools/private-apt", "sid", "unpack", folder, "vhost-device-vsock"], capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                skip_or_fail(f"Debian sid's vhost-device-vsock cannot be fetched: {done.stderr.strip()[-300:]}")
            (folder / "complete").touch()
    return {"PATH": f"{os.environ['PATH']}:{folder / 'usr/bin'}"}


def entries(place, *matches):
    done = subprocess.run(["journalctl", f"--file={place}", "--output=json", *matches],
                          capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.full
def test_entries_arrive(cvmspawn, path, tmp_path):
    """Those of the command and those of journald itself; nothing is left but the journal."""
    place, runtime = tmp_path / "guest.journal", tmp_path / "rt"
    runtime.mkdir()
    result = cvmspawn.boot(f"--forward-journal={place}", "--vsock=user", "--vsock-cid=78", "--tpm=no", f"--run={SCRIPT}",
                           env={**path, "RUNTIME_DIRECTORY": str(runtime)}, timeout=BOOT)
    assert (result.status, result.out, result.leftovers) == (0, "synced\n", []), result.err
    assert list(runtime.iterdir()) == []
    found = entries(place, "SYSLOG_IDENTIFIER=marker")
    assert [entry["MESSAGE"] for entry in found] == ["text that only this guest has: 42"]
    assert entries(place, "_TRANSPORT=driver")  # journald's own
