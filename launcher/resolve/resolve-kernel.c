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

/* What is booted: a whole file, or the kernel inside a unified kernel image. */
static int check_kernel(const VmConfig *config, int fd, uint64_t offset, uint64_t size, char **reterr) {
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
        if (vm_config_confidential(config))
                return error_set(reterr, -EBADMSG,
                                "--linux: '%s' is no bzImage ('HdrS' is missing at offset 0x202): kernel "
                                "hashes need one; give "
                                "arch/x86/boot/bzImage or a distribution's vmlinuz",
                                config->linux_path);
        return 0;
}

/* A copy of the kernel of its own under its fixed number. */
static int take_copy(const VmConfig *config, int fd, uint64_t offset, uint64_t size, LaunchInputs *in,
                char **reterr) {
        int copy = resolve_sealed_copy("linux", config->linux_path, fd, offset, size, reterr);

        if (copy < 0)
                return copy;
        if (asprintf(&in->kernel, "/proc/self/fd/%d", LAUNCH_FD_KERNEL) < 0) {
                in->kernel = NULL;
                (void) fd_close(copy);
                return -ENOMEM;
        }
        return launch_inputs_keep_fd(in, copy, LAUNCH_FD_KERNEL);
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
        r = check_kernel(config, fd, offset, size, reterr);
        if (r < 0)
                return r;

        copy = options->for_launch && (vm_config_sealed(config) || offset > 0);
        if (copy) {
                r = take_copy(config, fd, offset, size, in, reterr);
                offset = 0;
        } else {
                r = resolve_pass_on(config, "linux", config->linux_path, TAKE_FD(fd), size, LAUNCH_FD_KERNEL,
                                in, &in->kernel, reterr);
        }
        if (r < 0)
                return r;
        return plan_input_add(&in->plan.kernel, config->linux_path, LAUNCH_FD_KERNEL, offset, size);
}
