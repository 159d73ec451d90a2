# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the scripts share: where the cache is, how they speak, how they become root. To be sourced.

say() {
        printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
        say "$*"
        exit 1
}

# The cache: QEMU may run under another uid, so root's must not lie below /root.
cache_directory() {
        if [ -n "${CVMSPAWN_CACHE:-}" ]; then
                printf '%s\n' "$CVMSPAWN_CACHE"
        elif [ "$(id -u)" -eq 0 ]; then
                echo /var/cache/cvmspawn
        else
                printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/cvmspawn"
        fi
}

as_root() {
        if [ "$(id -u)" -eq 0 ]; then
                "$@"
        elif command -v sudo >/dev/null; then
                sudo -n "$@" || die "'sudo $1' failed: run this as root, or allow sudo without a password."
        else
                die "'$1' needs root, but sudo is not installed on this machine."
        fi
}

debian_codename() {
        (. /etc/os-release && [ "$ID" = debian ] && printf '%s\n' "${VERSION_CODENAME:-sid}") ||
                die "this machine does not run Debian: install the packages in tools/setup by hand."
}
