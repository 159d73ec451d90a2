/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* After a mismatch: which launch would have given the reported measurement? Only the owner's TIK can answer, so the answer
 * is as certain as the measurement itself: the host did launch what is named here. Whether that is acceptable is for the owner
 * to say; the verdict stays "not trustworthy". */

#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "measure-hashes.h"
#include "sev-cpu.h"
#include "sev-vmsa.h"
#include "strutil.h"
#include "validate.h"

#define SEARCH_VCPUS_MAX  512u /* bounds the work: some 2 GiB of hashing with every profile and signature */
#define FEATURE_DEBUGSWAP 0x20u

/* One launch that is tried, as differences from what was asked. */
typedef struct Candidate {
        const char *words; /* NULL: as given */
        const char *vmsa;  /* profile */
        bool debugswap;
        const SevCpu *cpu; /* NULL: as given */
        uint64_t vcpus;    /* 0: as given */
} Candidate;

/* What changes the measurement of whatever launch: each candidate is tried with all of these. */
typedef struct Slip {
        bool swapped;  /* the key given as TEK is the TIK */
        int8_t builds; /* firmware build ids after the stated one */
} Slip;

static const Slip slips[] = { { false, 0 }, { true, 0 }, { false, 1 }, { false, -1 }, { true, 1 },
        { true, -1 } };

typedef struct Search {
        const Validate *v;
        SevMeasurement m;
        const Slip *slip; /* of the launch that fits */
        bool found;
} Search;

static bool fits_key(const Search *s, const SevMeasurement *m, const uint8_t *tik) {
        uint8_t computed[SEV_MEASURE_SIZE];

        return sev_measurement_compute(tik, m, computed) >= 0 &&
                        constant_time_equal(computed, s->v->reported, SEV_MEASURE_SIZE);
}

/* The measurement with one of the slips; false if a build id would leave its byte. */
static bool fits_slip(const Search *s, const SevMeasurement *m, const Slip *slip) {
        const SevKeys *keys = validate_keys(s->v);
        SevMeasurement other = *m;
        int build = m->build + slip->builds;

        if (build < 0 || build > UINT8_MAX)
                return false;
        other.build = (uint8_t) build;
        return fits_key(s, &other, slip->swapped ? keys->tek : keys->tik);
}

static bool fits(Search *s, const uint8_t digest[static SHA256_SIZE]) {
        memcpy(s->m.digest, digest, SHA256_SIZE);
        FOREACH_ARRAY(slip, slips, ELEMENTSOF(slips))
                if (fits_slip(s, &s->m, slip)) {
                        s->slip = slip;
                        return true;
                }
        return false;
}

static void put_slip(const Search *s, Text *t) {
        if (s->slip && s->slip->swapped)
                text_put(t, ", TIK and TEK swapped");
        if (s->slip && s->slip->builds != 0)
                text_putf(t, ", firmware build id %d", s->m.build + s->slip->builds);
}

static void print_candidate(Search *s, const Candidate *c) {
        _cleanup_(text_done) Text t = {};

        if (c->words)
                text_putf(&t, ", %s", c->words);
        if (c->vmsa)
                text_putf(&t, ", %s", c->vmsa);
        if (c->debugswap)
                text_put(&t, ", DebugSwap on (SEV_FEATURES 0x20, Linux 6.6 and 6.7)");
        if (c->cpu)
                text_putf(&t, ", CPU %s (family %u, model %u, stepping %u)", c->cpu->name, c->cpu->family,
                                c->cpu->model, c->cpu->stepping);
        if (c->vcpus > 0)
                text_putf(&t, ", %llu vCPUs", (unsigned long long) c->vcpus);
        put_slip(s, &t);
        s->found = true;
        validate_note(s->v, "the measurement fits a launch with: %s",
                        t.data && t.size > 2 ? t.data + 2 : "?");
}

/* The pages with the registers that hosts disagree about. */
static void patch_page(uint8_t *page, const uint8_t *given, bool fpu, bool debugswap, const SevCpu *cpu) {
        memcpy(page, given, SEV_PAGE_SIZE);
        le32_write(page + VMSA_MXCSR, fpu ? 0x1f80 : 0);
        le16_write(page + VMSA_X87_FCW, fpu ? 0x37f : 0);
        le64_write(page + VMSA_SEV_FEATURES, debugswap ? FEATURE_DEBUGSWAP : 0);
        if (cpu)
                le64_write(page + VMSA_RDX, sev_cpu_signature(cpu->family, cpu->model, cpu->stepping));
}

/* All counts of CPUs for one kind of page: each count continues the one before. */
static int try_pages(Search *s, const Hash *start, Candidate *c, bool fpu, const SevCpu *cpu) {
        const Validate *v = s->v;
        uint8_t page[SEV_PAGE_SIZE], digest[SHA256_SIZE];
        _cleanup_hash_ Hash *hash = NULL, *copy = NULL;
        int r;

        r = hash_clone(start, &hash);
        if (r >= 0)
                r = hash_clone(start, &copy);
        for (uint64_t i = 1; i <= (v->has_vmsa1 ? SEARCH_VCPUS_MAX : 1u) && r >= 0; i++) {
                if (i <= 2)
                        patch_page(page, i == 1 ? v->vmsa0 : v->vmsa1, fpu, c->debugswap, cpu);
                r = hash_update(hash, page, sizeof(page));
                if (r >= 0)
                        r = hash_assign(copy, hash);
                if (r >= 0)
                        r = hash_final(copy, digest);
                if (r >= 0 && fits(s, digest)) {
                        bool given_fpu = le32_read(v->vmsa0 + VMSA_MXCSR) != 0;

                        c->vmsa = fpu == given_fpu ? NULL
                                        : fpu      ? "VMSAs of KVM_SEV_INIT2 (QEMU legacy-vm-type=off; "
                                                     "--sev-vm-type=new)"
                                                   : "VMSAs of KVM_SEV_ES_INIT (QEMU legacy-vm-type=on; "
                                                     "--sev-vm-type=legacy)";
                        c->cpu = cpu;
                        c->vcpus = i == v->args.num_cpus.low ? 0 : i;
                        print_candidate(s, c);
                        return 0;
                }
        }
        return r;
}

static int try_es(Search *s, const Hash *start, const char *words) {
        size_t n_cpus;
        const SevCpu *cpus = sev_cpu_table(&n_cpus);
        int r = 0;

        for (unsigned kind = 0; kind < 4 && r >= 0 && !s->found; kind++) {
                uint32_t seen[64];
                size_t n_seen = 0;

                r = try_pages(s, start, &(Candidate) { .words = words, .debugswap = kind & 2 }, kind & 1,
                                NULL);
                for (size_t i = 0; i < n_cpus && r >= 0 && !s->found; i++) {
                        uint32_t signature =
                                        sev_cpu_signature(cpus[i].family, cpus[i].model, cpus[i].stepping);
                        bool known = signature == le64_read(s->v->vmsa0 + VMSA_RDX);

                        for (size_t k = 0; k < n_seen; k++)
                                known = known || seen[k] == signature;
                        if (known || n_seen == ELEMENTSOF(seen))
                                continue;
                        seen[n_seen++] = signature;
                        r = try_pages(s, start, &(Candidate) { .words = words, .debugswap = kind & 2 },
                                        kind & 1, &cpus[i]);
                }
        }
        return r;
}

/* With one table of kernel hashes, or without (hashes NULL). */
static int try_table(Search *s, const KernelHashes *hashes, const char *words) {
        _cleanup_hash_ Hash *hash = NULL, *copy = NULL;
        uint8_t table[SEV_HASH_TABLE_SIZE], digest[SHA256_SIZE];
        int r;

        r = hash_clone(s->v->firmware_state, &hash);
        if (r >= 0 && hashes) {
                kernel_hashes_table(hashes, table);
                r = hash_update(hash, table, sizeof(table));
        }
        if (r < 0)
                return r;
        if (validate_is_es(s->v))
                return try_es(s, hash, words);
        r = hash_clone(hash, &copy);
        if (r >= 0)
                r = hash_final(copy, digest);
        if (r >= 0 && fits(s, digest))
                print_candidate(s, &(Candidate) { .words = words ?: "other VMSAs" });
        return r;
}

static int try_tables(Search *s) {
        const Validate *v = s->v;
        KernelHashes given, other;
        int r;

        if (!v->kernel.present)
                return try_table(s, NULL, NULL);
        memcpy(given.kernel, v->kernel.sha256, SHA256_SIZE);
        memcpy(given.initrd, v->initrd.sha256, SHA256_SIZE);
        memcpy(given.cmdline, v->words.sha256, SHA256_SIZE);
        r = try_table(s, &given, NULL);
        if (r >= 0 && !s->found)
                r = try_table(s, NULL,
                                "kernel hashes off: kernel, initrd and command line were NOT measured");
        if (r >= 0 && !s->found && v->words_newline.present) {
                other = given;
                memcpy(other.cmdline, v->words_newline.sha256, SHA256_SIZE);
                r = try_table(s, &other, "a newline after the command line");
        }
        if (r >= 0 && !s->found && v->words_trimmed.present) {
                other = given;
                memcpy(other.cmdline, v->words_trimmed.sha256, SHA256_SIZE);
                r = try_table(s, &other, "the command line without the white space around it");
        }
        return r;
}

/* Keys, build id and policy: with the digest that was expected. */
static void try_keys(Search *s) {
        static const uint8_t low_policies = 64;
        SevMeasurement m = s->m;

        FOREACH_ARRAY(slip, slips, ELEMENTSOF(slips))
                if (fits_slip(s, &m, slip)) {
                        _cleanup_(text_done) Text t = {};

                        s->slip = slip;
                        s->found = true;
                        put_slip(s, &t);
                        validate_note(s->v, "the measurement fits with: %s",
                                        t.data && t.size > 2 ? t.data + 2 : "?");
                        return;
                }
        for (uint32_t low = 0; low < low_policies; low++) {
                m.policy = (s->m.policy & ~63u) | low;
                if (m.policy != s->m.policy && fits_key(s, &m, validate_keys(s->v)->tik)) {
                        validate_note(s->v, "the measurement fits a launch with policy %u (0x%x)", m.policy,
                                        m.policy);
                        s->found = true;
                        return;
                }
        }
}

void validate_search(const Validate *v) {
        Search s = { .v = v, .m = v->expected };
        int r;

        if (v->args.strict || v->args.no_search || v->args.quiet)
                return;
        validate_note_session(v);
        try_keys(&s);
        r = s.found ? 0 : try_tables(&s);
        if (r < 0)
                validate_note(v, "the search for a launch that fits was broken off");
        else if (!s.found)
                validate_note(v, "none of the known variations fits: do not trust this guest");
}
