/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-pack.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "cpio-newc.h"
#include "error.h"
#include "overflow.h"

#define EXTRA_DIR       ".extra"
#define CREDENTIALS_DIR EXTRA_DIR "/system_credentials"
#define FILE_PREFIX     CREDENTIALS_DIR "/"
#define FILE_SUFFIX     ".cred"

/* A credential name has up to 255 characters (credential_name_valid()). */
#define FILE_PATH_SIZE (sizeof(FILE_PREFIX) + 255u + sizeof(FILE_SUFFIX))

static int add_member(uint64_t *total, uint64_t name_length, uint64_t size) {
        uint64_t member = newc_member_size(name_length, size);

        return member == 0 || !add_u64(*total, member, total) ? -EFBIG : 0;
}

int cpio_credentials_size(const CredentialSet *set, uint64_t *ret) {
        uint64_t total = 0;
        int r;

        if (set->n_items == 0) {
                *ret = 0;
                return 0;
        }

        if (add_member(&total, strlen(EXTRA_DIR), 0) < 0 ||
                        add_member(&total, strlen(CREDENTIALS_DIR), 0) < 0 ||
                        add_member(&total, strlen(NEWC_TRAILER), 0) < 0)
                return -EFBIG;
        FOREACH_ARRAY(c, set->items, set->n_items) {
                /* Once more, however the set was filled: a name is about to become a path. */
                if (!credential_name_valid(c->id))
                        return -EINVAL;
                r = add_member(&total, strlen(FILE_PREFIX) + strlen(c->id) + strlen(FILE_SUFFIX),
                                c->value.size);
                if (r < 0)
                        return r;
        }

        *ret = total;
        return 0;
}

int cpio_credentials_write(const CredentialSet *set, void *buf, size_t size, char **reterr) {
        ByteWriter w = byte_writer(buf, size);
        uint32_t inode = 0;
        uint64_t planned;
        int r;

        r = cpio_credentials_size(set, &planned);
        if (r < 0)
                return error_set(reterr, r, "the credentials do not fit a cpio archive: %s", strerror(-r));
        if (planned != size)
                return error_set(reterr, -EINVAL, "the credentials archive has %ju bytes, not %zu",
                                (uintmax_t) planned, size);
        if (size == 0)
                return 0;

        newc_write(&w,
                        &(NewcMember) { .path = EXTRA_DIR,
                                        .ino = ++inode,
                                        .mode = S_IFDIR | 0555,
                                        .nlink = 1 },
                        NULL);
        newc_write(&w,
                        &(NewcMember) { .path = CREDENTIALS_DIR,
                                        .ino = ++inode,
                                        .mode = S_IFDIR | 0500,
                                        .nlink = 1 },
                        NULL);
        FOREACH_ARRAY(c, set->items, set->n_items) {
                char path[FILE_PATH_SIZE];

                (void) snprintf(path, sizeof(path), FILE_PREFIX "%s" FILE_SUFFIX, c->id);
                newc_write(&w,
                                &(NewcMember) { .path = path,
                                                .ino = ++inode,
                                                .mode = S_IFREG | 0400,
                                                .nlink = 1,
                                                .size = (uint32_t) c->value.size },
                                c->value.data);
        }
        newc_write(&w, &(NewcMember) { .path = NEWC_TRAILER, .nlink = 1 }, NULL);
        return byte_writer_finish(&w, size);
}
