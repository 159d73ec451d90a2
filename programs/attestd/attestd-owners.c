/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guest owners: each is known by the hash of a token or of a certificate. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "attestd.h"
#include "crypto-pem.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define TOKEN_BYTES   32u
#define CERT_SIZE_MAX (64u * 1024)

static int add(AttestdWorld *w, const char *name, const uint8_t hash[static STORE_TOKEN_HASH_SIZE],
                char **reterr) {
        int r = w->store->ops->owner_add(w->store, name, hash);

        return r < 0 ? error_set(reterr, r, "cannot add the owner '%s': %s", name,
                                       r == -EEXIST ? "an owner with this name, token or certificate exists"
                                                    : strerror(-r))
                     : 0;
}

int attestd_add_owner(AttestdWorld *w, const char *name, const char *token_file, char **reterr) {
        uint8_t raw[TOKEN_BYTES], hash[STORE_TOKEN_HASH_SIZE];
        char *token = NULL;
        int r = crypto_random(NULL, raw, sizeof(raw));

        if (r < 0)
                return r;
        token = hex_encode(raw, sizeof(raw));
        erase_memory(raw, sizeof(raw));
        if (!token)
                return -ENOMEM;
        r = service_token_hash(token, strlen(token), hash);
        if (r >= 0) {
                r = file_write_atomic(token_file, token, strlen(token), 0600, ATOMIC_FILE_EXACT_MODE);
                if (r < 0)
                        (void) error_set(reterr, r, "cannot write the token to '%s': %s", token_file,
                                        strerror(-r));
        }
        erase_string_free(token);
        if (r < 0)
                return r;
        r = add(w, name, hash, reterr);
        if (r < 0)
                (void) remove(token_file);
        return r;
}

/* The first certificate of the file; those that signed it follow. */
int attestd_add_owner_certificate(AttestdWorld *w, const char *name, const char *file, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ uint8_t *der = NULL;
        uint8_t hash[STORE_TOKEN_HASH_SIZE];
        size_t size, label_size, der_size, pos = 0;
        const char *label;
        int r = file_read_all(file, CERT_SIZE_MAX, &text, &size);

        if (r < 0)
                return error_set(reterr, r, "--owner-cert: cannot read '%s': %s", file, strerror(-r));
        while ((r = pem_next(text, size, &pos, &label, &label_size, &der, &der_size)) > 0) {
                if (label_size == strlen("CERTIFICATE") && memcmp(label, "CERTIFICATE", label_size) == 0)
                        break;
                erase_memory(der, der_size); /* a key, perhaps */
                free(TAKE_PTR(der));
        }
        erase_memory(text, size);
        if (r <= 0)
                return error_set(reterr, r < 0 ? r : -EINVAL,
                                "--owner-cert: '%s' does not contain a certificate (expected PEM)", file);
        r = service_token_hash((const char *) der, der_size, hash);
        return r < 0 ? r : add(w, name, hash, reterr);
}

/* The owner "dev" with its token in the state directory, created once. If the first start was interrupted, the file exists without the
 * owner. */
int attestd_add_dev_owner(AttestdWorld *w, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf token = {};
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint8_t hash[STORE_TOKEN_HASH_SIZE];
        int64_t owner;
        int r = 0;

        if (asprintf(&path, "%s/token", w->state) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = fd_open(path, O_RDONLY, 0);
        if (fd == -ENOENT)
                return attestd_add_owner(w, "dev", path, reterr);
        r = fd < 0 ? fd : secret_buf_read_fd(&token, fd, 2 * TOKEN_BYTES);
        if (r >= 0)
                r = service_token_hash((const char *) token.data, token.size, hash);
        if (r >= 0) {
                r = w->store->ops->owner_find(w->store, hash, &owner);
                if (r == -ENOENT)
                        r = w->store->ops->owner_add(w->store, "dev", hash);
        }
        return r < 0 ? error_set(reterr, r, "the token in '%s' is not usable: %s", path, strerror(-r)) : 0;
}
