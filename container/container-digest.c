/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

int container_digest_parse(const char *s, ContainerDigest *ret) {
        static const HashAlgorithm algorithms[] = { HASH_SHA256, HASH_SHA512 };
        ContainerDigest d = { .known = true };

        FOREACH_ARRAY(a, algorithms, ELEMENTSOF(algorithms)) {
                const char *hex = s ? startswith(s, hash_algorithm_to_string(*a)) : NULL;

                if (!hex || *hex++ != ':')
                        continue;
                if (strlen(hex) != 2 * hash_size(*a) || strspn(hex, "0123456789abcdef") != strlen(hex))
                        return -EINVAL;
                d.algorithm = *a;
                if (hex_decode_exact(hex, d.bytes, hash_size(*a)) < 0)
                        return -EINVAL;
                *ret = d;
                return 0;
        }
        return -EINVAL;
}

static char *text(const ContainerDigest *d, const char *before, char separator) {
        _cleanup_free_ char *hex = hex_encode(d->bytes, hash_size(d->algorithm));
        char *s;

        if (!hex ||
                        asprintf(&s, "%s%s%c%s", before, hash_algorithm_to_string(d->algorithm), separator,
                                        hex) < 0)
                return NULL;
        return s;
}

char *container_digest_text(const ContainerDigest *d) {
        return text(d, "", ':');
}

char *container_digest_place(const ContainerDigest *d) {
        return text(d, "blobs/", '/');
}

const char *container_digest_wanted(const char *wanted) {
        static const char *const beginnings[] = { "sha256:", "sha512:" };
        const char *at = strrchr(wanted, '@'), *text = at ? at + 1 : wanted;

        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++) {
                const char *hex = startswith(text, beginnings[i]);

                if (hex && strlen(hex) >= CONTAINER_DIGEST_SHORT &&
                                strspn(hex, "0123456789abcdef") == strlen(hex))
                        return text;
        }
        return NULL;
}

bool container_digest_matches(const ContainerDigest *d, const char *wanted) {
        _cleanup_free_ char *whole = d->known ? container_digest_text(d) : NULL;
        const char *text = container_digest_wanted(wanted);

        return whole && text && startswith(whole, text);
}

int container_digest_compare(
                const ContainerDigest *d, const uint8_t *found, const char *what, char **reterr) {
        ContainerDigest other = *d;
        _cleanup_free_ char *wanted = NULL, *is = NULL;

        if (memcmp(d->bytes, found, hash_size(d->algorithm)) == 0)
                return 0;
        memcpy(other.bytes, found, hash_size(d->algorithm));
        wanted = container_digest_text(d);
        is = container_digest_text(&other);
        return error_set(reterr, -EBADMSG, "%s is not what the image names: its digest is %s, expected %s",
                        what, is ?: "another one", wanted ?: "this one");
}

int container_digest_check(
                const ContainerDigest *d, const void *p, size_t n, const char *what, char **reterr) {
        uint8_t found[HASH_SIZE_MAX];
        int r = hash_digest(d->algorithm, p, n, found);

        return r < 0 ? r : container_digest_compare(d, found, what, reterr);
}
