/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The TSM tree as a file system. Numbers of files: 1 is the tree, ENTRY * (i + 1) the directory of entry i, and its attributes come
 * after it. Nothing is cached: lifetimes are zero and files are read directly. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev-tsm.h"

enum { ROOT = FUSE_ROOT_ID, ENTRY = 0x100 };

DevTsm *dev_tsm_new(void) {
        return calloc(1, sizeof(DevTsm));
}

/* The entry that a number belongs to, or NULL; *ret_which is _DEV_ATTRIBUTE_MAX for the directory itself. */
static DevEntry *entry_of(DevTsm *t, uint64_t node, unsigned *ret_index, DevAttribute *ret_which) {
        uint64_t i = node / ENTRY, a = node % ENTRY;

        if (i == 0 || i > DEV_ENTRIES_MAX || a > _DEV_ATTRIBUTE_MAX || !*t->entries[i - 1].name)
                return NULL;
        *ret_index = (unsigned) i - 1;
        *ret_which = a == 0 ? _DEV_ATTRIBUTE_MAX : (DevAttribute) (a - 1);
        return t->entries + i - 1;
}

static int fill_attr(DevTsm *t, uint64_t node, struct fuse_attr *ret) {
        DevAttribute which = _DEV_ATTRIBUTE_MAX;
        unsigned i;

        *ret = (struct fuse_attr) { .ino = node, .nlink = 1, .blksize = DEV_PAGE };
        if (node != ROOT && !entry_of(t, node, &i, &which))
                return -ENOENT;
        if (which == _DEV_ATTRIBUTE_MAX)
                ret->mode = S_IFDIR | 0755;
        else {
                ret->mode = S_IFREG | dev_attributes[which].mode;
                ret->size = DEV_PAGE;
        }
        return 0;
}

static void reply_entry(Dev *d, uint64_t unique, uint64_t node) {
        struct fuse_entry_out out = { .nodeid = node };
        int r = fill_attr(d->tsm, node, &out.attr);

        dev_reply(d, unique, r, &out, sizeof(out));
}

static void reply_attr(Dev *d, uint64_t unique, uint64_t node) {
        struct fuse_attr_out out = {};
        int r = fill_attr(d->tsm, node, &out.attr);

        dev_reply(d, unique, r, &out, sizeof(out));
}

/* 0 if there is none. */
static uint64_t find(DevTsm *t, uint64_t parent, const char *name) {
        DevAttribute which;
        unsigned i;

        if (parent == ROOT) {
                for (i = 0; i < DEV_ENTRIES_MAX; i++)
                        if (*t->entries[i].name && strcmp(t->entries[i].name, name) == 0)
                                return (uint64_t) ENTRY * (i + 1);
                return 0;
        }
        if (entry_of(t, parent, &i, &which) && which == _DEV_ATTRIBUTE_MAX)
                for (unsigned a = 0; a < _DEV_ATTRIBUTE_MAX; a++)
                        if (strcmp(dev_attributes[a].name, name) == 0)
                                return parent + 1 + a;
        return 0;
}

static int make_entry(Dev *d, uint64_t parent, const char *name, uint64_t *ret) {
        if (parent != ROOT)
                return -EPERM;
        if (d->faults->no_provider)
                return -ENXIO;
        if (strlen(name) >= DEV_NAME_MAX)
                return -ENAMETOOLONG;
        if (find(d->tsm, parent, name) != 0)
                return -EEXIST;
        for (unsigned i = 0; i < DEV_ENTRIES_MAX; i++) {
                DevEntry *e = d->tsm->entries + i;

                if (*e->name)
                        continue;
                *e = (DevEntry) {};
                memcpy(e->name, name, strlen(name) + 1);
                *ret = (uint64_t) ENTRY * (i + 1);
                return 0;
        }
        return -ENOSPC;
}

static int remove_entry(Dev *d, uint64_t parent, const char *name) {
        uint64_t node = find(d->tsm, parent, name);

        if (parent != ROOT)
                return -ENOTDIR;
        if (node == 0)
                return -ENOENT;
        *d->tsm->entries[node / ENTRY - 1].name = 0;
        return 0;
}

static int open_file(Dev *d, uint64_t node, uint32_t flags, uint64_t *ret) {
        unsigned entry, mode, access = flags & O_ACCMODE;
        DevAttribute which;

        if (!entry_of(d->tsm, node, &entry, &which) || which == _DEV_ATTRIBUTE_MAX)
                return -ENOENT;
        mode = dev_attributes[which].mode;
        /* configfs looks at the attribute, not at who asks. */
        if ((access != O_WRONLY && !(mode & 0444)) || (access != O_RDONLY && !(mode & 0200)))
                return -EACCES;
        for (unsigned i = 0; i < DEV_OPEN_MAX; i++)
                if (!d->tsm->open[i].used) {
                        d->tsm->open[i] = (DevOpen) { .used = true, .entry = entry, .which = which };
                        *ret = i;
                        return 0;
                }
        return -ENFILE;
}

static DevOpen *opened(Dev *d, uint64_t fh) {
        return fh < DEV_OPEN_MAX && d->tsm->open[fh].used ? d->tsm->open + fh : NULL;
}

static void read_file(Dev *d, uint64_t unique, const struct fuse_read_in *in) {
        DevOpen *o = opened(d, in->fh);
        size_t n = 0;

        if (!o)
                return dev_reply(d, unique, -EBADF, NULL, 0);
        if (!o->filled) {
                char text[DEV_TEXT_MAX];
                const uint8_t *p = NULL;
                size_t size = 0;
                int r = dev_attribute_read(d, d->tsm->entries + o->entry, o->which, text, &p, &size);

                if (r == 0 && !(o->data = malloc(size + 1)))
                        r = -ENOMEM;
                if (r < 0)
                        return dev_reply(d, unique, r, NULL, 0);
                if (size > 0)
                        memcpy(o->data, p, size);
                o->size = size;
                o->filled = true;
        }
        if (in->offset < o->size)
                n = o->size - in->offset < in->size ? o->size - in->offset : in->size;
        dev_reply(d, unique, 0, o->data + (n > 0 ? in->offset : 0), n);
}

static void write_file(Dev *d, uint64_t unique, const struct fuse_write_in *in) {
        struct fuse_write_out out = { .size = in->size };
        DevOpen *o = opened(d, in->fh);
        int r = o ? dev_attribute_write(d, o, d->tsm->entries + o->entry, (const uint8_t *) (in + 1),
                                    in->size, in->offset)
                  : -EBADF;

        dev_reply(d, unique, r, &out, sizeof(out));
}

static void close_file(Dev *d, uint64_t fh, bool last) {
        DevOpen *o = opened(d, fh);

        if (!o)
                return;
        dev_attribute_close(o, d->tsm->entries + o->entry);
        if (last) {
                free(o->data);
                *o = (DevOpen) {};
        }
}

static void read_directory(Dev *d, uint64_t unique, uint64_t node, const struct fuse_read_in *in) {
        _Alignas(8) uint8_t out[4096];
        size_t n = 0, max = in->size < sizeof(out) ? in->size : sizeof(out);
        unsigned count = node == ROOT ? DEV_ENTRIES_MAX : _DEV_ATTRIBUTE_MAX;

        for (uint64_t i = in->offset; i < count; i++) {
                const char *name = node == ROOT ? d->tsm->entries[i].name : dev_attributes[i].name;
                struct fuse_dirent e = { .ino = node == ROOT ? ENTRY * (i + 1) : node + 1 + i,
                        .off = i + 1,
                        .namelen = (uint32_t) strlen(name),
                        .type = node == ROOT ? S_IFDIR >> 12 : S_IFREG >> 12 };
                size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + e.namelen);

                if (!*name)
                        continue;
                if (n + size > max)
                        break;
                memset(out + n, 0, size);
                memcpy(out + n, &e, FUSE_NAME_OFFSET);
                memcpy(out + n + FUSE_NAME_OFFSET, name, e.namelen);
                n += size;
        }
        dev_reply(d, unique, 0, out, n);
}

static void reply_init(Dev *d, uint64_t unique) {
        const struct fuse_init_out out = {
                .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = DEV_PAGE
        };

        dev_reply(d, unique, 0, &out, sizeof(out));
}

static void reply_open(Dev *d, const struct fuse_in_header *h, const struct fuse_open_in *in) {
        struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };
        int r = h->opcode == FUSE_OPENDIR ? 0 : open_file(d, h->nodeid, in->flags, &out.fh);

        dev_reply(d, h->unique, r, &out, sizeof(out));
}

static void reply_made(Dev *d, const struct fuse_in_header *h, const struct fuse_mkdir_in *in) {
        uint64_t node = 0;
        int r = make_entry(d, h->nodeid, (const char *) (in + 1), &node);

        if (r < 0)
                return dev_reply(d, h->unique, r, NULL, 0);
        reply_entry(d, h->unique, node);
}

static void reply_found(Dev *d, const struct fuse_in_header *h, const char *name) {
        uint64_t node = find(d->tsm, h->nodeid, name);

        if (node == 0)
                return dev_reply(d, h->unique, -ENOENT, NULL, 0);
        reply_entry(d, h->unique, node);
}

void dev_tsm_request(Dev *d, const struct fuse_in_header *h, const void *body) {
        const struct fuse_statfs_out statfs = {
                .st = { .bsize = DEV_PAGE, .namelen = DEV_NAME_MAX - 1, .frsize = DEV_PAGE }
        };

        switch (h->opcode) {
        case FUSE_INIT:
                return reply_init(d, h->unique);
        case FUSE_LOOKUP:
                return reply_found(d, h, body);
        case FUSE_GETATTR:
        case FUSE_SETATTR: /* O_TRUNC and chmod(2): nothing changes */
                return reply_attr(d, h->unique, h->nodeid);
        case FUSE_MKDIR:
                return reply_made(d, h, body);
        case FUSE_RMDIR:
                return dev_reply(d, h->unique, remove_entry(d, h->nodeid, body), NULL, 0);
        case FUSE_OPEN:
        case FUSE_OPENDIR:
                return reply_open(d, h, body);
        case FUSE_READ:
                return read_file(d, h->unique, body);
        case FUSE_WRITE:
                return write_file(d, h->unique, body);
        case FUSE_READDIR:
                return read_directory(d, h->unique, h->nodeid, body);
        case FUSE_FLUSH:
        case FUSE_RELEASE: /* both begin with the handle */
                close_file(d, ((const struct fuse_release_in *) body)->fh, h->opcode == FUSE_RELEASE);
                return dev_reply(d, h->unique, 0, NULL, 0);
        case FUSE_RELEASEDIR:
                return dev_reply(d, h->unique, 0, NULL, 0);
        case FUSE_STATFS:
                return dev_reply(d, h->unique, 0, &statfs, sizeof(statfs));
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                return; /* no answer is wanted */
        default:
                return dev_reply(d, h->unique, -ENOSYS, NULL, 0);
        }
}
