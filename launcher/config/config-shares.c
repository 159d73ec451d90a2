/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Directories of the host for the guest: what --directory=, --bind= and --bind-ro= take, and what the guest is told of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "error.h"
#include "strutil.h"

int config_take_field(const char **p, char **ret) {
        _cleanup_free_ char *field = malloc(strlen(*p) + 1);
        size_t n = 0;
        const char *s = *p;

        if (!field)
                return -ENOMEM;
        for (; *s && *s != ':'; s++) {
                if (*s == '\\' && (s[1] == ':' || s[1] == '\\'))
                        s++;
                field[n++] = *s;
        }
        field[n] = 0;
        *p = s;
        *ret = TAKE_PTR(field);
        return 0;
}

/* Takes doubled and last slashes away. False for "." and "..", since what is mounted must not depend on what else is; for the root, which
 * is the initrd's or the image's; and for what a unit file or fstab(5) could not say. */
static bool clean_target(char *path) {
        char *to = path;

        if (*path != '/')
                return false;
        for (const char *p = path; *p;) {
                size_t n;

                p += strspn(p, "/");
                n = strcspn(p, "/");
                if ((n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                if (n == 0)
                        break;
                *to++ = '/';
                memmove(to, p, n);
                to += n;
                p += n;
        }
        *to = 0;
        for (const char *p = path; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 127)
                        return false;
        return to > path + 1 && !strchr(" \\", to[-1]);
}

static int add_share(VmConfig *c, ShareSource *share) {
        ShareSource *grown = reallocarray(c->binds, c->n_binds + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        c->binds = grown;
        c->binds[c->n_binds++] = TAKE_STRUCT(*share, (ShareSource) {});
        return 0;
}

static void share_source_done(ShareSource *s) {
        free(s->source);
        free(s->target);
}

int config_handle_bind(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        _cleanup_(share_source_done) ShareSource share = { .read_only = streq(row->name, "bind-ro") };
        VmConfig *c = userdata;
        const char *p = value;
        int r = config_take_field(&p, &share.source);

        if (r >= 0 && *p == ':') {
                p++;
                r = config_take_field(&p, &share.target);
        } else if (r >= 0) {
                share.target = strdup(share.source);
                r = share.target ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        if (*p || !*share.source)
                return error_set(reterr, -EINVAL,
                                "expected SRC[:DST], not '%s'; write '\\:' for a colon in a path", value);
        if (!clean_target(share.target))
                return error_set(reterr, -EINVAL,
                                "'%s' names no place in the guest: expected SRC:DST with an absolute path DST, without '.' and '..', that is not the root",
                                value);
        if (c->n_binds >= BINDS_MAX)
                return error_set(reterr, -E2BIG, "at most %u directories are supported", BINDS_MAX);
        return add_share(c, &share);
}

/* [SHIFT][:RANGE] as in systemd-vmspawn: guest ids from 0 are those of the host from SHIFT on. */
int config_handle_private_users(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        const char *colon = strchr(value, ':');
        _cleanup_free_ char *first = strndup(value, colon ? (size_t) (colon - value) : strlen(value));
        uint64_t shift = 0, range = USER_RANGE;
        VmConfig *c = userdata;

        if (!first)
                return -ENOMEM;
        if (parse_boolean(value) == 0 && !streq(value, "0")) {
                c->user_range = 0;
                c->user_shift_set = false;
                return 0;
        }
        if ((*first ? parse_u64_max(first, UINT32_MAX - 1, &shift) < 0 : !colon) ||
                        (colon && parse_u64_max(colon + 1, UINT32_MAX - 1, &range) < 0) || range == 0 ||
                        shift + range >= UINT32_MAX)
                return error_set(reterr, -EINVAL,
                                "expected no, SHIFT, SHIFT:RANGE or :RANGE with user ids below 4294967295, not '%s'",
                                value);
        c->user_shift = (uint32_t) shift;
        c->user_range = (uint32_t) range;
        c->user_shift_set = *first;
        return 0;
}

void vm_config_share(const VmConfig *c, size_t i, Share *ret) {
        const ShareSource *s;

        if (c->directory && i == 0) {
                *ret = (Share) {
                        .option = "directory", .source = c->directory, .id = "rootdir", .tag = "root"
                };
                return;
        }
        i -= c->directory ? 1 : 0;
        if (i >= c->n_binds) {
                const BindUser *u = c->bind_users + (i - c->n_binds);

                *ret = (Share) {
                        .option = "bind-user", .source = u->home ?: u->name, .target = u->target, .user = u
                };
        } else {
                s = c->binds + i;
                *ret = (Share) { .option = s->read_only ? "bind-ro" : "bind",
                        .source = s->source,
                        .target = s->target,
                        .read_only = s->read_only };
        }
        (void) snprintf(ret->id, sizeof(ret->id), "mnt%zu", i);
        (void) snprintf(ret->tag, sizeof(ret->tag), "mnt%zu", i);
}

/* As fstab(5) takes it: blanks and backslashes in octal. */
static void put_target(Text *t, const char *target) {
        for (const char *p = target; *p; p++)
                if (strchr(" \t\n\\", *p))
                        text_putf(t, "\\%03o", (unsigned) (unsigned char) *p);
                else
                        text_put_n(t, p, 1);
}

int vm_config_fstab(const VmConfig *c, char **ret) {
        _cleanup_(text_done) Text t = {};

        for (size_t i = 0; i < vm_config_n_shares(c); i++) {
                Share s;

                vm_config_share(c, i, &s);
                if (!s.target)
                        continue;
                text_putf(&t, "%s ", s.tag);
                put_target(&t, s.target);
                text_putf(&t, " virtiofs %s,x-initrd.mount\n", s.read_only ? "ro" : "rw");
        }
        return text_finish(&t, ret);
}

/* A word of a command line in a unit file: systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers". */
static void put_word(Text *t, const char *word) {
        text_put(t, "\"");
        for (const char *p = word; *p; p++)
                if (*p == '"' || *p == '\\')
                        text_putf(t, "\\x%02x", (unsigned) (unsigned char) *p);
                else if (*p == '%' || *p == '$')
                        text_putf(t, "%c%c", *p, *p);
                else
                        text_put_n(t, p, 1);
        text_put(t, "\"");
}

int vm_config_mounts_dropin(const VmConfig *c, char **ret) {
        _cleanup_(text_done) Text t = {};

        text_put(&t, "[Service]\n");
        for (size_t i = 0; i < vm_config_n_shares(c); i++) {
                Share s;

                vm_config_share(c, i, &s);
                if (!s.target)
                        continue;
                text_putf(&t, "ExecStartPre=mount --mkdir -t virtiofs -o %s %s ", s.read_only ? "ro" : "rw",
                                s.tag);
                put_word(&t, s.target);
                text_put(&t, "\n");
        }
        return text_finish(&t, ret);
}
