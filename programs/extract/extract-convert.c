/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Formats of disk images: which of them an image has, by what the user says, and how qemu-img makes a raw image of those that are not read here. The
 * raw image has no name and holes where the disk has zeros. A file that an image refers to is opened only if the user named it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "extract.h"
#include "fd.h"
#include "strutil.h"

#define INFO_MAX (4u * 1024u * 1024u)

/* Names are those of QEMU's drivers. */
static const struct FormatRow {
        const char *name, *ending;
} formats[_DISK_FORMAT_MAX] = {
        [DISK_RAW] = { "raw", ".raw" },
        [DISK_QCOW2] = { "qcow2", ".qcow2" },
        [DISK_VMDK] = { "vmdk", ".vmdk" },
        [DISK_VHDX] = { "vhdx", ".vhdx" },
        [DISK_VDI] = { "vdi", ".vdi" },
        [DISK_VPC] = { "vpc", ".vhd" },
};

const char *disk_format_to_string(DiskFormat f) {
        return formats[f].name;
}

static bool by_name(const char *name, size_t n, DiskFormat *ret) {
        for (DiskFormat f = 0; f < _DISK_FORMAT_MAX; f++)
                if (strlen(formats[f].name) == n && strncmp(formats[f].name, name, n) == 0) {
                        *ret = f;
                        return true;
                }
        return false;
}

DiskFormat disk_format_of(const char *name, const char *path) {
        size_t n = strlen(path);
        DiskFormat f;

        if (name && by_name(name, strlen(name), &f))
                return f;
        for (f = 0; f < _DISK_FORMAT_MAX; f++) {
                size_t m = strlen(formats[f].ending);

                if (n > m && strcasecmp(path + n - m, formats[f].ending) == 0)
                        return f;
        }
        return DISK_RAW;
}

int disk_open(const char *path, char **reterr) {
        /* O_NONBLOCK: a pipe in the place of an image must not hang the program. */
        _cleanup_close_ int fd = fd_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;

        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_set(reterr, -EINVAL, "'%s' is %s, expected a disk image or a block device",
                                path, S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
        return TAKE_FD(fd);
}

void disk_chain_done(DiskChain *c) {
        for (size_t i = 1; i < c->n; i++) /* the first one is the caller's */
                (void) fd_close(c->layers[i].fd);
        *c = (DiskChain) {};
}

int disk_chain_open(int image, DiskFormat format, char *const *backing, DiskChain *ret, char **reterr) {
        _cleanup_(disk_chain_done) DiskChain c = { .layers = { { image, format } }, .n = 1 };

        STRV_FOREACH(value, (char **) backing) {
                const char *colon = strchr(*value, ':'), *path = *value;
                DiskFormat f = DISK_RAW;
                int fd;

                if (c.n >= DISK_LAYERS_MAX)
                        return error_set(reterr, -E2BIG, "--backing-file: at most %u files are supported",
                                        DISK_LAYERS_MAX - 1);
                if (colon && by_name(*value, (size_t) (colon - *value), &f))
                        path = colon + 1;
                else
                        f = disk_format_of(NULL, path);
                fd = disk_open(path, reterr);
                if (fd < 0)
                        return error_prefix(reterr, fd, "--backing-file");
                c.layers[c.n++] = (DiskLayer) { fd, f };
        }
        *ret = TAKE_STRUCT(c, (DiskChain) {});
        return 0;
}

/* The layers from number `from` on as QEMU's JSON, with nothing that it could look up itself. */
static int describe(const DiskChain *c, size_t from, bool alone, Json **ret) {
        _cleanup_js_ Json *below = NULL;
        const DiskLayer *l = &c->layers[from];
        _cleanup_js_ Json *j = NULL;
        char path[32];
        int r = 0;

        if (!alone && from + 1 < c->n)
                r = describe(c, from + 1, alone, &below);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", l->fd);
        if (r >= 0)
                r = js_build(&j, "{s:s, s:{s:s, s:s, s:s}}", "driver", disk_format_to_string(l->format),
                                "file", "driver", "file", "filename", path, "locking", "off");
        if (r >= 0 && (l->format == DISK_QCOW2 || l->format == DISK_VMDK))
                r = js_set(j, "backing", below ? js_ref(below) : js_null());
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

static int run_qemu_img(const DiskChain *c, size_t from, bool alone, int to, int out, char **reterr) {
        _cleanup_free_ char *program = NULL, *text = NULL, *source = NULL;
        _cleanup_js_ Json *j = NULL;
        ForeignRun run = { .write = to, .out = out };
        char target[32];
        int r = foreign_find("qemu-img", "qemu-utils", &program, reterr);

        if (r >= 0)
                r = describe(c, from, alone, &j);
        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text || asprintf(&source, "json:%s", text) < 0) {
                source = NULL;
                return -ENOMEM;
        }
        (void) snprintf(target, sizeof(target), "/proc/self/fd/%d", to);
        const char *info[] = { "qemu-img", "info", "--output=json", source, NULL };
        const char *convert[] = { "qemu-img", "convert", "-O", "raw", source, target, NULL };
        for (size_t i = from; i < (alone ? from + 1 : c->n); i++)
                run.files[run.n_files++] = c->layers[i].fd;
        run.program = program;
        run.argv = (char *const *) (to >= 0 ? convert : info);
        return foreign_run(&run, reterr);
}

/* A VMDK is one file here. A text in its place, or a header without a capacity, is a list of other files, or of hosts. */
static int check_vmdk(int fd, char **reterr) {
        static const uint8_t none[8] = {};
        uint8_t header[20] = {};
        int r = fd_pread_exact(fd, header, sizeof(header), 0);

        if (r >= 0 && memcmp(header, "COWD", 4) == 0)
                return 0;
        if (r < 0 || memcmp(header, "KDMV", 4) != 0)
                return error_set(reterr, -EBADMSG,
                                "not a VMDK image of one file (no sparse header): a descriptor that names other files is not followed; convert it with 'qemu-img convert -O qcow2'");
        if (memcmp(header + 12, none, sizeof(none)) == 0)
                return error_set(reterr, -EPERM,
                                "the VMDK image has no data but a descriptor that names other files, which is not followed");
        return 0;
}

/* What the layer's header says, as QEMU reads it: refused where it is more than the user said. */
static int check_layer(const DiskChain *c, size_t i, char **reterr) {
        _cleanup_close_ int out = memfd_new("extract-info");
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        bool encrypted = false, named = i + 1 < c->n;
        const char *backing;
        size_t size;
        int r = out < 0 ? out : 0;

        if (r >= 0 && c->layers[i].format == DISK_VMDK)
                r = check_vmdk(c->layers[i].fd, reterr);
        if (r >= 0)
                r = run_qemu_img(c, i, /* alone= */ true, -EBADF, out, reterr);
        if (r < 0)
                return r;
        if (lseek(out, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(out, INFO_MAX, &text, &size);
        if (r >= 0)
                r = js_parse(text, size, &j, NULL);
        if (r < 0)
                return error_set(reterr, r, "qemu-img gave no information");
        if (js_bool_value(js_get(j, "encrypted"), &encrypted) >= 0 && encrypted)
                return error_set(reterr, -EOPNOTSUPP,
                                "the %s image is encrypted: decrypt it with 'qemu-img convert'",
                                disk_format_to_string(c->layers[i].format));
        backing = js_string_value(js_get(j, "backing-filename"));
        if (backing && !named)
                return error_set(reterr, -EPERM,
                                "the %s image has a backing file, which is not opened: pass it with --backing-file=, or make one image of both with 'qemu-img convert'",
                                disk_format_to_string(c->layers[i].format));
        if (!backing && named)
                return error_set(reterr, -EINVAL, "--backing-file: the %s image has no backing file",
                                disk_format_to_string(c->layers[i].format));
        return 0;
}

int disk_convert(const DiskChain *c, char **reterr) {
        const char *folder = getenv("TMPDIR") ?: "/tmp";
        _cleanup_close_ int fd = fd_open(folder, O_RDWR | O_TMPFILE, 0600);

        if (fd < 0)
                return error_set(reterr, fd,
                                "cannot make a temporary file in '%s' for the raw image: %s; name another directory in TMPDIR",
                                folder, strerror(-fd));
        for (size_t i = 0; i < c->n; i++) {
                int r = c->layers[i].format != DISK_RAW ? check_layer(c, i, reterr)
                                : i + 1 < c->n
                                ? error_set(reterr, -EINVAL,
                                                  "--backing-file: a raw image has no backing file")
                                : 0;

                if (r < 0)
                        return r;
        }
        if (c->n > 0) {
                int r = run_qemu_img(c, 0, /* alone= */ false, fd, -EBADF, reterr);

                if (r < 0)
                        return r;
        }
        return TAKE_FD(fd);
}
