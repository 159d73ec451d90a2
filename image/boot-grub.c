/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* grub.cfg, as Debian, Ubuntu, Fedora, SUSE and Arch generate it. What is in EFI/NAME/grub.cfg mostly leads to the other one, and counts
 * only where it has separate entries. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot-entry.h"
#include "error.h"
#include "grub-script.h"
#include "strutil.h"

#define CONFIG_MAX ((size_t) 4 * 1024 * 1024)

/* "(hd0,gpt2)/boot/vmlinuz" */
static const char *without_device(const char *path) {
        const char *end = *path == '(' ? strchr(path, ')') : NULL;

        return end ? end + 1 : path;
}

/* As GRUB hands them to the kernel: what has a blank inside is quoted. */
static int join_words(char *const *w, char **ret) {
        _cleanup_(text_done) Text text = {};

        for (; *w; w++) {
                const char *quote = strchr(*w, ' ') ? "\"" : "";

                text_putf(&text, "%s%s%s%s", text.size > 0 ? " " : "", quote, *w, quote);
        }
        return text_finish(&text, ret);
}

static int add_entry(
                const char *file, const GrubMenu *m, const GrubEntry *g, bool fallback, BootEntries *l) {
        _cleanup_(boot_entry_done) BootEntry e = {
                .source = BOOT_GRUB,
                .file = strdup(file),
                .title = strdup(g->title),
                .id = strdup(g->id ?: g->position),
                .kernel = strdup(without_device(g->linux_[0])),
                .preferred = grub_menu_is_default(m, g),
                .fallback = fallback,
        };
        int r = e.file && e.title && e.id && e.kernel ? 0 : -ENOMEM;

        STRV_FOREACH(i, g->initrd) {
                if (r >= 0 && strv_length(e.initrds) >= BOOT_INITRDS_MAX)
                        r = -E2BIG;
                if (r >= 0)
                        r = strv_push(&e.initrds, without_device(*i));
        }
        if (r >= 0)
                r = join_words(g->linux_ + 1, &e.words);
        if (r >= 0)
                r = boot_words_clean(e.words);
        if (r >= 0)
                r = boot_version_of(e.kernel, &e.version);
        if (r == -EBADMSG || r == -E2BIG)
                return boot_entries_problem(l, file, r, NULL);
        return r < 0 ? r : boot_entries_add(l, &e);
}

static int read_config(Volume *v, const char *path, bool fallback, BootEntries *l, char **reterr) {
        _cleanup_(grub_env_done) GrubEnv env = {};
        _cleanup_(grub_menu_done) GrubMenu m = {};
        _cleanup_free_ char *text = NULL;
        char *error = NULL;
        int r = volume_text(v, path, CONFIG_MAX, &text, NULL, &error);

        if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR) {
                free(error);
                return 0;
        }
        if (r >= 0)
                r = grub_env_read(v, &env);
        if (r >= 0)
                r = grub_menu_parse(text, &env, &m, &error);
        if (r < 0)
                return boot_entries_problem(l, path, r, error);
        free(error);
        FOREACH_ARRAY(g, m.items, m.n_items) {
                if (!g->linux_ || !g->linux_[0])
                        continue;
                r = add_entry(path, &m, g, fallback, l);
                if (r < 0)
                        return r == -E2BIG ? error_set(reterr, r, "too many boot entries") : r;
        }
        return 0;
}

int boot_find_grub(Volume *v, BootEntries *l, char **reterr) {
        static const char *const places[] = { "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg",
                "/grub/grub.cfg", "/grub2/grub.cfg" };
        _cleanup_strv_free_ char **vendors = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(places); i++)
                r = read_config(v, places[i], /* fallback= */ false, l, reterr);
        if (r >= 0)
                r = boot_list(v, "/EFI", "", "", &vendors, reterr);
        STRV_FOREACH(name, r < 0 ? NULL : vendors) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "/EFI/%s/grub.cfg", *name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = read_config(v, path, /* fallback= */ true, l, reterr);
                if (r < 0)
                        return r;
        }
        return r;
}
