/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cpio-pack INITRD OUTPUT < CREDENTIALS: what initrd_merge() makes of one initrd ("-": none) and of credentials that come
 * as lines "NAME HEX" (a name may hold spaces). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "cpio-merge.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

static int read_credentials(CredentialSet *set, char **reterr) {
        _cleanup_free_ char *line = NULL;
        size_t allocated = 0;
        ssize_t n;

        while ((n = getline(&line, &allocated, stdin)) > 0) {
                _cleanup_(secret_buf_done) SecretBuf value = {};
                _cleanup_free_ uint8_t *bytes = NULL;
                char *space = strrchr(line, ' ');
                size_t size;
                int r;

                if (!space || line[n - 1] != '\n')
                        return -EINVAL;
                *space++ = 0;
                r = hex_decode(space, strlen(space) - 1, &bytes, &size);
                if (r < 0)
                        return r;
                r = secret_buf_copy(&value, bytes, size);
                if (r < 0)
                        return r;
                r = credential_set_add(set, line, &value, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_result(int memfd, const char *path) {
        _cleanup_close_ int fd = fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        off_t size = lseek(memfd, 0, SEEK_END), done = 0;

        if (fd < 0)
                return fd;
        while (done < size)
                if (sendfile(fd, memfd, &done, (size_t) (size - done)) <= 0)
                        return -EIO;
        return 0;
}

static int run(const char *initrd, const char *output, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_(initrd_merged_done) InitrdMerged merged = { .memfd = -EBADF };
        _cleanup_close_ int fd = -EBADF;
        InitrdSource source = { .path = initrd };
        size_t n = streq(initrd, "-") ? 0 : 1;
        int r;

        r = read_credentials(&set, reterr);
        if (r < 0)
                return r;
        if (n > 0) {
                fd = source.fd = fd_open_regular(initrd, &source.size);
                if (fd < 0)
                        return fd;
        }
        r = initrd_merge(&source, n, &set, &merged, reterr);
        return r < 0 ? r : write_result(merged.memfd, output);
}

int main(int argc, char **argv) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (argc != 3)
                return 2;
        r = run(argv[1], argv[2], &error);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", strerror(-r), error ?: "no sentence");
                return 1;
        }
        return 0;
}
