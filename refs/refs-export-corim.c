/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* corim: an unsigned CoRIM (draft-ietf-rats-corim-10). Of TDs, without a profile:
 *
 *   501({0: id, 1: [506(bytes of the CoMID)], 4: {1: 1(expires)}})
 *   CoMID: {1: {0: id}, 4: {0: [[{0: {1: "Intel", 2: "TDX"}}, [MEASUREMENT]] ...]}}
 *   MEASUREMENT: {1: {14: {"mrtd": [[7, digest]], "rtmr0": [[7, digest]] ...}}}
 *
 * A triple for each launch, with its registers in one measurement (integrity registers, as the profile for Arm CCA has them), since registers of different
 * launches make no launch. Of SEV-SNP, with the profile for SEV-SNP (draft-deeglaze-amd-sev-snp-corim-profile, 2025-06):
 *
 *   501({0: id, 1: [506(bytes of the CoMID)], 3: 32(profile), 4: {1: 1(expires)}})
 *   CoMID: {1: {0: id}, 4: {0: [[{0: {0: 111(class), 1: "AMD"}}, [MEASUREMENTS]]]}}
 *   MEASUREMENTS: {0: 641, 1: {2: [[7, digest] ...]}} and {0: 2, 1: {4: 560(guest policy)}}
 *
 * All digests are in one measurement: Trustee's extractor names a value by vendor and key (AMD/claim641/digests) and keeps the last one of that
 * name. Tag 111 holds the class identifier with its DER tag and length, as the profile's draft has it. TCB versions are left out: as one number, which
 * the draft has, they cannot be compared part by part.
 *
 * corim-veraison: the same for Veraison's SEV-SNP scheme (veraison/services, scheme/sevsnp, 2026-08), which has the profile of 2024, finds a reference by
 * class and instance, the instance being the launch digest, and compares the parts of a TCB version one by one:
 *
 *   CoMID: {1: {0: id}, 4: {0: [[{0: {0: 111(class)}, 1: 560(digest)}, [MEASUREMENTS]] ...]}}
 *   MEASUREMENTS: {0: 2, 1: {4: 560(guest policy)}}, {0: 641, 1: {2: [[7, digest]]}} and {0: 647, 1: {1: 553(TCB version)}}
 *
 * There tag 111 holds the value alone, as in RFC 9090, and the guest policy is in the order of its integer, highest byte first. */

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "refs-export-internal.h"
#include "refs-registers.h"

#define PROFILE          "tag:amd.com,2025:snp-corim-profile"
#define PROFILE_VERAISON "tag:amd.com,2024:snp-corim-profile"

enum {
        MAJOR_UINT = 0,
        MAJOR_BYTES = 2,
        MAJOR_TEXT = 3,
        MAJOR_ARRAY = 4,
        MAJOR_MAP = 5,
        MAJOR_TAG = 6,
};

enum {
        TAG_TIME = 1,
        TAG_URI = 32,
        TAG_OID = 111,
        TAG_CORIM = 501,
        TAG_COMID = 506,
        TAG_MIN_SVN = 553,
        TAG_BYTES = 560,
        MKEY_POLICY = 2,
        MKEY_MEASUREMENT = 641,
        MKEY_REPORTED_TCB = 647,
        KIND_SVN = 1, /* of a measurement's value */
        KIND_DIGESTS = 2,
        KIND_RAW = 4,
        KIND_REGISTERS = 14,
        ALGORITHM_SHA384 = 7, /* IANA: named information hash algorithms */
};

/* 1.3.6.1.4.1.3704.3.1, SEV-SNP by chip. */
#define OID_HEAD 2u /* tag and length */
static const uint8_t class_id[] = { 0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01 };

/* RFC 8949, section 3: the shortest head. */
static void put(Text *t, unsigned major, uint64_t n) {
        unsigned bytes = n < 24 ? 0 : n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : n <= UINT32_MAX ? 4 : 8;
        unsigned info = bytes == 0 ? (unsigned) n : bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27;
        char head[9];

        head[0] = (char) (major << 5 | info);
        for (unsigned i = 0; i < bytes; i++)
                head[1 + i] = (char) (n >> (8 * (bytes - 1 - i)));
        text_put_n(t, head, 1 + bytes);
}

static void put_data(Text *t, unsigned major, const void *p, size_t n) {
        put(t, major, n);
        text_put_n(t, p, n);
}

static size_t count(const RefsBundle *b) {
        size_t n = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (l->mode == COCO_SEV_SNP)
                        FOREACH_ARRAY(run, l->runs, l->n_runs)
                                n += run->n;
        return n;
}

/* {0: mkey, 1: {kind: ...}}: what follows is the value. */
static void put_measurement(unsigned mkey, unsigned kind, Text *t) {
        put(t, MAJOR_MAP, 2);
        put(t, MAJOR_UINT, 0);
        put(t, MAJOR_UINT, mkey);
        put(t, MAJOR_UINT, 1);
        put(t, MAJOR_MAP, 1);
        put(t, MAJOR_UINT, kind);
}

static void put_digest(const RefsLaunch *l, const uint8_t *digest, Text *t) {
        put(t, MAJOR_ARRAY, 2);
        put(t, MAJOR_UINT, ALGORITHM_SHA384);
        put_data(t, MAJOR_BYTES, digest, l->digest_size);
}

static int add_digest(void *userdata, const RefsLaunch *l, _unused_ const RefsRun *run, _unused_ size_t i,
                const uint8_t *digest) {
        if (l->mode == COCO_SEV_SNP)
                put_digest(l, digest, userdata);
        return 0;
}

static void put_policy(const uint8_t policy[static 8], Text *t) {
        put_measurement(MKEY_POLICY, KIND_RAW, t);
        put(t, MAJOR_TAG, TAG_BYTES);
        put_data(t, MAJOR_BYTES, policy, 8);
}

/* The head of a CoMID, up to its reference triples. */
static void put_comid_head(const char *name, size_t n_triples, Text *t) {
        put(t, MAJOR_MAP, 2);
        put(t, MAJOR_UINT, 1);
        put(t, MAJOR_MAP, 1);
        put(t, MAJOR_UINT, 0);
        put_data(t, MAJOR_TEXT, name, strlen(name));
        put(t, MAJOR_UINT, 4);
        put(t, MAJOR_MAP, 1);
        put(t, MAJOR_UINT, 0);
        put(t, MAJOR_ARRAY, n_triples);
}

static const char *corim_name(const RefsBundle *b) {
        return b->name ?: "cvmspawn-refs";
}

static int put_corim(const RefsBundle *b, const char *profile, const Text *comid, Text *t) {
        const char *name = corim_name(b);

        if (comid->error < 0)
                return comid->error;
        put(t, MAJOR_TAG, TAG_CORIM);
        put(t, MAJOR_MAP, 2u + (profile != NULL) + (b->expires > 0));
        put(t, MAJOR_UINT, 0);
        put_data(t, MAJOR_TEXT, name, strlen(name));
        put(t, MAJOR_UINT, 1);
        put(t, MAJOR_ARRAY, 1);
        put(t, MAJOR_TAG, TAG_COMID);
        put_data(t, MAJOR_BYTES, comid->data, comid->size);
        if (profile) {
                put(t, MAJOR_UINT, 3);
                put(t, MAJOR_TAG, TAG_URI);
                put_data(t, MAJOR_TEXT, profile, strlen(profile));
        }
        if (b->expires > 0) {
                put(t, MAJOR_UINT, 4);
                put(t, MAJOR_MAP, 1);
                put(t, MAJOR_UINT, 1);
                put(t, MAJOR_TAG, TAG_TIME);
                put(t, MAJOR_UINT, b->expires);
        }
        return t->error;
}

/* --- TDX ------------------------------------------------------------------------------------------------------------- */

static size_t count_tds(const RefsBundle *b) {
        TdRegisters registers;
        size_t n = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                n += refs_launch_registers(l, &registers);
        return n;
}

static void put_register(const char *name, const uint8_t *value, size_t size, Text *t) {
        put_data(t, MAJOR_TEXT, name, strlen(name));
        put(t, MAJOR_ARRAY, 1);
        put(t, MAJOR_ARRAY, 2);
        put(t, MAJOR_UINT, ALGORITHM_SHA384);
        put_data(t, MAJOR_BYTES, value, size);
}

static void put_td(const TdRegisters *registers, Text *t) {
        static const char *const names[TD_REGISTERS] = { "mrtd", "rtmr0", "rtmr1", "rtmr2" };
        size_t n = 0;

        for (size_t i = 0; i < TD_REGISTERS; i++)
                n += registers->has[i];
        put(t, MAJOR_ARRAY, 2);
        put(t, MAJOR_MAP, 1); /* environment */
        put(t, MAJOR_UINT, 0);
        put(t, MAJOR_MAP, 2); /* class */
        put(t, MAJOR_UINT, 1);
        put_data(t, MAJOR_TEXT, "Intel", 5);
        put(t, MAJOR_UINT, 2);
        put_data(t, MAJOR_TEXT, "TDX", 3);
        put(t, MAJOR_ARRAY, 1); /* measurements */
        put(t, MAJOR_MAP, 1);
        put(t, MAJOR_UINT, 1);
        put(t, MAJOR_MAP, 1);
        put(t, MAJOR_UINT, KIND_REGISTERS);
        put(t, MAJOR_MAP, n);
        for (size_t i = 0; i < TD_REGISTERS; i++)
                if (registers->has[i])
                        put_register(names[i], registers->values[i], sizeof(registers->values[i]), t);
}

static int export_tds(const RefsBundle *b, size_t n, Text *t) {
        _cleanup_(text_done) Text comid = {};
        TdRegisters registers;

        put_comid_head(corim_name(b), n, &comid);
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (refs_launch_registers(l, &registers))
                        put_td(&registers, &comid);
        return put_corim(b, /* profile= */ NULL, &comid, t);
}

/* --- SEV-SNP --------------------------------------------------------------------------------------------------------- */

int refs_export_corim(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_(text_done) Text comid = {};
        size_t n = count(b), tds = count_tds(b);
        uint8_t policy[8];
        int r;

        if (n > 0 && tds > 0)
                return error_set(reterr, -EINVAL,
                                "corim: the bundle has launches of sev-snp and of tdx, whose profiles differ: make a bundle of each");
        if (tds > 0)
                return export_tds(b, tds, t);
        if (n == 0)
                return error_set(reterr, -EINVAL, "corim: the bundle has no sev-snp or tdx launch");
        put_comid_head(corim_name(b), 1, &comid);
        put(&comid, MAJOR_ARRAY, 2);
        put(&comid, MAJOR_MAP, 1); /* environment */
        put(&comid, MAJOR_UINT, 0);
        put(&comid, MAJOR_MAP, 2); /* class */
        put(&comid, MAJOR_UINT, 0);
        put(&comid, MAJOR_TAG, TAG_OID);
        put_data(&comid, MAJOR_BYTES, class_id, sizeof(class_id));
        put(&comid, MAJOR_UINT, 1);
        put_data(&comid, MAJOR_TEXT, "AMD", 3);
        put(&comid, MAJOR_ARRAY, b->has_guest_policy ? 2 : 1); /* measurements */
        put_measurement(MKEY_MEASUREMENT, KIND_DIGESTS, &comid);
        put(&comid, MAJOR_ARRAY, n);
        r = refs_each_row(b, add_digest, &comid);
        if (r < 0)
                return r;
        if (b->has_guest_policy) {
                le64_write(policy, b->guest_policy); /* as the report has it */
                put_policy(policy, &comid);
        }
        return put_corim(b, PROFILE, &comid, t);
}

/* --- Veraison -------------------------------------------------------------------------------------------------------- */

typedef struct Triples {
        const RefsBundle *bundle;
        bool has_tcb;
        uint64_t tcb;
        Text *text;
} Triples;

static int add_triple(void *userdata, const RefsLaunch *l, _unused_ const RefsRun *run, _unused_ size_t i,
                const uint8_t *digest) {
        const Triples *x = userdata;
        const RefsBundle *b = x->bundle;
        Text *t = x->text;
        uint8_t policy[8];

        if (l->mode != COCO_SEV_SNP)
                return 0;
        put(t, MAJOR_ARRAY, 2);
        put(t, MAJOR_MAP, 2); /* environment */
        put(t, MAJOR_UINT, 0);
        put(t, MAJOR_MAP, 1); /* class */
        put(t, MAJOR_UINT, 0);
        put(t, MAJOR_TAG, TAG_OID);
        put_data(t, MAJOR_BYTES, class_id + OID_HEAD, sizeof(class_id) - OID_HEAD);
        put(t, MAJOR_UINT, 1); /* instance */
        put(t, MAJOR_TAG, TAG_BYTES);
        put_data(t, MAJOR_BYTES, digest, l->digest_size);
        put(t, MAJOR_ARRAY, 1u + b->has_guest_policy + x->has_tcb); /* measurements */
        if (b->has_guest_policy) {
                for (unsigned k = 0; k < sizeof(policy); k++)
                        policy[k] = (uint8_t) (b->guest_policy >> (56 - 8 * k));
                put_policy(policy, t);
        }
        put_measurement(MKEY_MEASUREMENT, KIND_DIGESTS, t);
        put(t, MAJOR_ARRAY, 1);
        put_digest(l, digest, t);
        if (x->has_tcb) {
                put_measurement(MKEY_REPORTED_TCB, KIND_SVN, t);
                put(t, MAJOR_TAG, TAG_MIN_SVN);
                put(t, MAJOR_UINT, x->tcb);
        }
        return t->error;
}

/* One number, in the layout that the scheme takes apart. */
static int veraison_tcb(const RefsBundle *b, Triples *x, char **reterr) {
        unsigned n;
        SnpGeneration g = refs_only_generation(b, &n);
        uint8_t raw[SNP_TCB_SIZE];

        if (n == 0)
                return 0;
        if (g < 0)
                return error_set(reterr, -EINVAL,
                                "corim-veraison: expected TCB versions of at most one generation, not of %u: references do not name the processor",
                                n);
        if (snp_generation_has_tcb_part(g, SNP_TCB_FMC))
                return error_set(reterr, -EINVAL,
                                "corim-veraison: the scheme compares TCB versions of milan and genoa, not of %s",
                                snp_generation_to_string(g));
        snp_tcb_encode(b->tcb + g, g, raw);
        x->tcb = le64_read(raw);
        x->has_tcb = true;
        return 0;
}

int refs_export_veraison(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_(text_done) Text comid = {};
        Triples x = { .bundle = b, .text = &comid };
        size_t n = count(b);
        int r;

        if (n == 0)
                return error_set(reterr, -EINVAL, "corim-veraison: the bundle has no sev-snp launch");
        r = veraison_tcb(b, &x, reterr);
        if (r < 0)
                return r;
        put_comid_head(corim_name(b), n, &comid);
        r = refs_each_row(b, add_triple, &x);
        return r < 0 ? r : put_corim(b, PROFILE_VERAISON, &comid, t);
}
