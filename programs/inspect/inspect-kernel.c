/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "inspect.h"
#include "strutil.h"

/* Header and the strings that it points at lie in the setup sectors, 32 KiB at most. */
#define SETUP_MAX         (32u * 1024u)
#define CONFIG_MAX        (4u * 1024u * 1024u)
#define OFFSET_HEADER     0x202u
#define OFFSET_PROTOCOL   0x206u
#define OFFSET_VERSION    0x20eu
#define OFFSET_XLOADFLAGS 0x236u
#define XLF_KERNEL_64     1u

static const char *const wanted[] = { "CONFIG_AMD_MEM_ENCRYPT", "CONFIG_SEV_GUEST", "CONFIG_TSM_REPORTS",
        "CONFIG_VIRTIO_CONSOLE", "CONFIG_EFI_COCO_SECRET" };

/* "y", "m" or "n" from a configuration file's text. */
static const char *config_value(const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *p = text; (p = strstr(p, name)); p += n)
                if ((p == text || p[-1] == '\n') && p[n] == '=')
                        return p[n + 1] == 'y' ? "y" : p[n + 1] == 'm' ? "m" : "n";
        return "n";
}

/* Distributions put config-VERSION beside the kernel, or into /boot. */
static int add_config(const char *path, const char *version, Json *j) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *beside = NULL, *boot = NULL, *text = NULL;
        Json *config = NULL;
        size_t size;
        int r;

        if (asprintf(&beside, "%.*sconfig-%s", slash ? (int) (slash - path) + 1 : 0, path, version) < 0 ||
                        asprintf(&boot, "/boot/config-%s", version) < 0)
                return -ENOMEM;
        if (strchr(version, '/') ||
                        (file_read_all(beside, CONFIG_MAX, &text, &size) < 0 &&
                                        file_read_all(boot, CONFIG_MAX, &text, &size) < 0))
                return js_set(j, "config", js_null());
        config = js_object();
        r = config ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(wanted); i++)
                r = js_set(config, wanted[i], js_string(config_value(text, wanted[i])));
        if (r < 0) {
                js_unref(config);
                return r;
        }
        return js_set(j, "config", config);
}

/* SEV-SNP guests: Linux 5.19; the TSM report interface: 6.7. */
static const char *readiness(const char *version) {
        unsigned major = 0, minor = 0;

        if (sscanf(version, "%u.%u", &major, &minor) != 2)
                return "unknown";
        if (major < 5 || (major == 5 && minor < 19))
                return "too old: SEV-SNP guests need Linux 5.19";
        return major < 6 || (major == 6 && minor < 7) ? "yes, without the TSM report interface (Linux 6.7)"
                                                      : "yes";
}

/* The version string up to its first blank; NULL where there is none. */
static int read_version(const uint8_t *setup, size_t size, char **ret_full, char **ret_version) {
        size_t at = (size_t) le16_read(setup + OFFSET_VERSION) + 0x200, n;

        *ret_full = *ret_version = NULL;
        if (at == 0x200 || at >= size)
                return 0;
        n = strnlen((const char *) setup + at, size - at);
        if (at + n == size)
                return 0;
        *ret_full = strndup((const char *) setup + at, n);
        if (!*ret_full)
                return -ENOMEM;
        *ret_version = strndup(*ret_full, strcspn(*ret_full, " "));
        return *ret_version ? 0 : -ENOMEM;
}

int inspect_kernel(const char *path, Json *j, char **reterr) {
        _cleanup_free_ char *full = NULL, *version = NULL, *protocol = NULL;
        uint8_t setup[SETUP_MAX] = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        size_t n;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        n = (size_t) MIN(size, (uint64_t) sizeof(setup));
        r = fd_pread_exact(fd, setup, n, 0);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        if (n < OFFSET_XLOADFLAGS + 2 || memcmp(setup + OFFSET_HEADER, "HdrS", 4) != 0)
                return error_set(reterr, -EBADMSG,
                                "'%s' is not a bzImage: QEMU adds no kernel hashes for it, so the firmware would refuse it",
                                path);
        r = read_version(setup, n, &full, &version);
        if (r < 0)
                return r;
        if (asprintf(&protocol, "%u.%02u", setup[OFFSET_PROTOCOL + 1], setup[OFFSET_PROTOCOL]) < 0)
                return -ENOMEM;
        r = js_set(j, "size", js_u64(size));
        if (r >= 0)
                r = js_set(j, "boot-protocol", js_string(protocol));
        if (r >= 0)
                r = js_set(j, "64-bit", js_bool(le16_read(setup + OFFSET_XLOADFLAGS) & XLF_KERNEL_64));
        if (r >= 0)
                r = js_set(j, "version", js_string(full));
        if (r >= 0)
                r = js_set(j, "snp-guest", js_string(version ? readiness(version) : "unknown"));
        return r < 0 || !version ? r : add_config(path, version, j);
}
