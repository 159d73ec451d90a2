/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "fd.h"
#include "kernel-header.h"
#include "strutil.h"

#define OFFSET_MAGIC      0x202u
#define OFFSET_PROTOCOL   0x206u
#define OFFSET_VERSION    0x20eu /* where the text begins, less 0x200 */
#define OFFSET_XLOADFLAGS 0x236u
#define HEADER_END        (OFFSET_XLOADFLAGS + 2)
#define XLF_KERNEL_64     1u

/* Printable ASCII up to the first other byte; "" where the setup sectors end before the text does. */
static void read_text(const uint8_t *setup, size_t size, char ret[static KERNEL_TEXT_MAX + 1]) {
        size_t at = (size_t) le16_read(setup + OFFSET_VERSION) + 0x200, n = 0;

        while (at > 0x200 && at + n < size && n < KERNEL_TEXT_MAX && setup[at + n] >= ' ' &&
                        setup[at + n] < 0x7f) {
                ret[n] = (char) setup[at + n];
                n++;
        }
        ret[at + n < size ? n : 0] = 0;
}

void kernel_header_read(const uint8_t *setup, size_t size, KernelHeader *ret) {
        *ret = (KernelHeader) { .efi_stub = size >= 2 && memcmp(setup, "MZ", 2) == 0 };
        if (size < HEADER_END || memcmp(setup + OFFSET_MAGIC, "HdrS", 4) != 0)
                return;
        ret->bzimage = true;
        ret->long_mode = le16_read(setup + OFFSET_XLOADFLAGS) & XLF_KERNEL_64;
        ret->protocol_major = setup[OFFSET_PROTOCOL + 1];
        ret->protocol_minor = setup[OFFSET_PROTOCOL];
        read_text(setup, size, ret->full);
        (void) snprintf(ret->version, sizeof(ret->version), "%.*s", (int) strcspn(ret->full, " "),
                        ret->full);
}

bool kernel_older(const char *version, unsigned major, unsigned minor) {
        unsigned a, b;

        return sscanf(version, "%4u.%4u", &a, &b) == 2 && (a < major || (a == major && b < minor));
}

bool kernel_before_snp(const char *version) {
        return kernel_older(version, 5, 19);
}

const char *kernel_config_value(const char *text, const char *option) {
        size_t n = strlen(option);

        for (const char *p = text; (p = strstr(p, option)); p += n)
                if ((p == text || p[-1] == '\n') && p[n] == '=')
                        return p[n + 1] == 'y' ? "y" : p[n + 1] == 'm' ? "m" : "n";
        return "n";
}

int kernel_config_beside(const char *path, const char *version, char **ret) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *beside = NULL;

        *ret = NULL;
        if (!*version || strchr(version, '/'))
                return 0;
        if (asprintf(&beside, "%.*sconfig-%s", slash ? (int) (slash - path) + 1 : 0, path, version) < 0)
                return -ENOMEM;
        return file_read_all(beside, KERNEL_CONFIG_MAX, ret, NULL) == -ENOMEM ? -ENOMEM : 0;
}
