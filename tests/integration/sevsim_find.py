# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a QEMU is that the simulated SEV host can run; without pytest, for the anomaly tests."""

import os
import shutil
import subprocess

QEMU_PLACES = ["/var/cache/cvmspawn/qemu/usr/bin/qemu-system-x86_64", "qemu-system-x86_64"]


def find_qemu():
    for place in [os.environ.get("CVMSPAWN_QEMU"), *QEMU_PLACES]:
        path = place and shutil.which(place)
        if path:
            text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            version = tuple(int(n) for n in text.split("version ")[1].split()[0].split(".")[:2])
            if version >= (9, 1):
                return path
    return None
