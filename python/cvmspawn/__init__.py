# SPDX-License-Identifier: LGPL-2.1-or-later
"""Python helpers for cvmspawn(1). cvmspawn.sevsim runs commands on the simulated host for AMD SEV and Intel TDX."""
