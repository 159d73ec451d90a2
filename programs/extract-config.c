/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "extract-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "resolve.h"
#include "strutil.h"

static bool wanted(const VmConfig *config) {
        bool loader = false;

        if (!config->image)
                return false;
        if (config->linux_path)
                return streq(config->linux_path, LINUX_FROM_IMAGE);
        if (!vm_config_confidential(config) || config->initrds)
                return false;
        /* A firmware with a boot loader inside opens an encrypted disk by itself. */
        if (config->firmware == FIRMWARE_PATH)
                loader = resolve_firmware_has_loader(config->firmware_path);
        return !loader;
}

/* The image's part comes first, one argument each, as a shell splits it. */
static int put_cmdline(VmConfig *config, const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        int r = text && *text ? strv_split(text, ' ', &words) : 0;

        STRV_FOREACH(w, r < 0 ? NULL : config->cmdline) {
                r = strv_push(&words, *w);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return r;
        strv_free(config->cmdline);
        config->cmdline = TAKE_PTR(words);
        return 0;
}

static int put_initrd(VmConfig *config, const ExtractChild *c) {
        _cleanup_strv_free_ char **initrds = NULL;
        int r = strv_pushf(&initrds, "/proc/self/fd/%d", c->initrd);

        STRV_FOREACH(i, r < 0 ? NULL : config->initrds) {
                r = strv_push(&initrds, *i);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return r;
        strv_free(config->initrds);
        config->initrds = TAKE_PTR(initrds);
        return asprintf(&config->initrd_name, "%s (initrd)", config->image) < 0 ? -ENOMEM : 0;
}

static int put_kernel(VmConfig *config, const ExtractChild *c) {
        char *path, *name;

        if (asprintf(&path, "/proc/self/fd/%d", c->kernel) < 0)
                return -ENOMEM;
        free(config->linux_path);
        config->linux_path = path;
        if (asprintf(&name, "%s (kernel)", config->image) < 0)
                return -ENOMEM;
        config->linux_name = name;
        return 0;
}

static int add_notices(const VmConfig *config, const Json *finding, char ***notices) {
        static const char *const lists[] = { "notes", "problems" };
        const Json *kernel = js_get(finding, "kernel");
        _cleanup_strv_free_ char **problems = NULL;
        int r = strv_pushf(notices, "kernel, initrd and command line are taken from '%s': Linux %s, '%s'%s",
                        config->image, js_string_value(js_get(kernel, "version")) ?: "of an unknown version",
                        js_string_value(js_get(kernel, "path")) ?: "",
                        vm_config_confidential(config)
                                        ? "; the launch digest covers these, not the rest of the image"
                                        : "");

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                const Json *l = js_get(finding, lists[i]);

                for (size_t k = 0; r >= 0 && k < js_length(l); k++)
                        r = strv_pushf(notices, "'%s': %s", config->image,
                                        js_string_value(js_at(l, k)) ?: "");
        }
        if (r >= 0 && coco_of(config->coco)->guest_report)
                r = extract_kernel_problems(kernel, &problems);
        STRV_FOREACH(p, r < 0 ? NULL : problems) {
                r = strv_pushf(notices, "'%s': %s", config->image, *p);
                if (r < 0)
                        break;
        }
        return r;
}

/* What the user says; else NULL, and extract goes by the name. */
static const char *format_of(VmConfig *config) {
        size_t n = strlen(config->image), m = strlen(".qcow2");

        /* The name is the user's: unlike the content, no guest can change it. */
        if (config->image_format == IMAGE_FORMAT_AUTO && n > m &&
                        strcasecmp(config->image + n - m, ".qcow2") == 0)
                config->image_format = IMAGE_FORMAT_QCOW2;
        return config->image_format == IMAGE_FORMAT_AUTO ? NULL
                                                         : image_format_to_string(config->image_format);
}

/* What extract made of the name; raw is left to the checks of a disk that is launched. */
static void take_format(VmConfig *config, const Json *finding) {
        ImageFormat f = image_format_from_string(js_string_value(js_get(finding, "format")) ?: "");

        if (config->image_format == IMAGE_FORMAT_AUTO && f > IMAGE_FORMAT_QCOW2)
                config->image_format = f;
}

static int find_backing(const VmConfig *config, char ***ret) {
        for (size_t i = 0; i < config->n_image_files; i++) {
                const ImageFile *f = &config->image_files[i];
                int r = f->data ? 0
                                : f->format != IMAGE_FORMAT_AUTO
                                ? strv_pushf(ret, "%s:%s", image_format_to_string(f->format), f->path)
                                : strv_push(ret, f->path);

                if (r < 0)
                        return r;
        }
        return 0;
}

int extract_into_config(VmConfig *config, ExtractChild *keep, char ***ret_notices, char **reterr) {
        _cleanup_strv_free_ char **notices = NULL, **backing = NULL;
        _cleanup_free_ char *error = NULL;
        bool asked;
        int r;

        *ret_notices = NULL;
        if (!wanted(config))
                return 0;
        asked = config->linux_path;
        r = find_backing(config, &backing);
        if (r >= 0)
                r = extract_child(config->image, format_of(config), backing, keep, &error);
        /* Without a kernel the image is a disk like others: that --linux= is missing is said where it is needed. */
        if (r == -ENOENT && !asked)
                return 0;
        if (r < 0)
                return error_set(reterr, r, "--image: %s", error ?: strerror(-r));
        take_format(config, keep->finding);
        r = put_kernel(config, keep);
        if (r >= 0 && keep->initrd >= 0)
                r = put_initrd(config, keep);
        if (r >= 0)
                r = put_cmdline(config, js_string_value(js_get(keep->finding, "cmdline")));
        if (r >= 0)
                r = add_notices(config, keep->finding, &notices);
        if (r >= 0)
                *ret_notices = TAKE_PTR(notices);
        return r;
}
