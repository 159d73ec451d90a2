/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* forecast --upgrade: what apt would install. Nothing is installed: versions are read from apt's lists, and only firmware, whose bytes enter digests, is
 * downloaded (apt-get download verifies it) and unpacked in a temporary folder. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "forecast.h"
#include "strutil.h"
#include "tree.h"

/* Debian's and Ubuntu's names. */
static const ForecastPackage known[] = {
        { "ovmf-amdsev", FORECAST_FIRMWARE, NULL, NULL },
        { "ovmf", FORECAST_FIRMWARE, NULL, NULL },
        { "qemu-system-x86", FORECAST_QEMU, NULL, NULL },
        { "linux-image-amd64", FORECAST_KERNEL, NULL, NULL },
        { "linux-image-cloud-amd64", FORECAST_KERNEL, NULL, NULL },
        { "linux-image-generic", FORECAST_KERNEL, NULL, NULL },
        { "cvmspawn", _FORECAST_SUBJECT_INVALID, NULL, NULL },
};

/* Where packages have firmware images. */
static const char *const folders[] = { "usr/share/ovmf", "usr/share/OVMF", "usr/share/qemu" };

bool forecast_package_changes(const ForecastPackage *p) {
        return p->installed && p->candidate && !streq(p->installed, p->candidate);
}

/* "  Candidate: 1:10.0.2+ds-2" of the block that begins with "NAME:". */
static int read_version(const char *block, const char *end, const char *field, char **ret) {
        const char *p = memmem(block, (size_t) (end - block), field, strlen(field));
        size_t n;

        if (!p)
                return 0;
        p += strlen(field);
        n = strcspn(p, "\n");
        if (n == strlen("(none)") && strncmp(p, "(none)", n) == 0)
                return 0;
        *ret = strndup(p, n);
        return *ret ? 0 : -ENOMEM;
}

static int read_policy(const char *text, ForecastPackage *p) {
        _cleanup_free_ char *head = NULL;
        const char *block, *end;
        int r;

        if (asprintf(&head, "\n%s:\n", p->name) < 0)
                return -ENOMEM;
        block = strncmp(text, head + 1, strlen(head) - 1) == 0 ? text : strstr(text, head);
        if (!block)
                return 0;
        end = strstr(block, "  Version table:") ?: block + strlen(block);
        r = read_version(block, end, "  Installed: ", &p->installed);
        return r < 0 ? r : read_version(block, end, "  Candidate: ", &p->candidate);
}

static int ask_apt(ForecastWorld *w, char **reterr) {
        const char *argv[ELEMENTSOF(known) + 3] = { "apt-cache", "policy" };
        _cleanup_free_ char *text = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                argv[i + 2] = known[i].name;
        r = forecast_run(NULL, (char *const *) argv, &text, reterr);
        if (r == -ENOENT)
                return error_set(reterr, -EINVAL,
                                "--upgrade: apt-cache is not installed; it needs apt, so name what will be with --kernel=, --qemu= and --firmware=");
        if (r < 0)
                return error_prefix(reterr, r, "--upgrade");
        w->packages = malloc(sizeof(known));
        if (!w->packages)
                return -ENOMEM;
        memcpy(w->packages, known, sizeof(known));
        w->n_packages = ELEMENTSOF(known);
        FOREACH_ARRAY(p, w->packages, w->n_packages) {
                r = read_policy(text, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "1:10.0.2+ds-2": what is before the colon orders versions for dpkg only. */
static int take_version(ForecastWorld *w, const ForecastPackage *p, char **reterr) {
        const char *colon = strchr(p->candidate, ':');
        _cleanup_free_ char *what = NULL;

        if (asprintf(&what, "--upgrade: %s: ", p->name) < 0)
                return -ENOMEM;
        return forecast_world_set(w, p->subject, colon ? colon + 1 : p->candidate, what, reterr);
}

/* --- firmware -------------------------------------------------------------------------------------------------------- */

static bool is_known(const ForecastWorld *w, const char *name) {
        FOREACH_ARRAY(x, w->images, w->n_images)
                if (streq(x->name, name))
                        return true;
        return false;
}

/* Images that a launch of the bundle has by name: a package has many. */
static int add_images(
                const RefsBundle *b, ForecastWorld *w, const char *tree, const char *folder, char **reterr) {
        _cleanup_free_ char *path = NULL;
        struct dirent *entry;
        DIR *d;
        int r = 0;

        if (asprintf(&path, "%s/%s", tree, folder) < 0)
                return -ENOMEM;
        d = opendir(path);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while (r >= 0 && (entry = readdir(d))) {
                _cleanup_free_ char *file = NULL;
                struct stat st;

                if (!forecast_names_firmware(b, entry->d_name) || is_known(w, entry->d_name))
                        continue;
                if (asprintf(&file, "%s/%s", path, entry->d_name) < 0)
                        r = -ENOMEM;
                else if (lstat(file, &st) >= 0 && S_ISREG(st.st_mode))
                        r = forecast_world_add_image(w, "upgrade", file, reterr);
        }
        (void) closedir(d);
        return r;
}

/* The one file that the download left. */
static int find_package(const char *folder, char **ret) {
        DIR *d = opendir(folder);
        struct dirent *entry;
        int r = -ENOENT;

        if (!d)
                return -errno;
        while (r == -ENOENT && (entry = readdir(d)))
                if (endswith(entry->d_name, ".deb"))
                        r = asprintf(ret, "%s/%s", folder, entry->d_name) < 0 ? -ENOMEM : 0;
        (void) closedir(d);
        return r;
}

static int take_firmware(const RefsBundle *b, ForecastWorld *w, const ForecastPackage *p, char **reterr) {
        _cleanup_tree_ char *folder = NULL;
        _cleanup_free_ char *what = NULL, *deb = NULL, *tree = NULL, *none = NULL, *more = NULL;
        int r = tree_make_temporary("cvmspawn-forecast", &folder, reterr);

        if (r < 0)
                return r;
        if (asprintf(&what, "%s=%s", p->name, p->candidate) < 0 || asprintf(&tree, "%s/tree", folder) < 0)
                return -ENOMEM;
        {
                const char *const argv[] = { "apt-get", "-q", "download", what, NULL };

                r = forecast_run(folder, (char *const *) argv, &none, reterr);
        }
        if (r >= 0)
                r = find_package(folder, &deb);
        if (r >= 0) {
                const char *const argv[] = { "dpkg-deb", "-x", deb, tree, NULL };

                r = forecast_run(NULL, (char *const *) argv, &more, reterr);
        }
        if (r < 0)
                return *reterr ? r
                               : error_set(reterr, r, "%s could not be downloaded and unpacked: %s", what,
                                                 strerror(-r));
        FOREACH_ARRAY(x, folders, ELEMENTSOF(folders))
                if (r >= 0)
                        r = add_images(b, w, tree, *x, reterr);
        return r;
}

int forecast_upgrade(const RefsBundle *b, ForecastWorld *w, char **reterr) {
        int r = ask_apt(w, reterr);

        FOREACH_ARRAY(p, w->packages, r < 0 ? 0 : w->n_packages) {
                if (!forecast_package_changes(p) || p->subject < 0)
                        continue;
                r = p->subject == FORECAST_FIRMWARE ? take_firmware(b, w, p, reterr)
                                                    : take_version(w, p, reterr);
                if (r < 0)
                        return p->subject == FORECAST_FIRMWARE ? error_prefix(reterr, r, "--upgrade") : r;
        }
        return r;
}
