/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What strangers send to a relay first, what its two ends say to each other, the file of tunnels, and addresses. What is understood has one spelling, which is
 * understood as the same. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel-hello.h"
#include "tunnel-list.h"
#include "tunnel-message.h"
#include "tunnel-owner.h"

static void hello(const uint8_t *data, size_t size) {
        char name[TUNNEL_NAME_MAX + 1], again[TUNNEL_NAME_MAX + 1];
        int r = tunnel_hello_read(data, size, name);

        assert(r <= 1);
        if (r != 1)
                return;
        assert(strlen(name) <= TUNNEL_NAME_MAX);
        assert(name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == 0);
        /* It was complete before the last byte only if that does not belong to it. */
        r = tunnel_hello_read(data, size - 1, again);
        assert(r == 0 || (r == 1 && strcmp(name, again) == 0));
}

static void message(const char *text) {
        char line[TUNNEL_LINE_MAX], second[TUNNEL_LINE_MAX];
        TunnelMessage m, again;
        size_t n;

        if (tunnel_message_read(text, &m) < 0)
                return;
        tunnel_message_write(&m, line);
        n = strlen(line);
        assert(n > 1 && line[n - 1] == '\n');
        line[n - 1] = 0;
        assert(tunnel_message_read(line, &again) == 0);
        tunnel_message_write(&again, second);
        assert(strlen(second) == n && memcmp(second, line, n - 1) == 0);
}

static void addresses(const char *text) {
        TunnelAddress a;
        TunnelUrl u;

        if (tunnel_url_parse(text, &u, NULL) == 0)
                assert(u.host[0] && u.port[0] && tunnel_id_check(u.id) == 0);
        if (tunnel_address_parse(text, &a) == 0)
                assert(a.size > 0 && a.size <= sizeof(a.address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(tunnel_list_done) TunnelList list = {};
        _cleanup_free_ char *text = NULL, *error = NULL;
        uint8_t token[TUNNEL_TOKEN_SIZE];
        char line[TUNNEL_DATA_SIZE + 1];

        hello(data, size);
        if (tunnel_data_read(data, size, token) == 0) {
                tunnel_data_write(token, line);
                assert(strlen(line) == size);
        }
        text = malloc(size + 1);
        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;
        message(text);
        addresses(text);
        if (tunnel_list_read(text, size, &list, &error) < 0)
                assert(!list.entries);
        else
                assert(list.n <= TUNNEL_LIST_MAX &&
                                (list.n == 0 ||
                                                tunnel_list_find(&list, list.entries[0].id) ==
                                                                list.entries));
        return 0;
}
