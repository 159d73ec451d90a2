/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients of the mirror ask for, and bundles. An address that is understood has one spelling, which is understood as the same. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collateral-bundle.h"
#include "collateral-request.h"
#include "collateral-signed.h"

/* Ed25519; made for this file, and its private part was not kept. */
#define PUBLIC_KEY                                                                                          \
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA/9T3uWLrQJAEzqEiZfNTV5dc49cew6hENOiNGGyQzlg=\n-----END PUBLIC KEY-----\n"

static void ask(const uint8_t *data, size_t size) {
        _cleanup_(collateral_request_done) CollateralRequest q = {}, again = {};
        _cleanup_free_ char *target = strndup((const char *) data, size), *error = NULL;

        if (!target)
                return;
        if (collateral_request_parse(target, &q, &error) < 0) {
                assert(!q.name && !q.path);
                return;
        }
        assert(strlen(q.path) <= COLLATERAL_TARGET_MAX && collateral_name_check(q.name, NULL) == 0);
        assert(collateral_request_parse(q.path, &again, NULL) == 0);
        assert(strcmp(again.name, q.name) == 0 && strcmp(again.path, q.path) == 0);
}

static int on_file(void *userdata, const char *name, const void *p, size_t n, _unused_ char **reterr) {
        Json *bundle = userdata;

        assert(p && n > 0 && !strchr(name, '/') && name[0] != '.');
        return collateral_bundle_add(bundle, name, p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const DsseKey key = { "key", PUBLIC_KEY, sizeof(PUBLIC_KEY) - 1 };
        _cleanup_js_ Json *parsed = NULL, *again = NULL, *bundle = NULL, *second = NULL;
        _cleanup_free_ char *text = NULL, *error = NULL;
        int64_t created = -1;

        ask(data, size);
        if (collateral_bundle_new(0, &bundle) < 0 || collateral_bundle_new(0, &second) < 0)
                return 0;
        if (collateral_bundle_parse((const char *) data, size, &parsed, &error) < 0) {
                assert(error && !parsed);
                return 0;
        }
        /* Nobody signs by chance; a list that is already there is read all the same. */
        assert(collateral_bundle_verify(parsed, &key, 1, &created, NULL) < 0);
        if (collateral_bundle_verify(parsed, NULL, 0, &created, NULL) == 0)
                assert(created >= 0);
        if (collateral_bundle_each(parsed, on_file, bundle, &error) < 0) {
                assert(error);
                return 0;
        }
        text = js_text(bundle, JS_SHORT);
        assert(!text ||
                        (collateral_bundle_parse(text, strlen(text), &again, NULL) == 0 &&
                                        collateral_bundle_each(again, on_file, second, NULL) == 0));
        return 0;
}
