/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-cache.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "measure-metadata.h"
#include "measure-svsm.h"
#include "strutil.h"

typedef struct CachedFirmware {
        char *name; /* owned */
        FirmwareImage image;
} CachedFirmware;

typedef struct CachedState {
        char *name; /* owned */
        uint64_t size;
        Hash *state; /* owned; has seen the whole file */
} CachedState;

struct MeasureCache {
        CachedFirmware *firmware;
        size_t n_firmware;
        CachedState *states;
        size_t n_states;
        uint8_t nothing[SHA256_SIZE];
        Hash *scratch; /* owned */
};

int measure_cache_new(MeasureCache **ret) {
        _cleanup_(measure_cache_freep) MeasureCache *c = calloc(1, sizeof(MeasureCache));
        int r;

        if (!c)
                return -ENOMEM;
        /* Fixed sizes: contexts borrow images, which must not move. */
        c->firmware = calloc(CACHE_ITEMS_MAX, sizeof(CachedFirmware));
        c->states = calloc(CACHE_ITEMS_MAX, sizeof(CachedState));
        if (!c->firmware || !c->states)
                return -ENOMEM;
        r = hash_new(HASH_SHA256, &c->scratch);
        if (r >= 0)
                r = hash_digest(HASH_SHA256, "", 0, c->nothing);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

MeasureCache *measure_cache_free(MeasureCache *c) {
        if (!c)
                return NULL;
        FOREACH_ARRAY(f, c->firmware, c->n_firmware) {
                free(f->name);
                firmware_image_done(&f->image);
        }
        FOREACH_ARRAY(s, c->states, c->n_states) {
                free(s->name);
                (void) hash_free(s->state);
        }
        (void) hash_free(c->scratch);
        free(c->firmware);
        free(c->states);
        free(c);
        return NULL;
}

static int load_firmware(const MeasureRequest *q, const char *name, FirmwareImage *ret, char **reterr) {
        if (q->ovmf_metadata)
                return firmware_metadata_load(name, ret, reterr);
        return firmware_image_load(&q->plan.firmware, 0, ret, reterr);
}

static int get_firmware(
                MeasureCache *c, const MeasureRequest *q, FirmwareImage *ret_borrowed, char **reterr) {
        const char *name = q->ovmf_metadata ?: q->plan.firmware.parts[0].label;
        CachedFirmware *found = NULL;
        int r;

        FOREACH_ARRAY(f, c->firmware, c->n_firmware)
                if (streq(f->name, name))
                        found = f;
        if (!found) {
                _cleanup_(firmware_image_done) FirmwareImage image = {};
                char *copy;

                if (c->n_firmware >= CACHE_ITEMS_MAX)
                        return error_set(reterr, -E2BIG, "more than %u firmware images in one batch",
                                        CACHE_ITEMS_MAX);
                r = load_firmware(q, name, &image, reterr);
                if (r < 0)
                        return r;
                copy = strdup(name);
                if (!copy)
                        return -ENOMEM;
                found = c->firmware + c->n_firmware++;
                *found = (CachedFirmware) { .name = copy, .image = TAKE_STRUCT(image, (FirmwareImage) {}) };
        }
        if (found->image.data) {
                r = firmware_image_prepare(&found->image, launch_firmware_work(q->plan.mode));
                if (r < 0)
                        return r;
        }
        *ret_borrowed = found->image;
        return 0;
}

/* The state behind a whole file that begins an input: hashed the first time it is seen. */
static int get_state(MeasureCache *c, const PlanPart *part, const char *name, const CachedState **ret,
                char **reterr) {
        _cleanup_(plan_input_done) PlanInput in = {};
        _cleanup_hash_ Hash *h = NULL;
        char *copy;
        int r;

        FOREACH_ARRAY(s, c->states, c->n_states)
                if (s->size == part->length && streq(s->name, part->label)) {
                        *ret = s;
                        return 0;
                }
        if (c->n_states >= CACHE_ITEMS_MAX)
                return error_set(reterr, -E2BIG, "more than %u different files in one batch",
                                CACHE_ITEMS_MAX);
        r = hash_new(HASH_SHA256, &h);
        if (r >= 0)
                r = plan_input_add(&in, part->label, part->fd, part->offset, part->length);
        if (r >= 0)
                r = input_feed(&in, 0, name, h, reterr);
        if (r < 0)
                return r;
        copy = strdup(part->label);
        if (!copy)
                return -ENOMEM;
        c->states[c->n_states] = (CachedState) { .name = copy, .size = part->length, .state = TAKE_PTR(h) };
        *ret = c->states + c->n_states++;
        return 0;
}

static int cached_digest(MeasureCache *c, const PlanInput *in, const char *name,
                uint8_t ret[static SHA256_SIZE], char **reterr) {
        const CachedState *state;
        int r;

        if (in->n_parts == 0) {
                memcpy(ret, c->nothing, SHA256_SIZE);
                return 0;
        }
        r = get_state(c, in->parts, name, &state, reterr);
        if (r >= 0)
                r = hash_assign(c->scratch, state->state);
        if (r >= 0)
                r = input_feed(in, 1, name, c->scratch, reterr);
        return r < 0 ? r : hash_final(c->scratch, ret);
}

static int words_digest(
                MeasureCache *c, const PlanInput *in, uint8_t ret[static SHA256_SIZE], char **reterr) {
        int r;

        r = hash_reset(c->scratch);
        if (r >= 0)
                r = input_feed(in, 0, "cmdline", c->scratch, reterr);
        if (r >= 0)
                r = hash_update(c->scratch, "", 1);
        return r < 0 ? r : hash_final(c->scratch, ret);
}

static int cached_hashes(MeasureCache *cache, const MeasureRequest *q, KernelHashes *ret, char **reterr) {
        int r = 0;

        if (!q->plan.sev.kernel_hashes)
                return 0;
        *ret = q->given;
        if (!q->has_kernel_hash)
                r = cached_digest(cache, &q->plan.kernel, "kernel", ret->kernel, reterr);
        if (r >= 0 && !q->has_initrd_hash)
                r = cached_digest(cache, &q->plan.initrd, "initrd", ret->initrd, reterr);
        if (r >= 0 && !q->has_cmdline_hash)
                r = words_digest(cache, &q->plan.cmdline, ret->cmdline, reterr);
        return r;
}

int measure_context_load_cached(
                MeasureCache *cache, const MeasureRequest *request, MeasureContext *ret, char **reterr) {
        MeasureContext c = { .request = request, .borrowed = true };
        int r;

        if (request->mode == MEASURE_SVSM)
                return error_set(reterr, -EOPNOTSUPP,
                                "mode snp:svsm is not supported in a batch: measure it alone");
        r = get_firmware(cache, request, &c.firmware, reterr);
        if (r >= 0)
                r = cached_hashes(cache, request, &c.hashes, reterr);
        if (r < 0)
                return r;
        if (request->has_ovmf_hash) {
                memcpy(c.firmware.chain, request->ovmf_hash, SHA384_SIZE);
                c.firmware.has_chain = true;
                c.firmware.n_prefix = 0; /* belongs to the image's own chain */
        }
        *ret = c;
        return 0;
}
