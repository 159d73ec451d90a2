/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --bind-volume=: a storage provider opens or makes the volume and hands the descriptor over (io.systemd.StorageProvider.Acquire, systemd 262). It is
 * asked last, when nothing else can refuse the launch any more: it may make a volume that stays. */

#include "run-volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config-volumes.h"
#include "error.h"
#include "fd.h"
#include "run-check.h"
#include "run-hook.h"
#include "strutil.h"
#include "varlink-connection.h"

#define INTERFACE   "io.systemd.StorageProvider"
#define ANSWER_USEC (UINT64_C(90) * 1000000) /* a new volume may have to be written */
#define REST_USEC   (UINT64_C(5) * 1000000)  /* for the rest of an answer that has begun */

/* What systemd's units of providers say; by its documentation, the names of its errors. */
static const struct {
        const char *error, *sentence;
} meanings[] = {
        { "NoSuchVolume", "the volume does not exist; add create=any to make it" },
        { "VolumeExists", "the volume exists already; remove create=new" },
        { "NoSuchTemplate", "the template does not exist" },
        { "TypeNotSupported", "the provider has no volumes of this type" },
        { "WrongType", "the volume is of a different type" },
        { "CreateNotSupported", "the provider does not make volumes" },
        { "CreateSizeRequired", "a new volume needs its size: add create-size=BYTES" },
        { "ReadOnlyVolume", "the volume can only be read: add read-only=yes" },
        { "BadTemplate", "the template is not for this type of volume" },
};

static int folder_path(const VmConfig *config, char **ret, char **reterr) {
        const bool user = run_for_user(config);
        const char *base = user ? getenv("XDG_RUNTIME_DIR") : "/run";

        if (!base || *base != '/')
                return error_set(reterr, -ENOENT,
                                "--bind-volume: $XDG_RUNTIME_DIR, where the user's storage providers listen, is not set; --system uses those of the system");
        if (asprintf(ret, "%s/systemd/" INTERFACE, base) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int no_provider(const VolumeSource *v, const char *folder, int r, char **reterr) {
        return error_set(reterr, r,
                        "--bind-volume: cannot connect to the storage provider '%s' at '%s/%s': %s; systemd 262 has the providers fs and block (systemd-storage-fs.socket, systemd-storage-block.socket)",
                        v->provider, folder, v->provider, strerror(-r));
}

int volumes_check(const VmConfig *config, char **reterr) {
        _cleanup_free_ char *folder = NULL;

        FOREACH_ARRAY(d, config->extra_drives, config->n_extra_drives) {
                _cleanup_free_ char *path = NULL;
                struct stat st;
                int r = 0;

                if (!d->volume)
                        continue;
                if (!folder)
                        r = folder_path(config, &folder, reterr);
                if (r < 0)
                        return r;
                if (asprintf(&path, "%s/%s", folder, d->volume->provider) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (stat(path, &st) < 0)
                        return no_provider(d->volume, folder, -errno, reterr);
                if (!S_ISSOCK(st.st_mode))
                        return no_provider(d->volume, folder, -ECONNREFUSED, reterr);
        }
        return 0;
}

static int set_text(Json *j, const char *key, const char *value) {
        return value ? js_set(j, key, js_string(value)) : 0;
}

static Json *request(const VolumeSource *v, bool cd, const char *type) {
        _cleanup_js_ Json *j = js_object();
        Tristate read_only = cd && !v->read_only_set ? TRISTATE_YES : v->read_only;

        if (!j || set_text(j, "name", v->name) < 0 || set_text(j, "createMode", v->create) < 0 ||
                        set_text(j, "template", v->template) < 0 || set_text(j, "requestAs", type) < 0 ||
                        (v->size > 0 && js_set(j, "createSizeBytes", js_u64(v->size)) < 0) ||
                        (read_only != TRISTATE_AUTO &&
                                        js_set(j, "readOnly", js_bool(read_only == TRISTATE_YES)) < 0))
                return NULL;
        return TAKE_PTR(j);
}

static int refuse(const DriveSource *d, const char *error, char **reterr) {
        const char *name = startswith(error, INTERFACE ".");

        for (size_t i = 0; name && i < ELEMENTSOF(meanings); i++)
                if (streq(meanings[i].error, name))
                        return error_set(reterr, -EREMOTEIO, "--bind-volume: '%s': %s", d->path,
                                        meanings[i].sentence);
        return error_set(reterr, -EREMOTEIO, "--bind-volume: '%s': the storage provider answered %s",
                        d->path, error);
}

/* The descriptor, unless it cannot be a disk. */
static int take(const DriveSource *d, VarlinkConnection *c, const Json *parameters, bool *ret_read_only,
                char **reterr) {
        uint64_t index;
        struct stat st;
        int fd, flags;

        if (js_u64_value(js_get(parameters, "fileDescriptorIndex"), &index) < 0)
                index = UINT64_MAX;
        fd = varlink_connection_take_fd(c, index);
        flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
        if (flags < 0 || flags & O_PATH || fstat(fd, &st) < 0 ||
                        (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
                (void) fd_close(fd);
                return error_set(reterr, -EBADMSG,
                                "--bind-volume: '%s': the storage provider handed over no file and no block device",
                                d->path);
        }
        *ret_read_only = (flags & O_ACCMODE) == O_RDONLY;
        return fd;
}

/* The descriptor, -EPROTOTYPE: not of this type, or -errno with an error message. */
static int acquire(Session *s, const DriveSource *d, const char *type, VarlinkConnection *c,
                bool *ret_read_only, char **reterr) {
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};
        int r = varlink_connection_call(c, INTERFACE ".Acquire",
                        request(d->volume, disk_type_facts(d->type)->read_only, type), /* more= */ false,
                        varlink_usec() + REST_USEC);

        if (r >= 0)
                r = run_hook_wait(s, c->fd, ANSWER_USEC);
        if (r >= 0)
                r = varlink_connection_receive(c, varlink_usec() + REST_USEC, &reply);
        if (r == -ECANCELED)
                return r;
        if (r < 0)
                return error_set(reterr, r, "--bind-volume: '%s': the storage provider did not answer: %s",
                                d->path, strerror(-r));
        if (!reply.error)
                return take(d, c, reply.parameters, ret_read_only, reterr);
        if (!d->volume->request_as &&
                        (streq(reply.error, INTERFACE ".WrongType") ||
                                        streq(reply.error, INTERFACE ".TypeNotSupported")) &&
                        streq(type, "reg"))
                return -EPROTOTYPE;
        return refuse(d, reply.error, reterr);
}

int session_acquire_volume(Session *s, const DriveSource *d, bool *ret_read_only, char **reterr) {
        _cleanup_(varlink_connection_done) VarlinkConnection c = VARLINK_CONNECTION_NONE;
        const VmConfig *config = s->request->config;
        const char *type = d->volume->request_as ?: "reg";
        _cleanup_close_ int folder_fd = -EBADF;
        _cleanup_free_ char *folder = NULL;
        int r = folder_path(config, &folder, reterr);

        if (r < 0)
                return r;
        folder_fd = fd_open(folder, O_PATH | O_DIRECTORY, 0);
        for (;;) {
                r = folder_fd < 0 ? folder_fd : varlink_connection_open(folder_fd, d->volume->provider, &c);
                if (r < 0)
                        return no_provider(d->volume, folder, r, reterr);
                r = acquire(s, d, type, &c, ret_read_only, reterr);
                if (r != -EPROTOTYPE)
                        return r;
                varlink_connection_done(&c);
                type = "blk";
        }
}
