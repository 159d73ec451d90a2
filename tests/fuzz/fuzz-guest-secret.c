/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's folder of injected secrets: a name, a newline and what the file holds. Only a GUID is read or wiped, and what is read is the
 * content of the file of that name in that folder. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encode.h"
#include "fd.h"
#include "guest-secret.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char tree[] = "/tmp/fuzz-guest-secret-XXXXXX";
static char outside[sizeof(tree) + 16];

static void clean(void) {
        (void) unlink(outside);
        (void) rmdir(tree);
}

static void prepare(void) {
        _cleanup_close_ int fd = -EBADF;

        if (outside[0] != '\0')
                return;
        assert(mkdtemp(tree));
        (void) strcpy(stpcpy(outside, tree), "/not-a-guid");
        fd = open(outside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert(fd >= 0 && write(fd, "kept", 4) == 4);
        (void) atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
        _cleanup_free_ char *name = NULL, *error = NULL, *error2 = NULL;
        size_t n = newline ? (size_t) (newline - data) : size;
        _cleanup_(secret_buf_done) SecretBuf value = {};
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;
        _cleanup_strv_free_ char **list = NULL;
        Guid guid;
        bool valid;
        int r;

        prepare();
        name = strndup((const char *) data, n);
        dir = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(name && dir >= 0);
        valid = guid_parse(name, &guid) >= 0;
        if (valid && newline) {
                fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                assert(fd >= 0 && write(fd, newline + 1, size - n - 1) == (ssize_t) (size - n - 1));
        }
        r = guest_secret_read(tree, name, &value, &error);
        if (r < 0)
                assert(error);
        else
                assert(valid && newline && value.size == size - n - 1);
        if (r >= 0 && value.size > 0)
                assert(memcmp(value.data, newline + 1, value.size) == 0);
        assert(guest_secret_list(tree, &list, NULL) >= 0);
        assert(strv_length(list) == (valid && newline ? 1 : 0));
        assert((guest_secret_wipe(tree, name, &error2) >= 0) == (valid && newline));
        assert(access(outside, F_OK) == 0);
        return 0;
}
