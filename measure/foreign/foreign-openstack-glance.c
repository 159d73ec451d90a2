/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What Glance stores, by its own answers for the images of kernel and initrd: size and os_hash_value, the digest of the stored bytes. Files that
 * differ are not those that Nova gives to the guest. */

#include <errno.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "foreign-openstack-reader.h"
#include "strutil.h"

/* Glance answers with it at the top; 'openstack image show' puts it among the properties. */
static const char *stored_text(const Json *answer, const char *name) {
        const char *text = js_string_value(js_get(answer, name));

        return text ? text : js_string_value(js_get(js_get(answer, "properties"), name));
}

static int compare(const Json *answer, const char *option, const char *path, char **reterr) {
        const char *name = stored_text(answer, "os_hash_algo"),
                   *expected = stored_text(answer, "os_hash_value");
        HashAlgorithm algorithm = name ? hash_algorithm_from_string(name) : _HASH_ALGORITHM_INVALID;
        uint8_t found[HASH_SIZE_MAX], wanted[HASH_SIZE_MAX];
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, stored;
        int r;

        if (algorithm < 0 || !expected || hex_decode_exact(expected, wanted, hash_size(algorithm)) < 0)
                return error_set(reterr, -EINVAL,
                                "it has no os_hash_algo and os_hash_value of SHA-256, SHA-384 or SHA-512");
        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        if (js_u64_value(js_get(answer, "size"), &stored) >= 0 && stored != size)
                return error_set(reterr, -EBADMSG,
                                "--%s='%s' has %llu bytes, and Glance stores %llu: get it again with 'openstack image save'",
                                option, path, (unsigned long long) size, (unsigned long long) stored);
        r = hash_file_range(algorithm, fd, 0, size, found);
        if (r < 0)
                return error_set(reterr, r, "cannot hash '%s': %s", path, strerror(-r));
        if (memcmp(found, wanted, hash_size(algorithm)) != 0)
                return error_set(reterr, -EBADMSG,
                                "--%s='%s' is not what Glance stores: its %s is not os_hash_value; get it again with 'openstack image save'",
                                option, path, name);
        return 0;
}

int openstack_compare_stored(OpenstackReader *q, const char *option, const char *id, const char *path) {
        for (size_t i = 0; i < js_length(q->in->stored); i++) {
                const Json *answer = js_at(q->in->stored, i);
                const char *its = js_string_value(js_get(answer, "id"));
                int r;

                if (!its || !streq(its, id))
                        continue;
                if (!path)
                        return error_set(q->reterr, -EINVAL,
                                        "--glance: only a file can be compared: pass --%s=FILE", option);
                q->stored_used++;
                r = compare(answer, option, path, q->reterr);
                return r < 0 ? error_prefix(q->reterr, r, "--glance: image %s", id) : 0;
        }
        return 0;
}

int openstack_check_stored(OpenstackReader *q) {
        size_t n = js_length(q->in->stored);

        return q->stored_used == n
                        ? 0
                        : error_set(q->reterr, -EINVAL,
                                          "--glance: %zu of %zu answers are of neither kernel_id nor ramdisk_id of the image, or of one of them twice",
                                          n - q->stored_used, n);
}
