/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Directories that the guest is given by virtiofs. The guest mounts them by the credential fstab.extra: systemd.system-credentials(7). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "resolve-parts.h"
#include "strutil.h"

#define FSTAB      "fstab.extra"
#define RUN_DROPIN "systemd.unit-dropin.cvmspawn-run.service"

static int resolve_share(const Share *s, LaunchInputs *in, char **reterr) {
        char *path = realpath(s->source, NULL);
        struct stat st;

        if (!path)
                return error_set(reterr, -errno, "--%s: cannot find '%s': %m", s->option, s->source);
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
                free(path);
                return error_set(reterr, -ENOTDIR,
                                "--%s: '%s' is not a directory, and virtiofs shares directories only; name the directory that contains it",
                                s->option, s->source);
        }
        if (!s->target)
                in->root_owner = st.st_uid;
        return strv_consume(&in->shares, path);
}

/* What comes after "--" is for PID 1. */
static int push_for_kernel(char ***cmdline, const char *word) {
        int r = strv_push(cmdline, word);

        for (size_t i = 0, n = strv_length(*cmdline); r >= 0 && i + 1 < n; i++)
                if (streq((*cmdline)[i], "--")) {
                        char *last = (*cmdline)[n - 1];

                        memmove(*cmdline + i + 1, *cmdline + i, (n - 1 - i) * sizeof(char *));
                        (*cmdline)[i] = last;
                        break;
                }
        return r;
}

int resolve_shares(const VmConfig *config, LaunchInputs *in, char ***cmdline, char **reterr) {
        int r = 0;

        for (size_t i = 0; i < vm_config_n_shares(config) && r >= 0; i++) {
                Share s;

                vm_config_share(config, i, &s);
                r = resolve_share(&s, in, reterr);
        }
        if (r < 0 || !config->directory || !cmdline || config->exact_words ||
                        cmdline_root(*cmdline) != CMDLINE_ROOT_NONE)
                return r;
        return push_for_kernel(cmdline, "root=root rootfstype=virtiofs rw");
}

static Credential *find(CredentialSet *set, const char *id) {
        FOREACH_ARRAY(c, set->items, set->n_items)
                if (streq(c->id, id))
                        return c;
        return NULL;
}

/* The user's own lines stay in front, and the credential where it is. */
static int append(Credential *c, const char *lines) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        size_t n = c->value.size, newline = n > 0 && c->value.data[n - 1] != '\n', more = strlen(lines);
        int r = secret_buf_alloc(&value, n + newline + more);

        if (r < 0)
                return r;
        memcpy(value.data, c->value.data, n);
        if (newline)
                value.data[n] = '\n';
        memcpy(value.data + n + newline, lines, more);
        secret_buf_done(&c->value);
        c->value = TAKE_STRUCT(value, (SecretBuf) {});
        return 0;
}

static int add(CredentialSet *set, const char *id, const char *text, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        int r = secret_buf_copy(&value, text, strlen(text));

        return r < 0 ? r : credential_set_add(set, id, &value, reterr);
}

int resolve_share_credentials(const VmConfig *config, CredentialSet *set, char **reterr) {
        _cleanup_free_ char *text = NULL;
        Credential *fstab = find(set, FSTAB);
        int r;

        if (vm_config_n_shares(config) <= (config->directory ? 1 : 0))
                return 0;
        /* fstab.extra is for the system behind the initrd; the job of --run= is in the initrd, and there are its mounts. */
        if (config->run) {
                r = vm_config_mounts_dropin(config, &text);
                return r < 0 ? r : add(set, RUN_DROPIN, text, reterr);
        }
        r = vm_config_fstab(config, &text);
        if (r < 0)
                return r;
        return fstab ? append(fstab, text) : add(set, FSTAB, text, reterr);
}
