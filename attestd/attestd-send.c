/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-send.h"

#include <stdio.h>
#include <string.h>

static bool add_headers(struct MHD_Response *m, const Reply *reply) {
        char number[16];

        if (reply->body &&
                        MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE,
                                        reply->status >= 400 ? "application/problem+json"
                                                             : "application/json") != MHD_YES)
                return false;
        if (MHD_add_response_header(m, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") != MHD_YES)
                return false;
        if (reply->closes && MHD_add_response_header(m, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES)
                return false;
        if (reply->allow && MHD_add_response_header(m, MHD_HTTP_HEADER_ALLOW, reply->allow) != MHD_YES)
                return false;
        if (reply->status == 401 &&
                        MHD_add_response_header(m, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer") != MHD_YES)
                return false;
        (void) snprintf(number, sizeof(number), "%u", reply->retry_after);
        return reply->retry_after == 0 ||
                        MHD_add_response_header(m, MHD_HTTP_HEADER_RETRY_AFTER, number) == MHD_YES;
}

enum MHD_Result server_send_reply(struct MHD_Connection *connection, const Reply *reply) {
        _cleanup_free_ char *text = reply->body ? js_text(reply->body, JS_SHORT) : NULL;
        struct MHD_Response *m;
        enum MHD_Result r = MHD_NO;

        if (reply->body && !text)
                return MHD_NO;
        m = MHD_create_response_from_buffer(text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_COPY);
        if (m && add_headers(m, reply))
                r = MHD_queue_response(connection, reply->status, m);
        if (m)
                MHD_destroy_response(m);
        return r;
}

enum MHD_Result server_refuse_size(struct MHD_Connection *connection, size_t max) {
        _cleanup_(reply_done) Reply reply = {};

        if (reply_problem(&reply, 413, "too-large", "Body too large",
                            "the body of this request may be at most %zu bytes", max) < 0)
                return MHD_NO;
        return server_send_reply(connection, &reply);
}

enum MHD_Result server_refuse_upload(struct MHD_Connection *connection) {
        _cleanup_(reply_done) Reply reply = { .retry_after = 5 };

        if (reply_problem(&reply, 503, "unavailable", "Service unavailable",
                            "too many uploads at the moment; try again later") < 0)
                return MHD_NO;
        return server_send_reply(connection, &reply);
}
