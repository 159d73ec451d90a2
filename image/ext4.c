/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ext4.h"

#include <dlfcn.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

#define SONAME "libext2fs.so.2"

#define FUNCTIONS(X)                                                                                        \
        X(ext2fs_dir_iterate)                                                                               \
        X(ext2fs_file_close)                                                                                \
        X(ext2fs_file_get_lsize)                                                                            \
        X(ext2fs_file_llseek)                                                                               \
        X(ext2fs_file_open)                                                                                 \
        X(ext2fs_file_read)                                                                                 \
        X(ext2fs_free)                                                                                      \
        X(ext2fs_namei_follow)                                                                              \
        X(ext2fs_open2)                                                                                     \
        X(ext2fs_read_inode)

/* dlopen() counts per process as well, so this state is the process's by nature. */
static struct {
#define POINTER(name) typeof(name) *name;
        FUNCTIONS(POINTER)
#undef POINTER
        bool loaded;
} library;

typedef struct Ext4 {
        ext2_filsys fs;   /* owned */
        ext2_file_t file; /* owned; the last one that was read */
        ext2_ino_t ino;   /* whose it is */
} Ext4;

int ext4_prepare(char **reterr) {
        static const struct {
                const char *name;
                size_t offset;
        } functions[] = {
#define ROW(name) { #name, offsetof(typeof(library), name) },
                FUNCTIONS(ROW)
#undef ROW
        };
        void *h;

        if (library.loaded)
                return 0;
        h = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
        if (!h)
                return error_set(reterr, -ENOPKG,
                                "cannot load " SONAME
                                ", which reads ext4: install the Debian package libext2fs2 (libext2fs2t64 since Debian 13): %s",
                                dlerror());
        FOREACH_ARRAY(f, functions, ELEMENTSOF(functions)) {
                void *symbol = dlsym(h, f->name);

                if (!symbol) {
                        (void) dlclose(h);
                        return error_set(reterr, -ENOPKG, SONAME " has no function %s: it is too old",
                                        f->name);
                }
                *(void **) ((char *) &library + f->offset) = symbol;
        }
        library.loaded = true;
        return 0;
}

/* --- the library's way to our bytes ---------------------------------------------------------------------------------- */

/* The library passes a name to its manager and nothing else. */
static _Thread_local const Block *opening;

static errcode_t channel_close(io_channel channel) {
        if (--channel->refcount > 0)
                return 0;
        free(channel->name);
        free(channel);
        return 0;
}

static errcode_t channel_set_blksize(io_channel channel, int size) {
        channel->block_size = size;
        return 0;
}

/* count: blocks, or bytes if it is negative. */
static errcode_t channel_read(io_channel channel, unsigned long long block, int count, void *data) {
        const Block *b = channel->private_data;
        size_t n = count < 0 ? (size_t) - (long) count : (size_t) count * (size_t) channel->block_size;

        if (channel->block_size <= 0 || block > UINT64_MAX / (unsigned) channel->block_size)
                return EXT2_ET_SHORT_READ;
        return block_read(b, block * (unsigned) channel->block_size, data, n, NULL) < 0 ? EXT2_ET_SHORT_READ
                                                                                        : 0;
}

static errcode_t channel_read_old(io_channel channel, unsigned long block, int count, void *data) {
        return channel_read(channel, block, count, data);
}

static errcode_t channel_write_old(_unused_ io_channel channel, _unused_ unsigned long block,
                _unused_ int count, _unused_ const void *data) {
        return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write(_unused_ io_channel channel, _unused_ unsigned long long block,
                _unused_ int count, _unused_ const void *data) {
        return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_flush(_unused_ io_channel channel) {
        return 0;
}

static errcode_t channel_open(const char *name, int flags, io_channel *ret);

static struct struct_io_manager manager = {
        .magic = EXT2_ET_MAGIC_IO_MANAGER,
        .name = "block",
        .open = channel_open,
        .close = channel_close,
        .set_blksize = channel_set_blksize,
        .read_blk = channel_read_old,
        .write_blk = channel_write_old,
        .flush = channel_flush,
        .read_blk64 = channel_read,
        .write_blk64 = channel_write,
};

static errcode_t channel_open(const char *name, _unused_ int flags, io_channel *ret) {
        io_channel c = calloc(1, sizeof(struct struct_io_channel));
        char *copy = strdup(name);

        if (!c || !copy) {
                free(c);
                free(copy);
                return EXT2_ET_NO_MEMORY;
        }
        c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
        c->manager = &manager;
        c->name = copy;
        c->block_size = 1024;
        c->refcount = 1;
        c->private_data = (void *) opening;
        *ret = c;
        return 0;
}

/* --- the volume ------------------------------------------------------------------------------------------------------ */

static int to_errno(errcode_t e, const char *path, char **reterr) {
        switch (e) {
        case 0:
                return 0;
        case EXT2_ET_FILE_NOT_FOUND:
                return -ENOENT;
        case EXT2_ET_NO_DIRECTORY:
                return -ENOTDIR;
        case EXT2_ET_NO_MEMORY:
                return -ENOMEM;
        case EXT2_ET_SYMLINK_LOOP:
                return error_set(reterr, -ELOOP, "'%s' leads through a cycle of symbolic links", path);
        default:
                return error_set(reterr, -EBADMSG,
                                "cannot read '%s': the file system is damaged (libext2fs error %ld)", path,
                                (long) e);
        }
}

static int ext4_open(Volume *v, char **reterr) {
        _cleanup_free_ Block *copy = NULL;
        Ext4 *x;
        errcode_t e;
        int r = ext4_prepare(reterr);

        if (r < 0)
                return r;
        x = calloc(1, sizeof(Ext4));
        copy = malloc(sizeof(Block));
        if (!x || !copy) {
                free(x);
                return -ENOMEM;
        }
        *copy = v->block;
        opening = copy;
        e = library.ext2fs_open2("image", NULL, EXT2_FLAG_64BITS, 0, 0, &manager, &x->fs);
        opening = NULL;
        if (e != 0) {
                free(x);
                return e == EXT2_ET_NO_MEMORY ? -ENOMEM
                                : e == EXT2_ET_UNSUPP_FEATURE || e == EXT2_ET_RO_UNSUPP_FEATURE
                                ? error_set(reterr, -EOPNOTSUPP,
                                                  "the file system has features that this libext2fs does not know: install a newer e2fsprogs")
                                : error_set(reterr, -EBADMSG,
                                                  "the superblock or the group descriptors are damaged or cut off (libext2fs error %ld)",
                                                  (long) e);
        }
        x->fs->priv_data = TAKE_PTR(copy);
        v->state = x;
        return 0;
}

static void close_file(Ext4 *x) {
        if (x->file)
                (void) library.ext2fs_file_close(x->file);
        x->file = NULL;
}

static void ext4_done(Volume *v) {
        Ext4 *x = v->state;
        void *copy = x->fs->priv_data;

        close_file(x);
        library.ext2fs_free(x->fs);
        free(copy);
        free(x);
}

bool ext4_needs_recovery(const Volume *v) {
        const Ext4 *x = v->state;

        return v->kind == &ext4_volume && x->fs->super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER;
}

static int find_inode(
                Volume *v, const char *path, ext2_ino_t *ret, struct ext2_inode *inode, char **reterr) {
        Ext4 *x = v->state;
        int r = to_errno(library.ext2fs_namei_follow(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, ret), path,
                        reterr);

        return r < 0 ? r : to_errno(library.ext2fs_read_inode(x->fs, *ret, inode), path, reterr);
}

static int open_file(Ext4 *x, ext2_ino_t ino, const char *path, char **reterr) {
        int r;

        if (x->file && x->ino == ino)
                return 0;
        close_file(x);
        r = to_errno(library.ext2fs_file_open(x->fs, ino, 0, &x->file), path, reterr);
        if (r < 0)
                x->file = NULL;
        x->ino = ino;
        return r;
}

static int ext4_find(Volume *v, const char *path, VolumeFile *ret, char **reterr) {
        struct ext2_inode inode;
        ext2_ino_t ino;
        __u64 size;
        Ext4 *x = v->state;
        int r = find_inode(v, path, &ino, &inode, reterr);

        if (r < 0)
                return r;
        if (LINUX_S_ISDIR(inode.i_mode))
                return -EISDIR;
        if (!LINUX_S_ISREG(inode.i_mode))
                return error_set(reterr, -EBADMSG, "'%s' is not a regular file", path);
        r = open_file(x, ino, path, reterr);
        if (r >= 0)
                r = to_errno(library.ext2fs_file_get_lsize(x->file, &size), path, reterr);
        if (r >= 0)
                *ret = (VolumeFile) { .id = ino, .size = size };
        return r;
}

static int ext4_read(Volume *v, const VolumeFile *f, uint64_t offset, void *buf, size_t n, char **reterr) {
        Ext4 *x = v->state;
        int r = open_file(x, (ext2_ino_t) f->id, "file", reterr);

        if (r >= 0)
                r = to_errno(library.ext2fs_file_llseek(x->file, offset, EXT2_SEEK_SET, NULL), "file",
                                reterr);
        while (r >= 0 && n > 0) {
                unsigned got = 0, k = (unsigned) MIN(n, (size_t) VOLUME_COPY_SIZE);

                r = to_errno(library.ext2fs_file_read(x->file, buf, k, &got), "file", reterr);
                if (r >= 0 && got == 0)
                        r = error_set(reterr, -EBADMSG, "a file is shorter than its inode says");
                buf = (char *) buf + got;
                n -= got;
        }
        return r;
}

typedef struct Listing {
        volume_name_t each;
        void *userdata;
        unsigned n;
        int result;
} Listing;

static int list_one(struct ext2_dir_entry *e, _unused_ int offset, _unused_ int blocksize,
                _unused_ char *buf, void *userdata) {
        char name[VOLUME_NAME_MAX + 1];
        Listing *l = userdata;
        size_t n = (size_t) (e->name_len & 0xff);

        memcpy(name, e->name, n);
        name[n] = 0;
        if (streq(name, ".") || streq(name, ".."))
                return 0;
        l->result = ++l->n > VOLUME_NAMES_MAX ? -E2BIG : l->each(name, l->userdata);
        return l->result < 0 ? DIRENT_ABORT : 0;
}

static int ext4_list(Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr) {
        Listing l = { .each = each, .userdata = userdata };
        struct ext2_inode inode;
        ext2_ino_t ino;
        Ext4 *x = v->state;
        int r = find_inode(v, path, &ino, &inode, reterr);

        if (r < 0)
                return r;
        if (!LINUX_S_ISDIR(inode.i_mode))
                return -ENOTDIR;
        r = to_errno(library.ext2fs_dir_iterate(x->fs, ino, 0, NULL, list_one, &l), path, reterr);
        if (l.result == -E2BIG)
                return error_set(reterr, -E2BIG, "'%s' has more than %u entries", path, VOLUME_NAMES_MAX);
        return r < 0 ? r : l.result;
}

const VolumeKind ext4_volume = { "ext4", ext4_open, ext4_list, ext4_find, ext4_read, ext4_done };
