/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From what was asked for and what the host has to what a launch uses: KVM, TPM, console. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "run.h"
#include "strutil.h"

#define MACHINE_ID_MAX 64u

static int choose_kvm(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **ret_notice,
                char **reterr) {
        if (config->kvm == TRISTATE_NO || (config->simulate && coco_of(config->coco)->emulated))
                return 0;
        if (caps->kvm) {
                ret->kvm = true;
                return 0;
        }
        if (config->kvm == TRISTATE_YES)
                return error_set(reterr, -EOPNOTSUPP, "--kvm=yes: %s; remove it to run without acceleration",
                                caps->kvm_reason ?: "KVM cannot be used here");
        /* A confidential guest has no other way. The composer explains it where the CPU is to blame. */
        if (vm_config_confidential(config) && !config->simulate) {
                ret->kvm = true;
                return 0;
        }
        if (asprintf(ret_notice, "no hardware acceleration (%s), the guest runs slowly under TCG",
                            caps->kvm_reason ?: "KVM cannot be used here") < 0)
                return -ENOMEM;
        return 0;
}

static int choose_tpm(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **reterr) {
        if (config->tpm == TRISTATE_YES && !caps->swtpm)
                return config->host_caps
                                ? error_set(reterr, -ENOENT,
                                                  "--tpm=yes: '%s' was made on a host without swtpm; "
                                                  "install swtpm there and make the file again with 'cvmspawn check-host --json'",
                                                  config->host_caps)
                                : error_set(reterr, -ENOENT,
                                                  "--tpm=yes: swtpm was not found in PATH; install swtpm");
        /* Auto means what systemd-vmspawn means by it, a TPM where one can be had; but never under --coco=, where the host's TPM
         * proves nothing. */
        ret->tpm = config->tpm == TRISTATE_YES ||
                        (config->tpm == TRISTATE_AUTO && !vm_config_confidential(config) && caps->swtpm);
        return 0;
}

static int check_shares(const VmConfig *config, const HostCaps *caps, char **reterr) {
        Share s;

        if (vm_config_n_shares(config) == 0 || caps->virtiofsd)
                return 0;
        vm_config_share(config, 0, &s);
        if (config->host_caps)
                return error_set(reterr, -ENOENT,
                                "--%s: '%s' was made on a host without virtiofsd; install virtiofsd there and make the file again with 'cvmspawn check-host --json'",
                                s.option, config->host_caps);
        return error_set(reterr, -ENOENT, "--%s: virtiofsd was not found; " VIRTIOFSD_REMEDY, s.option);
}

/* systemd-vmspawn's variable takes precedence; no digest covers the address. */
static int choose_mac(const VmConfig *config, LaunchChoices *ret, char **reterr) {
        const char *given = getenv("SYSTEMD_VMSPAWN_NETWORK_MAC");
        _cleanup_free_ char *text = NULL;
        uint8_t id[16], mac[6];
        int r;

        if (config->network != NETWORK_TAP)
                return 0;
        if (given && *given) {
                if (sscanf(given, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3,
                                    mac + 4, mac + 5) != 6 ||
                                strlen(given) != 17 || mac[0] & 1)
                        return error_set(reterr, -EINVAL,
                                        "$SYSTEMD_VMSPAWN_NETWORK_MAC: '%s' is not a MAC address of one station, such as 32:6f:ba:0b:20:a6",
                                        given);
        } else {
                r = file_read_all("/etc/machine-id", MACHINE_ID_MAX, &text, NULL);
                if (r >= 0) {
                        text[strcspn(text, "\n")] = 0;
                        r = hex_decode_exact(text, id, sizeof(id));
                }
                if (r < 0)
                        return error_set(reterr, r,
                                        "--network-tap: the guest's MAC address follows from /etc/machine-id, which has no valid content: run systemd-machine-id-setup, or set $SYSTEMD_VMSPAWN_NETWORK_MAC");
                vm_config_mac(id, config->machine, mac);
        }
        (void) snprintf(ret->mac, sizeof(ret->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                        mac[3], mac[4], mac[5]);
        return 0;
}

/* Auto is for machines that somebody logs in to: not for a command of --run=, nor for a guest whose digest must not follow from what this host has. */
static int choose_login(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **reterr) {
        const bool may = !vm_config_confidential(config) && !config->run;

        ret->vsock = config->vsock;
        if (ret->vsock == VSOCK_AUTO && config->forward_journal && !caps->vsock)
                return error_set(reterr, -EOPNOTSUPP,
                                "--forward-journal= needs a vsock device, and /dev/vhost-vsock cannot be opened%s: load the module ('modprobe vhost_vsock'), or use --vsock=user with the program vhost-device-vsock",
                                config->host_caps ? " on the host of --host-caps=" : "");
        if (ret->vsock == VSOCK_AUTO && config->forward_journal)
                ret->vsock = VSOCK_YES;
        if (ret->vsock == VSOCK_AUTO)
                ret->vsock = config->vsock_cid > 0 || (may && caps->vsock) ? VSOCK_YES : VSOCK_NO;
        if (ret->vsock == VSOCK_YES && !caps->vsock)
                return error_set(reterr, -EOPNOTSUPP,
                                "--vsock=yes: /dev/vhost-vsock cannot be opened%s: load the module ('modprobe vhost_vsock'), or use --vsock=user with the program vhost-device-vsock",
                                config->host_caps ? " on the host of --host-caps=" : "");
        if (ret->vsock != VSOCK_NO)
                ret->vsock_cid = config->vsock_cid ?: vm_config_cid(config->machine, 0);
        ret->vsock_notify = ret->vsock != VSOCK_NO && may && config->notify_ready != TRISTATE_NO;
        ret->ssh_key = !config->ssh_key &&
                        (config->pass_ssh_key == TRISTATE_YES ||
                                        (config->pass_ssh_key == TRISTATE_AUTO && may &&
                                                        ret->vsock != VSOCK_NO));
        return 0;
}

int run_choose(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **ret_notice,
                char **reterr) {
        LaunchChoices choices = { .run = config->run,
                .simulated = config->simulate,
                .kvm_fd = caps->kvm_fd,
                .vsock_fd = caps->vsock_fd };
        bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        int r;

        r = choose_kvm(config, caps, &choices, ret_notice, reterr);
        if (r < 0)
                return r;
        r = choose_tpm(config, caps, &choices, reterr);
        if (r >= 0)
                r = check_shares(config, caps, reterr);
        if (r >= 0)
                r = choose_login(config, caps, &choices, reterr);
        if (r >= 0)
                r = choose_mac(config, &choices, reterr);
        if (r < 0)
                return r;

        choices.console = config->console;
        if (choices.console == CONSOLE_AUTO)
                choices.console = config->run || config->json == JSON_SHORT_MODE ? CONSOLE_HEADLESS
                                : terminal                                       ? CONSOLE_INTERACTIVE
                                                                                 : CONSOLE_READ_ONLY;
        if (config->shell && !terminal)
                return error_set(reterr, -ENOTTY,
                                "--shell needs a terminal as standard input and output; use --run=");
        if (choices.console == CONSOLE_INTERACTIVE && !isatty(STDIN_FILENO))
                return error_set(reterr, -ENOTTY,
                                "--console=interactive: standard input is not a terminal; use read-only");

        choices.terminal = config->run && terminal && choices.console == CONSOLE_HEADLESS;
        *ret = choices;
        return 0;
}
