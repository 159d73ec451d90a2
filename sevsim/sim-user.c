/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sim-machine.h"

enum { FIRMWARE_BLOB_MAX = 16 * 1024 }; /* SEV_FW_BLOB_MAX_SIZE */

/* The caller lives in this very process; process_vm_readv() on ourselves fails with EFAULT where memcpy() would
 * crash, as copy_from_user() does. */
static int user_copy(void *ours, uint64_t uaddr, size_t size, bool out) {
        struct iovec local = { ours, size };
        struct iovec remote = { (void *) (uintptr_t) uaddr, size };
        ssize_t n;

        if (size == 0)
                return 0;
        n = out ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (n == (ssize_t) size)
                return 0;
        if (n >= 0 || errno == EFAULT)
                return -EFAULT;

        /* A kernel or filter without the call: trust the pointer. */
        if (out)
                memcpy((void *) (uintptr_t) uaddr, ours, size);
        else
                memcpy(ours, (const void *) (uintptr_t) uaddr, size);
        return 0;
}

int user_read(void *to, uint64_t uaddr, size_t size) {
        return user_copy(to, uaddr, size, /* out= */ false);
}

int user_write(uint64_t uaddr, const void *from, size_t size) {
        return user_copy((void *) (uintptr_t) from, uaddr, size, /* out= */ true);
}

int user_blob(uint64_t uaddr, size_t size, uint8_t **ret) {
        uint8_t *blob;
        int r;

        if (uaddr == 0 || size == 0 || size > FIRMWARE_BLOB_MAX)
                return -EINVAL;
        blob = malloc(size);
        if (!blob)
                return -ENOMEM;
        r = user_read(blob, uaddr, size);
        if (r < 0) {
                free(blob);
                return r;
        }
        *ret = blob;
        return 0;
}
