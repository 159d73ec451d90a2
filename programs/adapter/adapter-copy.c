/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --copy-out=: files for the host, among the notifications. */

#include "adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy_file(int port, const char *path, int fd, off_t size) {
        static char data[ADAPTER_CHUNK];

        while (size > 0) {
                ssize_t n = read(fd, data, size < (off_t) sizeof(data) ? (size_t) size : sizeof(data));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        adapter_fail("cannot read all of a file that is copied to the host", path);
                adapter_write(port, data, (size_t) n, "a serial port");
                size -= n;
        }
}

/* In decimal, before `end`. */
static char *put_number(char *end, off_t n) {
        do
                *--end = (char) ('0' + n % 10);
        while ((n /= 10) > 0);
        return end;
}

/* --copy-out=: a line with number and size among the notifications, then the bytes (launcher/run/run-copy-out.c). */
static void copy_out(int port, unsigned number, const char *path) {
        char head[ADAPTER_NUMBER_SIZE], size[ADAPTER_NUMBER_SIZE] = {};
        struct stat st;
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        const bool there = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

        adapter_number(head, "COPY=", number, " ");
        adapter_notify(port, head);
        adapter_notify(port, there ? put_number(size + sizeof(size) - 1, st.st_size) : "missing");
        adapter_notify(port, "\n");
        if (there)
                copy_file(port, path, fd, st.st_size);
        if (fd >= 0)
                (void) close(fd);
}

void adapter_copy_out(int port) {
        char *list = NULL, *end;
        unsigned number = 0;
        size_t size;

        if (!adapter_read(ADAPTER_CREDENTIALS "/" ADAPTER_COPIES, &list, &size))
                return;
        for (char *path = list; (end = strchr(path, '\n')); path = end + 1) {
                *end = 0;
                copy_out(port, ++number, path);
        }
        free(list);
}
