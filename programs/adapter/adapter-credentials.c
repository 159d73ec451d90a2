/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "adapter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX  ".cred"
#define PATHMAX 4096

static void join(char path[static PATHMAX], const char *folder, const char *name, size_t n) {
        size_t length = strlen(folder);

        if (length + n + 2 > PATHMAX)
                adapter_fail("the name of a credential is too long", name);
        (void) memcpy(path, folder, length);
        path[length] = '/';
        (void) memcpy(path + length + 1, name, n);
        path[length + 1 + n] = 0;
}

bool adapter_has_command(void) {
        return access(ADAPTER_SOURCE "/" ADAPTER_COMMAND SUFFIX, F_OK) == 0;
}

static void take(const char *folder, const char *name) {
        size_t length = strlen(name), suffix = strlen(SUFFIX), size;
        char from[PATHMAX], to[PATHMAX], *data = NULL;
        int fd;

        if (length <= suffix || strcmp(name + length - suffix, SUFFIX) != 0)
                return;
        join(from, ADAPTER_SOURCE, name, length);
        join(to, folder, name, length - suffix);
        if (!adapter_read(from, &data, &size))
                adapter_fail("cannot read a credential", from);
        fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
        if (fd < 0)
                adapter_fail("cannot make a credential", to);
        adapter_write(fd, data, size, to);
        (void) close(fd);
        explicit_bzero(data, size);
        free(data);
        (void) unlink(from);
}

void adapter_take_credentials(const char *folder) {
        DIR *d = opendir(ADAPTER_SOURCE);

        if (!d)
                adapter_fail("the initrd has no credentials where they were packed", ADAPTER_SOURCE);
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                if (e->d_name[0] != '.')
                        take(folder, e->d_name);
        (void) closedir(d);
        (void) rmdir(ADAPTER_SOURCE);
        (void) rmdir("/.extra");
}
