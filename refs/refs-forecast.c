/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-forecast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "strutil.h"

#define FORECAST_NAME(id, name) [id] = (name),
static const char *const subject_names[] = { FORECAST_SUBJECTS(FORECAST_NAME) };
static_assert(ELEMENTSOF(subject_names) == _FORECAST_SUBJECT_MAX, "every subject has a name");

const char *forecast_subject_to_string(ForecastSubject s) {
        return subject_names[s];
}

void forecast_done(Forecast *f) {
        free(f->changes);
        *f = (Forecast) {};
}

int software_version_parse(const char *s, SoftwareVersion *ret) {
        SoftwareVersion v = {};
        unsigned *const parts[] = { &v.major, &v.minor, &v.patch };

        *ret = v;
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                size_t n = strspn(s, "0123456789");
                _cleanup_free_ char *number = strndup(s, n);

                if (!number)
                        return -ENOMEM;
                if (n == 0 || parse_unsigned(number, parts[i]) < 0)
                        return -EINVAL;
                s += n;
                if (*s != '.') {
                        if (i == 0 || (*s && !strchr("-+~_", *s)))
                                return -EINVAL;
                        break;
                }
                s++;
        }
        *ret = v;
        return 0;
}

static int compare(const SoftwareVersion *a, const SoftwareVersion *b) {
        if (a->major != b->major)
                return a->major < b->major ? -1 : 1;
        if (a->minor != b->minor)
                return a->minor < b->minor ? -1 : 1;
        return a->patch < b->patch ? -1 : a->patch > b->patch;
}

static bool is_in_range(const ForecastFact *f, const ForecastHost *host) {
        const SoftwareVersion *v = f->subject == FORECAST_QEMU ? host->qemu : host->kernel;

        return v && compare(v, &f->from) >= 0 && (f->before.major == 0 || compare(v, &f->before) < 0);
}

/* A launch as the facts so far leave it. */
typedef struct Start {
        VmmProfile was, profile;
        uint64_t features;
        bool refused;
} Start;

/* What is refused is so in whatever other way it would be started. */
static bool changes(const ForecastFact *f, const Start *s) {
        if (f->refused)
                return s->was == f->is;
        return s->profile == f->is &&
                        (f->is != f->becomes || (s->features & f->added) != f->added ||
                                        (s->features & f->removed) != 0);
}

static int add(Forecast *f, const ForecastChange *c) {
        ForecastChange *grown = reallocarray(f->changes, f->n + 1, sizeof(ForecastChange));

        if (!grown)
                return -ENOMEM;
        f->changes = grown;
        grown[f->n++] = *c;
        return 0;
}

/* One fact after another: a launch of before 6.10 can have other features as well. */
static int add_facts(Forecast *f, const RefsLaunch *l, const ForecastHost *host, Start *s) {
        const ForecastFact *facts;
        size_t n;

        facts = forecast_facts(&n);
        FOREACH_ARRAY(fact, facts, n) {
                int r;

                if (!is_in_range(fact, host) || !(fact->modes >> l->mode & 1) || !changes(fact, s))
                        continue;
                s->profile = fact->becomes;
                s->features = (s->features | fact->added) & ~fact->removed;
                s->refused = s->refused || fact->refused;
                r = add(f, &(ForecastChange) { .launch = l, .subject = fact->subject, .fact = fact });
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- firmware -------------------------------------------------------------------------------------------------------- */

static bool is_firmware_of(const RefsLaunch *l, const char *name) {
        const Json *parts = js_get(js_get(l->inputs, "firmware"), "parts");

        for (size_t i = 0; i < js_length(parts); i++)
                if (streq_ptr(js_string_value(js_get(js_at(parts, i), "name")), name))
                        return true;
        return false;
}

bool forecast_names_firmware(const RefsBundle *b, const char *name) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (is_firmware_of(l, name))
                        return true;
        return false;
}

/* The image that the launch will have: one of the same file name, else one whose name no launch has, which takes the place of all. */
static const ForecastFirmware *firmware_of(
                const RefsBundle *b, const RefsLaunch *l, const ForecastHost *host) {
        FOREACH_ARRAY(x, host->firmware, host->n_firmware)
                if (is_firmware_of(l, x->name))
                        return x;
        FOREACH_ARRAY(x, host->firmware, host->n_firmware)
                if (!forecast_names_firmware(b, x->name))
                        return x;
        return NULL;
}

/* --- the new digest -------------------------------------------------------------------------------------------------- */

static bool read_hash(const RefsLaunch *l, const char *name, uint8_t ret[static SHA256_SIZE]) {
        const char *s = js_string_value(js_get(l->hashes, name));

        return s && hex_decode_exact(s, ret, SHA256_SIZE) >= 0;
}

/* 1 and *ret, or 0: the bundle does not have what it would take. An image that cannot start the launch gives 0, too. */
static int digest_with(
                const RefsLaunch *l, const Start *s, const ForecastFirmware *firmware, LaunchDigest *ret) {
        const RefsRun *run = l->runs;
        LaunchSpec spec = { .mode = l->mode,
                .profile = s->profile,
                .vcpus = run->vcpus,
                .signature = (uint32_t) run->signature,
                .features = s->features,
                .kernel_hashes = l->hashes != NULL };
        int r;

        if (!firmware->image || vmm_row(s->profile)->svsm ||
                        (run->vcpus > 0 && vmm_row(s->profile)->registers.rdx_is_signature &&
                                        !run->has_signature))
                return 0;
        if (spec.kernel_hashes &&
                        !(read_hash(l, "kernel", spec.hashes.kernel) &&
                                        read_hash(l, "initrd", spec.hashes.initrd) &&
                                        read_hash(l, "cmdline", spec.hashes.cmdline)))
                return 0;
        r = launch_digest(firmware->image, &spec, NULL, NULL, ret, NULL);
        return r == -ENOMEM ? r : r >= 0;
}

static int digest_of_family(const RefsLaunch *l, const Start *s, LaunchDigest *ret) {
        const RefsRun *run = l->runs;
        LaunchFamily family = l->family;
        int r;

        if (!l->has_family || run->vcpus > l->family_vcpus ||
                        (launch_family_has_signature(&family) && !run->has_signature))
                return 0;
        family.profile = s->profile;
        family.features = s->features;
        r = launch_family_digest(&family, run->vcpus, (uint32_t) run->signature, ret);
        return r < 0 ? r : 1;
}

static int judge(const RefsBundle *b, const RefsLaunch *l, const ForecastHost *host, Forecast *f) {
        const char *sha256 = js_string_value(js_get(js_get(l->inputs, "firmware"), "sha256"));
        const ForecastFirmware *firmware = firmware_of(b, l, host);
        VmmProfile profile = l->vmm ? vmm_profile_from_string(l->vmm) : VMM_QEMU;
        Start s = { profile, profile, l->features, false };
        size_t first = f->n;
        LaunchDigest then;
        int r = l->vmm && profile >= 0 ? add_facts(f, l, host, &s) : 0, known = 0;

        /* What is not recorded may be another one. */
        if (r >= 0 && firmware && !streq_ptr(sha256, firmware->sha256))
                r = add(f,
                                &(ForecastChange) { .launch = l,
                                                .subject = FORECAST_FIRMWARE,
                                                .firmware = firmware });
        else
                firmware = NULL;
        if (r >= 0 && f->n > first && !s.refused && profile >= 0)
                known = firmware ? digest_with(l, &s, firmware, &then) : digest_of_family(l, &s, &then);
        if (r < 0 || known < 0)
                return r < 0 ? r : known;
        FOREACH_ARRAY(c, f->changes + first, f->n - first) {
                c->known = known > 0;
                if (c->known)
                        c->then = then;
        }
        return 0;
}

int forecast_make(const RefsBundle *b, const ForecastHost *host, Forecast *ret) {
        _cleanup_(forecast_done) Forecast f = {};

        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                int r = judge(b, l, host, &f);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_STRUCT(f, (Forecast) {});
        return 0;
}
