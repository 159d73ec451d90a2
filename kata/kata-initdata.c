/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kata-initdata.h"

#include <errno.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "json.h"
#include "kata-toml.h"
#include "strutil.h"

/* A pod's annotations have 256 KiB in all, base64 of gzip. */
#define SIZE_MAX_OF_DOCUMENT (4u * 1024u * 1024u)
#define HOST_DATA_SIZE       32u
#define VERSION              "0.1.0"
static_assert(HOST_DATA_SIZE <= SHA256_SIZE, "each digest is long enough");

static int check_top(const Json *top, HashAlgorithm *ret, char **reterr) {
        const char *version = js_string_value(js_get(top, "version")),
                   *algorithm = js_string_value(js_get(top, "algorithm"));

        for (void *i = js_iter(top); i; i = js_iter_next(top, i))
                if (!streq(js_iter_key(i), "version") && !streq(js_iter_key(i), "algorithm"))
                        return error_set(reterr, -EINVAL,
                                        "'%s' is not a key of initdata: expected version, algorithm and [data]",
                                        js_iter_key(i));
        if (!version || !streq(version, VERSION))
                return error_set(reterr, -EINVAL,
                                "the version of the initdata is '%s': expected version = \"" VERSION "\"",
                                version ?: "");
        *ret = algorithm ? hash_algorithm_from_string(algorithm) : _HASH_ALGORITHM_INVALID;
        return *ret < 0 ? error_set(reterr, -EINVAL,
                                          "the algorithm of the initdata is '%s': expected algorithm = \"sha256\", \"sha384\" or \"sha512\"",
                                          algorithm ?: "")
                        : 0;
}

/* The agent reads texts only, and refuses to start with anything else. */
static int check_data(const Json *all, char **reterr) {
        const Json *data = js_get(all, "data");

        for (void *i = js_iter(all); i; i = js_iter_next(all, i))
                if (*js_iter_key(i) && !streq(js_iter_key(i), "data"))
                        return error_set(reterr, -EINVAL,
                                        "[%s] is not a table of initdata: it has [data] only; put the document in quotes ''' if this is a part of it",
                                        js_iter_key(i));
        if (!data)
                return error_set(reterr, -EINVAL, "the table [data] is missing in the initdata");
        for (void *i = js_iter(data); i; i = js_iter_next(data, i))
                if (!js_string_value(js_iter_value(i)))
                        return error_set(reterr, -EINVAL, "[data] key '%s' is not a string", js_iter_key(i));
        return 0;
}

int kata_initdata_read(const char *text, size_t size, char **ret, char **reterr) {
        _cleanup_js_ Json *all = NULL;
        uint8_t digest[HASH_SIZE_MAX];
        HashAlgorithm algorithm;
        int r = kata_toml_read(text, size, &all, reterr);

        if (r >= 0)
                r = check_top(js_get(all, ""), &algorithm, reterr);
        if (r >= 0)
                r = check_data(all, reterr);
        if (r >= 0)
                r = hash_digest(algorithm, text, size, digest);
        if (r < 0)
                return r;
        *ret = base64_encode(digest, HOST_DATA_SIZE);
        return *ret ? 0 : -ENOMEM;
}

int kata_initdata_file(const char *path, char **ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = input_read("initdata", path, SIZE_MAX_OF_DOCUMENT, &text, &size, reterr);

        if (r < 0)
                return r;
        r = kata_initdata_read(text, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--initdata=%s", path) : 0;
}
