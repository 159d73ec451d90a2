/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "container-image.h"
#include "error.h"

int container_choose(ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr) {
        _cleanup_container_stream_ ContainerStream *stream = NULL;
        int r = container_stream_open(s, "index.json", &stream, reterr);

        if (r >= 0)
                return container_choose_oci(s, wanted, ret, reterr);
        if (r != -ENOENT)
                return r;
        r = container_stream_open(s, "manifest.json", &stream, reterr);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "neither 'index.json' nor 'manifest.json' is in it: expected an OCI image layout, a tar archive of one, or what 'docker save' writes");
        return r < 0 ? r : container_choose_docker(s, wanted, ret, reterr);
}
