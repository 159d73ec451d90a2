/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "input.h"
#include "strutil.h"

#define METADATA_FILE_MAX (256u * 1024u)

static Json *hex_number(uint32_t v) {
        char text[16];

        (void) snprintf(text, sizeof(text), "0x%" PRIx32, v);
        return js_string(text);
}

int firmware_metadata_to_json(const FirmwareImage *f, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = NULL, *items = js_array();
        Json *table = NULL;
        int r;

        if (!f->has_chain)
                return error_set(reterr, -EOPNOTSUPP, "firmware: its size is not a multiple of 4 KiB");
        if (!items)
                return -ENOMEM;
        FOREACH_ARRAY(s, f->info.sections, f->info.n_sections) {
                Json *item = NULL;

                r = js_build(&item, "{s:o, s:o, s:I}", "GPA", hex_number(s->gpa), "Size",
                                hex_number(s->size), "SectionTypeInt", (long long) s->type);
                if (r >= 0)
                        r = js_append(items, item);
                if (r < 0)
                        return r;
        }
        r = js_build(&j, "{s:o, s:o, s:O}", "OVMFHash", js_hex(f->chain, sizeof(f->chain)), "ResetEIP",
                        hex_number(f->info.reset_address), "MetadataItems", items);
        if (r >= 0 && f->info.hash_table.present) {
                r = js_build(&table, "{s:o, s:o}", "GPA", hex_number(f->info.hash_table.base), "Size",
                                hex_number(f->info.hash_table.size));
                if (r >= 0)
                        r = js_set(j, "HashTable", table);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int read_number(const Json *value, void *target, char **reterr) {
        const char *s = js_string_value(value);

        if (!s || parse_unsigned(s, target) < 0)
                return error_set(reterr, -EBADMSG, "expected a text with a number such as \"0x800000\"");
        return 0;
}

static int read_hash(const Json *value, void *target, char **reterr) {
        FirmwareImage *f = target;
        const char *s = js_string_value(value);

        if (!s || hex_decode_exact(s, f->chain, sizeof(f->chain)) < 0)
                return error_set(reterr, -EBADMSG, "expected 96 hexadecimal digits");
        f->has_chain = true;
        return 0;
}

static int read_items(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "GPA", JS_FIELD_CUSTOM, offsetof(OvmfSection, gpa), true, read_number },
                { "Size", JS_FIELD_CUSTOM, offsetof(OvmfSection, size), true, read_number },
                { "SectionTypeInt", JS_FIELD_UNSIGNED, offsetof(OvmfSection, type), true, NULL },
        };
        FirmwareImage *f = target;

        if (!js_is_array(value))
                return error_set(reterr, -EBADMSG, "expected an array");
        for (size_t i = 0; i < js_length(value); i++) {
                OvmfSection s = {};
                int r = js_dispatch(js_at(value, i), fields, ELEMENTSOF(fields), /* foreign= */ true, &s,
                                reterr);

                if (r >= 0)
                        r = ovmf_add_section(&f->info, &s, reterr);
                if (r < 0)
                        return r;
        }
        f->info.has_metadata = true;
        return 0;
}

static int read_table(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "GPA", JS_FIELD_CUSTOM, offsetof(OvmfArea, base), true, read_number },
                { "Size", JS_FIELD_CUSTOM, offsetof(OvmfArea, size), true, read_number },
        };
        FirmwareImage *f = target;

        f->info.hash_table.present = true;
        return js_dispatch(
                        value, fields, ELEMENTSOF(fields), /* foreign= */ true, &f->info.hash_table, reterr);
}

int firmware_metadata_from_json(const Json *j, FirmwareImage *ret, char **reterr) {
        static const JsField fields[] = {
                { "OVMFHash", JS_FIELD_CUSTOM, 0, false, read_hash },
                { "ResetEIP", JS_FIELD_CUSTOM, offsetof(FirmwareImage, info.reset_address), true,
                                read_number },
                { "MetadataItems", JS_FIELD_CUSTOM, 0, true, read_items },
                { "HashTable", JS_FIELD_CUSTOM, 0, false, read_table },
        };
        _cleanup_(firmware_image_done) FirmwareImage f = {};
        int r;

        r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ true, &f, reterr);
        if (r < 0)
                return r;
        f.info.has_reset = true;
        *ret = TAKE_STRUCT(f, (FirmwareImage) {});
        return 0;
}

int firmware_metadata_load(const char *path, FirmwareImage *ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        r = input_read("ovmf-metadata", path, METADATA_FILE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = js_parse(text, size, &j, reterr);
        if (r >= 0)
                r = firmware_metadata_from_json(j, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "firmware metadata '%s'", path) : 0;
}
