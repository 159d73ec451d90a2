/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "collateral-bundle.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"
#include "td-pcs.h"

int collateral_name_check(const char *name, char **reterr) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");

        if (n == 0 || name[n] || n > COLLATERAL_FILE_NAME_MAX || name[0] == '.' ||
                        (!endswith(name, ".der") && !endswith(name, ".pem") && !endswith(name, ".pcs")))
                return error_set(reterr, -EBADMSG, "'%.*s' is not the name of a file of the cache",
                                (int) MIN(n, (size_t) COLLATERAL_FILE_NAME_MAX), name);
        return 0;
}

int collateral_bundle_new(int64_t now, Json **ret) {
        return js_build(ret, "{s:s, s:I, s:o}", "format", COLLATERAL_BUNDLE_FORMAT, "created", now, "files",
                        js_array());
}

int collateral_bundle_add(Json *bundle, const char *name, const void *p, size_t n) {
        Json *file = NULL;
        int r = js_build(&file, "{s:s, s:o}", "name", name, "data", js_base64(p, n));

        return r < 0 ? r : js_append((Json *) js_get(bundle, "files"), file);
}

typedef struct BundleFile {
        char *name, *data; /* owned */
} BundleFile;

static void bundle_file_done(BundleFile *f) {
        free(f->name);
        free(f->data);
}

static int read_file(const Json *j, CollateralBundleHandler handler, void *userdata, char **reterr) {
        static const JsField fields[] = {
                { "name", JS_FIELD_STRING, offsetof(BundleFile, name), true, NULL },
                { "data", JS_FIELD_STRING, offsetof(BundleFile, data), true, NULL },
        };
        _cleanup_(bundle_file_done) BundleFile f = {};
        _cleanup_free_ uint8_t *p = NULL;
        size_t n = 0;
        int r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &f, reterr);

        if (r == -EINVAL)
                r = -EBADMSG;
        if (r >= 0)
                r = collateral_name_check(f.name, reterr);
        if (r < 0)
                return r;
        r = base64_decode(f.data, strlen(f.data), &p, &n);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || n == 0 || n > TD_PCS_FILE_MAX)
                return error_set(reterr, -EBADMSG, "'%s': expected data in base64, 1 to %u bytes", f.name,
                                TD_PCS_FILE_MAX);
        return handler(userdata, f.name, p, n, reterr);
}

int collateral_bundle_parse(const char *text, size_t size, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        const char *format;
        const Json *files;
        int r = js_parse(text, size, &j, reterr);

        if (r < 0)
                return r;
        format = js_string_value(js_get(j, "format"));
        files = js_get(j, "files");
        if (!format || !streq(format, COLLATERAL_BUNDLE_FORMAT) || !js_is_array(files))
                return error_set(reterr, -EBADMSG,
                                "not a bundle of collateral; expected what 'cvmspawn-collateral export' wrote");
        if (js_length(files) > COLLATERAL_BUNDLE_FILES_MAX)
                return error_set(reterr, -EBADMSG, "the bundle has more than %u files",
                                COLLATERAL_BUNDLE_FILES_MAX);
        *ret = TAKE_PTR(j);
        return 0;
}

int collateral_bundle_each(
                const Json *bundle, CollateralBundleHandler handler, void *userdata, char **reterr) {
        const Json *files = js_get(bundle, "files");
        int r;

        for (size_t i = 0; i < js_length(files); i++) {
                r = read_file(js_at(files, i), handler, userdata, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "file %zu", i + 1);
        }
        return 0;
}
