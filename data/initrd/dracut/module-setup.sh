#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# For dracut(8): cvmspawn-guest and cvmspawn-guest-attest in the initrd. Named by --add=cvmspawn-guest, or by add_dracutmodules+=" cvmspawn-guest ".
# shellcheck disable=SC2154 # dracut's variables

check() {
        require_binaries cvmspawn-guest || return 1
        # Only where somebody names it.
        return 255
}

depends() {
        return 0
}

installkernel() {
        # Not only what this machine has loaded: the initrd is for the guest.
        hostonly='' instmods configfs efi_secret sev-guest tsm tsm_report virtio_console virtio_pci
        local module
        for module in sev-guest virtio_console; do
                modinfo -k "$kernel" "$module" >/dev/null 2>&1 ||
                        dwarn "cvmspawn-guest: Linux $kernel has no module '$module', so that guests of this initrd get no reports or secrets; install all modules of that kernel."
        done
}

install() {
        inst_multiple cvmspawn-guest
        inst_multiple -o cvmspawn-guest-attest || return 0
        inst_multiple modprobe mount mkdir
        if dracut_module_included systemd; then
                inst_simple "$systemdsystemunitdir/cvmspawn-guest-attest.service"
                $SYSTEMCTL -q --root "$initdir" add-wants initrd.target cvmspawn-guest-attest.service
        else
                inst_hook pre-trigger 20 "$moddir/attest.sh"
        fi
}
