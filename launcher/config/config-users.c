/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Users of the host for the guest: what --bind-user=, --bind-user-shell= and --bind-user-group= take, and the records that the guest's systemd
 * gets of them (systemd's docs/USER_RECORD.md and GROUP_RECORD.md). What the host knows of a user is filled in by resolve_users(). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "error.h"
#include "secret.h"
#include "strutil.h"

#define USER_NAME_MAX 31u /* systemd's docs/USER_NAMES.md, strict mode */

void bind_users_free(BindUser *users, size_t n) {
        FOREACH_ARRAY(u, users, n) {
                free(u->name);
                free(u->target);
                free(u->home);
                free(u->shell);
                erase_string_free(u->password);
        }
        free(users);
}

static bool valid_name(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= USER_NAME_MAX && !strchr("0123456789-", name[0]) &&
                        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                        n;
}

static int check_name(const char *what, const char *name, char **reterr) {
        if (!valid_name(name))
                return error_set(reterr, -EINVAL,
                                "'%s' is not the name of a %s: use at most %u letters, digits, '_' and '-', not beginning with a digit or '-'",
                                name, what, USER_NAME_MAX);
        return 0;
}

int config_handle_bind_user(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        BindUser user = {}, *grown;
        int r = check_name("user", value, reterr);

        if (r < 0)
                return r;
        if (streq(value, "root") || streq(value, "nobody"))
                return error_set(reterr, -EINVAL, "each guest has a user '%s' already: name another user",
                                value);
        FOREACH_ARRAY(u, c->bind_users, c->n_bind_users)
                if (streq(u->name, value))
                        return error_set(reterr, -EINVAL, "user '%s' is named twice: remove one", value);
        if (c->n_bind_users >= BIND_USERS_MAX)
                return error_set(reterr, -E2BIG, "at most %u users are supported", BIND_USERS_MAX);
        grown = reallocarray(c->bind_users, c->n_bind_users + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        c->bind_users = grown;
        user.name = strdup(value);
        if (asprintf(&user.target, "/run/vmhost/home/%s", value) < 0)
                user.target = NULL;
        user.guest_id = BIND_USER_FIRST + (uint32_t) c->n_bind_users;
        if (!user.name || !user.target) {
                free(user.name);
                free(user.target);
                return -ENOMEM;
        }
        c->bind_users[c->n_bind_users++] = user;
        return 0;
}

/* no: the guest's default, yes: the one of the host, else a path in the guest. */
int config_handle_bind_user_shell(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        int b = parse_boolean(value);

        if (b < 0 && *value != '/')
                return error_set(reterr, -EINVAL,
                                "expected yes, no or the absolute path of a shell in the guest, not '%s'",
                                value);
        for (const char *p = value; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 127 || *p == ':')
                        return error_set(reterr, -EINVAL,
                                        "'%s' cannot be the path of a shell: remove colons and control characters",
                                        value);
        c->bind_user_shell_set = true;
        c->bind_user_host_shell = b > 0;
        if (b < 0)
                return option_set_string(userdata, row, value, reterr);
        free(c->bind_user_shell);
        c->bind_user_shell = NULL;
        return 0;
}

int config_handle_bind_user_group(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        const VmConfig *c = userdata;
        int r = check_name("group", value, reterr);

        if (r < 0 || strv_contains(c->bind_user_groups, value))
                return r;
        return option_append(userdata, row, value, reterr);
}

/* A value in JSON, behind ,"key": */
static int put_value(Text *t, const char *key, Json *value) {
        _cleanup_js_ Json *owned = value;
        _cleanup_free_ char *text = owned ? js_text(owned, JS_SHORT) : NULL;

        if (!text)
                return -ENOMEM;
        text_putf(t, ",\"%s\":%s", key, text);
        return 0;
}

/* Byte for byte as systemd-vmspawn has them. The password is put in by hand: other copies would stay in memory. It has no character that
 * JSON escapes. */
int vm_config_user_record(const VmConfig *c, const BindUser *u, SecretBuf *ret) {
        static const char begin[] = ",\"privileged\":{", hash[] = "\"hashedPassword\":[\"", end[] = "}}\n";
        const char *shell = c->bind_user_host_shell ? u->shell : c->bind_user_shell;
        const char *parts[] = { NULL, begin, u->password ? hash : "", u->password ?: "",
                u->password ? "\"]" : "", end };
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r = 0;

        text_putf(&t, "{\"userName\":\"%s\",\"uid\":%u,\"gid\":%u,\"homeDirectory\":\"%s\",\"service\":\"io.systemd.NSpawn\"",
                        u->name, u->guest_id, u->guest_id, u->target);
        if (shell)
                r = put_value(&t, "shell", js_string(shell));
        if (r >= 0 && c->bind_user_groups)
                r = put_value(&t, "memberOf", js_strv(c->bind_user_groups));
        if (r >= 0)
                r = text_finish(&t, &text);
        if (r < 0)
                return r;
        parts[0] = text;
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                size += strlen(parts[i]);
        r = secret_buf_alloc(ret, size);
        size = 0;
        for (size_t i = 0; i < ELEMENTSOF(parts) && r >= 0; i++) {
                memcpy(ret->data + size, parts[i], strlen(parts[i]));
                size += strlen(parts[i]);
        }
        return r;
}

/* Named after the user whatever the host calls it, so that no group of the guest is meant. */
int vm_config_group_record(const BindUser *u, SecretBuf *ret) {
        _cleanup_free_ char *text = NULL;
        int n = asprintf(&text, "{\"groupName\":\"%s\",\"gid\":%u,\"service\":\"io.systemd.NSpawn\"}\n",
                        u->name, u->guest_id);

        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return secret_buf_copy(ret, text, (size_t) n);
}
