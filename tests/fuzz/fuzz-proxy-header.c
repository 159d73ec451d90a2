/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a proxy sends before a connection's bytes, read as they come; and the same bytes as the list of proxies. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *error = NULL;
        struct sockaddr_storage a;
        ProxySources s;
        socklen_t n;
        size_t have = 0;
        int wanted, r;

        assert(text);
        while ((wanted = proxy_header_wanted(data, have)) > 0 && have + (size_t) wanted <= size)
                have += (size_t) wanted;
        assert(have <= PROXY_HEADER_MAX);
        r = proxy_header_read(data, have, &a, &n);
        assert(wanted == 0 || r == -EBADMSG);
        assert(r == 0 || n == 0);
        assert(n == 0 || a.ss_family == AF_INET || a.ss_family == AF_INET6);
        r = proxy_sources_parse(text, &s, &error);
        assert(r == 0 || error);
        if (r == 0 && n > 0)
                (void) proxy_sources_have(&s, &a);
        return 0;
}
