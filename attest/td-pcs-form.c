/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-pem.h"
#include "error.h"
#include "strutil.h"
#include "td-pcs.h"

#define CHAIN_BLOCKS 2u
#define CERTIFICATE  "CERTIFICATE"

void td_pcs_form_done(TdPcsForm *f) {
        certificate_free(f->issuer);
        certificate_free(f->root);
        *f = (TdPcsForm) {};
}

/* The certificate in the next block of a PEM text: -EBADMSG if it is not one. */
static int next_certificate(const char *text, size_t size, size_t *pos, Certificate **ret, char **reterr) {
        _cleanup_free_ uint8_t *der = NULL;
        size_t label_size, n;
        const char *label;
        int r = pem_next(text, size, pos, &label, &label_size, &der, &n);

        if (r == -ENOMEM)
                return r;
        if (r <= 0 || label_size != strlen(CERTIFICATE) || memcmp(label, CERTIFICATE, label_size) != 0)
                return error_set(reterr, -EBADMSG, "expected two certificates in PEM");
        return certificate_new_profile(X509_ECDSA_P256, der, n, ret, reterr);
}

/* Is it, from `pos` on, the one form in which this certificate is written here? Then *pos is moved behind it. */
static int is_canonical(const Certificate *c, const char *text, size_t size, size_t *pos) {
        _cleanup_free_ char *again = pem_encode(CERTIFICATE, c->der, c->size);
        size_t n = again ? strlen(again) : 0;

        if (!again)
                return -ENOMEM;
        if (n > size - *pos || memcmp(again, text + *pos, n) != 0)
                return -EBADMSG;
        *pos += n;
        return 0;
}

int td_pcs_form_read(TdPcsKind kind, const void *p, size_t n, TdPcsForm *ret) {
        _cleanup_(td_pcs_form_done) TdPcsForm f = { .chain = p };
        Certificate **const places[CHAIN_BLOCKS] = { &f.issuer, &f.root };
        size_t pos = 0, after = 0;

        for (size_t i = 0; td_pcs_header(kind) && i < CHAIN_BLOCKS; i++) {
                int r = next_certificate(p, n, &pos, places[i], NULL);

                if (r >= 0)
                        r = is_canonical(*places[i], p, n, &after);
                if (r < 0)
                        return r;
                pos = after;
        }
        f.chain_size = after;
        f.body = (const char *) p + after;
        f.body_size = n - after;
        *ret = TAKE_STRUCT(f, (TdPcsForm) {});
        return 0;
}

/* RFC 3986: printable characters, and bytes as % and two digits. A '+' is itself. */
static int percent_decode(const char *s, char **ret, char **reterr) {
        _cleanup_free_ char *text = malloc(strlen(s) + 1);
        size_t n = 0;

        if (!text)
                return -ENOMEM;
        for (; *s; s++) {
                unsigned char c = (unsigned char) *s;

                if (c == '%' && isxdigit((unsigned char) s[1]) && isxdigit((unsigned char) s[2])) {
                        const char digits[] = { s[1], s[2], 0 };

                        c = (unsigned char) strtoul(digits, NULL, 16);
                        s += 2;
                } else if (c == '%' || !isprint(c))
                        c = 0;
                if (c == 0)
                        return error_set(reterr, -EBADMSG, "not percent-encoded text");
                text[n++] = (char) c;
        }
        text[n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

/* Only blanks follow. */
static bool is_end(const char *text) {
        return text[strspn(text, " \t\r\n")] == 0;
}

int td_pcs_chain_read(const char *header, char **ret, char **reterr) {
        _cleanup_certificate_ Certificate *a = NULL, *b = NULL;
        _cleanup_free_ char *text = NULL, *issuer = NULL, *root = NULL;
        size_t pos = 0;
        bool root_first;
        int r = percent_decode(header, &text, reterr);

        if (r >= 0)
                r = next_certificate(text, strlen(text), &pos, &a, reterr);
        if (r >= 0)
                r = next_certificate(text, strlen(text), &pos, &b, reterr);
        if (r < 0)
                return r;
        if (!is_end(text + pos))
                return error_set(reterr, -EBADMSG, "expected two certificates in PEM, and nothing more");
        /* The one that names itself as issuer is the root. */
        root_first = streq(a->common_name, a->issuer_common_name);
        issuer = pem_encode(CERTIFICATE, root_first ? b->der : a->der, root_first ? b->size : a->size);
        root = pem_encode(CERTIFICATE, root_first ? a->der : b->der, root_first ? a->size : b->size);
        if (!issuer || !root)
                return -ENOMEM;
        return asprintf(ret, "%s%s", issuer, root) < 0 ? -ENOMEM : 0;
}

char *td_pcs_chain_encode(const char *chain, size_t n) {
        _cleanup_(text_done) Text t = {};
        char *s = NULL;

        for (size_t i = 0; i < n; i++)
                if (isalnum((unsigned char) chain[i]) || (chain[i] && strchr("-._~", chain[i])))
                        text_put_n(&t, chain + i, 1);
                else
                        text_putf(&t, "%%%02X", (unsigned char) chain[i]);
        return text_finish(&t, &s) < 0 ? NULL : s;
}

int td_pcs_form_write(TdPcsKind kind, const TdPcsAnswer *a, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *chain = NULL;
        size_t chain_size = 0;
        char *p;
        int r;

        if (td_pcs_header(kind)) {
                if (!a->header)
                        return error_set(reterr, -EBADMSG, "the answer lacks the header %s",
                                        td_pcs_header(kind));
                r = td_pcs_chain_read(a->header, &chain, reterr);
                if (r < 0)
                        return r == -ENOMEM ? r : error_prefix(reterr, r, "header %s", td_pcs_header(kind));
                chain_size = strlen(chain);
        }
        p = malloc(chain_size + a->size + 1);
        if (!p)
                return -ENOMEM;
        if (chain_size > 0)
                memcpy(p, chain, chain_size);
        if (a->size > 0)
                memcpy(p + chain_size, a->body, a->size);
        p[chain_size + a->size] = 0;
        *ret = p;
        *ret_size = chain_size + a->size;
        return 0;
}
