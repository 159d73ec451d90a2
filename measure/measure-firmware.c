/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-firmware.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"
#include "fd.h"
#include "measure-snp.h"

#define FOUR_GIB (UINT64_C(1) << 32)

void firmware_image_done(FirmwareImage *f) {
        if (f->data && f->size > 0)
                (void) munmap(f->data, f->size);
        free(f->info_error);
        input_digest_done(&f->digest);
        (void) hash_free(f->state);
        *f = (FirmwareImage) {};
}

static int read_parts(const PlanInput *in, uint8_t *data, char **reterr) {
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                int r = p->fd < 0 ? 0 : fd_pread_exact(p->fd, data, p->length, p->offset);

                if (r == -ENODATA)
                        return error_set(reterr, r,
                                        "firmware: '%s' ends before its %" PRIu64
                                        " bytes: it changed while it was read",
                                        p->label, p->length);
                if (r < 0)
                        return error_set(
                                        reterr, r, "firmware: cannot read '%s': %s", p->label, strerror(-r));
                data += p->length;
        }
        return 0;
}

static int digest_image(const PlanInput *in, FirmwareImage *f) {
        const uint8_t *at = f->data;
        InputDigest *d = &f->digest;
        int r;

        d->present = true;
        d->size = f->size;
        d->parts = calloc(in->n_parts + 1, sizeof(InputPart));
        if (!d->parts)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                InputPart *out = d->parts + d->n_parts++;

                *out = (InputPart) { .label = p->label, .size = p->length };
                /* One part is the usual case: its digest is that of the whole. */
                if (in->n_parts > 1) {
                        r = hash_digest(HASH_SHA256, at, p->length, out->sha256);
                        if (r < 0)
                                return r;
                }
                at += p->length;
        }
        r = firmware_image_prepare(f, FIRMWARE_SHA256);
        if (r >= 0 && d->n_parts == 1)
                memcpy(d->parts[0].sha256, d->sha256, SHA256_SIZE);
        return r;
}

int firmware_image_prepare(FirmwareImage *f, unsigned work) {
        int r;

        if ((work & FIRMWARE_SHA256) && !f->state) {
                _cleanup_hash_ Hash *h = NULL, *copy = NULL;

                r = hash_new(HASH_SHA256, &h);
                if (r >= 0)
                        r = hash_update(h, f->data, f->size);
                if (r >= 0)
                        r = hash_clone(h, &copy);
                if (r >= 0)
                        r = hash_final(copy, f->digest.sha256);
                if (r < 0)
                        return r;
                f->digest.present = true;
                f->digest.size = f->size;
                f->state = TAKE_PTR(h);
        }
        if ((work & FIRMWARE_SNP) && !f->has_chain && f->size > 0 && f->size % SEV_PAGE_SIZE == 0) {
                _cleanup_(snp_chain_done) SnpChain chain = {};

                r = snp_chain_init(&chain, NULL);
                if (r >= 0)
                        r = snp_chain_image(&chain, f->data, f->size, firmware_image_gpa(f), "firmware");
                if (r < 0)
                        return r;
                memcpy(f->chain, chain.digest, sizeof(f->chain));
                f->has_chain = true;
                while (f->n_prefix < f->info.n_sections &&
                                f->info.sections[f->n_prefix].type != OVMF_SECTION_KERNEL_HASHES)
                        f->n_prefix++;
                r = snp_chain_sections(&chain, &f->info, 0, f->n_prefix);
                if (r < 0)
                        return r;
                memcpy(f->prefix, chain.digest, sizeof(f->prefix));
        }
        return 0;
}

#define HUGE_PAGE (UINT64_C(2) << 20)

/* Memory for an image, from its first byte on in huge pages where the kernel gives some: to fault in a thousand small ones takes
 * as long as to hash what is in them. */
static int allocate(uint64_t size, uint8_t **ret) {
        uint64_t spare = size >= HUGE_PAGE ? HUGE_PAGE : 0, head;
        uint8_t *p = mmap(NULL, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return -ENOMEM;
        if (spare > 0) {
                head = -(uintptr_t) p & (HUGE_PAGE - 1);
                if (head > 0)
                        (void) munmap(p, head);
                p += head;
                /* what is left behind the image; an image that ends inside a page keeps that page */
                size = (size + 4095) & ~UINT64_C(4095);
                if (spare > head)
                        (void) munmap(p + size, spare - head);
                (void) madvise(p, size, MADV_HUGEPAGE);
        }
        *ret = p;
        return 0;
}

int firmware_image_load(const PlanInput *in, unsigned work, FirmwareImage *ret, char **reterr) {
        _cleanup_(firmware_image_done) FirmwareImage f = {};
        uint64_t size = plan_input_size(in);
        int r;

        if (size == 0)
                return error_set(reterr, -EINVAL, "firmware: the file is empty");
        if (size > FIRMWARE_IMAGE_SIZE_MAX)
                return error_set(reterr, -EFBIG, "firmware: %" PRIu64 " bytes are more than %u MiB", size,
                                FIRMWARE_IMAGE_SIZE_MAX >> 20);
        r = allocate(size, &f.data);
        if (r < 0)
                return r;
        f.size = size;
        r = read_parts(in, f.data, reterr);
        if (r < 0)
                return r;

        /* The sentence is kept: whether a table is needed depends on the launch. */
        r = ovmf_parse(f.data, f.size, &f.info, &f.info_error);
        if (r < 0 && !f.info_error)
                return r;
        if (r < 0)
                f.info = (OvmfInfo) { .size = size };
        if (work & FIRMWARE_SHA256) {
                r = digest_image(in, &f);
                if (r < 0)
                        return r;
        }
        r = firmware_image_prepare(&f, work);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(f, (FirmwareImage) {});
        return 0;
}

uint64_t firmware_image_gpa(const FirmwareImage *f) {
        return FOUR_GIB - f->size;
}

int firmware_image_require(const FirmwareImage *f, unsigned needs, char **reterr) {
        int r;

        if (needs == 0)
                return 0;
        if (f->info_error)
                return error_set(reterr, -EOPNOTSUPP, "firmware: %s", f->info_error);
        r = ovmf_require(&f->info, needs, reterr);
        return r < 0 ? error_prefix(reterr, r, "firmware") : 0;
}
