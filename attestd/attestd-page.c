/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-page.h"

#include <stddef.h>

#include "attestd-send.h"
#include "macro.h"
#include "strutil.h"

static const unsigned char index_html[] = {
#include "index.html.inc"
};
static const unsigned char page_js[] = {
#include "page.js.inc"
};
static const unsigned char style_css[] = {
#include "style.css.inc"
};

/* To itself, for who forgot the slash: the names in the page are relative, so that a prefix does not matter. */
#define WITHOUT_SLASH "/ui"

static const struct {
        const char *path, *type;
        const unsigned char *data;
        size_t size;
} pages[] = {
        { "/ui/", "text/html; charset=utf-8", index_html, sizeof(index_html) },
        { "/ui/page.js", "text/javascript; charset=utf-8", page_js, sizeof(page_js) },
        { "/ui/style.css", "text/css; charset=utf-8", style_css, sizeof(style_css) },
        { WITHOUT_SLASH, "text/plain", index_html, 0 },
};

/* Scripts, styles and answers of this service only, nothing in-line, in no frame; the browser refuses markup made by a script. */
static const char *const headers[][2] = {
        { "Content-Security-Policy",
                        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'" },
        { "X-Content-Type-Options", "nosniff" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { "Cache-Control", "no-store" },
};

/* ELEMENTSOF(pages): it is none. */
static size_t find(const char *path) {
        size_t i = 0;

        while (i < ELEMENTSOF(pages) && !streq(pages[i].path, path))
                i++;
        return i;
}

bool page_has(const char *path) {
        return find(path) < ELEMENTSOF(pages);
}

static enum MHD_Result refuse(struct MHD_Connection *connection) {
        _cleanup_(reply_done) Reply reply = { .allow = "GET" };

        if (reply_problem(&reply, 405, "method-not-allowed", "Method not allowed",
                            "this path does not support the method; the Allow header names one that it does") <
                        0)
                return MHD_NO;
        return server_send_reply(connection, &reply);
}

enum MHD_Result page_send(struct MHD_Connection *connection, const char *method, const char *path) {
        size_t i = find(path);
        bool moved = streq(path, WITHOUT_SLASH);
        struct MHD_Response *m;
        enum MHD_Result r;

        if (i == ELEMENTSOF(pages))
                return MHD_NO;
        if (!streq(method, "GET") && !streq(method, "HEAD"))
                return refuse(connection);
        m = MHD_create_response_from_buffer(pages[i].size, (void *) pages[i].data, MHD_RESPMEM_PERSISTENT);
        r = m ? MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, pages[i].type) : MHD_NO;
        FOREACH_ARRAY(h, headers, ELEMENTSOF(headers))
                if (r == MHD_YES)
                        r = MHD_add_response_header(m, (*h)[0], (*h)[1]);
        if (r == MHD_YES && moved)
                r = MHD_add_response_header(m, MHD_HTTP_HEADER_LOCATION, "ui/");
        if (r == MHD_YES)
                r = MHD_queue_response(connection, moved ? 308 : 200, m);
        if (m)
                MHD_destroy_response(m);
        return r;
}
