/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel command line, and credentials that travel as SMBIOS type 11 strings, fw_cfg files or kernel words. The forms are
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

#define WORDS_MAX 2047u /* COMMAND_LINE_SIZE of Linux on x86 is 2048 with the NUL */
/* SMBIOS 2.x tables have 64 KiB in all (DSP0134, "Structure Table Length"); QEMU 10 with SeaBIOS leaves out type 11 beyond that, tried. 4
 * KiB are for all other structures. */
#define SMBIOS_STRINGS_MAX (60u * 1024u)
#define FW_CFG_NAME_MAX    55u /* QEMU docs/specs/fw_cfg.rst: file names have 56 bytes with the NUL */

static int add_credential_words(const CredentialSet *credentials, char ***words) {
        FOREACH_ARRAY(c, credentials->items, credentials->n_items) {
                char *value = base64_encode(c->value.data, c->value.size);
                int r;

                if (!value)
                        return -ENOMEM;
                r = strv_pushf(words, "systemd.set_credential_binary=%s:%s", c->id, value);
                erase_string_free(value);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The words inside a unified kernel image, without the newline and NULs that end the section. */
static int add_uki_words(const Uki *uki, char ***words, char **reterr) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!uki || !uki->found || !uki->cmdline.present)
                return 0;
        if (uki->cmdline.size > WORDS_MAX)
                return error_set(reterr, -E2BIG,
                                "--linux: the .cmdline section has %llu bytes, Linux takes at most %u",
                                (unsigned long long) uki->cmdline.size, WORDS_MAX);
        text = calloc(1, uki->cmdline.size + 1);
        if (!text)
                return -ENOMEM;
        r = fd_pread_exact(uki->fd, text, uki->cmdline.size, uki->cmdline.offset);
        if (r < 0)
                return r;
        for (size_t n = strlen(text); n > 0 && strchr(" \t\r\n", text[n - 1]); n--)
                text[n - 1] = 0;
        return *text ? strv_consume(words, TAKE_PTR(text)) : 0;
}

static int add_words(const VmConfig *config, const ResolveOptions *options, const CredentialSet *credentials,
                LaunchInputs *in, char ***words, char **reterr) {
        int r = 0;

        if (!config->exact_words)
                r = strv_push(words,
                                config->console_transport == CONSOLE_VIRTIO ? "console=hvc0"
                                                                            : "console=ttyS0");
        if (r < 0)
                return r;
        r = add_uki_words(options->uki, words, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(w, config->words) {
                r = strv_push(words, *w);
                if (r < 0)
                        return r;
        }
        if (config->image) {
                r = resolve_image(config, options, in, config->linux_path ? words : NULL, reterr);
                if (r < 0)
                        return r;
        }
        if (in->transport != TRANSPORT_CMDLINE || credentials->n_items == 0)
                return r;
        r = add_credential_words(credentials, words);
        return r < 0 ? r
                     : strv_push(&in->notices,
                                       "credentials in kernel words are no secrets: every user of this host "
                                       "sees "
                                       "QEMU's arguments, and every process in the guest /proc/cmdline");
}

int resolve_words(const VmConfig *config, const ResolveOptions *options, const CredentialSet *credentials,
                LaunchInputs *in, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        int r, fd;

        r = add_words(config, options, credentials, in, &words, reterr);
        if (r < 0)
                return r;
        if (!config->linux_path || !words)
                return 0;

        text = strv_join(words, " ");
        if (!text)
                return -ENOMEM;
        if (strlen(text) > WORDS_MAX)
                return error_set(reterr, -E2BIG,
                                "the kernel command line has %zu bytes, Linux takes at most %u on x86; "
                                "credentials need no words, see "
                                "--set-credential=",
                                strlen(text), WORDS_MAX);

        fd = memfd_new_sealed("cvmspawn-words", text, strlen(text));
        if (fd < 0)
                return fd;
        r = launch_inputs_keep_fd(in, fd, LAUNCH_FD_WORDS);
        if (r < 0)
                return r;
        r = plan_input_add(&in->plan.words, "words", LAUNCH_FD_WORDS, 0, strlen(text));
        if (r < 0)
                return r;
        in->words = TAKE_PTR(text);
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
                                "credential '%s' cannot travel by fw_cfg: its name may have at most %zu "
                                "characters and no comma; use "
                                "--credential-transport=smbios",
                                c->id, FW_CFG_NAME_MAX - strlen("opt/io.systemd.credentials/"));
        return launch_inputs_add_string(in, STRING_FW_CFG, name, c->value.data, c->value.size);
}

int resolve_strings(const CredentialSet *credentials, LaunchInputs *in, char **reterr) {
        FOREACH_ARRAY(c, credentials->items, credentials->n_items) {
                int r = 0;

                if (in->transport == TRANSPORT_SMBIOS)
                        r = add_smbios(c, in);
                else if (in->transport == TRANSPORT_FW_CFG)
                        r = add_fw_cfg(c, in, reterr);
                if (r == -E2BIG)
                        return error_set(reterr, r,
                                        "too many credentials for this transport: put several into one");
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
                                "the SMBIOS strings have %" PRIu64
                                " bytes (credentials in base64), of which "
                                "the guest would see none: SMBIOS tables hold %u; large credentials travel "
                                "in "
                                "an initrd, see --linux= and --initrd=",
                                size, SMBIOS_STRINGS_MAX);
        return 0;
}
