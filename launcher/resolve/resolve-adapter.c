/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The adapter: a program of ours behind an initrd whose PID 1 imports no credentials. The kernel starts it instead of /init; what it does in
 * the guest is in programs/adapter/. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "initrd-scan.h"
#include "resolve-parts.h"
#include "strutil.h"

#define ADAPTER_FILE   "adapter.cpio"
#define ADAPTER_MEMBER ".cvmspawn/adapter"
#define ADAPTER_WORD   "rdinit=/" ADAPTER_MEMBER
#define SYSTEMD_WANTED 262u /* the first that imports /.extra/system_credentials */
#define ADAPTER_MAX    (UINT64_C(16) << 20)
#define EXACT_WORDS_WHY                                                                                     \
        "--exact-words: the initrd needs the adapter: add " ADAPTER_WORD                                    \
        " to the kernel command line, or --adapter=no"

bool resolve_initrd_imports(bool initrd_release, unsigned systemd_version, char *reason, size_t size) {
        if (!initrd_release)
                (void) snprintf(reason, size,
                                "the initrd has no etc/initrd-release: its PID 1 is not systemd and imports no credentials");
        else if (systemd_version == 0)
                (void) snprintf(reason, size,
                                "the initrd has no systemd, so nothing there imports credentials");
        else if (systemd_version < SYSTEMD_WANTED)
                (void) snprintf(reason, size,
                                "the initrd has systemd %u, which does not support credentials in the initrd (systemd %u or later does)",
                                systemd_version, SYSTEMD_WANTED);
        else
                return true;
        return false;
}

bool resolve_adapter_allowed(const VmConfig *config) {
        if (config->adapter && streq(config->adapter, "no"))
                return false;
        if (config->run)
                return true;
        return vm_config_confidential(config) && config->credential_transport == TRANSPORT_AUTO;
}

/* It is installed beside this program. */
static int find_ours(char **ret) {
        char here[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
        const char *slash;

        if (n < 0)
                return -errno;
        here[n] = 0;
        slash = strrchr(here, '/');
        if (asprintf(ret, "%.*s/" ADAPTER_FILE, slash ? (int) (slash - here) : 0, here) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return access(*ret, R_OK) < 0 ? -errno : 0;
}

static int on_member(const InitrdMember *member, void *userdata) {
        bool *found = userdata;

        *found = *found || streq(member->path, ADAPTER_MEMBER);
        return 0;
}

int resolve_open_adapter(const VmConfig *config, uint64_t *ret_size, char **reterr) {
        _cleanup_free_ char *path = NULL, *error = NULL;
        _cleanup_close_ int fd = -EBADF;
        bool found = false;
        uint64_t size;
        int r = 0;

        if (config->adapter)
                path = strdup(config->adapter);
        else
                r = find_ours(&path);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "the initrd needs the adapter, but " ADAPTER_FILE
                                " is not installed beside this program; name one with --adapter=FILE");
        if (r < 0 || !path)
                return r < 0 ? r : -ENOMEM;
        fd = resolve_open("adapter", path, &size, reterr);
        if (fd < 0)
                return fd;
        if (size > ADAPTER_MAX)
                return error_set(reterr, -EFBIG, "--adapter: '%s' is larger than %u MiB", path,
                                (unsigned) (ADAPTER_MAX >> 20));
        r = initrd_list(fd, 0, size, on_member, &found, &error);
        if (r < 0 || !found)
                return error_set(reterr, -EBADMSG,
                                "--adapter: '%s' is not an adapter (%s); use the " ADAPTER_FILE
                                " of a release of cvmspawn",
                                path, error ?: "a cpio archive with " ADAPTER_MEMBER);
        *ret_size = size;
        return TAKE_FD(fd);
}

/* Where the parameters of the kernel end and those of the init begin. */
static size_t kernel_parameters(const char *text) {
        for (const char *w = text; (w = strstr(w, "--")); w += 2)
                if ((w == text || w[-1] == ' ') && (w[2] == 0 || w[2] == ' '))
                        return (size_t) (w - text);
        return strlen(text);
}

static bool has_word(const char *text, size_t n, const char *word) {
        size_t length = strlen(word);

        for (const char *w = text; (w = strstr(w, word)) && w + length <= text + n; w++)
                if ((w == text || w[-1] == ' ') && (w[length] == 0 || w[length] == ' '))
                        return true;
        return false;
}

/* The last such word counts for the kernel; an earlier one names the init that the adapter goes on with. */
int resolve_adapter_word(const VmConfig *config, char **text, char **reterr) {
        size_t n = kernel_parameters(*text);
        char *longer;

        if (config->exact_words)
                return has_word(*text, n, ADAPTER_WORD) ? 0 : error_set(reterr, -EINVAL, EXACT_WORDS_WHY);
        if (asprintf(&longer, "%.*s%s" ADAPTER_WORD "%s%s", (int) n, *text,
                            n > 0 && (*text)[n - 1] != ' ' ? " " : "", (*text)[n] ? " " : "", *text + n) < 0)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}
