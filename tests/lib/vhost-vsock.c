/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Preloaded: /dev/vhost-vsock on machines without the kernel's module. Addresses in $VHOST_VSOCK_TAKEN (",77,78,") are another guest's. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int open_or_stand_in(const char *name, const char *path, int flags, mode_t mode) {
        int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, name);

        return real(strcmp(path, "/dev/vhost-vsock") == 0 ? "/dev/null" : path, flags, mode);
}

int open(const char *path, int flags, ...) {
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
        return open_or_stand_in("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
        return open_or_stand_in("open64", path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...) {
        int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...)) dlsym(RTLD_NEXT, "ioctl");
        const char *taken = getenv("VHOST_VSOCK_TAKEN");
        char wanted[24];
        va_list ap;
        void *p;

        va_start(ap, request);
        p = va_arg(ap, void *);
        va_end(ap);
        if (request != VHOST_VSOCK_SET_GUEST_CID)
                return real(fd, request, p);
        (void) snprintf(wanted, sizeof(wanted), ",%llu,", (unsigned long long) *(uint64_t *) p);
        if (!taken || !strstr(taken, wanted))
                return 0;
        errno = EADDRINUSE;
        return -1;
}
