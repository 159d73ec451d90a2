# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Minimal Debian roots for tools/build-deb and tools/try-fresh: made by mmdebstrap, kept in the cache as archives, entered by
# pivot_root. To be sourced after tools/common.sh. The network and the apt configuration are this machine's. Needs root.

need_mmdebstrap() {
        [ "$(id -u)" -eq 0 ] || die "making a root needs root."
        command -v mmdebstrap >/dev/null || as_root apt-get install -qq -y --no-install-recommends mmdebstrap >/dev/null ||
                die "mmdebstrap cannot be installed; it makes the roots."
}

# $1: suite. The source that a machine of this suite would have, by way of this machine's mirrors.
sources_of() {
        # Security has its own archive, below the same mirror or not: where this machine has one, it serves all suites.
        local security
        tools/private-apt "$1" sources
        [ "$1" != sid ] || return 0
        # shellcheck disable=SC2016 # apt's own variables
        security=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
                sed -n 's/^Debian-Security //p' | head -n 1)
        printf '\n'
        tools/private-apt "$1-updates" sources
        [ -z "$security" ] || printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' \
                "$security" "$1" /usr/share/keyrings/debian-archive-keyring.gpg
}

# $1: suite; $2: where to; $3: packages beyond the minimum, separated by commas. Kept in the cache as an archive under its
# contents; a fresh copy is unpacked for each use.
make_root() {
        local suite=$1 target=$2 packages=$3 archive new
        archive=$(cache_directory)/roots/$suite-$(printf '%s' "$packages" | sha256sum | cut -c 1-8).tar
        if [ ! -e "$archive" ]; then
                say "making a minimal $suite with ${packages//,/, }"
                mkdir -p "${archive%/*}"
                new=$(mktemp -d "${archive%/*}/new.XXXXXX")
                sources_of "$suite" >"$new/$suite.sources"
                apt-config dump --format '%f "%v";%n' Acquire >"$new/apt.conf"
                # dpkg need not wait for the disk: nobody keeps the root.
                mmdebstrap --quiet --aptopt="$new/apt.conf" --dpkgopt=force-unsafe-io --format=tar --variant=minbase ${packages:+--include="$packages"} "$suite" "$new/root.tar" \
                        "$new/$suite.sources" || {
                        rm -rf "$new"
                        die "mmdebstrap could not make a minimal $suite: see its messages above."
                }
                mv "$new/root.tar" "$archive"
                rm -rf "$new"
        fi
        mkdir "$target"
        tar -x -f "$archive" -C "$target"
}

# $1: root. What this machine's apt was told beyond its sources (a proxy, say) and how it resolves names.
borrow_network() {
        local file
        for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy* /etc/apt/auth.conf /etc/hosts /etc/resolv.conf; do
                [ ! -e "$file" ] || install -D -m 0644 "$file" "$1$file"
        done
        apt-config dump --format '%f "%v";%n' Acquire >"$1/etc/apt/apt.conf.d/99try-fresh"
}

# $1: root; $2: folder inside; $3: command for bash; the rest are its arguments, from $0. As the first process of new PID, mount, IPC
# and UTS namespaces.
inside() {
        # shellcheck disable=SC2016 # expanded inside
        unshare --mount --pid --ipc --uts --fork --kill-child --propagation=private bash -euc '
                root=$1 folder=$2
                shift 2
                mount --bind "$root" "$root"
                mount -t proc proc "$root/proc"
                mount --rbind /sys "$root/sys"
                mount --rbind /dev "$root/dev"
                mount -t tmpfs tmpfs "$root/run"
                mkdir "$root/.old"
                cd "$root"
                pivot_root . .old
                umount --lazy /.old
                rmdir /.old
                cd "$folder"
                exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CI=true bash -c "$@"
        ' bash "$@" </dev/null
}
