/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel command line, and credentials that travel as SMBIOS type 11 strings, fw_cfg files or on the kernel command line. The forms are
 * systemd's: systemd.system-credentials(7), kernel-command-line(7). */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "resolve-uki.h"
#include "strutil.h"

#define CMDLINE_MAX 2047u /* COMMAND_LINE_SIZE of Linux on x86 is 2048 with the NUL */
/* Tools fill the section with NULs up to a page or to the alignment of sections. */
#define UKI_CMDLINE_MAX (1024u * 1024u)
/* SMBIOS 2.x tables have 64 KiB in all (DSP0134, "Structure Table Length"); QEMU 10 with SeaBIOS leaves out type 11 beyond that, tried. 4
 * KiB are for all other structures. */
#define SMBIOS_STRINGS_MAX (60u * 1024u)
#define FW_CFG_NAME_MAX    55u /* QEMU docs/specs/fw_cfg.rst: file names have 56 bytes with the NUL */

static int add_credential_cmdline(const CredentialSet *credentials, char ***cmdline) {
        FOREACH_ARRAY(c, credentials->items, credentials->n_items) {
                char *value = base64_encode(c->value.data, c->value.size);
                int r;

                if (!value)
                        return -ENOMEM;
                r = strv_pushf(cmdline, "systemd.set_credential_binary=%s:%s", c->id, value);
                erase_string_free(value);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Without the white space and NULs that end it; -EBADMSG if there is more text after a NUL. */
static int trim(char *text, size_t size, size_t *ret) {
        size_t n = size;

        while (n > 0 && (text[n - 1] == 0 || strchr(" \t\r\n", text[n - 1])))
                n--;
        text[n] = 0;
        *ret = n;
        return strlen(text) < n ? -EBADMSG : 0;
}

/* The command line inside a unified kernel image, without the newline and the NULs that end or fill the section. */
static int add_uki_cmdline(const Uki *uki, char ***cmdline, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        if (!uki || !uki->found || !uki->cmdline.present)
                return 0;
        if (uki->cmdline.size > UKI_CMDLINE_MAX)
                return error_set(reterr, -E2BIG,
                                "--linux: the .cmdline section is %llu bytes, padding included; at most %u are read",
                                (unsigned long long) uki->cmdline.size, UKI_CMDLINE_MAX);
        text = calloc(1, uki->cmdline.size + 1);
        if (!text)
                return -ENOMEM;
        r = fd_pread_exact(uki->fd, text, uki->cmdline.size, uki->cmdline.offset);
        if (r < 0)
                return r;
        r = trim(text, uki->cmdline.size, &n);
        if (r < 0)
                return error_set(reterr, r,
                                "--linux: the .cmdline section has text after a NUL, which some programs read and others do not; build the image again");
        if (n > CMDLINE_MAX)
                return error_set(reterr, -E2BIG,
                                "--linux: the command line in the .cmdline section is %zu bytes; Linux supports at most %u",
                                n, CMDLINE_MAX);
        return n > 0 ? strv_consume(cmdline, TAKE_PTR(text)) : 0;
}

static int add_cmdline(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char ***cmdline, char **reterr) {
        int r = 0;

        if (!config->exact_words)
                r = strv_push(cmdline,
                                config->console_transport == CONSOLE_VIRTIO ? "console=hvc0"
                                                                            : "console=ttyS0");
        if (r < 0)
                return r;
        if (options->shield)
                r = strv_push(cmdline, SHIELD_WORD);
        if (r >= 0)
                r = add_uki_cmdline(options->uki, cmdline, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(w, config->cmdline) {
                r = strv_push(cmdline, *w);
                if (r < 0)
                        return r;
        }
        if (config->image) {
                r = resolve_image(config, options, in, config->linux_path ? cmdline : NULL, reterr);
                if (r < 0)
                        return r;
        }
        r = resolve_extra_drives(config, options, in, reterr);
        if (r >= 0)
                r = resolve_shares(config, in, config->linux_path ? cmdline : NULL, reterr);
        if (r < 0)
                return r;
        if (in->transport != TRANSPORT_CMDLINE || credentials->n_items == 0)
                return r;
        r = add_credential_cmdline(credentials, cmdline);
        return r < 0 ? r
                     : strv_push(&in->notices,
                                       "credentials on the kernel command line are not secret: every user of this host can read QEMU's arguments, and every process in the guest can read /proc/cmdline");
}

int resolve_cmdline(const VmConfig *config, const ResolveOptions *options, const CredentialSet *credentials,
                LaunchInputs *in, char **reterr) {
        _cleanup_strv_free_ char **cmdline = NULL;
        _cleanup_free_ char *text = NULL;
        int r, fd;

        r = add_cmdline(config, options, credentials, in, &cmdline, reterr);
        if (r < 0)
                return r;
        if (!config->linux_path || (!cmdline && !options->adapter))
                return 0;

        text = cmdline ? strv_join(cmdline, " ") : strdup("");
        if (!text)
                return -ENOMEM;
        r = options->adapter ? resolve_adapter_word(config, &text, reterr) : 0;
        if (r < 0)
                return r;
        if (strlen(text) > CMDLINE_MAX)
                return error_set(reterr, -E2BIG,
                                "the kernel command line is %zu bytes; Linux supports at most %u on x86; pass credentials with --set-credential= instead",
                                strlen(text), CMDLINE_MAX);

        fd = memfd_new_sealed("cvmspawn-cmdline", text, strlen(text));
        if (fd < 0)
                return fd;
        r = launch_inputs_keep_fd(in, fd, LAUNCH_FD_CMDLINE);
        if (r < 0)
                return r;
        r = plan_input_add(&in->plan.cmdline, "command line", LAUNCH_FD_CMDLINE, 0, strlen(text));
        if (r < 0)
                return r;
        in->cmdline = TAKE_PTR(text);
        return 0;
}

static int add_smbios(const Credential *c, LaunchInputs *in) {
        char *value = base64_encode(c->value.data, c->value.size), *text = NULL;
        int r = -ENOMEM;

        if (value && asprintf(&text, "io.systemd.credential.binary:%s=%s", c->id, value) >= 0)
                r = launch_inputs_add_string(in, STRING_SMBIOS11, NULL, text, strlen(text));
        erase_string_free(value);
        erase_string_free(text);
        return r;
}

static int add_fw_cfg(const Credential *c, LaunchInputs *in, char **reterr) {
        _cleanup_free_ char *name = NULL;

        if (asprintf(&name, "opt/io.systemd.credentials/%s", c->id) < 0)
                return -ENOMEM;
        if (strlen(name) > FW_CFG_NAME_MAX || strchr(name, ','))
                return error_set(reterr, -EINVAL,
                                "credential '%s' cannot be passed by fw_cfg: its name may have at most %zu characters and no comma; use --credential-transport=smbios",
                                c->id, FW_CFG_NAME_MAX - strlen("opt/io.systemd.credentials/"));
        return launch_inputs_add_string(in, STRING_FW_CFG, name, c->value.data, c->value.size);
}

int resolve_strings(const CredentialSet *credentials, CredentialTransport transport, LaunchInputs *in,
                char **reterr) {
        FOREACH_ARRAY(c, credentials->items, credentials->n_items) {
                int r = 0;

                if (transport == TRANSPORT_SMBIOS)
                        r = add_smbios(c, in);
                else if (transport == TRANSPORT_FW_CFG)
                        r = add_fw_cfg(c, in, reterr);
                if (r == -E2BIG)
                        return error_set(reterr, r,
                                        "too many credentials for this transport: combine several into one");
                if (r < 0)
                        return r;
        }
        return 0;
}

int resolve_check_smbios(const LaunchInputs *in, char **reterr) {
        uint64_t size = 0;

        FOREACH_ARRAY(s, in->strings, in->n_strings) {
                struct stat st;

                if (s->kind != STRING_SMBIOS11)
                        continue;
                if (fstat(s->fd, &st) < 0)
                        return -errno;
                size += (uint64_t) st.st_size + 1;
        }
        if (size > SMBIOS_STRINGS_MAX)
                return error_set(reterr, -E2BIG,
                                "the SMBIOS strings are %" PRIu64
                                " bytes (credentials in base64), more than the %u that fit, so the guest would see none of them; pass large credentials in an initrd, see --linux= and --initrd=",
                                size, SMBIOS_STRINGS_MAX);
        return 0;
}
