/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* refs verify and refs show: what reads bundles. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "atomic-file.h"
#include "date.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "refs-registers.h"
#include "refs.h"
#include "sev-cpu.h"
#include "strutil.h"

#define STATE_SIZE_MAX 4096u

/* --- verify ---------------------------------------------------------------------------------------------------------- */

/* A state file that is not there yet is an empty one. */
static int read_state(const char *path, RefsState *ret, bool *ret_found, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = input_read("state", path, STATE_SIZE_MAX, &text, &size, reterr);

        *ret_found = r >= 0;
        if (r == -ENOENT) {
                free(TAKE_PTR(*reterr));
                return 0;
        }
        if (r >= 0) {
                r = refs_state_read(text, size, ret, reterr);
                if (r < 0)
                        r = error_prefix(reterr, -EINVAL, "--state: %s", path);
        }
        return r;
}

static int write_state(const char *path, const RefsFile *f, char **reterr) {
        RefsState s = { .sequence = f->bundle.sequence };
        _cleanup_free_ char *text = NULL;
        int r;

        memcpy(s.sha256, f->sha256, sizeof(s.sha256));
        r = refs_state_text(&s, &text);
        if (r < 0)
                return r;
        r = file_write_atomic(path, text, strlen(text), 0666, ATOMIC_FILE_REPLACE);
        return r < 0 ? error_set(reterr, r, "--state: cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int check_previous(const RefsArguments *a, const RefsFile *f, char **reterr) {
        _cleanup_(refs_file_done) RefsFile previous = {};
        RefsState last;
        int r = refs_open(a, a->previous, &previous, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--previous");
        last.sequence = previous.bundle.sequence;
        memcpy(last.sha256, previous.sha256, sizeof(last.sha256));
        return refs_check_rollback(f, &last, reterr);
}

static int judge(const RefsArguments *a, const RefsFile *f, char **reterr) {
        bool found = false;
        RefsState state;
        int64_t now;
        int r = parse_date(a->time, &now, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--time");
        if (a->state) {
                r = read_state(a->state, &state, &found, reterr);
                if (r < 0)
                        return r;
        }
        r = refs_check_age(&f->bundle, now, a->max_age / 1000000, reterr);
        if (r >= 0 && found)
                r = refs_check_rollback(f, &state, reterr);
        if (r >= 0 && a->previous)
                r = check_previous(a, f, reterr);
        return r < 0 ? r : refs_check_sound(&f->bundle, reterr);
}

static int print_verified(const RefsArguments *a, const RefsFile *f) {
        _cleanup_free_ char *hex = hex_encode(f->sha256, sizeof(f->sha256)), *title = refs_title(&f->bundle);
        _cleanup_js_ Json *j = NULL;
        int r;

        if (!hex || !title)
                return -ENOMEM;
        if (!a->common.json)
                return printf("verified: %s, sequence %" PRIu64
                              ", issued %s, %zu launch%s, %zu digest%s, %s%u of %zu signer%s\n",
                                       title, f->bundle.sequence, date_text((int64_t) f->bundle.issued).text,
                                       f->bundle.n_launches, f->bundle.n_launches == 1 ? "" : "es",
                                       f->bundle.n_rows, f->bundle.n_rows == 1 ? "" : "s",
                                       a->signers ? "" : "SIGNATURE NOT CHECKED, ", f->signers, f->n_keys,
                                       f->n_keys == 1 ? "" : "s") < 0
                                ? -EIO
                                : 0;
        r = js_build(&j, "{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:s}", "verified", 1, "signature-checked",
                        a->signers != NULL, "signers", (long long) f->signers, "sequence",
                        (long long) f->bundle.sequence, "issued", (long long) f->bundle.issued, "launches",
                        (long long) f->bundle.n_launches, "rows", (long long) f->bundle.n_rows, "sha256",
                        hex);
        return r < 0 ? r : verb_print_json(j, a->common.style);
}

int refs_verify(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        int r;

        if (!a->signers && !a->no_signature)
                return error_set(reterr, -EINVAL,
                                "verify: expected --signer=, a public key that must have signed the bundle");
        r = refs_open(a, words[0], &f, reterr);
        if (r >= 0) {
                r = judge(a, &f, reterr);
                if (r < 0 && *reterr)
                        (void) error_prefix(reterr, r, "%s", words[0]);
        }
        if (r >= 0 && a->state)
                r = write_state(a->state, &f, reterr);
        return r < 0 ? refs_status(r, reterr) : print_verified(a, &f);
}

/* --- show ------------------------------------------------------------------------------------------------------------ */

static int digest_of(const RefsLaunch *l, unsigned vcpus, uint32_t signature, LaunchDigest *ret) {
        if (l->has_family && vcpus <= l->family_vcpus) {
                int r = launch_family_digest(&l->family, vcpus, signature, ret);

                return r < 0 ? r : 1;
        }
        FOREACH_ARRAY(run, l->runs, l->n_runs) {
                if (run->vcpus > 0 && (vcpus < run->vcpus || vcpus - run->vcpus >= run->n))
                        continue;
                if (run->has_signature && run->signature != signature)
                        continue;
                ret->size = l->digest_size;
                memcpy(ret->bytes, run->digests + (run->vcpus > 0 ? vcpus - run->vcpus : 0) * l->digest_size,
                                l->digest_size);
                return 1;
        }
        return 0;
}

/* What --vcpus could be instead. */
static int no_member(const RefsArguments *a, const RefsBundle *b, char **reterr) {
        const char *model = a->vcpu_type ?: "EPYC-v4";
        unsigned most = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (l->has_family)
                        most = MAX(most, l->family_vcpus);
        if (most > 0)
                return error_set(reterr, -ERANGE,
                                "--vcpus=%u: the bundle has no row for that with %s, and its families have 1 to %u vCPUs",
                                a->vcpus, model, most);
        return error_set(reterr, -ERANGE,
                        "--vcpus=%u: the bundle has no row for that with %s, and no families; see 'cvmspawn refs show' for its rows",
                        a->vcpus, model);
}

static int show_member(const RefsArguments *a, const RefsBundle *b, char **reterr) {
        bool found = false;
        uint32_t signature;
        int r = sev_cpu_resolve(a->vcpu_type ?: "EPYC-v4", &signature, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--vcpu-type");
        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                _cleanup_free_ char *hex = NULL, *text = NULL;
                LaunchDigest d;

                r = digest_of(l, a->vcpus, signature, &d);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                found = true;
                hex = hex_encode(d.bytes, d.size);
                if (!hex || refs_launch_text(l, &text) < 0)
                        return -ENOMEM;
                if (printf("%s  %s\n", hex, text) < 0)
                        return -EIO;
        }
        return found ? 0 : no_member(a, b, reterr);
}

static int show_launch(const RefsLaunch *l) {
        _cleanup_free_ char *text = NULL;
        int r = refs_launch_text(l, &text);

        if (r < 0)
                return r;
        printf("\n%s\n", text);
        if (l->has_family)
                printf("  family: any CPU model, 1 to %u vCPUs\n", l->family_vcpus);
        FOREACH_ARRAY(run, l->runs, l->n_runs)
                for (size_t i = 0; i < run->n; i++) {
                        _cleanup_free_ char *hex = hex_encode(run->digests + i * l->digest_size,
                                                            l->digest_size),
                                            *row = NULL;

                        if (!hex || refs_row_text(run, i, &row) < 0)
                                return -ENOMEM;
                        if (printf("  %s  %s\n", hex, coco_of(l->mode)->event_log ? "mrtd" : row) < 0)
                                return -EIO;
                }
        for (size_t i = 0; i < REFS_REGISTERS; i++)
                if (refs_register(l, i))
                        printf("  %s  %s\n", refs_register(l, i), refs_register_names[i]);
        return 0;
}

static int show_expectations(const RefsBundle *b) {
        const RefsPlatform *p = &b->platform;

        if (b->has_guest_policy)
                printf("guest policy: 0x%" PRIx64 "\n", b->guest_policy);
        if (p->has_smt || p->has_tsme)
                printf("platform:%s%s\n", p->has_smt ? p->smt ? " smt=on" : " smt=off" : "",
                                p->has_tsme ? p->tsme ? " tsme=on" : " tsme=off" : "");
        for (int g = 0; g < _SNP_GENERATION_MAX; g++) {
                _cleanup_free_ char *text = NULL;

                if (!b->has_tcb[g])
                        continue;
                text = snp_tcb_text(b->tcb + g, (SnpGeneration) g);
                if (!text)
                        return -ENOMEM;
                printf("least TCB of %s: %s\n", snp_generation_to_string((SnpGeneration) g), text);
        }
        return 0;
}

int refs_show(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *title = NULL;
        _cleanup_js_ Json *j = NULL;
        int r = refs_open(a, words[0], &f, reterr);

        if (r < 0)
                return refs_status(r, reterr);
        if (a->html)
                return refs_show_html(a, &f);
        if (a->vcpus > 0 && a->common.json)
                return error_set(reterr, -EINVAL, "--json shows the bundle, not --vcpus");
        if (a->vcpus > 0)
                return show_member(a, &f.bundle, reterr);
        if (a->common.json) {
                r = refs_bundle_json(&f.bundle, &j);
                return r < 0 ? r : verb_print_json(j, a->common.style);
        }
        title = refs_title(&f.bundle);
        if (!title)
                return -ENOMEM;
        printf("%s: sequence %" PRIu64 ", issued %s", title, f.bundle.sequence,
                        date_text((int64_t) f.bundle.issued).text);
        if (f.bundle.expires > 0)
                printf(", expires %s", date_text((int64_t) f.bundle.expires).text);
        printf("\n%zu signature%s, %s\n", f.n_signatures, f.n_signatures == 1 ? "" : "s",
                        a->signers ? "verified" : "NOT CHECKED (no --signer)");
        r = show_expectations(&f.bundle);
        FOREACH_ARRAY(l, f.bundle.launches, f.bundle.n_launches)
                if (r >= 0)
                        r = show_launch(l);
        return r;
}
