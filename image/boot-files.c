/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernels that no loader's configuration names: /boot/vmlinuz-VERSION with its initrd, the directories of kernel-install
 * (TOKEN/VERSION/linux), and /usr/lib/modules/VERSION/vmlinuz. They have no command line. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot-entry.h"
#include "error.h"
#include "strutil.h"

static bool exists(Volume *v, const char *path) {
        VolumeFile f;

        return volume_find(v, path, &f, NULL) >= 0;
}

/* Takes kernel. */
static int add(char *kernel, const char *version, const char *initrd, bool fallback, BootEntries *l) {
        BootEntry e = {
                .source = BOOT_FILES,
                .kernel = kernel,
                .file = kernel ? strdup(kernel) : NULL,
                .version = strdup(version),
                .id = strdup(version),
                .fallback = fallback,
        };
        int r = e.kernel && e.file && e.version && e.id ? 0 : -ENOMEM;

        if (r >= 0 && initrd)
                r = strv_push(&e.initrds, initrd);
        if (r >= 0)
                return boot_entries_add(l, &e);
        boot_entry_done(&e);
        return r;
}

/* Debian's, Fedora's, Arch's and SUSE's names of what belongs to vmlinuz-VERSION. */
static int find_initrd(Volume *v, const char *boot, const char *version, char **ret) {
        static const struct {
                const char *before, *behind;
        } names[] = { { "initrd.img-", "" }, { "initramfs-", ".img" }, { "initrd-", "" },
                { "initrd-", ".img" } };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char *path;

                if (asprintf(&path, "%s/%s%s%s", boot, names[i].before, version, names[i].behind) < 0)
                        return -ENOMEM;
                if (exists(v, path)) {
                        *ret = path;
                        return 0;
                }
                free(path);
        }
        return 0;
}

static int find_plain(Volume *v, const char *boot, BootEntries *l, char **reterr) {
        _cleanup_strv_free_ char **names = NULL;
        int r = boot_list(v, *boot ? boot : "/", "vmlinuz-", "", &names, reterr);

        STRV_FOREACH(name, r < 0 ? NULL : names) {
                const char *version = *name + strlen("vmlinuz-");
                _cleanup_free_ char *initrd = NULL;
                char *kernel;

                r = find_initrd(v, boot, version, &initrd);
                if (r < 0)
                        return r;
                if (asprintf(&kernel, "%s/%s", boot, *name) < 0)
                        return -ENOMEM;
                /* "0-rescue-ID" is Fedora's. */
                r = add(kernel, version, initrd, startswith(version, "0-rescue-"), l);
                if (r < 0)
                        return r;
        }
        return r;
}

/* One directory of kernel-install: VERSION/linux and VERSION/initrd. */
static int find_token(Volume *v, const char *directory, BootEntries *l, char **reterr) {
        _cleanup_strv_free_ char **versions = NULL;
        int r = boot_list(v, directory, "", "", &versions, reterr);

        STRV_FOREACH(version, r < 0 ? NULL : versions) {
                _cleanup_free_ char *kernel = NULL, *initrd = NULL;

                if (asprintf(&kernel, "%s/%s/linux", directory, *version) < 0) {
                        kernel = NULL;
                        return -ENOMEM;
                }
                if (!exists(v, kernel))
                        continue;
                if (asprintf(&initrd, "%s/%s/initrd", directory, *version) < 0) {
                        initrd = NULL;
                        return -ENOMEM;
                }
                r = add(TAKE_PTR(kernel), *version, exists(v, initrd) ? initrd : NULL, false, l);
                if (r < 0)
                        return r;
        }
        return r;
}

static int find_tokens(Volume *v, const char *boot, BootEntries *l, char **reterr) {
        _cleanup_strv_free_ char **names = NULL;
        int r = boot_list(v, *boot ? boot : "/", "", "", &names, reterr);

        /* The root directory of a system has none of them. */
        if (!*boot && strv_contains(names, "usr"))
                return r;
        STRV_FOREACH(name, r < 0 ? NULL : names) {
                _cleanup_free_ char *directory = NULL;

                if (asprintf(&directory, "%s/%s", boot, *name) < 0) {
                        directory = NULL;
                        return -ENOMEM;
                }
                r = find_token(v, directory, l, reterr);
                if (r < 0)
                        return r;
        }
        return r;
}

static int find_modules(Volume *v, BootEntries *l, char **reterr) {
        _cleanup_strv_free_ char **versions = NULL;
        int r = boot_list(v, "/usr/lib/modules", "", "", &versions, reterr);

        STRV_FOREACH(version, r < 0 ? NULL : versions) {
                char *kernel;

                if (asprintf(&kernel, "/usr/lib/modules/%s/vmlinuz", *version) < 0)
                        return -ENOMEM;
                if (!exists(v, kernel)) {
                        free(kernel);
                        continue;
                }
                r = add(kernel, *version, NULL, /* fallback= */ true, l);
                if (r < 0)
                        return r;
        }
        return r;
}

int boot_find_files(Volume *v, BootEntries *l, char **reterr) {
        static const char *const places[] = { "/boot", "", "/efi" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(places); i++) {
                r = find_plain(v, places[i], l, reterr);
                if (r >= 0)
                        r = find_tokens(v, places[i], l, reterr);
        }
        return r < 0 ? r : find_modules(v, l, reterr);
}
