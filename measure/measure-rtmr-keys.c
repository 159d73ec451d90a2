/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Secure Boot: the variables that the firmware measures, and the key that let the kernel start (edk2, DxeImageVerificationLib). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "measure-pe.h"
#include "measure-rtmr-run.h"

/* EFI_CERT_X509_GUID, and EFI_SIGNATURE_LIST (UEFI 2.10, 32.4.1). */
#define GUID_X509         GUID_INIT(0xa5c059a1, 0x94e4, 0x4aa7, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72)
#define LIST_HEAD         28u
#define SIGNATURE_MINIMUM 17u /* its owner, and something of it */

static const Guid global = GUID_GLOBAL, security = GUID_SECURITY;

/* UEFI_VARIABLE_DATA without the NUL of the name. */
static int add_variable(
                RtmrRun *run, TdxEventType type, const Guid *vendor, const char *name, FirmwareVariable v) {
        size_t n = strlen(name), total = 32 + 2 * n + v.size;
        _cleanup_free_ uint8_t *bytes = malloc(total);
        char label[32];
        ByteWriter w;
        int r;

        if (!bytes)
                return -ENOMEM;
        w = byte_writer(bytes, total);
        byte_writer_put(&w, vendor->bytes, sizeof(vendor->bytes));
        byte_writer_le64(&w, n);
        byte_writer_le64(&w, v.size);
        for (size_t i = 0; i < n; i++)
                byte_writer_le16(&w, (uint8_t) name[i]);
        if (v.size > 0)
                byte_writer_put(&w, v.data, v.size);
        r = byte_writer_finish(&w, total);
        (void) snprintf(label, sizeof(label), "%s %s",
                        type == EV_EFI_VARIABLE_AUTHORITY ? "key used from" : "variable", name);
        return r < 0 ? r : rtmr_add(run, 0, (uint32_t) type, label, bytes, total);
}

static int read_variable(const RtmrRun *run, const TdvfSection *cfv, const Guid *vendor, const char *name,
                FirmwareVariable *ret) {
        return firmware_variable_parse(
                        run->boot->firmware->data + cfv->offset, cfv->raw, vendor, name, ret, run->reterr);
}

int rtmr_add_secure_boot(RtmrRun *run, const TdvfSection *cfv) {
        static const struct {
                const char *name;
                const Guid *vendor;
        } keys[] = { { "PK", &global }, { "KEK", &global }, { "db", &security }, { "dbx", &security } };
        FirmwareVariable v[ELEMENTSOF(keys)];
        uint8_t on;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = read_variable(run, cfv, keys[i].vendor, keys[i].name, v + i);
        if (r < 0)
                return r;
        on = v[0].size > 0;
        r = add_variable(run, EV_EFI_VARIABLE_DRIVER_CONFIG, &global, "SecureBoot",
                        (FirmwareVariable) { &on, run->boot->edk2.secure_boot ? 1 : 0 });
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = add_variable(run, EV_EFI_VARIABLE_DRIVER_CONFIG, keys[i].vendor, keys[i].name, v[i]);
        return r;
}

/* 1: Secure Boot is on, which takes a build with the code and a platform key. */
static int is_on(const RtmrRun *run, const TdvfSection *cfv) {
        FirmwareVariable key;
        int r = read_variable(run, cfv, &global, "PK", &key);

        return r < 0 ? r : key.size > 0 && run->boot->edk2.secure_boot;
}

int rtmr_check_stub_keys(const RtmrRun *run, const TdvfSection *cfv) {
        int r = is_on(run, cfv);

        /* What a stub does then was not compared. */
        return r > 0 ? error_set(run->reterr, -EOPNOTSUPP,
                                       "this firmware has a platform key, so that Secure Boot is on: what a unified kernel image extends then is not predicted; give the kernel, the initrd and the command line in it separately")
                     : r;
}

/* How many certificates and hashes there are; *ret is the last one with its owner, if that is a certificate. */
static int count_signatures(FirmwareVariable db, size_t *ret_n, FirmwareVariable *ret) {
        ByteReader r = byte_reader(db.data, db.size);
        static const Guid x509 = GUID_X509;

        *ret_n = 0;
        while (byte_reader_left(&r) > 0) {
                const uint8_t *type, *p;
                uint32_t size, head, one;

                if (byte_reader_take(&r, sizeof(Guid), &type) < 0 || byte_reader_le32(&r, &size) < 0 ||
                                byte_reader_le32(&r, &head) < 0 || byte_reader_le32(&r, &one) < 0)
                        return -EBADMSG;
                if (one < SIGNATURE_MINIMUM || size < LIST_HEAD || head > size - LIST_HEAD ||
                                (size - LIST_HEAD - head) % one != 0 ||
                                byte_reader_take(&r, size - LIST_HEAD, &p) < 0)
                        return -EBADMSG;
                *ret_n += (size - LIST_HEAD - head) / one;
                *ret = memcmp(type, x509.bytes, sizeof(x509.bytes)) == 0
                                ? (FirmwareVariable) { p + head, one }
                                : (FirmwareVariable) {};
        }
        return 0;
}

/* The kernel is verified when it is loaded, after the ACPI tables were installed. Which of several keys its signature leads to is not worked out here,
 * nor whether it leads to the only one: if it does not, the firmware does not start it. */
int rtmr_add_authority(RtmrRun *run, const TdvfSection *cfv) {
        FirmwareVariable db, key = {};
        int r = is_on(run, cfv);
        size_t n = 0;

        if (r <= 0)
                return r;
        if (run->boot->edk2.release != EDK2_DISK)
                return error_set(run->reterr, -EOPNOTSUPP,
                                "this firmware has a platform key, so that Secure Boot is on: RTMR0 is predicted with --edk2=%u-inteltdx only then",
                                (unsigned) EDK2_DISK);
        r = read_variable(run, cfv, &security, "db", &db);
        if (r < 0)
                return r;
        if (count_signatures(db, &n, &key) < 0)
                return error_set(run->reterr, -EBADMSG,
                                "firmware: the variable db is not a list of signatures (UEFI 2.10, 32.4.1)");
        if (n != 1 || key.size == 0)
                return error_set(run->reterr, -EOPNOTSUPP,
                                "this firmware has a platform key, so that Secure Boot is on, and RTMR0 has the key of db that lets the kernel start; it is predicted where db has one certificate and nothing else, not with %zu keys and hashes",
                                n);
        if (!pe_is_signed(run->kernel, run->kernel_size))
                return error_set(run->reterr, -EOPNOTSUPP,
                                "this firmware has a platform key, so that Secure Boot is on, and does not start kernel '%s', which is not signed; sign it with a key of the firmware's db",
                                rtmr_kernel_name(run));
        return add_variable(run, EV_EFI_VARIABLE_AUTHORITY, &security, "db", key);
}
