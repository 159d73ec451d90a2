/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tdx-log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

#define ALGORITHM_SHA384 0x000cu
#define OLD_DIGEST_SIZE  20u               /* SHA-1 of the first record's form */
#define SPEC_SIGNATURE   "Spec ID Event03" /* and a NUL */
#define NAME_MAX_UNITS   256u

void tdx_log_done(TdxLog *l) {
        free(l->events);
        *l = (TdxLog) {};
}

/* The record that names the algorithms. */
static int read_first(ByteReader *r, char **reterr) {
        static const uint8_t expected[] = { 1, 0, 0, 0, 0x0c, 0, 48, 0 }; /* one algorithm: SHA-384 */
        uint32_t mr, type, size;
        const uint8_t *data;

        if (byte_reader_le32(r, &mr) < 0 || byte_reader_le32(r, &type) < 0 ||
                        byte_reader_skip(r, OLD_DIGEST_SIZE) < 0 || byte_reader_le32(r, &size) < 0 ||
                        byte_reader_take(r, size, &data) < 0)
                return error_set(reterr, -EBADMSG, "the event log is truncated in its first record");
        if (type != EV_NO_ACTION || size < 24 + sizeof(expected) || memcmp(data, SPEC_SIGNATURE, 16) != 0)
                return error_set(reterr, -EBADMSG,
                                "not an event log: it does not begin with 'Spec ID Event03'; in the guest it is /sys/firmware/acpi/tables/data/CCEL");
        if (memcmp(data + 24, expected, sizeof(expected)) != 0)
                return error_set(reterr, -EBADMSG,
                                "the event log does not have SHA-384 as its only algorithm: it is a TPM's, not a TD's");
        return 0;
}

static bool at_end(const ByteReader *r) {
        const uint8_t *p = r->data + r->pos;
        size_t left = byte_reader_left(r);

        if (left < 12)
                return true;
        return le32_read(p) == UINT32_MAX || bytes_are_zero(p, 12);
}

static int read_event(ByteReader *r, size_t number, TdxEvent *ret, char **reterr) {
        TdxEvent e = {};
        uint32_t mr, count, size;
        uint16_t algorithm;

        if (byte_reader_le32(r, &mr) < 0 || byte_reader_le32(r, &e.type) < 0 ||
                        byte_reader_le32(r, &count) < 0)
                return -EBADMSG; /* cannot happen: at_end() has seen 12 bytes */
        if (mr > TDX_RTMRS || (mr == 0 && e.type != EV_NO_ACTION))
                return error_set(reterr, -EBADMSG,
                                "event %zu is for register %" PRIu32 ", 1 to 4 expected (RTMR0 to RTMR3)",
                                number, mr);
        if (count != 1)
                return error_set(reterr, -EBADMSG, "event %zu has %" PRIu32 " digests, 1 expected", number,
                                count);
        if (byte_reader_le16(r, &algorithm) < 0 || algorithm != ALGORITHM_SHA384 ||
                        byte_reader_copy(r, e.digest, sizeof(e.digest)) < 0)
                return error_set(reterr, -EBADMSG, "event %zu has no SHA-384 digest", number);
        if (byte_reader_le32(r, &size) < 0 || byte_reader_take(r, size, &e.data) < 0)
                return error_set(reterr, -EBADMSG, "event %zu is truncated", number);
        e.size = size;
        e.rtmr = mr - 1;
        *ret = e;
        return 0;
}

int tdx_log_parse(const uint8_t *bytes, size_t size, TdxLog *ret, char **reterr) {
        _cleanup_(tdx_log_done) TdxLog l = {};
        ByteReader r = byte_reader(bytes, size);
        int k;

        if (size > TDX_LOG_SIZE_MAX)
                return error_set(reterr, -EBADMSG, "the event log has %zu bytes, at most %u expected", size,
                                TDX_LOG_SIZE_MAX);
        k = read_first(&r, reterr);
        if (k < 0)
                return k;
        l.events = calloc(TDX_LOG_EVENTS_MAX, sizeof(TdxEvent));
        if (!l.events)
                return -ENOMEM;
        for (size_t number = 1; !at_end(&r); number++) {
                if (l.n_events >= TDX_LOG_EVENTS_MAX)
                        return error_set(reterr, -EBADMSG, "the event log has more than %u events",
                                        TDX_LOG_EVENTS_MAX);
                k = read_event(&r, number, l.events + l.n_events, reterr);
                if (k < 0)
                        return k;
                if (l.events[l.n_events].type != EV_NO_ACTION)
                        l.n_events++;
        }
        *ret = TAKE_STRUCT(l, (TdxLog) {});
        return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

/* The printable beginning of a text in one or two bytes a character; anything else ends it. */
static void copy_text(const uint8_t *p, size_t n, size_t step, char ret[static NAME_MAX_UNITS]) {
        size_t k = 0;

        for (size_t i = 0; i + step <= n && k + 1 < NAME_MAX_UNITS; i += step) {
                if (p[i] < 0x20 || p[i] > 0x7e || (step == 2 && p[i + 1] != 0))
                        break;
                ret[k++] = (char) p[i];
        }
        ret[k] = 0;
}

/* UEFI_VARIABLE_DATA: GUID, u64 characters of the name, u64 bytes of data, name, data. */
static void variable_name(const TdxEvent *e, char ret[static NAME_MAX_UNITS]) {
        uint64_t n = e->size >= 32 ? le64_read(e->data + 16) : 0;

        ret[0] = 0;
        if (n > 0 && n <= (e->size - 32) / 2)
                copy_text(e->data + 32, (size_t) n * 2, 2, ret);
}

static char *name_with(const char *format, const char *text) {
        char *s = NULL;
        int n = text ? asprintf(&s, "%s %s", format, text) : asprintf(&s, "%s", format);

        return n < 0 ? NULL : s;
}

#define FW_CFG_PREFIX "QEMU FW CFG" /* and a NUL, in front of the item's name */
#define ACPI_DATA     "ACPI DATA"

static bool data_starts_with(const TdxEvent *e, const char *text, size_t n) {
        return e->size >= n && memcmp(e->data, text, n) == 0;
}

bool tdx_event_is_acpi(const TdxEvent *e) {
        return e->type == EV_PLATFORM_CONFIG_FLAGS && e->size == strlen(ACPI_DATA) &&
                        data_starts_with(e, ACPI_DATA, strlen(ACPI_DATA));
}

static char *platform_flags_name(const TdxEvent *e, unsigned nth) {
        static const char *const acpi[] = { "table loader", "RSDP", "tables" };
        char text[NAME_MAX_UNITS];

        if (tdx_event_is_acpi(e))
                return name_with("ACPI:", nth < ELEMENTSOF(acpi) ? acpi[nth] : "further blob");
        if (!data_starts_with(e, FW_CFG_PREFIX, sizeof(FW_CFG_PREFIX)))
                return name_with("platform configuration", NULL);
        copy_text(e->data + sizeof(FW_CFG_PREFIX), e->size - sizeof(FW_CFG_PREFIX), 1, text);
        return name_with("fw_cfg", text);
}

/* Linux, drivers/firmware/efi/libstub: u32 tag, u32 size, text. */
static char *tag_name(const TdxEvent *e) {
        char text[NAME_MAX_UNITS] = "";

        if (e->size > 8)
                copy_text(e->data + 8, e->size - 8, 1, text);
        if (strcmp(text, "LOADED_IMAGE::LoadOptions") == 0)
                return name_with("kernel command line", NULL);
        return strcmp(text, "Linux initrd") == 0 ? name_with("initrd", NULL)
                                                 : name_with("tagged event:", text);
}

static char *ipl_name(const TdxEvent *e) {
        char text[NAME_MAX_UNITS];

        copy_text(e->data, e->size, e->size >= 2 && e->data[1] == 0 ? 2 : 1, text);
        return name_with("boot loader:", text);
}

char *tdx_event_name(const TdxEvent *e, unsigned nth) {
        static const struct {
                uint32_t type;
                const char *name;
        } fixed[] = {
                { EV_SEPARATOR, "separator" },
                { (uint32_t) EV_EFI_HANDOFF_TABLES2, "list of memory (TD HOB)" },
                { (uint32_t) EV_EFI_PLATFORM_FIRMWARE_BLOB2, "firmware variables (CFV)" },
                { (uint32_t) EV_EFI_HANDOFF_TABLES, "SMBIOS tables" },
                { (uint32_t) EV_EFI_BOOT_SERVICES_APPLICATION, "kernel or boot loader (PE)" },
                { (uint32_t) EV_EFI_GPT_EVENT, "partition table" },
        };
        char text[NAME_MAX_UNITS];

        FOREACH_ARRAY(f, fixed, ELEMENTSOF(fixed))
                if (f->type == e->type)
                        return name_with(f->name, NULL);
        switch (e->type) {
        case EV_PLATFORM_CONFIG_FLAGS:
                return platform_flags_name(e, nth);
        case EV_EVENT_TAG:
                return tag_name(e);
        case EV_IPL:
                return ipl_name(e);
        case (uint32_t) EV_EFI_ACTION:
                copy_text(e->data, e->size, 1, text);
                return name_with("action:", text);
        case (uint32_t) EV_EFI_VARIABLE_DRIVER_CONFIG:
        case (uint32_t) EV_EFI_VARIABLE_BOOT:
                variable_name(e, text);
                return name_with("variable", text);
        case (uint32_t) EV_EFI_VARIABLE_AUTHORITY:
                variable_name(e, text);
                return name_with("key used from", text);
        default: {
                char *s;

                return asprintf(&s, "event of type 0x%" PRIx32, e->type) < 0 ? NULL : s;
        }
        }
}
