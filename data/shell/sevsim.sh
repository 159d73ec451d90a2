# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Shell functions for tests on the simulated host of cvmspawn-sevsim(1): ". /usr/share/cvmspawn/sevsim.sh". POSIX sh; set CVMSPAWN to use
# another program than the cvmspawn in $PATH. All of it is a SIMULATION. cvmspawn-sevsim-helpers(7) has examples.
#
#   sevsim_run RECORD COMMAND [ARGUMENT]...     run a command; its launches go to RECORD; returns the command's status
#   sevsim_expect DIGEST RECORD COMMAND...      the same, and 3 if a launch has another digest
#   sevsim_platform FOLDER                      create a simulated platform with all certificates and keys
#   sevsim_start FOLDER [OPTION]...             start a simulated host that several commands share, in the background
#   sevsim_join FOLDER COMMAND [ARGUMENT]...    run a command on it; its launches go to the host's record
#   sevsim_stop FOLDER                          end it, and what runs on it
#   sevsim_launches RECORD                      print the folder of each launch, one per line
#   sevsim_digest RECORD [NUMBER]               print the digest of a launch (default: the last one)
#   sevsim_commands RECORD [NUMBER]             print its commands, one JSON object per line

sevsim_run() {
        [ $# -ge 2 ] || { echo "sevsim_run: expected RECORD COMMAND [ARGUMENT]..." >&2; return 2; }
        sevsim_record_=$1
        shift
        "${CVMSPAWN:-cvmspawn}" sevsim --record="$sevsim_record_" -- "$@"
}

sevsim_expect() {
        [ $# -ge 3 ] || { echo "sevsim_expect: expected DIGEST RECORD COMMAND [ARGUMENT]..." >&2; return 2; }
        sevsim_digest_=$1 sevsim_record_=$2
        shift 2
        "${CVMSPAWN:-cvmspawn}" sevsim --expect-digest="$sevsim_digest_" --record="$sevsim_record_" -- "$@"
}

sevsim_platform() {
        [ $# -eq 1 ] || { echo "sevsim_platform: expected FOLDER" >&2; return 2; }
        "${CVMSPAWN:-cvmspawn}" sevsim --platform="$1" -- true >/dev/null
}

sevsim_start() {
        [ $# -ge 1 ] || { echo "sevsim_start: expected FOLDER [OPTION]..." >&2; return 2; }
        sevsim_folder_=$1
        shift
        sevsim_ready_=$(mktemp -d) || return 1
        mkfifo "$sevsim_ready_/ready" || { rmdir "$sevsim_ready_"; return 1; }
        "${CVMSPAWN:-cvmspawn}" sevsim --listen="$sevsim_folder_" "$@" >"$sevsim_ready_/ready" &
        sevsim_host_=$!
        # It says that it is ready, or ends without a word on standard output.
        if read -r sevsim_line_ <"$sevsim_ready_/ready"; then sevsim_status_=0; else sevsim_status_=1; fi
        rm -rf "$sevsim_ready_"
        [ "$sevsim_status_" -eq 0 ] || wait "$sevsim_host_" || return $?
        printf '%s\n' "$sevsim_line_"
}

sevsim_join() {
        [ $# -ge 2 ] || { echo "sevsim_join: expected FOLDER COMMAND [ARGUMENT]..." >&2; return 2; }
        sevsim_folder_=$1
        shift
        "${CVMSPAWN:-cvmspawn}" sevsim --join="$sevsim_folder_" -- "$@"
}

sevsim_stop() {
        [ $# -eq 1 ] || { echo "sevsim_stop: expected FOLDER" >&2; return 2; }
        sevsim_state_=$("${CVMSPAWN:-cvmspawn}" sevsim --join="$1" --json=short) || return $?
        sevsim_host_=$(printf '%s\n' "$sevsim_state_" | sed -n 's/.*"host-process":\([0-9]*\).*/\1/p')
        [ -n "$sevsim_host_" ] || { echo "sevsim_stop: the process of '$1' is out of sight" >&2; return 1; }
        kill "$sevsim_host_" || return 1
        # The lock is the last of its files; it may be another shell's child.
        while [ -e "$1/lock" ] && kill -0 "$sevsim_host_" 2>/dev/null; do
                sleep 0.1
        done
        wait "$sevsim_host_" 2>/dev/null || true
}

sevsim_launches() {
        [ $# -eq 1 ] || { echo "sevsim_launches: expected RECORD" >&2; return 2; }
        for sevsim_launch_ in "$1"/launch-* "$1"/run-*/launch-*; do
                [ ! -d "$sevsim_launch_" ] || printf '%s\n' "$sevsim_launch_"
        done
}

# $1: record; $2: number or nothing; $3: file.
sevsim_file_() {
        if [ -n "$2" ]; then
                case $2 in
                *[!0-9]*) echo "sevsim: '$2' is not the number of a launch" >&2; return 2 ;;
                esac
                # printf takes a number that begins with 0 as octal.
                sevsim_number_=${2#"${2%%[!0]*}"}
                sevsim_launch_=$(printf '%s/launch-%03d' "$1" "${sevsim_number_:-0}")
        else
                sevsim_launch_=$(sevsim_launches "$1" | tail -n 1)
        fi
        [ -d "$sevsim_launch_" ] || { echo "sevsim: '$1' has no record of launch ${2:-1}" >&2; return 1; }
        [ -e "$sevsim_launch_/$3" ] || { echo "sevsim: '$sevsim_launch_' has no $3: the launch did not get that far" >&2; return 1; }
        cat "$sevsim_launch_/$3"
}

sevsim_digest() {
        [ $# -eq 1 ] || [ $# -eq 2 ] || { echo "sevsim_digest: expected RECORD [NUMBER]" >&2; return 2; }
        sevsim_file_ "$1" "${2:-}" digest
}

sevsim_commands() {
        [ $# -eq 1 ] || [ $# -eq 2 ] || { echo "sevsim_commands: expected RECORD [NUMBER]" >&2; return 2; }
        sevsim_file_ "$1" "${2:-}" commands.jsonl
}
