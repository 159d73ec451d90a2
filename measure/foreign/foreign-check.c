/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-check.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define REFUSES "QEMU refuses this launch: "

#define BIOS_UNIT  65536u
#define FLASH_UNIT 4096u
#define GIB        (UINT64_C(1) << 30)
/* What QEMU keeps free below the end of low memory for ACPI tables. */
#define ACPI_SIZE 0x28000u

/* Linux boot protocol (Documentation/arch/x86/boot.rst). */
#define HEADER_SIZE        8192u /* what QEMU looks at */
#define SETUP_SECTS        0x1f1u
#define HEADER_MAGIC       0x202u
#define PROTOCOL           0x206u
#define INITRD_ADDR_MAX    0x22cu
#define XLOADFLAGS         0x236u
#define XLF_ABOVE_4G       0x2u
#define OLDEST_INITRD      0x200u
#define OLDEST_INITRD_MAX  0x203u
#define OLDEST_XLOADFLAGS  0x20cu
#define DEFAULT_INITRD_MAX 0x37ffffffu
#define MULTIBOOT_MAGIC    0x1badb002u

/* --- firmware ------------------------------------------------------------------------------------------------------------ */

static int file_size(const char *what, const char *path, uint64_t *ret, int *ret_fd, char **reterr) {
        int fd = fd_open_regular(path, ret);

        if (fd < 0)
                return error_set(reterr, fd, "%s: cannot open '%s': %s", what, path, strerror(-fd));
        *ret_fd = fd;
        return 0;
}

/* Formats that QEMU tells by content where none is given. */
static int check_probed(const char *path, int fd, uint64_t size, char **reterr) {
        uint8_t magic[4] = {};

        if (size >= sizeof(magic) && fd_pread_exact(fd, magic, sizeof(magic), 0) >= 0 &&
                        (memcmp(magic, "QFI\xfb", 4) == 0 || memcmp(magic, "KDMV", 4) == 0 ||
                                        memcmp(magic, "vhdx", 4) == 0))
                return error_set(reterr, -EINVAL,
                                "the firmware '%s' is a disk image, and its contents are measured: "
                                "convert it to raw (qemu-img convert -O raw) and pass it with --ovmf=FILE",
                                path);
        return 0;
}

static int check_firmware(const ForeignFiles *f, char **reterr) {
        _cleanup_close_ int fd = -EBADF, store_fd = -EBADF;
        uint64_t size = 0, store = 0;
        unsigned unit = f->flash ? FLASH_UNIT : BIOS_UNIT;
        int r;

        if (!f->firmware)
                return 0;
        if (f->snp && f->flash)
                return error_set(reterr, -EINVAL,
                                "QEMU and KVM refuse this launch: the firmware of a %s guest cannot be a flash drive (pflash unit 0), only -bios; "
                                "early forks of QEMU accepted it: pass --ovmf=FILE for a launch by such a fork",
                                f->label ?: "SEV-SNP");
        r = file_size("firmware", f->firmware, &size, &fd, reterr);
        if (r >= 0 && f->probed)
                r = check_probed(f->firmware, fd, size, reterr);
        if (r < 0)
                return r;
        /* It is not measured, and need not be here. */
        if (f->store && file_size("", f->store, &store, &store_fd, NULL) < 0)
                store = FLASH_UNIT;
        if (size == 0 || size % unit != 0)
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "the firmware '%s' is %llu bytes; a %s image must be a multiple of %u KiB",
                                f->firmware, (unsigned long long) size, f->flash ? "pflash" : "-bios",
                                unit / 1024);
        if (f->store && (store == 0 || store % FLASH_UNIT != 0))
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "the variable store '%s' is %llu bytes; it must be a multiple of 4 KiB",
                                f->store, (unsigned long long) store);
        if (f->flash && f->max_flash > 0 && size + store > f->max_flash)
                return error_set(reterr, -EINVAL,
                                REFUSES "the flash drives have %llu bytes in total, but max-fw-size is %llu",
                                (unsigned long long) (size + store), (unsigned long long) f->max_flash);
        return 0;
}

/* --- kernel -------------------------------------------------------------------------------------------------------------- */

typedef struct KernelHeader {
        uint8_t bytes[HEADER_SIZE]; /* zeros after the end of the file */
        uint64_t size;              /* of the file */
        unsigned protocol;          /* 0: no Linux header */
} KernelHeader;

static int read_header(const char *path, KernelHeader *h, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        int r = file_size("kernel", path, &h->size, &fd, reterr);

        if (r < 0)
                return r;
        if (h->size == 0)
                return error_set(reterr, -EINVAL, REFUSES "the kernel '%s' is empty", path);
        r = fd_pread_exact(fd, h->bytes, (size_t) MIN(h->size, (uint64_t) HEADER_SIZE), 0);
        if (r < 0)
                return error_set(reterr, r, "kernel: cannot read '%s': %s", path, strerror(-r));
        if (memcmp(h->bytes + HEADER_MAGIC, "HdrS", 4) == 0)
                h->protocol = le16_read(h->bytes + PROTOCOL);
        return 0;
}

static bool is_multiboot(const KernelHeader *h) {
        for (size_t i = 0; i + 12 <= HEADER_SIZE; i += 4)
                if (le32_read(h->bytes + i) == MULTIBOOT_MAGIC &&
                                le32_read(h->bytes + i) + le32_read(h->bytes + i + 4) +
                                                                le32_read(h->bytes + i + 8) ==
                                                0)
                        return true;
        return false;
}

/* QEMU reads vga= although it does not change a confidential guest's kernel by it. */
static int check_vga(const char *append, char **reterr) {
        static const char *const words[] = { "normal", "ext", "ask" };
        const char *s = append ? strstr(append, "vga=") : NULL;
        unsigned long long n;
        char *end;

        if (!s)
                return 0;
        s += strlen("vga=");
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (startswith(s, words[i]))
                        return 0;
        errno = 0;
        n = strtoull(s, &end, 0);
        if (end == s || errno != 0 || n > UINT32_MAX || (*end && *end != ' '))
                return error_set(reterr, -EINVAL,
                                REFUSES "'vga=%.20s' in the kernel command line is not a number", s);
        return 0;
}

static int check_initrd(const ForeignFiles *f, const KernelHeader *h, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, max = DEFAULT_INITRD_MAX,
                       memory = f->below_4g > ACPI_SIZE ? f->below_4g - ACPI_SIZE : 0;
        int r;

        if (!f->initrd)
                return 0;
        if (h->protocol < OLDEST_INITRD)
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "'%s' is not a bzImage, and QEMU loads an initrd with a bzImage only (a unified kernel image has its own)",
                                f->kernel);
        size = f->initrd_size;
        r = f->has_initrd_size ? 0 : file_size("initrd", f->initrd, &size, &fd, reterr);
        if (r < 0)
                return r;
        if (h->protocol >= OLDEST_XLOADFLAGS && le16_read(h->bytes + XLOADFLAGS) & XLF_ABOVE_4G)
                max = UINT32_MAX;
        else if (h->protocol >= OLDEST_INITRD_MAX)
                max = le32_read(h->bytes + INITRD_ADDR_MAX);
        if (max >= memory)
                max = memory > 0 ? memory - 1 : 0;
        if (size >= max)
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "the initrd '%s' is %llu bytes, but only %llu fit into the guest's memory",
                                f->initrd, (unsigned long long) size, (unsigned long long) max);
        return 0;
}

static int check_kernel(const ForeignFiles *f, char **ret_notice, char **reterr) {
        KernelHeader h = {};
        bool other;
        unsigned sectors;
        int r;

        if (!f->kernel && (f->initrd || f->append))
                return error_set(reterr, -EINVAL, REFUSES "-%s without -kernel",
                                f->initrd ? "initrd" : "append");
        if (!f->kernel && f->hashes && f->snp)
                return error_set(reterr, -EINVAL,
                                REFUSES "kernel-hashes=on without -kernel (it aborts, with SEV-SNP)");
        if (!f->kernel)
                return 0;
        r = read_header(f->kernel, &h, reterr);
        if (r < 0)
                return r;
        other = h.protocol == 0 && (is_multiboot(&h) || memcmp(h.bytes, "\177ELF", 4) == 0);
        if (other && f->hashes)
                return error_set(reterr, -EINVAL,
                                "the kernel '%s' is an ELF or multiboot image, for which QEMU makes no kernel hashes (with SEV-SNP it aborts): "
                                "use arch/x86/boot/bzImage",
                                f->kernel);
        if (other)
                return 0;
        sectors = h.bytes[SETUP_SECTS] ?: 4;
        if ((sectors + 1) * 512u > h.size)
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "the kernel '%s' is %llu bytes, less than its setup part: it is truncated",
                                f->kernel, (unsigned long long) h.size);
        r = check_vga(f->append, reterr);
        if (r >= 0)
                r = check_initrd(f, &h, reterr);
        if (r < 0 || h.protocol > 0)
                return r;
        return asprintf(ret_notice,
                               "the kernel '%s' is not a bzImage: QEMU measures it, but only a firmware that starts it as an EFI program boots it",
                               f->kernel) < 0
                        ? -ENOMEM
                        : 0;
}

uint64_t foreign_below_4g(const char *type, uint64_t memory, uint64_t most) {
        uint64_t low;

        if (strstr(type, "q35"))
                low = memory >= 0xb0000000u ? 2 * GIB : 0xb0000000u;
        else
                low = memory >= 0xe0000000u ? 3 * GIB : 0xe0000000u;
        if (most > 0 && low > most)
                low = most;
        return MIN(memory, low);
}

int foreign_check_files(const ForeignFiles *f, char **ret_notice, char **reterr) {
        int r;

        *ret_notice = NULL;
        r = check_firmware(f, reterr);
        return r < 0 ? r : check_kernel(f, ret_notice, reterr);
}

int foreign_check_memory(const OvmfInfo *info, uint64_t below_4g, char **reterr) {
        FOREACH_ARRAY(s, info->sections, info->n_sections)
                if ((uint64_t) s->gpa + s->size > below_4g)
                        return error_set(reterr, -EINVAL,
                                        REFUSES
                                        "the guest has %llu bytes of memory, but the firmware needs its pages at 0x%x: give it more memory (-m)",
                                        (unsigned long long) below_4g, s->gpa);
        return 0;
}
