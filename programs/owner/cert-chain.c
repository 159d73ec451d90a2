/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn cert-chain`: shows, verifies and takes apart the certificate chain of a SEV platform. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "atomic-file.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "platform.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

typedef struct Arguments {
        PlatformArgs platform;
        char *output;
        bool force;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        PLATFORM_ROWS(platform),
        { "output", 'o', OPTION_REQUIRED, "DIR", "Output", "Write the files to this directory (default: .)",
                        "@dir", option_set_string, AT(output), 0 },
        { "force", 0, OPTION_NONE, NULL, NULL, "Replace files that exist", NULL, option_set_true, AT(force),
                        0 },
        VERB_ROWS(NULL),
};

static const OptionCommand commands[] = {
        { "show", "FILE...", "Show the certificates", "certs accept-unsigned-naples-ark json" },
        { "verify", "FILE...", "Verify the chain up to AMD's root key", PLATFORM_OPTIONS "json" },
        { "split", "FILE...", "Write each certificate to its own file",
                        "certs accept-unsigned-naples-ark output force" },
};

static const OptionTable table = {
        .program = "cvmspawn cert-chain",
        .summary = "Show, verify or split the certificate chain of a SEV platform.",
        .zone = "verifier",
        .epilog = "Exit status: 0 authentic, or success; 1 usage error or failure; 2 not authentic; 3 another owner; 4 a certificate is missing.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
};

/* One certificate of a chain, whichever format it has. */
typedef struct Item {
        const char *name; /* "PDH" */
        const char *file; /* "pdh.cert" */
        const uint8_t *raw;
        size_t size;
        const SevCert *sev; /* one of these two */
        const AmdCert *amd;
} Item;

static size_t list_items(const SevChain *c, Item ret[static 6]) {
        const struct {
                bool has;
                Item item;
        } all[] = {
                { c->has_pdh, { "PDH", "pdh.cert", c->pdh.raw, SEV_CERT_SIZE, &c->pdh, NULL } },
                { c->has_pek, { "PEK", "pek.cert", c->pek.raw, SEV_CERT_SIZE, &c->pek, NULL } },
                { c->has_oca, { "OCA", "oca.cert", c->oca.raw, SEV_CERT_SIZE, &c->oca, NULL } },
                { c->has_cek, { "CEK", "cek.cert", c->cek.raw, SEV_CERT_SIZE, &c->cek, NULL } },
                { c->has_ask, { "ASK", "ask.cert", c->ask.raw, c->ask.raw_size, NULL, &c->ask } },
                { c->has_ark, { "ARK", "ark.cert", c->ark.raw, c->ark.raw_size, NULL, &c->ark } },
        };
        size_t n = 0;

        FOREACH_ARRAY(a, all, ELEMENTSOF(all))
                if (a->has)
                        ret[n++] = a->item;
        return n;
}

static int item_to_json(const Item *item, Json **ret) {
        _cleanup_js_ Json *j = js_object(), *signers = js_array();
        uint8_t digest[SHA256_SIZE];
        int r;

        r = hash_digest(HASH_SHA256, item->raw, item->size, digest);
        if (r < 0)
                return r;
        if (!j || !signers || js_set(j, "name", js_string(item->name)) < 0 ||
                        js_set(j, "size", js_u64(item->size)) < 0 ||
                        js_set(j, "sha256", js_hex(digest, sizeof(digest))) < 0)
                return -ENOMEM;
        if (item->amd)
                r = js_set(j, "bits", js_u64(item->amd->number_size * 8)) < 0 ||
                                                js_set(j, "key-id",
                                                                js_hex(item->amd->key_id,
                                                                                AMD_CERT_KEY_ID_SIZE)) < 0 ||
                                                js_set(j, "signer-id",
                                                                js_hex(item->amd->certifying_id,
                                                                                AMD_CERT_KEY_ID_SIZE)) < 0
                                ? -ENOMEM
                                : 0;
        else {
                FOREACH_ARRAY(s, item->sev->signatures, SEV_CERT_SIGNATURES)
                        if (s->usage != SEV_USAGE_NONE &&
                                        js_append(signers, js_string(sev_usage_to_string(s->usage))) < 0)
                                return -ENOMEM;
                r = js_set(j, "api-major", js_u64(item->sev->api_major)) < 0 ||
                                                js_set(j, "api-minor", js_u64(item->sev->api_minor)) < 0 ||
                                                js_set(j, "algorithm",
                                                                js_string(sev_algorithm_to_string(
                                                                                item->sev->algorithm))) <
                                                                0 ||
                                                js_set(j, "signers", TAKE_PTR(signers)) < 0
                                ? -ENOMEM
                                : 0;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int print_item(const Item *item) {
        uint8_t digest[SHA256_SIZE];
        _cleanup_free_ char *text = NULL, *key_id = NULL;
        int r;

        r = hash_digest(HASH_SHA256, item->raw, item->size, digest);
        if (r < 0)
                return r;
        text = hex_encode(digest, sizeof(digest));
        if (!text)
                return -ENOMEM;
        if (item->amd) {
                key_id = hex_encode(item->amd->key_id, AMD_CERT_KEY_ID_SIZE);
                (void) printf("%s  RSA %zu, key %s%s\n", item->name, item->amd->number_size * 8,
                                key_id ?: "", item->amd->has_signature ? "" : ", without its signature");
        } else {
                (void) printf("%s  P-384 %s, API %u.%u, signed by", item->name,
                                sev_algorithm_to_string(item->sev->algorithm), item->sev->api_major,
                                item->sev->api_minor);
                FOREACH_ARRAY(s, item->sev->signatures, SEV_CERT_SIGNATURES)
                        if (s->usage != SEV_USAGE_NONE)
                                (void) printf(" %s (%s)", sev_usage_to_string(s->usage),
                                                sev_algorithm_to_string(s->algorithm));
                (void) printf("%s\n",
                                item->sev->signatures[0].usage == SEV_USAGE_NONE &&
                                                                item->sev->signatures[1].usage ==
                                                                                SEV_USAGE_NONE
                                                ? " nobody"
                                                : "");
        }
        (void) printf("     SHA-256 %s\n", text);
        return 0;
}

static int show(const Arguments *a, const SevChain *chain) {
        _cleanup_js_ Json *list = js_array();
        Item items[6];
        size_t n = list_items(chain, items);
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                Json *j = NULL;

                if (!a->common.json) {
                        r = print_item(&items[i]);
                        continue;
                }
                r = item_to_json(&items[i], &j);
                if (r >= 0)
                        r = js_append(list, j);
        }
        if (r >= 0 && a->common.json)
                r = verb_print_json(list, a->common.style);
        return r;
}

typedef struct Paths {
        char *items[6]; /* owned */
} Paths;

static void paths_done(Paths *p) {
        FOREACH_ARRAY(i, p->items, ELEMENTSOF(p->items))
                free(*i);
}

static int split(const Arguments *a, const SevChain *chain, char **reterr) {
        _cleanup_(paths_done) Paths paths = {};
        AtomicFile files[ELEMENTSOF(paths.items)];
        Item items[ELEMENTSOF(paths.items)];
        size_t n = list_items(chain, items), failed;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (asprintf(&paths.items[i], "%s/%s", a->output ?: ".", items[i].file) < 0) {
                        paths.items[i] = NULL;
                        return -ENOMEM;
                }
                files[i] = (AtomicFile) { paths.items[i], items[i].raw, items[i].size, 0666 };
        }
        r = files_write_atomic(files, n, a->force ? ATOMIC_FILE_REPLACE : 0, &failed);
        if (r == -EEXIST)
                return error_set(reterr, r, "'%s' exists; --force replaces it", files[failed].path);
        if (r < 0)
                return error_set(reterr, r, "cannot write '%s': %s", files[failed].path, strerror(-r));
        for (size_t i = 0; i < n; i++)
                (void) printf("%s\n", files[i].path);
        return 0;
}

static int verify(const Arguments *a, SevChain *chain, Verdict *ret, char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_js_ Json *j = js_object();
        Json *steps = NULL;
        int r;

        r = platform_verify(&a->platform, chain, &report, reterr);
        if (r < 0)
                return r;
        *ret = report.verdict;
        if (!a->common.json) {
                platform_print_report(&report);
                (void) printf("%s%s%s\n", verdict_to_string(report.verdict),
                                report.generation ? ", root: " : "", report.generation ?: "");
                return 0;
        }
        r = platform_report_to_json(&report, &steps);
        if (r < 0 || js_set(j, "steps", steps) < 0 ||
                        js_set(j, "verdict", js_string(verdict_to_string(report.verdict))) < 0 ||
                        js_set(j, "root", js_string(report.generation)) < 0)
                return -ENOMEM;
        return verb_print_json(j, a->common.style);
}

static int work(Arguments *a, char **words, Verdict *ret, char **reterr) {
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        int r;

        if (!chain)
                return -ENOMEM;
        *ret = VERDICT_AUTHENTIC; /* of show and split: done */
        if (strv_length(words) < 2)
                return error_set(reterr, -EINVAL,
                                "expected show, verify or split, and files with certificates");
        r = platform_load_facts(&a->platform, words + 1, chain, reterr);
        if (r < 0) {
                /* what is not a certificate is not authentic, either; a file that cannot be read decides nothing */
                *ret = r == -EBADMSG || r == -EEXIST || r == -EOPNOTSUPP ? VERDICT_NOT_AUTHENTIC
                                                                         : VERDICT_UNVERIFIED;
                return r;
        }
        if (streq(words[0], "show"))
                return show(a, chain);
        if (streq(words[0], "split"))
                return split(a, chain, reterr);
        *ret = VERDICT_UNVERIFIED;
        return verify(a, chain, ret, reterr);
}

static int cert_chain_run(void *arguments, char **words, char **reterr) {
        Verdict verdict = VERDICT_UNVERIFIED;
        int r = work(arguments, words, &verdict, reterr);

        if (r < 0)
                return verdict == VERDICT_NOT_AUTHENTIC
                                ? verb_failed(verdict_exit_status(verdict), r, reterr)
                                : r;
        return verdict_exit_status(verdict);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = cert_chain_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
