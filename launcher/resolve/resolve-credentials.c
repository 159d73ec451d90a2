/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Credentials from the command line, and those that --run= and --copy-out= stand for. What they mean to the guest: systemd.exec(5),
 * systemd-debug-generator(8) ("systemd.extra-unit.*"), systemd.system-credentials(7). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "secret-file.h"
#include "strutil.h"

#define RUN_COMMAND_MAX                                                                                     \
        (128u * 1024u - 1) /* one argument of execve(): MAX_ARG_STRLEN of Linux, with its NUL */

static const uint8_t run_target[] = {
#include "initrd.target.inc"
};
static const uint8_t run_service[] = {
#include "cvmspawn-run.service.inc"
};
static const uint8_t run_script[] = {
#include "cvmspawn-run.script.inc"
};

static int add_copy(CredentialSet *set, const char *id, const void *data, size_t size, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        int r = secret_buf_copy(&value, data, size);

        if (r < 0)
                return r;
        return credential_set_add(set, id, &value, reterr);
}

int resolve_run_credentials(const VmConfig *config, CredentialSet *set, char **reterr) {
        const struct {
                const char *id;
                const void *data;
                size_t size;
        } parts[] = {
                { "systemd.extra-unit.initrd.target", run_target, sizeof(run_target) },
                { "systemd.extra-unit.cvmspawn-run.service", run_service, sizeof(run_service) },
                { "cvmspawn.run.script", run_script, sizeof(run_script) },
                { "cvmspawn.run.command", config->run, config->run ? strlen(config->run) : 0 },
        };

        _cleanup_free_ char *list = NULL;
        int r;

        if (!config->run)
                return 0;
        if (strlen(config->run) > RUN_COMMAND_MAX)
                return error_set(reterr, -E2BIG,
                                "--run: the command is %zu bytes, but a shell accepts at most %u; pass a script with --load-credential= and run that",
                                strlen(config->run), RUN_COMMAND_MAX);

        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts)) {
                r = add_copy(set, p->id, p->data, p->size, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "--run");
        }
        if (config->n_copies == 0)
                return 0;
        r = vm_config_copy_list(config, &list);
        return r < 0 ? r : add_copy(set, "cvmspawn.run.copy-out", list, strlen(list), reterr);
}

static int set_one(const CredentialSource *s, CredentialSet *set, char **reterr) {
        char *text = NULL;
        size_t size, offset = 0;
        int r;

        r = unescape_c(s->text, strlen(s->text), &text, &size, &offset);
        if (r == -EINVAL)
                return error_set(reterr, r,
                                "--set-credential: the value of '%s' has an unknown escape at character %zu: write \\\\ for a backslash",
                                s->id, offset + 1);
        if (r < 0)
                return r;
        r = add_copy(set, s->id, text, size, reterr);
        erase_memory(text, size);
        free(text);
        return r < 0 ? error_prefix(reterr, r, "--set-credential") : 0;
}

/* `s` names the file in messages. */
static int read_file(const CredentialSource *s, const char *path, SecretBuf *ret, char **reterr) {
        int r = secret_buf_read_path(ret, path, CREDENTIAL_SIZE_MAX);

        if (r == -E2BIG)
                return error_set(reterr, r,
                                "--load-credential: '%s' for credential '%s' is larger than %u bytes; PID 1 of the guest would ignore it",
                                s->path, s->id, CREDENTIAL_SIZE_MAX);
        if (r == -ETIMEDOUT)
                return error_set(reterr, r,
                                "--load-credential: '%s' is a named pipe, and no program opened it for writing within %u s",
                                s->path, (unsigned) (PIPE_WRITER_USEC / 1000000));
        if (r < 0)
                return error_set(
                                reterr, r, "--load-credential: cannot read '%s': %s", s->path, strerror(-r));
        return 0;
}

static int load_one(const CredentialSource *s, CredentialSet *set, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        _cleanup_free_ char *found = NULL;
        const char *path = s->path, *directory;
        int r;

        if (!strchr(path, '/')) {
                /* A bare name means a credential that our own service manager passed to us, as for systemd-vmspawn. */
                directory = getenv("CREDENTIALS_DIRECTORY");
                if (!directory)
                        return error_set(reterr, -ENOENT,
                                        "--load-credential: '%s' without a slash names a credential of this service, but none were passed; write './%s' for a file",
                                        path, path);
                if (asprintf(&found, "%s/%s", directory, path) < 0)
                        return -ENOMEM;
                path = found;
        }

        r = read_file(s, path, &value, reterr);
        if (r < 0)
                return r;
        r = credential_set_add(set, s->id, &value, reterr);
        return r < 0 ? error_prefix(reterr, r, "--load-credential") : 0;
}

static int hold_pipe(CredentialSource *s, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        int r = read_file(s, s->path, &value, reterr), fd;
        char *path;

        if (r < 0)
                return r;
        fd = memfd_new_sealed("credential", value.data, value.size);
        if (fd < 0)
                return fd;
        if (asprintf(&path, "/proc/self/fd/%d", fd) < 0) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        free(s->path);
        s->path = path;
        return 0;
}

/* So that their descriptors stay below those with fixed numbers (LaunchFd). */
#define PIPES_MAX 32u

int resolve_hold_pipes(VmConfig *config, char **reterr) {
        size_t n = 0;

        FOREACH_ARRAY(s, config->credentials, config->n_credentials) {
                struct stat st;
                int r;

                if (!s->path || !strchr(s->path, '/') || stat(s->path, &st) < 0 || !S_ISFIFO(st.st_mode))
                        continue;
                if (++n > PIPES_MAX)
                        return error_set(reterr, -E2BIG, "--load-credential: more than %u named pipes",
                                        PIPES_MAX);
                r = hold_pipe(s, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int resolve_credentials(const VmConfig *config, const LaunchLogin *login, CredentialSet *ret,
                CredentialSet *ret_apart, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet set = {}, apart = {};
        int r;

        FOREACH_ARRAY(s, config->credentials, config->n_credentials) {
                r = s->path ? load_one(s, &set, reterr) : set_one(s, &set, reterr);
                if (r < 0)
                        return r;
        }
        r = resolve_user_credentials(config, &set, reterr);
        if (r >= 0)
                r = resolve_share_credentials(config, &set, reterr);
        if (r >= 0)
                r = resolve_login(config, login, &set, resolve_login_apart(config) ? &apart : &set, reterr);
        if (r >= 0)
                r = resolve_run_credentials(config, &set, reterr);
        if (r < 0)
                return r;
        r = credential_set_check(&set, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_STRUCT(set, (CredentialSet) {});
        *ret_apart = TAKE_STRUCT(apart, (CredentialSet) {});
        return 0;
}
