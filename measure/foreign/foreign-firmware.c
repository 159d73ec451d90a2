/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-firmware.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

/* libvirt's chains have two nodes; a loop must not hold us. */
#define BLOCKDEV_DEPTH 8u

void qemu_firmware_done(QemuFirmware *f) {
        free(f->path);
        free(f->named);
        free(f->store);
        *f = (QemuFirmware) {};
}

/* --- files of flash drives ----------------------------------------------------------------------------------------------- */

static int check_properties(const QemuLine *l, const EffectTable *table, const Pairs *p, char **reterr) {
        FOREACH_ARRAY(i, p->items, p->n_items) {
                int r = effect_check(table, i->key, l->assumed, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A local file; *ret is owned. */
static int take_file(const char *file, char **ret, char **reterr) {
        size_t n = strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
        const char *path = startswith(file, "file:") ?: file;

        if (path == file && n > 0 && file[n] == ':')
                return error_set(reterr, -EINVAL, "'%s' is not a local file, but its bytes are measured",
                                file);
        if (startswith(path, "/dev/fdset/"))
                return error_set(reterr, -EINVAL,
                                "'%s' is a descriptor set of that QEMU; pass its file with --ovmf=FILE",
                                file);
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

static int check_format(const char *format, char **reterr) {
        if (!format || streq(format, "raw") || streq(format, "file"))
                return 0;
        return error_set(reterr, -EINVAL,
                        "the firmware's format is %s, and the image inside is measured: convert it to raw (qemu-img convert -O raw) and pass it with --ovmf=FILE",
                        format);
}

static int drive_file(const QemuLine *l, const QemuDrive *d, char **ret, bool *ret_probed, char **reterr) {
        const char *file = pairs_get(&d->properties, "file") ?: pairs_get(&d->properties, "file.filename"),
                   *format = pairs_get(&d->properties, "format") ?: pairs_get(&d->properties, "driver");
        int r = check_properties(l, &qemu_drive_properties, &d->properties, reterr);

        if (r < 0)
                return r;
        if (!file)
                return error_set(reterr, -EINVAL, "the flash drive has no file");
        r = check_format(format, reterr);
        if (r >= 0)
                r = check_format(pairs_get(&d->properties, "file.driver"), reterr);
        *ret_probed = !format;
        return r < 0 ? r : take_file(file, ret, reterr);
}

static const Pairs *find_node(const QemuLine *l, const char *name) {
        FOREACH_ARRAY(b, l->blockdevs, l->n_blockdevs)
                if (streq_ptr(pairs_get(b, "node-name"), name))
                        return b;
        return NULL;
}

/* The file of a block node, through the nodes that lie under it. */
static int node_file(const QemuLine *l, const char *name, char **ret, bool *ret_probed, char **reterr) {
        for (unsigned depth = 0; depth < BLOCKDEV_DEPTH; depth++) {
                const Pairs *node = find_node(l, name);
                const char *file;
                int r;

                if (!node) {
                        FOREACH_ARRAY(d, l->drives, l->n_drives)
                                if (depth == 0 && streq_ptr(pairs_get(&d->properties, "id"), name))
                                        return drive_file(l, d, ret, ret_probed, reterr);
                        return error_set(
                                        reterr, -EINVAL, "the flash's block node '%s' is not defined", name);
                }
                r = check_properties(l, &qemu_block_properties, node, reterr);
                if (r >= 0)
                        r = check_format(pairs_get(node, "driver"), reterr);
                if (r >= 0)
                        r = check_format(pairs_get(node, "file.driver"), reterr);
                if (r < 0)
                        return r;
                file = pairs_get(node, "filename") ?: pairs_get(node, "file.filename");
                if (file)
                        return take_file(file, ret, reterr);
                name = pairs_get(node, "file");
                if (!name)
                        return error_set(reterr, -EINVAL, "the flash's block node has no file");
        }
        return error_set(reterr, -ELOOP, "the flash's block nodes form a loop");
}

/* The file of a unit, if there is one: *ret is owned, or NULL. */
static int unit_file(const QemuLine *l, unsigned unit, char **ret, bool *ret_probed, char **reterr) {
        const char *node = pairs_get(&l->machine, unit == 0 ? "pflash0" : "pflash1");
        const QemuDrive *drive = NULL;

        *ret = NULL;
        *ret_probed = false;
        FOREACH_ARRAY(d, l->drives, l->n_drives)
                if (d->flash && d->unit == unit)
                        drive = d;
        if (drive && node)
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: pflash unit %u is given by -drive and by -machine",
                                unit);
        if (drive)
                return drive_file(l, drive, ret, ret_probed, reterr);
        return node ? node_file(l, node, ret, ret_probed, reterr) : 0;
}

/* --- -bios --------------------------------------------------------------------------------------------------------------- */

/* QEMU looks in the directories of -L, then in its own, which lie beside it. */
static int search(const QemuLine *l, QemuFirmware *f, char **reterr) {
        static const char *const beside[] = { "share/qemu-firmware", "share/qemu", "share/seabios" };
        const char *slash = strrchr(l->program, '/');

        f->path = foreign_path(l->place, f->named);
        if (!f->path)
                return -ENOMEM;
        if (access(f->path, R_OK) == 0)
                return 0;
        for (size_t i = 0, n = strv_length(l->data_dirs); i < n + ELEMENTSOF(beside); i++) {
                _cleanup_free_ char *s = NULL;
                char *path;
                int k;

                if (i < n)
                        k = asprintf(&s, "%s/%s", l->data_dirs[i], f->named);
                else if (slash)
                        k = asprintf(&s, "%.*s/../%s/%s", (int) (slash - l->program), l->program,
                                        beside[i - n], f->named);
                else
                        k = asprintf(&s, "/usr/%s/%s", beside[i - n], f->named);
                path = k < 0 ? NULL : foreign_path(l->place, s);
                if (!path)
                        return -ENOMEM;
                if (access(path, R_OK) == 0) {
                        free(f->path);
                        f->path = path;
                        f->from_data_dir = true;
                        return 0;
                }
                free(path);
        }
        return f->named[0] == '/'
                        ? 0
                        : error_set(reterr, -ENOENT,
                                          "the firmware '%s' is neither in the working directory nor in one of -L or of QEMU; pass its file with --ovmf=FILE",
                                          f->named);
}

int qemu_line_firmware(const QemuLine *l, QemuFirmware *ret, char **reterr) {
        const char *bios = pairs_get(&l->machine, "firmware");
        _cleanup_(qemu_firmware_done) QemuFirmware f = {};
        bool probed;
        int r;

        FOREACH_ARRAY(d, l->drives, l->n_drives)
                if (d->flash && d->unit > 1)
                        return error_set(reterr, -EINVAL,
                                        "QEMU refuses this launch: PCs have no pflash unit %u", d->unit);
        r = unit_file(l, 0, &f.named, &f.probed, reterr);
        if (r >= 0)
                r = unit_file(l, 1, &f.store, &probed, reterr);
        if (r < 0)
                return r;
        if (f.store && !f.named)
                return error_set(reterr, -EINVAL, "QEMU refuses this launch: pflash unit 1 needs a unit 0");
        if (f.named) {
                f.flash = true;
                f.beside_bios = bios;
                f.path = foreign_path(l->place, f.named);
                r = f.path ? 0 : -ENOMEM;
        } else if (bios) {
                f.named = strdup(bios);
                r = f.named ? search(l, &f, reterr) : -ENOMEM;
        }
        if (r >= 0 && f.store) {
                char *path = foreign_path(l->place, f.store);

                free(f.store);
                f.store = path;
                r = path ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(f, (QemuFirmware) {});
        return 0;
}
