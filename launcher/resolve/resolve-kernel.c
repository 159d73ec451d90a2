/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel file: told apart by content. A bzImage has "HdrS" at 0x202 (Linux Documentation/arch/x86/boot.rst); a unified
 * kernel image is a PE file with the sections .linux and .osrel (UAPI group, Unified Kernel Image). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "strutil.h"

#define HEADER_SIZE                                                                                         \
        4096u /* the setup header lies in the first two sectors; PE headers of UKIs end before 2 KiB */
#define PE_SECTIONS_MAX 96u /* the PE format's own limit */

static bool is_bzimage(const uint8_t *p, size_t n) {
        return n >= 0x206 && memcmp(p + 0x202, "HdrS", 4) == 0;
}

/* True if the PE section table names the section. */
static bool pe_has_section(const uint8_t *data, size_t n, const char *name) {
        ByteReader r = byte_reader(data, n);
        char wanted[8] = {};
        const uint8_t *p;
        uint32_t pe;
        uint16_t sections, optional;

        memcpy(wanted, name, strlen(name));
        if (n < 0x40 || memcmp(data, "MZ", 2) != 0)
                return false;
        if (byte_reader_seek(&r, 0x3c) < 0 || byte_reader_le32(&r, &pe) < 0 ||
                        byte_reader_seek(&r, pe) < 0 || byte_reader_take(&r, 4, &p) < 0 ||
                        memcmp(p, "PE\0\0", 4) != 0)
                return false;
        /* COFF header: machine, number of sections, 12 bytes, size of the optional header, characteristics */
        if (byte_reader_skip(&r, 2) < 0 || byte_reader_le16(&r, &sections) < 0 ||
                        byte_reader_skip(&r, 12) < 0 || byte_reader_le16(&r, &optional) < 0 ||
                        byte_reader_skip(&r, 2 + (size_t) optional) < 0)
                return false;

        for (size_t i = 0; i < MIN((size_t) sections, (size_t) PE_SECTIONS_MAX); i++) {
                if (byte_reader_take(&r, 40, &p) < 0)
                        return false;
                if (memcmp(p, wanted, sizeof(wanted)) == 0)
                        return true;
        }
        return false;
}

static int check_kernel(const VmConfig *config, int fd, uint64_t size, char **reterr) {
        uint8_t header[HEADER_SIZE];
        size_t n = MIN(size, (uint64_t) sizeof(header));
        int r = fd_pread_exact(fd, header, n, 0);

        if (r < 0)
                return error_set(reterr, r, "--linux: cannot read '%s': %s", config->linux_path,
                                strerror(-r));
        if (pe_has_section(header, n, ".linux") && pe_has_section(header, n, ".osrel"))
                return error_set(reterr, -EOPNOTSUPP,
                                "--linux: '%s' is a unified kernel image, which QEMU cannot boot with an "
                                "initrd: take it apart with "
                                "'objcopy -O binary --only-section=.linux' (and .initrd) and give the parts",
                                config->linux_path);
        if (is_bzimage(header, n))
                return 0;
        if (size == 0)
                return error_set(reterr, -EBADMSG, "--linux: '%s' is empty", config->linux_path);
        if (vm_config_confidential(config))
                return error_set(reterr, -EBADMSG,
                                "--linux: '%s' is no bzImage ('HdrS' is missing at offset 0x202): kernel "
                                "hashes need one; give "
                                "arch/x86/boot/bzImage or a distribution's vmlinuz",
                                config->linux_path);
        return 0;
}

int resolve_kernel(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        _cleanup_close_ int fd = -EBADF, copy = -EBADF;
        uint64_t size;
        int r;

        if (!config->linux_path)
                return 0;
        fd = resolve_open("linux", config->linux_path, &size, reterr);
        if (fd < 0)
                return fd;
        r = check_kernel(config, fd, size, reterr);
        if (r < 0)
                return r;

        if (!options->for_launch || !vm_config_sealed(config)) {
                in->kernel = strdup(config->linux_path);
                if (!in->kernel)
                        return -ENOMEM;
        } else {
                copy = resolve_sealed_copy("linux", config->linux_path, fd, size, reterr);
                if (copy < 0)
                        return copy;
                (void) fd_close(fd);
                fd = TAKE_FD(copy);
                if (asprintf(&in->kernel, "/proc/self/fd/%d", LAUNCH_FD_KERNEL) < 0)
                        return -ENOMEM;
        }
        r = launch_inputs_keep_fd(in, TAKE_FD(fd), LAUNCH_FD_KERNEL);
        if (r < 0)
                return r;
        return plan_input_add(&in->plan.kernel, config->linux_path, LAUNCH_FD_KERNEL, 0, size);
}
