/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel and initrd of a root directory. A guest may have written to it: links lead nowhere but into the directory, and no
 * command line is taken from there. Boot Loader Specification, types 1 and 2; then what distributions have without a boot loader. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "strutil.h"

#define ENTRY_MAX (64u * 1024u) /* bytes of a loader entry */

typedef struct Root {
        int fd; /* weak */
} Root;

/* -ENOENT where it is not there, or is something else. */
static int open_inside(const Root *root, const char *path, bool directory) {
        const struct open_how how = {
                .flags = (uint64_t) (O_CLOEXEC | O_NONBLOCK | (directory ? O_DIRECTORY : 0)),
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int) syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
        struct stat st;

        if (fd < 0)
                return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
        if (!directory && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
                return fd_close(fd), -ENOENT;
        return fd;
}

/* The path of the host, without links; *ret is owned. */
static int find_inside(const Root *root, const char *path, char **ret) {
        _cleanup_close_ int fd = open_inside(root, path, /* directory= */ false);
        char link[32];

        if (fd < 0)
                return fd;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        *ret = realpath(link, NULL);
        return *ret ? 0 : -errno;
}

/* What stands for "*" in the names of a directory's entries, and the newest version of it; NULL: none. */
static int find_newest(const Root *root, const char *directory, const char *prefix, const char *suffix,
                char **ret) {
        int fd = open_inside(root, directory, /* directory= */ true);
        _cleanup_free_ char *best = NULL;
        DIR *d;

        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d)
                return fd_close(fd), -ENOMEM;
        for (struct dirent *e; (e = readdir(d));) {
                const char *rest = *e->d_name == '.' ? NULL : startswith(e->d_name, prefix);
                size_t n = rest ? strlen(rest) : 0, k = strlen(suffix);
                char *version;

                if (n <= k || !streq(rest + n - k, suffix))
                        continue;
                version = strndup(rest, n - k);
                if (!version) {
                        (void) closedir(d);
                        return -ENOMEM;
                }
                if (best && strverscmp(version, best) < 0) {
                        free(version);
                        continue;
                }
                free(best);
                best = version;
        }
        (void) closedir(d);
        if (!best)
                return -ENOENT;
        *ret = TAKE_PTR(best);
        return 0;
}

static int find_format(const Root *root, char **ret, const char *format, ...) _printf_(3, 4);
static int find_format(const Root *root, char **ret, const char *format, ...) {
        _cleanup_free_ char *path = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&path, format, ap);
        va_end(ap);
        if (k < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return find_inside(root, path, ret);
}

typedef struct Found {
        char *kernel;   /* owned */
        char **initrds; /* owned */
} Found;

static void found_done(Found *f) {
        free(f->kernel);
        strv_free(f->initrds);
        *f = (Found) {};
}

static int find_uki(const Root *root, const char *boot, Found *f) {
        _cleanup_free_ char *directory = NULL, *name = NULL;
        int r;

        if (asprintf(&directory, "%s/EFI/Linux", boot) < 0)
                return -ENOMEM;
        r = find_newest(root, directory, "", ".efi", &name);
        return r < 0 ? r : find_format(root, &f->kernel, "%s/%s.efi", directory, name);
}

/* The value of a line "key value", NULL if it has another key. */
static const char *value_of(char *line, const char *key) {
        const char *rest = startswith(line + strspn(line, " \t"), key);
        size_t n;

        if (!rest || !strchr(" \t", *rest))
                return NULL;
        rest += strspn(rest, " \t");
        n = strlen(line);
        while (n > 0 && strchr(" \t\r", line[n - 1]))
                line[--n] = 0;
        return rest;
}

static int read_entry(const Root *root, const char *boot, char *text, Found *f) {
        int r = 0;

        for (char *line; r >= 0 && (line = strsep(&text, "\n"));) {
                const char *kernel = value_of(line, "linux"), *initrd = value_of(line, "initrd");
                char *path = NULL;

                if (kernel && !f->kernel)
                        r = find_format(root, &f->kernel, "%s/%s", boot, kernel);
                if (initrd)
                        r = find_format(root, &path, "%s/%s", boot, initrd);
                if (path)
                        r = strv_consume(&f->initrds, path);
        }
        return r < 0 ? r : f->kernel ? 0 : -ENOENT;
}

static int find_entry(const Root *root, const char *boot, Found *f) {
        _cleanup_free_ char *directory = NULL, *name = NULL, *path = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&directory, "%s/loader/entries", boot) < 0)
                return -ENOMEM;
        r = find_newest(root, directory, "", ".conf", &name);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s/%s.conf", directory, name) < 0)
                return -ENOMEM;
        fd = open_inside(root, path, /* directory= */ false);
        if (fd < 0)
                return fd;
        r = fd_read_all(fd, ENTRY_MAX, &text, NULL);
        return r < 0 ? r : read_entry(root, boot, text, f);
}

/* Debian's, Fedora's and SUSE's names; a kernel may have all in it that it needs. */
static int find_plain(const Root *root, const char *boot, Found *f) {
        static const struct {
                const char *before, *behind;
        } names[] = { { "initrd.img-", "" }, { "initramfs-", ".img" }, { "initrd-", "" } };
        _cleanup_free_ char *version = NULL;
        int r = find_newest(root, boot, "vmlinuz-", "", &version);

        if (r >= 0)
                r = find_format(root, &f->kernel, "%s/vmlinuz-%s", boot, version);
        for (size_t i = 0; i < ELEMENTSOF(names) && r >= 0 && !f->initrds; i++) {
                char *path = NULL;
                int k = find_format(
                                root, &path, "%s/%s%s%s", boot, names[i].before, version, names[i].behind);

                if (k >= 0)
                        r = strv_consume(&f->initrds, path);
                else if (k != -ENOENT)
                        r = k;
        }
        return r;
}

static int find_in_modules(const Root *root, const char *modules, Found *f) {
        _cleanup_free_ char *version = NULL;
        int r = find_newest(root, modules, "", "", &version);

        return r < 0 ? r : find_format(root, &f->kernel, "%s/%s/vmlinuz", modules, version);
}

static int find_kernel(const Root *root, Found *f) {
        static const struct {
                int (*find)(const Root *root, const char *where, Found *f);
                const char *where;
        } places[] = {
                { find_uki, "efi" },
                { find_entry, "efi" },
                { find_uki, "boot" },
                { find_entry, "boot" },
                { find_plain, "boot" },
                { find_in_modules, "usr/lib/modules" },
        };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                int r = places[i].find(root, places[i].where, f);

                if (r != -ENOENT)
                        return r;
                found_done(f);
        }
        return -ENOENT;
}

int resolve_directory_kernel(VmConfig *config, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_(found_done) Found f = {};
        int r;

        if (!config->directory || config->linux_path || config->initrds || config->image ||
                        vm_config_confidential(config))
                return 0;
        fd = fd_open(config->directory, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set(reterr, fd, "--directory: cannot open '%s': %s", config->directory,
                                strerror(-fd));
        r = find_kernel(&(const Root) { .fd = fd }, &f);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "--directory: no kernel was found in '%s' (EFI/Linux/*.efi and loader/entries/*.conf in efi and boot, boot/vmlinuz-*, usr/lib/modules/*/vmlinuz); install one there, or pass --linux= and --initrd=",
                                config->directory);
        if (r < 0)
                return error_set(reterr, r, "--directory: cannot look for a kernel in '%s': %s",
                                config->directory, strerror(-r));
        config->linux_path = TAKE_PTR(f.kernel);
        config->initrds = TAKE_PTR(f.initrds);
        return 0;
}
