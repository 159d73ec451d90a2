# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In an initrd without systemd, before volumes are opened: what cvmspawn-guest-attest.service does. dracut's init reads it.

if [ -e "$CREDENTIALS_DIRECTORY/cvmspawn.attest.service-key" ]; then
        for module in configfs virtio_pci virtio_console sev-guest; do
                modprobe -q "$module"
        done
        [ -d /sys/kernel/config/tsm ] || mount -t configfs -o nosuid,nodev,noexec configfs /sys/kernel/config
        cvmspawn-guest-attest || echo "cvmspawn-guest-attest failed: volumes whose keys it was to get stay closed" >&2
fi
