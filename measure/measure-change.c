/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "measure-tail.h"
#include "sev-cpu.h"
#include "strutil.h"

/* The kernel takes at most 2048 bytes of command line; whoever gave more has other problems. */
#define WORDS_SIZE_MAX 65536u

/* SEV_FEATURES that occur: plain, DebugSwap (Linux 6.6 and 6.7), Secure TSC, restricted injection, vTOM and their combinations. */
static const uint64_t known_features[] = { 0x1, 0x21, 0x201, 0x221, 0x9, 0x29, 0x3, 0x5, 0x11, 0x0, 0x20,
        0x41, 0x81, 0x101, 0x401, 0x1001, 0x4001, 0x8001, 0x2b, 0x209, 0x229 };

/* Real processors whose signature is not that of a model: Milan B1, Milan-X, Genoa B1, Genoa-X, Bergamo, Siena, Turin. */
static const uint32_t real_signatures[] = { 0xa00f11, 0xa00f12, 0xa10f11, 0xa10f12, 0xaa0f01, 0xaa0f02,
        0xb00f20, 0xb00f21, 0xb10f10, 0x830f10, 0x800f12, 0 };

/* What launchers put in front of the words. */
static const char *const known_prefixes[] = { "console=ttyS0 ", "console=hvc0 ", "console=ttyS0,115200 " };

static void change_done(Change *c) {
        free(c->text);
        free(c->option);
}

void change_list_done(ChangeList *l) {
        FOREACH_ARRAY(c, l->items, l->n_items)
                change_done(c);
        free(l->items);
        *l = (ChangeList) {};
}

/* Takes text and option, also on failure; a NULL text is -ENOMEM. */
static int add(ChangeList *l, Change change, char *text, char *option) {
        Change *items = text ? reallocarray(l->items, l->n_items + 1, sizeof(Change)) : NULL;

        if (!items) {
                free(text);
                free(option);
                return -ENOMEM;
        }
        change.text = text;
        change.option = option;
        l->items = items;
        items[l->n_items++] = change;
        return 0;
}

static char *format(const char *f, ...) _printf_(1, 2);
static char *format(const char *f, ...) {
        va_list ap;
        char *s;
        int n;

        va_start(ap, f);
        n = vasprintf(&s, f, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}

/* --- what is in the VMSAs -------------------------------------------------------------------------------------------- */

static int add_features(ChangeList *l, const LaunchSpec *base) {
        uint64_t from = base->mode == SEV_MODE_SEV_ES ? base->es_features : base->features;

        FOREACH_ARRAY(f, known_features, ELEMENTSOF(known_features)) {
                int r;

                if (*f == from || (base->mode == SEV_MODE_SEV_ES && (*f & 1)))
                        continue;
                r = add(l, (Change) { .dimension = CHANGE_FEATURES, .features = *f },
                                format("guest features 0x%" PRIx64 " instead of 0x%" PRIx64, *f, from),
                                base->mode == SEV_MODE_SEV_ES ? format("--es-features=0x%" PRIx64, *f)
                                                              : format("--guest-features=0x%" PRIx64, *f));
                if (r < 0)
                        return r;
        }
        return 0;
}

static char *signature_text(uint32_t signature) {
        const char *name = sev_cpu_name(signature);
        unsigned family, model, stepping;

        if (name)
                return format("0x%x (%s)", signature, name);
        sev_cpu_from_signature(signature, &family, &model, &stepping);
        return format("0x%x (family %u, model %u, stepping %u)", signature, family, model, stepping);
}

static int add_signature(ChangeList *l, const LaunchSpec *base, uint32_t signature) {
        _cleanup_free_ char *from = signature_text(base->signature), *to = signature_text(signature);

        if (signature == base->signature)
                return 0;
        FOREACH_ARRAY(c, l->items, l->n_items)
                if (c->dimension == CHANGE_SIGNATURE && c->signature == signature)
                        return 0;
        if (!from || !to)
                return -ENOMEM;
        return add(l, (Change) { .dimension = CHANGE_SIGNATURE, .signature = signature },
                        format("CPU signature %s instead of %s", to, from),
                        format("--vcpu-sig=0x%x", signature));
}

static int add_signatures(ChangeList *l, const LaunchSpec *base) {
        const SevCpu *cpus;
        uint32_t host;
        size_t n;
        int r = 0;

        if (!vmsa_flavour_uses_signature(base->flavour))
                return 0;
        cpus = sev_cpu_table(&n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_signature(
                                l, base, sev_cpu_signature(cpus[i].family, cpus[i].model, cpus[i].stepping));
        FOREACH_ARRAY(s, real_signatures, ELEMENTSOF(real_signatures)) {
                if (r < 0)
                        return r;
                r = add_signature(l, base, *s);
        }
        return r >= 0 && sev_cpu_host(&host) >= 0 ? add_signature(l, base, host) : r;
}

static int add_flavours(ChangeList *l, const LaunchSpec *base) {
        bool svsm = base->flavour == VMSA_SVSM || base->flavour == VMSA_SVSM_PRE_6_10;

        for (VmsaFlavour f = 0; f < _VMSA_FLAVOUR_MAX; f++) {
                int r;

                if (f == base->flavour || svsm != (f == VMSA_SVSM || f == VMSA_SVSM_PRE_6_10))
                        continue;
                r = add(l, (Change) { .dimension = CHANGE_FLAVOUR, .flavour = f },
                                format("VMSA flavour %s instead of %s", vmsa_flavour_to_string(f),
                                                vmsa_flavour_to_string(base->flavour)),
                                format("--vmsa=%s", vmsa_flavour_to_string(f)));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- what comes before ----------------------------------------------------------------------------------------------- */

/* Quoted for a shell, on one line: with control characters in the form $'...' of bash, ksh and zsh. */
static char *append_option(const char *words) {
        bool control = strpbrk(words, "\t\r\n") != NULL;
        _cleanup_(text_done) Text t = {};
        char *s;

        text_put(&t, control ? "--append=$'" : "--append='");
        for (; *words; words++)
                if (*words == '\'')
                        text_put(&t, control ? "\\'" : "'\\''");
                else if (control && *words == '\\')
                        text_put(&t, "\\\\");
                else if (*words == '\n' || *words == '\r' || *words == '\t')
                        text_put(&t, *words == '\n' ? "\\n" : *words == '\r' ? "\\r" : "\\t");
                else
                        text_put_n(&t, words, 1);
        text_put(&t, "'");
        return text_finish(&t, &s) < 0 ? NULL : s;
}

/* n bytes, with the NUL where one is measured. */
static int add_words(ChangeList *l, const LaunchSpec *base, const char *words, size_t n, const char *what,
                bool option) {
        Change c = { .dimension = CHANGE_WORDS };
        char *text;
        int r;

        r = hash_digest(HASH_SHA256, words, n, c.sha256);
        if (r < 0)
                return r;
        if (memcmp(c.sha256, base->hashes.words, SHA256_SIZE) == 0)
                return 0;
        text = format("kernel command line %s", what);
        return add(l, c, text, option ? append_option(words) : NULL);
}

/* The text of the words: owned and NUL-terminated; NULL where only a hash is known. */
static int read_words(const MeasureContext *c, char **ret) {
        const PlanInput *in = &c->request->plan.words;
        uint64_t size = plan_input_size(in);
        _cleanup_free_ char *words = NULL;
        size_t at = 0;

        *ret = NULL;
        if (c->request->has_cmdline_hash || size > WORDS_SIZE_MAX)
                return 0;
        words = calloc(1, size + 1);
        if (!words)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                int r = p->fd < 0 ? 0 : fd_pread_exact(p->fd, words + at, p->length, p->offset);

                if (r < 0)
                        return r;
                at += p->length;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static int add_word_variants(ChangeList *l, const LaunchSpec *base, const char *words) {
        size_t n = strlen(words), front = strspn(words, " \t\r\n"), end = n;
        _cleanup_free_ char *newline = format("%s\n", words), *blank = format("%s ", words), *trimmed = NULL;
        int r;

        while (end > front && strchr(" \t\r\n", words[end - 1]))
                end--;
        trimmed = strndup(words + front, end - front);
        if (!newline || !blank || !trimmed)
                return -ENOMEM;
        r = add_words(l, base, newline, n + 2, "with a newline at its end", true);
        if (r >= 0)
                r = add_words(l, base, trimmed, strlen(trimmed) + 1, "without the blanks around it", true);
        if (r >= 0)
                r = add_words(l, base, blank, n + 2, "with a blank at its end", true);
        if (r >= 0)
                r = add_words(l, base, "", 1, "empty", true);
        if (r >= 0)
                r = add_words(l, base, words, n, "hashed without its trailing NUL", false);
        return r;
}

static int add_prefix_variants(ChangeList *l, const LaunchSpec *base, const char *words) {
        FOREACH_ARRAY(p, known_prefixes, ELEMENTSOF(known_prefixes)) {
                const char *rest = startswith(words, *p);
                _cleanup_free_ char *with = NULL, *what = NULL;
                int r;

                if (rest) {
                        what = format("without the launcher's '%.*s'", (int) strlen(*p) - 1, *p);
                        if (!what)
                                return -ENOMEM;
                        r = add_words(l, base, rest, strlen(rest) + 1, what, true);
                } else {
                        /* The launcher's words are all there is where none were given. */
                        with = words[0] ? format("%s%s", *p, words) : strndup(*p, strlen(*p) - 1);
                        what = format("with '%.*s' in front, as a launcher adds it", (int) strlen(*p) - 1,
                                        *p);
                        if (!with || !what)
                                return -ENOMEM;
                        r = add_words(l, base, with, strlen(with) + 1, what, true);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_initrd(ChangeList *l, const LaunchSpec *base, const uint8_t sha256[static SHA256_SIZE],
                const char *what) {
        Change c = { .dimension = CHANGE_INITRD };

        if (memcmp(sha256, base->hashes.initrd, SHA256_SIZE) == 0)
                return 0;
        memcpy(c.sha256, sha256, SHA256_SIZE);
        return add(l, c, format("initrd %s", what), NULL);
}

/* Without what was appended: parts of a plan that the launcher put there, or an archive at the end of a file. */
static int add_initrd_variants(
                ChangeList *l, const MeasureContext *c, const LaunchSpec *base, char **reterr) {
        const InputDigest *d = &c->digests.initrd;
        uint8_t sha256[SHA256_SIZE];
        int r;

        r = hash_digest(HASH_SHA256, "", 0, sha256);
        if (r >= 0)
                r = add_initrd(l, base, sha256, "left out");
        if (r >= 0 && d->n_parts > 1)
                r = add_initrd(l, base, d->parts[0].sha256, "without what was appended to it");
        if (r < 0 || d->n_parts != 1)
                return r;
        r = initrd_without_credentials(&c->request->plan.initrd.parts[0], sha256, reterr);
        return r <= 0 ? r : add_initrd(l, base, sha256, "without the credentials at its end");
}

static int add_boot_variants(ChangeList *l, const MeasureContext *c, const LaunchSpec *base, char **reterr) {
        _cleanup_free_ char *words = NULL;
        int r;

        if (!base->kernel_hashes)
                return 0;
        r = add(l, (Change) { .dimension = CHANGE_HASHES, .kernel_hashes = false },
                        strdup("kernel hashes off instead of on"), NULL);
        if (r >= 0)
                r = read_words(c, &words);
        if (r >= 0 && words)
                r = add_word_variants(l, base, words);
        if (r >= 0 && words)
                r = add_prefix_variants(l, base, words);
        return r < 0 ? r : add_initrd_variants(l, c, base, reterr);
}

int change_list_build(const MeasureContext *c, const LaunchSpec *base, ChangeList *ret, char **reterr) {
        _cleanup_(change_list_done) ChangeList l = {};
        bool svsm = c->request->mode == MEASURE_SVSM, vmsas = base->mode != SEV_MODE_SEV;
        int r = 0;

        if (vmsas)
                r = add_flavours(&l, base);
        if (r >= 0 && vmsas && !svsm)
                r = add_features(&l, base);
        if (r >= 0 && vmsas)
                r = add_signatures(&l, base);
        if (r >= 0 && !svsm)
                r = add_boot_variants(&l, c, base, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (ChangeList) {});
        return 0;
}

int change_list_add_firmware(ChangeList *l, const char *path, const FirmwareImage *firmware) {
        return add(l, (Change) { .dimension = CHANGE_FIRMWARE, .firmware = firmware },
                        format("firmware %s", path), format("--ovmf=%s", path));
}

void change_apply(const Change *change, LaunchSpec *spec, const FirmwareImage **firmware) {
        switch (change->dimension) {
        case CHANGE_FIRMWARE:
                *firmware = change->firmware;
                break;
        case CHANGE_HASHES:
                spec->kernel_hashes = change->kernel_hashes;
                break;
        case CHANGE_WORDS:
                memcpy(spec->hashes.words, change->sha256, SHA256_SIZE);
                break;
        case CHANGE_INITRD:
                memcpy(spec->hashes.initrd, change->sha256, SHA256_SIZE);
                break;
        case CHANGE_FLAVOUR:
                spec->flavour = change->flavour;
                break;
        case CHANGE_FEATURES:
                spec->features = spec->es_features = change->features;
                break;
        case CHANGE_SIGNATURE:
                spec->signature = change->signature;
                break;
        case CHANGE_VCPUS:
                spec->vcpus = change->vcpus;
                break;
        default:
                break;
        }
}
