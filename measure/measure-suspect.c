/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-suspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"

/* Linux Documentation/arch/x86/boot.rst: "HdrS" at 0x202. */
#define SETUP_MAGIC_OFFSET 0x202u
#define HEAD_SIZE          0x208u

typedef enum Form {
        FORM_KERNEL, /* bzImage */
        FORM_INITRD, /* archives that a kernel unpacks */
        FORM_EFI,    /* a unified kernel image, say */
        FORM_ELF,    /* for which QEMU makes no kernel hashes */
        FORM_OTHER,  /* none of these */
} Form;

/* In this order: a bzImage has the magic of a DOS executable and of a boot sector, too. */
static const struct {
        size_t offset;
        const char *magic;
        size_t size;
        Form form;
        const char *name;
} forms[] = {
        { SETUP_MAGIC_OFFSET, "HdrS", 4, FORM_KERNEL, "a kernel (bzImage)" },
        { 0, "070701", 6, FORM_INITRD, "an initrd (cpio archive)" },
        { 0, "070702", 6, FORM_INITRD, "an initrd (cpio archive)" },
        { 0, "\x1f\x8b", 2, FORM_INITRD, "an initrd or another gzip file" },
        { 0, "\x28\xb5\x2f\xfd", 4, FORM_INITRD, "an initrd or another zstd file" },
        { 0,
                        "\xfd"
                        "7zXZ",
                        5, FORM_INITRD, "an initrd or another xz file" },
        { 0, "\x02\x21\x4c\x18", 4, FORM_INITRD, "an initrd or another lz4 file" },
        { 0, "BZh", 3, FORM_INITRD, "an initrd or another bzip2 file" },
        { 0,
                        "\x7f"
                        "ELF",
                        4, FORM_ELF, "an ELF file (such as vmlinux)" },
        { 0, "QFI\xfb", 4, FORM_OTHER, "a qcow2 disk image" },
        { 0x200, "EFI PART", 8, FORM_OTHER, "a disk image (GPT)" },
        { 0, "hsqs", 4, FORM_OTHER, "a squashfs image" },
        { 0x28, "_FVH", 4, FORM_OTHER, "a firmware image" },
        { 0, "MZ", 2, FORM_EFI, "an EFI program" },
        { 0x1fe, "\x55\xaa", 2, FORM_OTHER, "a disk image (MBR)" },
};

static int find_form(const PlanPart *part, Form *ret_form, const char **ret_name) {
        uint8_t head[HEAD_SIZE] = {};
        size_t n = part->length < sizeof(head) ? (size_t) part->length : sizeof(head);
        int r = fd_pread_exact(part->fd, head, n, part->offset);

        if (r < 0)
                return r;
        *ret_name = NULL;
        for (size_t i = 0; i < ELEMENTSOF(forms); i++)
                if (forms[i].offset + forms[i].size <= n &&
                                memcmp(head + forms[i].offset, forms[i].magic, forms[i].size) == 0) {
                        *ret_form = forms[i].form;
                        *ret_name = forms[i].name;
                        return 1;
                }
        return 0;
}

int suspect_input(SuspectInput what, const PlanInput *in, char **ret) {
        const PlanPart *part = in->n_parts > 0 ? in->parts : NULL;
        Form form = FORM_OTHER;
        const char *name;
        int r;

        if (!part || part->fd < 0)
                return 0;
        r = find_form(part, &form, &name);
        if (r < 0)
                return r;
        if (what == SUSPECT_KERNEL && form != FORM_KERNEL)
                r = asprintf(ret,
                                "--kernel: '%s' is not a bzImage ('HdrS' is missing at offset 0x202)%s%s; %s",
                                part->label, name ? " but looks like " : "", name ?: "",
                                form == FORM_EFI
                                                ? "only a firmware that starts it as an EFI program boots it"
                                                : form == FORM_ELF ? "QEMU makes no kernel hashes for it"
                                                                   : "no guest boots with it");
        else if (what == SUSPECT_INITRD && name && form != FORM_INITRD)
                r = asprintf(ret, "--initrd: '%s' looks like %s, not like an initrd", part->label, name);
        else
                return 0;
        return r < 0 ? -ENOMEM : 1;
}
