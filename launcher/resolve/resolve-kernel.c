/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel file. A bzImage has "HdrS" at 0x202 (Linux Documentation/arch/x86/boot.rst). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "resolve-uki.h"

#define HEADER_SIZE 0x206u /* up to and with the magic of the setup header */
#define LOOK_SIZE   8192u  /* where a multiboot header may be (Multiboot specification 0.6.96, 3.1.1) */

/* What QEMU starts besides a bzImage (hw/i386/x86-common.c, x86_load_linux()): a multiboot kernel, and an ELF file that has a PVH
 * entry. A PE file needs a UEFI firmware. */
static bool otherwise_bootable(const VmConfig *config, int fd, uint64_t offset, uint64_t size) {
        static const uint8_t multiboot[4] = { 0x02, 0xb0, 0xad, 0x1b };
        uint8_t begin[LOOK_SIZE] = {};

        if (fd_pread_exact(fd, begin, MIN(size, (uint64_t) LOOK_SIZE), offset) < 0)
                return false;
        if (memcmp(begin, "\177ELF", 4) == 0)
                return true;
        if (memcmp(begin, "MZ", 2) == 0)
                return config->firmware == FIRMWARE_UEFI || config->firmware == FIRMWARE_PATH;
        for (size_t i = 0; i + sizeof(multiboot) <= LOOK_SIZE; i += sizeof(multiboot))
                if (memcmp(begin + i, multiboot, sizeof(multiboot)) == 0)
                        return true;
        return false;
}

/* What is booted: a whole file, or the kernel inside a unified kernel image. */
static int check_kernel(const VmConfig *config, bool whole, bool no_osrel, int fd, uint64_t offset,
                uint64_t size, char **reterr) {
        uint8_t header[HEADER_SIZE];
        int r;

        if (size == 0)
                return error_set(reterr, -EBADMSG, "--linux: '%s' is empty", config->linux_path);
        if (size >= sizeof(header)) {
                r = fd_pread_exact(fd, header, sizeof(header), offset);
                if (r < 0)
                        return error_set(reterr, r, "--linux: cannot read '%s': %s", config->linux_path,
                                        strerror(-r));
                if (memcmp(header + 0x202, "HdrS", 4) == 0)
                        return 0;
        }
        if (vm_config_confidential(config) && !whole && no_osrel)
                return error_set(reterr, -EBADMSG,
                                "--linux: '%s' is a PE file with a section .linux but without .osrel, so it is not a unified kernel image; build it again with 'ukify build --os-release=', or pass its kernel, initrd and command line one by one",
                                config->linux_path);
        if (vm_config_confidential(config) && !whole)
                return error_set(reterr, -EBADMSG,
                                "--linux: '%s' is not a bzImage ('HdrS' is missing at offset 0x202), which a confidential guest requires; use arch/x86/boot/bzImage or a distribution's vmlinuz",
                                config->linux_path);
        if (!vm_config_confidential(config) && !otherwise_bootable(config, fd, offset, size))
                return error_set(reterr, -EBADMSG,
                                "--linux: '%s' is not a kernel that QEMU can start ('HdrS' of a bzImage is missing at offset 0x202, and it is neither an ELF nor a multiboot file); use arch/x86/boot/bzImage or a distribution's vmlinuz",
                                config->linux_path);
        return 0;
}

int resolve_kernel(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        const Uki *uki = options->uki;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, offset = 0;
        bool copy;
        int r;

        if (!config->linux_path)
                return 0;
        fd = resolve_open("linux", config->linux_path, &size, reterr);
        if (fd < 0)
                return fd;
        if (uki && uki->found) {
                offset = uki->linux_.offset;
                size = uki->linux_.size;
        }
        r = check_kernel(config, options->whole_kernel, uki && uki->no_osrel, fd, offset, size, reterr);
        if (r < 0)
                return r;

        copy = options->for_launch && (vm_config_sealed(config) || offset > 0);
        if (copy) {
                r = resolve_copy_later(in,
                                (LaunchCopy) { .to = LAUNCH_FD_KERNEL,
                                                .from = TAKE_FD(fd),
                                                .name = resolve_copy_name("linux", config->linux_path),
                                                .offset = offset,
                                                .size = size,
                                                .whole = !(uki && uki->found) },
                                &in->kernel, reterr);
                offset = 0;
        } else {
                r = resolve_pass_on(config, "linux", config->linux_path, TAKE_FD(fd), size, LAUNCH_FD_KERNEL,
                                in, &in->kernel, reterr);
        }
        if (r < 0)
                return r;
        return plan_input_add(&in->plan.kernel, config->linux_name ?: config->linux_path, LAUNCH_FD_KERNEL,
                        offset, size);
}
