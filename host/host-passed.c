/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Device files that the service manager has opened for this process: sd_listen_fds(3), OpenFile= of systemd.service(5). So a service without access to
 * /dev can use KVM and vsock. */

#include "host-passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strutil.h"

#define FIRST_FD   3u /* SD_LISTEN_FDS_START */
#define PASSED_MAX 64u

static bool is_device(int fd) {
        struct stat st;

        return fstat(fd, &st) >= 0 && S_ISCHR(st.st_mode) && fcntl(fd, F_SETFD, FD_CLOEXEC) >= 0;
}

int host_take_passed(HostCaps *caps, char ***ret_unknown) {
        const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"),
                   *text = getenv("LISTEN_FDNAMES");
        _cleanup_strv_free_ char **names = NULL;
        uint64_t n, whose;
        int r;

        if (!pid || !count || parse_u64(pid, &whose) < 0 || whose != (uint64_t) getpid() ||
                        parse_u64_max(count, PASSED_MAX, &n) < 0)
                return 0;
        r = strv_split(text ?: "", ':', &names);
        for (size_t i = 0; i < n && r >= 0; i++) {
                const char *name = i < strv_length(names) ? names[i] : "unknown";
                int fd = (int) (FIRST_FD + i);

                if (streq(name, "kvm") && is_device(fd))
                        caps->kvm_fd = fd;
                else if (streq(name, "vhost-vsock") && is_device(fd))
                        caps->vsock_fd = fd;
                else
                        r = strv_push(ret_unknown, name);
        }
        return r;
}
