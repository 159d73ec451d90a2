/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-rsa.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "platform-fetch.h"
#include "strutil.h"

#define CERT_FILE_SIZE_MAX (64u * 1024) /* a full chain as base64 has 16 KiB */

static int read_file(const char *path, char **ret, size_t *ret_size, char **reterr) {
        int r = file_read_all(path, CERT_FILE_SIZE_MAX, ret, ret_size);

        return r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r)) : 0;
}

int platform_add_fact(const PlatformArgs *a, SevChain *chain, char **cek_id, const char *name,
                const char *value, size_t n, char **reterr) {
        int r;

        if (streq(name, "pdh") || streq(name, "cert-chain")) {
                r = sev_chain_add(chain, value, n, a->unsigned_naples, reterr);
                return r < 0 ? error_prefix(reterr, r, "%s", name) : 0;
        }
        if (streq(name, "cpu0-id") && cek_id && !*cek_id) {
                *cek_id = strndup(value, n);
                return *cek_id ? 0 : -ENOMEM;
        }
        return 0;
}

/* `virsh nodesevinfo`: a line a fact, "NAME : VALUE". 0: it is none of that. */
static int add_lines(
                const PlatformArgs *a, SevChain *chain, char **cek_id, const char *data, char **reterr) {
        _cleanup_strv_free_ char **lines = NULL;
        int r, found = 0;

        r = strv_split(data, '\n', &lines);
        STRV_FOREACH(l, lines) {
                const char *colon = strchr(*l, ':'), *value;

                if (r < 0)
                        return r;
                if (!colon)
                        continue;
                value = colon + 1 + strspn(colon + 1, " \t");
                (*l)[strcspn(*l, " \t:")] = 0;
                found |= streq(*l, "pdh");
                r = platform_add_fact(a, chain, cek_id, *l, value, strcspn(value, " \t\r"), reterr);
        }
        return r < 0 ? r : found;
}

/* QMP's answer to query-sev-capabilities, with or without its "return". 0: it is none of that. */
static int add_json(const PlatformArgs *a, SevChain *chain, char **cek_id, const char *data, size_t size,
                char **reterr) {
        static const char *const names[] = { "pdh", "cert-chain", "cpu0-id" };
        _cleanup_js_ Json *j = NULL;
        const Json *facts;

        if (js_parse(data, size, &j, NULL) < 0)
                return 0;
        facts = js_get(j, "return") ?: j;
        if (!js_string_value(js_get(facts, "pdh")))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const Json *value = js_get(facts, names[i]);
                int r = 0;

                if (js_string_value(value))
                        r = platform_add_fact(a, chain, cek_id, names[i], js_string_value(value),
                                        js_string_length(value), reterr);
                if (r < 0)
                        return r;
        }
        return 1;
}

static int add_file(const PlatformArgs *a, SevChain *chain, char **cek_id, const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_file(path, &data, &size, reterr);
        if (r < 0)
                return r;
        /* Certificates begin with their version, a small number; as base64 they hold no colon. */
        r = data[0] == '{' ? add_json(a, chain, cek_id, data, size, reterr)
                        : strchr(data, ':') && (unsigned char) data[0] >= ' '
                        ? add_lines(a, chain, cek_id, data, reterr)
                        : 0;
        if (r == 0)
                r = sev_chain_add(chain, data, size, a->unsigned_naples, reterr);
        return r < 0 ? error_prefix(reterr, r, "'%s'", path) : 0;
}

static int load_files(
                const PlatformArgs *a, char *const *files, char **cek_id, SevChain *ret, char **reterr) {
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));

        if (!chain)
                return -ENOMEM;
        char *const *const lists[] = { files, a->certs };
        FOREACH_ARRAY(l, lists, ELEMENTSOF(lists))
                STRV_FOREACH(path, *l) {
                        int r = add_file(a, chain, cek_id, *path, reterr);

                        if (r < 0)
                                return r;
                }
        *ret = *chain;
        return 0;
}

int platform_load(const PlatformArgs *a, char *const *files, SevChain *ret, char **reterr) {
        return load_files(a, files, NULL, ret, reterr);
}

int platform_load_facts(PlatformArgs *a, char *const *files, SevChain *ret, char **reterr) {
        return load_files(a, files, &a->cek_id, ret, reterr);
}

int platform_load_root(const char *path, TrustAnchor *ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        _cleanup_rsa_key_ RsaKey *key = NULL;
        _cleanup_free_ AmdCert *c = calloc(1, sizeof(AmdCert));
        size_t size, used;
        int r;

        if (!c)
                return -ENOMEM;
        r = read_file(path, &data, &size, reterr);
        if (r < 0)
                return r;
        r = amd_cert_parse(data, size, /* allow_unsigned= */ false, c, &used, reterr);
        if (r >= 0)
                r = rsa_key_new(c->modulus, c->number_size, c->exponent, c->number_size, &key);
        *ret = (TrustAnchor) { .generation = "not AMD's" };
        if (r >= 0)
                r = rsa_key_fingerprint(key, ret->fingerprint);
        if (r < 0) {
                (void) error_set(reterr, r, "not a usable root");
                return error_prefix(reterr, r, "--insecure-root='%s'", path);
        }
        return 0;
}

/* --oca=: 64 digits, or a file with the certificate. */
static int load_oca(const char *text, uint8_t ret[static SHA256_SIZE], char **reterr) {
        _cleanup_free_ SevChain *c = NULL;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        if (hex_decode_exact(text, ret, SHA256_SIZE) >= 0)
                return 0;
        c = calloc(1, sizeof(SevChain));
        if (!c)
                return -ENOMEM;
        r = read_file(text, &data, &size, reterr);
        if (r >= 0)
                r = sev_chain_add(c, data, size, false, reterr);
        if (r >= 0 && !c->has_oca)
                r = error_set(reterr, -EBADMSG, "'%s' contains no OCA certificate", text);
        if (r < 0)
                return error_prefix(reterr, r, "--oca");
        return hash_digest(HASH_SHA256, c->oca.raw, SEV_CERT_SIZE, ret);
}

int platform_check_files(const PlatformArgs *a, char **reterr) {
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        uint8_t oca[SHA256_SIZE];
        TrustAnchor root;
        int r = chain ? platform_load(a, (char *const[]) { NULL }, chain, reterr) : -ENOMEM;

        if (r >= 0 && a->insecure_root)
                r = platform_load_root(a->insecure_root, &root, reterr);
        return r < 0 || !a->oca ? r : load_oca(a->oca, oca, reterr);
}

int platform_verify(const PlatformArgs *a, SevChain *chain, SevChainReport *ret, char **reterr) {
        uint8_t oca[SHA256_SIZE];
        TrustAnchor root;
        TrustAnchors own = { &root, 1 };
        SevChainPolicy policy = { .anchors = trust_anchors_amd(),
                .accept_unsigned_ark = a->unsigned_naples };
        int r;

        if (a->insecure_root) {
                r = platform_load_root(a->insecure_root, &root, reterr);
                if (r < 0)
                        return r;
                policy.anchors = &own;
        }
        if (a->oca) {
                r = load_oca(a->oca, oca, reterr);
                if (r < 0)
                        return r;
                policy.oca_fingerprint = oca;
        }
        r = sev_chain_verify(chain, &policy, ret);
        if (r < 0)
                return error_set(reterr, r, "the chain could not be verified: %s", strerror(-r));
        if (ret->verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                r = platform_fetch(a, &policy, chain, ret, reterr);
        /* the anchor's name must outlive it */
        if (r >= 0 && ret->generation == root.generation && a->insecure_root)
                ret->generation = "not AMD's";
        return r;
}

void platform_print_report(const SevChainReport *r) {
        FOREACH_ARRAY(s, r->steps, r->n_steps)
                (void) printf("%-22s %s %s%s%s\n", verdict_to_string(s->verdict), s->subject, s->check,
                                s->detail ? ": " : "", s->detail ?: "");
}

int platform_report_to_json(const SevChainReport *r, Json **ret) {
        _cleanup_js_ Json *list = js_array();

        if (!list)
                return -ENOMEM;
        FOREACH_ARRAY(s, r->steps, r->n_steps) {
                _cleanup_js_ Json *j = js_object();

                if (!j || js_set(j, "subject", js_string(s->subject)) < 0 ||
                                js_set(j, "check", js_string(s->check)) < 0 ||
                                js_set(j, "verdict", js_string(verdict_to_string(s->verdict))) < 0 ||
                                js_set(j, "detail", js_string(s->detail)) < 0 ||
                                js_append(list, TAKE_PTR(j)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 0;
}
