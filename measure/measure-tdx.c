/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-tdx.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "strutil.h"
#include "tdx-abi.h"

#define RECORD_GPA      16u
#define CHUNKS_PER_PAGE (TDX_PAGE_SIZE / TDX_CHUNK_SIZE)

const char *tdx_page_order_to_string(bool two_pass) {
        return two_pass ? "two-pass" : "single-pass";
}

int tdx_page_order_from_string(const char *s, bool *ret_two_pass) {
        if (!streq(s, tdx_page_order_to_string(false)) && !streq(s, tdx_page_order_to_string(true)))
                return -EINVAL;
        *ret_two_pass = streq(s, tdx_page_order_to_string(true));
        return 0;
}

typedef struct TdxRun {
        Hash *hash; /* borrowed */
        LaunchTrace trace;
        void *userdata;
        uint64_t index;
} TdxRun;

static void record(const char *name, uint64_t gpa, uint8_t ret[static TDX_RECORD_SIZE]) {
        memset(ret, 0, TDX_RECORD_SIZE);
        memcpy(ret, name, strlen(name));
        le64_write(ret + RECORD_GPA, gpa);
}

static int add_page(TdxRun *run, uint64_t gpa) {
        uint8_t bytes[TDX_RECORD_SIZE];

        record("MEM.PAGE.ADD", gpa, bytes);
        return hash_update(run->hash, bytes, sizeof(bytes));
}

/* One call for all chunks of a page: a call for each record takes a fifth longer. */
static int extend_page(TdxRun *run, uint64_t gpa, const uint8_t *page) {
        static const uint8_t zeros[TDX_PAGE_SIZE];
        uint8_t bytes[CHUNKS_PER_PAGE][TDX_RECORD_SIZE + TDX_CHUNK_SIZE];

        for (size_t i = 0; i < CHUNKS_PER_PAGE; i++) {
                size_t at = i * TDX_CHUNK_SIZE;

                record("MR.EXTEND", gpa + at, bytes[i]);
                memcpy(bytes[i] + TDX_RECORD_SIZE, (page ?: zeros) + at, TDX_CHUNK_SIZE);
        }
        return hash_update(run->hash, bytes, sizeof(bytes));
}

static int show(TdxRun *run, const char *type, const char *source, uint64_t gpa, const uint8_t *page) {
        static const uint8_t zeros[TDX_PAGE_SIZE];
        uint8_t contents[SHA384_SIZE], digest[SHA384_SIZE];
        _cleanup_hash_ Hash *copy = NULL;
        int r;

        if (!run->trace)
                return 0;
        r = hash_clone(run->hash, &copy);
        if (r >= 0)
                r = hash_final(copy, digest);
        if (r >= 0)
                r = hash_digest(HASH_SHA384, page ?: zeros, TDX_PAGE_SIZE, contents);
        if (r < 0)
                return r;
        return run->trace(run->userdata,
                        &(LaunchStep) {
                                        .index = run->index++,
                                        .gpa = gpa,
                                        .size = TDX_PAGE_SIZE,
                                        .type = type,
                                        .source = source,
                                        .contents = contents,
                                        .digest = digest,
                                        .n_digest = SHA384_SIZE,
                        });
}

typedef struct Pass {
        bool add, extend;
        const char *type; /* as steps name it */
} Pass;

static int run_pass(TdxRun *run, const TdvfSection *s, const uint8_t *image, const Pass *pass) {
        int r = 0;

        for (uint64_t at = 0; r >= 0 && at < s->size; at += TDX_PAGE_SIZE) {
                const uint8_t *page = s->raw > 0 ? image + s->offset + at : NULL;

                if (pass->add)
                        r = add_page(run, s->gpa + at);
                if (r >= 0 && pass->extend)
                        r = extend_page(run, s->gpa + at, page);
                if (r >= 0)
                        r = show(run, pass->type, tdvf_type_to_string(s->type), s->gpa + at, page);
        }
        return r;
}

static int run_section(TdxRun *run, const TdvfSection *s, const uint8_t *image, bool two_pass) {
        static const Pass both = { true, true, "add+extend" }, add = { true, false, "add" },
                          extend = { false, true, "extend" };
        bool measured = s->attributes & TDVF_EXTEND;
        int r;

        if (measured && !two_pass)
                return run_pass(run, s, image, &both);
        r = run_pass(run, s, image, &add);
        return r >= 0 && measured ? run_pass(run, s, image, &extend) : r;
}

int tdx_firmware_sections(const FirmwareImage *firmware, TdvfInfo *ret, char **reterr) {
        OvmfInfo table;
        int r;

        r = ovmf_parse_table(firmware->data, firmware->size, &table, reterr);
        if (r >= 0)
                r = ovmf_require(&table, OVMF_NEED_TDX_METADATA, reterr);
        if (r >= 0)
                r = tdvf_parse(firmware->data, firmware->size, table.tdx_distance, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "firmware") : 0;
}

int tdx_digest(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace, void *userdata,
                LaunchDigest *ret, char **reterr) {
        _cleanup_hash_ Hash *hash = NULL;
        TdxRun run = { .trace = trace, .userdata = userdata };
        TdvfInfo info;
        int r;

        r = tdx_firmware_sections(firmware, &info, reterr);
        if (r < 0)
                return r;
        r = hash_new(HASH_SHA384, &hash);
        if (r < 0)
                return r;
        run.hash = hash;
        FOREACH_ARRAY(s, info.sections, info.n_sections) {
                r = run_section(&run, s, firmware->data, spec->two_pass);
                if (r < 0)
                        return r;
        }
        ret->algorithm = HASH_SHA384;
        ret->size = SHA384_SIZE;
        return hash_final(hash, ret->bytes);
}
