/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Messages, mounts and files. */

#include "adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

void adapter_say_on(int fd, const char *what, const char *detail) {
        char line[512] = "cvmspawn-adapter: ";

        (void) strncat(line, what, sizeof(line) - strlen(line) - 1);
        if (detail) {
                (void) strncat(line, ": ", sizeof(line) - strlen(line) - 1);
                (void) strncat(line, detail, sizeof(line) - strlen(line) - 1);
        }
        (void) strncat(line, "\n", sizeof(line) - strlen(line) - 1);
        (void) !write(fd, line, strlen(line));
}

/* The kernel opens /dev/console for its init, where the initrd has such a file. */
void adapter_say(const char *what, const char *detail) {
        int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);

        adapter_say_on(fd >= 0 ? fd : STDERR_FILENO, what, detail);
        if (fd >= 0)
                (void) close(fd);
}

void adapter_fail(const char *what, const char *detail) {
        adapter_say(what, detail);
        /* The kernel panics: its host learns that this guest did not run. */
        _exit(EXIT_FAILURE);
}

void adapter_mount(const char *type, const char *where, const char *options) {
        struct stat st;

        if (mkdir(where, 0755) < 0 && errno != EEXIST)
                adapter_fail("cannot make a folder in the initrd", where);
        if (mount(type, where, type, MS_NOSUID, options) < 0 && errno != EBUSY)
                adapter_fail("the kernel cannot mount a file system that is needed", type);
        if (stat(where, &st) < 0)
                adapter_fail("cannot reach", where);
}

_Bool adapter_read(const char *path, char **ret, size_t *ret_size) {
        size_t size = 0, room = 4096;
        char *data = malloc(room + 1);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = -1;

        while (data && fd >= 0) {
                n = read(fd, data + size, room - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                size += (size_t) n;
                if (size == room) {
                        char *more = realloc(data, 2 * room + 1);

                        if (!more) {
                                n = -1;
                                break;
                        }
                        data = more;
                        room *= 2;
                }
        }
        if (fd >= 0)
                (void) close(fd);
        if (!data || n != 0) {
                free(data);
                return false;
        }
        data[size] = 0;
        *ret = data;
        *ret_size = size;
        return true;
}

void adapter_write(int fd, const void *data, size_t size, const char *path) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        adapter_fail("cannot write", path);
                p += n;
                size -= (size_t) n;
        }
}

void adapter_notify(int port, const char *line) {
        (void) fcntl(port, F_SETFL, O_RDWR);
        adapter_write(port, line, strlen(line), "a serial port");
        (void) tcdrain(port);
}

void adapter_number(
                char path[static ADAPTER_NUMBER_SIZE], const char *before, unsigned n, const char *after) {
        size_t used = strlen(before);

        (void) memcpy(path, before, used);
        if (n >= 10)
                path[used++] = (char) ('0' + n / 10);
        path[used++] = (char) ('0' + n % 10);
        (void) memcpy(path + used, after, strlen(after) + 1);
}
