/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst), and config-VERSION. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "image.h"
#include "strutil.h"

#define SETUP_MAX      (32u * 1024u) /* header and the strings that it points at */
#define CONFIG_MAX     ((size_t) 4 * 1024 * 1024)
#define OFFSET_HEADER  0x202u
#define OFFSET_VERSION 0x20eu
#define VERSION_MAX    128u

/* "6.1.0-56-cloud-amd64", up to its first blank; empty where there is none. */
static void read_version(const uint8_t *setup, size_t size, char ret[static VERSION_MAX + 1]) {
        size_t at = (size_t) le16_read(setup + OFFSET_VERSION) + 0x200, n = 0;

        for (; at > 0x200 && at + n < size && n < VERSION_MAX; n++) {
                uint8_t c = setup[at + n];

                if (c <= ' ' || c >= 0x7f)
                        break;
                ret[n] = (char) c;
        }
        ret[n] = 0;
}

/* "y", "m" or "n" */
static const char *config_value(const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *p = text; (p = strstr(p, name)); p += n)
                if ((p == text || p[-1] == '\n') && p[n] == '=')
                        return p[n + 1] == 'y' ? "y" : p[n + 1] == 'm' ? "m" : "n";
        return "n";
}

static int add_config(Image *image, const ImagePart *kernel, const char *version, Json *to) {
        static const char *const directories[] = { "", "/boot", "/usr/lib/modules" };
        _cleanup_free_ char *text = NULL;

        if (strchr(version, '/'))
                return 0;
        for (size_t i = 0; !text && i < ELEMENTSOF(directories); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, i == 2 ? "%s/%s/config" : "%s/config-%s", directories[i], version) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                for (size_t k = 0; !text && k < image->n_volumes; k++) {
                        /* The kernel's own first. */
                        size_t v = k == 0 ? kernel->volume : k <= kernel->volume ? k - 1 : k;

                        if (volume_text(&image->volumes[v], path, CONFIG_MAX, &text, NULL, NULL) == -ENOMEM)
                                return -ENOMEM;
                }
        }
        return js_set(to, "sev-guest-driver",
                        text ? js_string(config_value(text, "CONFIG_SEV_GUEST")) : js_null());
}

int image_kernel_report(Image *image, const ImagePart *kernel, Json *to, char **reterr) {
        char version[VERSION_MAX + 1] = "";
        uint8_t setup[SETUP_MAX] = {};
        size_t n = (size_t) MIN(kernel->size, (uint64_t) sizeof(setup));
        bool bzimage;
        int r = volume_read(
                        &image->volumes[kernel->volume], &kernel->file, kernel->offset, setup, n, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "kernel '%s'", kernel->path);
        bzimage = memcmp(setup + OFFSET_HEADER, "HdrS", 4) == 0;
        if (bzimage)
                read_version(setup, n, version);
        r = js_set(to, "bzimage", js_bool(bzimage));
        if (r >= 0)
                r = js_set(to, "version", *version ? js_string(version) : js_null());
        if (r >= 0)
                r = js_set(to, "efi-stub", js_bool(memcmp(setup, "MZ", 2) == 0));
        return r < 0 ? r : add_config(image, kernel, version, to);
}
