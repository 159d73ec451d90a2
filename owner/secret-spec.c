/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret-spec.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "secret-file.h"

int secret_spec_add(SecretTable *t, const char *spec, char **reterr) {
        const char *colon = strchr(spec, ':');
        _cleanup_(secret_buf_done) SecretBuf value = {};
        _cleanup_free_ char *name = NULL;
        Guid guid;
        int r;

        if (!colon)
                return error_set(reterr, -EINVAL, "--inject-secret: expected ALIAS-OR-GUID:FILE, not '%s'",
                                spec);
        name = strndup(spec, (size_t) (colon - spec));
        if (!name)
                return -ENOMEM;
        if (guid_parse(name, &guid) < 0 && secret_guid_from_alias(name, &guid) < 0)
                return error_set(reterr, -EINVAL,
                                "--inject-secret: '%s' is neither a GUID nor a known alias (luks-key)",
                                name);
        r = secret_buf_read_path(&value, colon + 1, SECRET_PACKET_SIZE_MAX);
        if (r == -E2BIG)
                return error_set(reterr, r,
                                "--inject-secret: '%s' is larger than the %u bytes that a launch can take",
                                colon + 1, SECRET_PACKET_SIZE_MAX);
        if (r < 0)
                return error_set(
                                reterr, r, "--inject-secret: cannot read '%s': %s", colon + 1, strerror(-r));
        r = secret_table_add(t, &guid, &value);
        return r == -EEXIST ? error_set(reterr, r, "--inject-secret: duplicate secret '%s'", name) : r;
}
