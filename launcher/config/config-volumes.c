/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volumes of storage providers as disks: what --bind-volume= takes, as systemd-vmspawn and machinectl do (io.systemd.StorageProvider). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "config-volumes.h"
#include "error.h"
#include "strutil.h"

#define NAME_MAX_LENGTH 255u

void volume_source_free(VolumeSource *v) {
        if (!v)
                return;
        free(v->provider);
        free(v->name);
        free(v->template);
        free(v->create);
        free(v->request_as);
        free(v);
}

static bool is_one_of(const char *value, const char *const *words) {
        for (; *words; words++)
                if (streq(value, *words))
                        return true;
        return false;
}

static int set_text(char **field, const char *value) {
        if (*field)
                return -EEXIST;
        *field = strdup(value);
        return *field ? 0 : -ENOMEM;
}

static int set_read_only(VolumeSource *v, const char *value) {
        int r = streq(value, "auto") ? 0 : parse_boolean(value);

        if (v->read_only_set)
                return -EEXIST;
        v->read_only_set = true;
        if (!streq(value, "auto"))
                v->read_only = r > 0 ? TRISTATE_YES : TRISTATE_NO;
        return MIN(r, 0);
}

/* 0, -EEXIST: it was there before, -EINVAL: not such a value, -ENOENT: not such a key. */
static int set_key(VolumeSource *v, const char *key, const char *value) {
        static const char *const modes[] = { "any", "new", "open", NULL },
                                 *const types[] = { "reg", "blk", NULL };

        if (streq(key, "create"))
                return is_one_of(value, modes) ? set_text(&v->create, value) : -EINVAL;
        if (streq(key, "request-as"))
                return is_one_of(value, types) ? set_text(&v->request_as, value) : -EINVAL;
        if (streq(key, "template"))
                return *value ? set_text(&v->template, value) : -EINVAL;
        if (streq(key, "read-only") || streq(key, "ro"))
                return set_read_only(v, value);
        if (streq(key, "size") || streq(key, "create-size"))
                return v->size > 0 ? -EEXIST : parse_size(value, &v->size) < 0 || v->size == 0 ? -EINVAL : 0;
        return -ENOENT;
}

static int set_keys(VolumeSource *v, const char *text, char **reterr) {
        _cleanup_strv_free_ char **pairs = NULL;
        int r = strv_split(text, ',', &pairs);

        STRV_FOREACH(p, pairs) {
                char *value = strchr(*p, '=');

                if (value)
                        *value++ = 0;
                r = value ? set_key(v, *p, value) : -ENOENT;
                if (r == -EEXIST)
                        return error_set(reterr, -EINVAL, "'%s=' is given twice", *p);
                if (r == -EINVAL)
                        return error_set(reterr, r,
                                        "'%s=%s': expected create=any, new or open, read-only=yes, no or auto, create-size=BYTES, request-as=reg or blk, or template=NAME",
                                        *p, value);
                if (r == -ENOENT)
                        return error_set(reterr, -EINVAL,
                                        "unknown word '%s': expected create=, read-only=, create-size=, request-as= or template=",
                                        *p);
        }
        return r;
}

static bool provider_valid(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= NAME_MAX_LENGTH && *name != '.' &&
                        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                        n;
}

static bool volume_valid(const char *name) {
        size_t n = strlen(name);

        for (const char *p = name; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 127)
                        return false;
        return n > 0 && n <= NAME_MAX_LENGTH;
}

/* PROVIDER:VOLUME[:TYPE][:KEY=VALUE,...] */
static int parse(const char *value, VolumeSource *v, DiskType *type, char **reterr) {
        _cleanup_free_ char *kind = NULL;
        const char *p = value;
        int r = config_take_field(&p, &v->provider);

        p += *p == ':';
        if (r >= 0)
                r = config_take_field(&p, &v->name);
        p += *p == ':';
        if (r >= 0)
                r = config_take_field(&p, &kind);
        if (r < 0)
                return r;
        if (!provider_valid(v->provider) || !volume_valid(v->name))
                return error_set(reterr, -EINVAL,
                                "expected PROVIDER:VOLUME[:TYPE][:KEY=VALUE,...], not '%s'", value);
        if (*kind && !disk_type_from_text(kind, strlen(kind), type))
                return error_set(reterr, -EINVAL,
                                "unknown type '%s': expected virtio-blk, virtio-scsi, nvme or scsi-cd",
                                kind);
        return *p == ':' && p[1] ? set_keys(v, p + 1, reterr) : 0;
}

int config_handle_bind_volume(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        DriveSource drive = { .type = DISK_VIRTIO_BLK,
                .format = IMAGE_FORMAT_RAW,
                .volume = calloc(1, sizeof(VolumeSource)) };
        int r;

        if (!drive.volume)
                return -ENOMEM;
        drive.volume->read_only = TRISTATE_AUTO;
        r = parse(value, drive.volume, &drive.type, reterr);
        if (r >= 0 && asprintf(&drive.path, "%s:%s", drive.volume->provider, drive.volume->name) < 0) {
                drive.path = NULL;
                r = -ENOMEM;
        }
        for (size_t i = 0; i < c->n_extra_drives && r >= 0; i++)
                if (c->extra_drives[i].volume && streq(c->extra_drives[i].path, drive.path))
                        r = error_set(reterr, -EINVAL, "the volume '%s' is given twice", drive.path);
        if (r >= 0)
                r = config_add_drive(c, &drive, reterr);
        if (r < 0) {
                free(drive.path);
                volume_source_free(drive.volume);
        }
        return r;
}
