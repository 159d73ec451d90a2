/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report-ear.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-jws.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "secret.h"
#include "strutil.h"

#define KEY_FILE_MAX 65536u
#define MEDIA_TYPE   "eat+jwt" /* RFC 9782 */

void report_ear_done(ReportEar *e) {
        (void) js_unref(e->submods);
        free(e->evidence);
        *e = (ReportEar) {};
}

/* The bundle by which the report was judged. */
static int policies_of(const ReportMatch *match, Json **ret) {
        _cleanup_free_ char *hex = NULL, *name = NULL;
        _cleanup_js_ Json *list = NULL;
        int r;

        *ret = NULL;
        if (!match || !match->bundle)
                return 0;
        hex = hex_encode(match->bundle->file.sha256, SHA256_SIZE);
        if (!hex)
                return -ENOMEM;
        if (asprintf(&name, "sha256:%s", hex) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        list = js_array();
        r = list ? js_append(list, js_string(name)) : -ENOMEM;
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

int report_ear_add(ReportEar *e, const char *name, const SnpEarVector *vector, const ReportMatch *match) {
        const char *status = snp_ear_status(vector);
        Json *policies, *appraisal = NULL;
        int r = policies_of(match, &policies);

        if (r < 0)
                return r;
        if (!e->submods)
                e->submods = js_object();
        if (!e->submods) {
                (void) js_unref(policies);
                return -ENOMEM;
        }
        e->status = e->status ? snp_ear_worse(e->status, status) : status;
        r = snp_ear_appraisal(vector, policies, &appraisal);
        return r < 0 ? r : js_set(e->submods, name, appraisal);
}

int report_ear_evidence(ReportEar *e, const ReportFile *f) {
        free(e->evidence);
        e->evidence = jws_base64url(f->evidence.report, f->evidence.report_size);
        return e->evidence ? 0 : -ENOMEM;
}

static int sign(const char *path, const char *text, char **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf pem = {};
        _cleanup_sign_key_ SignKey *key = NULL;
        int r = input_read_secret("sign-key", path, KEY_FILE_MAX, &pem, reterr);

        if (r < 0)
                return r;
        r = sign_key_load(pem.data, pem.size, &key, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--sign-key: '%s'", path);
        return jws_sign(key, MEDIA_TYPE, text, strlen(text), ret);
}

int report_ear_print(const ReportArguments *a, ReportEar *e, char **reterr) {
        _cleanup_free_ char *text = NULL, *token = NULL;
        _cleanup_js_ Json *claims = NULL;
        int64_t now;
        int r = report_time(NULL, &now, reterr);

        if (r >= 0)
                r = snp_ear_claims(TAKE_PTR(e->submods), e->status, e->evidence, now, &claims);
        if (r < 0)
                return r;
        if (!a->sign_key)
                return verb_print_json(claims, JS_SHORT);
        text = js_text(claims, JS_SHORT);
        if (!text)
                return -ENOMEM;
        r = sign(a->sign_key, text, &token, reterr);
        return r < 0 ? r : puts(token) < 0 ? -EIO : 0;
}
