/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options of the launcher that an export takes. An option that is in no row is refused: what it asks for would be missing in the other
 * launcher's guest. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "export-cli.h"
#include "options.h"
#include "strutil.h"

typedef enum Given {
        GIVEN_MEASURED = 1 << 0, /* enters the digest, or the launch itself */
        GIVEN_DEVICES = 1 << 1,  /* a device of the guest */
        GIVEN_SNP = 1 << 2,      /* for the secure processor, with SNP */
        GIVEN_SESSION = 1 << 3,  /* for the secure processor, with SEV and SEV-ES */
        GIVEN_CONDUCT = 1 << 4,  /* how this launcher behaves: no part of the launch */
        GIVEN_DISK = 1 << 5,     /* the disk of --image= */
        GIVEN_IDENTITY = 1 << 6, /* what others number or name themselves */
        GIVEN_TD = 1 << 7,       /* for reports of a TD */
} Given;

static const struct {
        Given kind;
        const char *names;
} rows[] = {
        { GIVEN_MEASURED,
                        "coco coco-policy cpu cpus ram linux initrd exact-words firmware firmware-features guest-features sev-vm-type set-credential load-credential credential-transport console-transport machine secure-boot" },
        { GIVEN_IDENTITY, "uuid" },
        { GIVEN_DISK, "image image-format image-disk-type allow-untrusted" },
        { GIVEN_DEVICES, "extra-drive network network-user-mode" },
        { GIVEN_SNP, "host-data id-block id-auth vcek" },
        { GIVEN_SESSION, "dh-cert session" },
        { GIVEN_TD, "mrconfigid mrowner mrownerconfig quote-socket" },
        { GIVEN_CONDUCT,
                        "quiet console console-log kvm timeout qemu host-caps no-pager no-ask-password system user register keep-unit notify-ready discard-disk" },
};

/* What each target has a place for. */
static const unsigned has[] = {
        [EXPORT_INCUS] = GIVEN_MEASURED | GIVEN_DISK | GIVEN_SESSION | GIVEN_CONDUCT,
        [EXPORT_KATA] = GIVEN_MEASURED | GIVEN_DISK | GIVEN_SNP | GIVEN_CONDUCT,
        [EXPORT_KUBEVIRT] = GIVEN_MEASURED | GIVEN_IDENTITY | GIVEN_DISK | GIVEN_SNP | GIVEN_CONDUCT,
        [EXPORT_LIBVIRT] = GIVEN_MEASURED | GIVEN_IDENTITY | GIVEN_DISK | GIVEN_DEVICES | GIVEN_SNP |
                        GIVEN_SESSION | GIVEN_TD | GIVEN_CONDUCT,
        [EXPORT_OPENSTACK] = GIVEN_MEASURED | GIVEN_DISK | GIVEN_CONDUCT,
        [EXPORT_PROXMOX] = GIVEN_MEASURED | GIVEN_CONDUCT,
        [EXPORT_QEMU] = GIVEN_MEASURED | GIVEN_IDENTITY | GIVEN_DISK | GIVEN_DEVICES | GIVEN_SNP |
                        GIVEN_CONDUCT,
};
static_assert(ELEMENTSOF(has) == _EXPORT_TARGET_MAX, "a row for each target");

static bool in_list(const char *names, const char *name, size_t n) {
        for (const char *p = names; *p; p += strspn(p, " ")) {
                size_t k = strcspn(p, " ");

                if (k == n && memcmp(p, name, n) == 0)
                        return true;
                p += k;
        }
        return false;
}

/* The row of the launcher's table: by name, or by the letter of a short option. */
static const OptionRow *find(const char *arg) {
        const OptionTable *t = &config_option_table;
        size_t n = strcspn(arg + 2, "=");

        FOREACH_ARRAY(row, t->rows, t->n_rows)
                if (arg[1] == '-' ? strlen(row->name) == n && strncmp(row->name, arg + 2, n) == 0
                                  : row->letter && row->letter == arg[1])
                        return row;
        return NULL;
}

static int check(const OptionRow *row, ExportTarget t, char **reterr) {
        unsigned kind = 0;

        FOREACH_ARRAY(r, rows, ELEMENTSOF(rows))
                if (in_list(r->names, row->name, strlen(row->name)))
                        kind |= r->kind;
        if (kind & has[t])
                return 0;
        return error_set(reterr, -EINVAL,
                        "--%s cannot be exported to %s: it has nothing that does the same; leave the option out",
                        row->name, export_target_to_string(t));
}

/* What only a kernel outside the image has: with --single-image nothing would take it to the guest. */
static int check_single(const OptionRow *row, const char *arg, const char *next, char **reterr) {
        static const char names[] =
                        "linux initrd exact-words set-credential load-credential credential-transport";
        const char *value = strchr(arg, '=');

        value = value ? value + 1 : next;
        if (!in_list(names, row->name, strlen(row->name)) ||
                        (streq(row->name, "linux") && streq_ptr(value, LINUX_FROM_IMAGE)))
                return 0;
        return error_set(reterr, -EINVAL,
                        "--%s cannot be exported with --single-image: the boot loader in the image chooses kernel, initrd and kernel command line; leave one of the two options out",
                        row->name);
}

int export_check_given(char *const *launcher, ExportTarget t, bool single, char **reterr) {
        for (size_t i = 1; launcher[i] && !streq(launcher[i], "--"); i++) {
                const char *arg = launcher[i];
                const OptionRow *row = arg[0] == '-' && arg[1] ? find(arg) : NULL;
                int r = row ? check(row, t, reterr) : 0;

                if (row && r >= 0 && single)
                        r = check_single(row, arg, launcher[i + 1], reterr);
                if (r < 0)
                        return r;
                /* A separate value may look like an option. */
                if (row && row->arg == OPTION_REQUIRED && (arg[1] == '-' ? !strchr(arg, '=') : !arg[2]) &&
                                launcher[i + 1])
                        i++;
        }
        return 0;
}
