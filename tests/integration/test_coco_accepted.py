# SPDX-License-Identifier: LGPL-2.1-or-later
"""The QEMU that is here accepts every composed line of the three modes; tests/interop has the same for the QEMU of Debian sid."""

import pytest
from golden_launches import CASES, only_kvm_is_missing
from sevsim_host import find_qemu, skip_or_fail


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_only_kvm_is_missing(path, tmp_path):
    only_kvm_is_missing(path, tmp_path, find_qemu() or skip_or_fail("no QEMU of version 9.1 or later: set CVMSPAWN_QEMU to its program"))
