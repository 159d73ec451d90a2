/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "http-client.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define CONNECT_TIMEOUT_SECONDS 10L
/* The option before 7.85, which newer headers call deprecated; older libraries know nothing else. */
#define PROTOCOLS_NUMBER ((CURLoption) (CURLOPTTYPE_LONG + 181))
#define CA_FILE_MAX      (1024u * 1024) /* a system's whole trust store has 250 KiB */
#define DER_SEQUENCE     0x30
#define DER_LONG         0x80 /* no certificate has less than 128 bytes */
#define PEM_LINE         64u
#define USER_AGENT       "cvmspawn/" CVMSPAWN_VERSION

/* The OpenSSL flavour first: it shares libcrypto with the rest. */
static const char *const libraries[] = { "libcurl.so.4", "libcurl-gnutls.so.4" };

struct HttpClient {
        void *library; /* never unloaded: TLS libraries do not survive it */
        CURL *easy;    /* owned */
        CURL *(*easy_init)(void);
        CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
        CURLcode (*easy_perform)(CURL *);
        CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
        void (*easy_reset)(CURL *);
        void (*easy_cleanup)(CURL *);
        const char *(*easy_strerror)(CURLcode);
};

/* Where one transfer is written to. */
typedef struct Transfer {
        uint8_t *body;
        size_t size, max;
        const char *name; /* of the header that is wanted, or NULL */
        char *header;     /* its value; the last one, if there are several */
        int error;
} Transfer;

void http_answer_done(HttpAnswer *a) {
        free(a->body);
        free(a->header);
        *a = (HttpAnswer) {};
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;
        if (c->easy)
                c->easy_cleanup(c->easy);
        free(c);
        return NULL;
}

static int load_symbols(HttpClient *c, char **reterr) {
        const struct {
                const char *name;
                void **function;
        } symbols[] = {
                { "curl_easy_init", (void **) &c->easy_init },
                { "curl_easy_setopt", (void **) &c->easy_setopt },
                { "curl_easy_perform", (void **) &c->easy_perform },
                { "curl_easy_getinfo", (void **) &c->easy_getinfo },
                { "curl_easy_reset", (void **) &c->easy_reset },
                { "curl_easy_cleanup", (void **) &c->easy_cleanup },
                { "curl_easy_strerror", (void **) &c->easy_strerror },
        };

        for (size_t i = 0; i < ELEMENTSOF(libraries) && !c->library; i++)
                c->library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (!c->library)
                return error_set(reterr, -EOPNOTSUPP,
                                "network access requires libcurl; install libcurl4, or pass the files and --offline");
        FOREACH_ARRAY(s, symbols, ELEMENTSOF(symbols)) {
                *s->function = dlsym(c->library, s->name);
                if (!*s->function)
                        return error_set(reterr, -EOPNOTSUPP, "this libcurl does not provide %s", s->name);
        }
        return 0;
}

int http_client_new(HttpClient **ret, char **reterr) {
        _cleanup_http_client_ HttpClient *c = calloc(1, sizeof(HttpClient));
        int r;

        if (!c)
                return -ENOMEM;
        r = load_symbols(c, reterr);
        if (r < 0)
                return r;
        c->easy = c->easy_init();
        if (!c->easy)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

static size_t on_data(char *data, size_t one, size_t n, void *userdata) {
        Transfer *t = userdata;
        uint8_t *p;

        (void) one; /* always 1 */
        if (n > t->max - t->size) {
                t->error = -E2BIG;
                return 0;
        }
        p = realloc(t->body, t->size + n + 1);
        if (!p) {
                t->error = -ENOMEM;
                return 0;
        }
        memcpy(p + t->size, data, n);
        t->body = p;
        t->size += n;
        return n;
}

/* One line "Name: value\r\n" at a time. */
static size_t on_header(char *data, size_t one, size_t n, void *userdata) {
        Transfer *t = userdata;
        size_t name = strlen(t->name), begin = name + 1, end = n;

        (void) one; /* always 1 */
        if (n <= name || data[name] != ':' || strncasecmp(data, t->name, name) != 0)
                return n;
        while (begin < end && (data[begin] == ' ' || data[begin] == '\t'))
                begin++;
        while (end > begin && strchr(" \t\r\n", data[end - 1]))
                end--;
        free(TAKE_PTR(t->header));
        if (end - begin <= HTTP_HEADER_MAX && !memchr(data + begin, 0, end - begin))
                t->header = strndup(data + begin, end - begin);
        else
                t->error = -E2BIG;
        if (t->header)
                return n;
        t->error = t->error ?: -ENOMEM;
        return 0;
}

/* "unix:/run/x.sock/path": the socket is the part of it that is one, since nothing can be below a socket. */
static int split_unix(const char *url, char **ret_socket, char **ret_url) {
        const char *path = startswith(url, "unix:");
        struct stat st;

        for (const char *end = path ? strchr(path + 1, '/') : NULL; end; end = strchr(end + 1, '/')) {
                _cleanup_free_ char *socket = strndup(path, (size_t) (end - path));

                if (!socket)
                        return -ENOMEM;
                if (stat(socket, &st) < 0)
                        return -errno;
                if (!S_ISSOCK(st.st_mode))
                        continue;
                if (asprintf(ret_url, "http://localhost%s", end) < 0) {
                        *ret_url = NULL;
                        return -ENOMEM;
                }
                *ret_socket = TAKE_PTR(socket);
                return 1;
        }
        return path ? -ENOTSOCK : 0;
}

static bool set_basics(HttpClient *c, const HttpRequest *q, const char *socket, Transfer *t) {
        bool plain = strncmp(q->url, "http://", 7) == 0;

        c->easy_reset(c->easy);
        if (socket && c->easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, socket) != CURLE_OK)
                return false;
        if (c->easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https") != CURLE_OK &&
                        c->easy_setopt(c->easy, PROTOCOLS_NUMBER,
                                        plain ? (long) CURLPROTO_HTTP : (long) CURLPROTO_HTTPS) != CURLE_OK)
                return false;
        return c->easy_setopt(c->easy, CURLOPT_URL, q->url) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_SECONDS) ==
                        CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_TIMEOUT, (long) q->timeout_seconds) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_USERAGENT, USER_AGENT) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
                        c->easy_setopt(c->easy, CURLOPT_WRITEDATA, t) == CURLE_OK;
}

/* Libcurl reads PEM; certificates in DER, which begins with a SEQUENCE, become PEM in memory. */
static bool set_authorities(HttpClient *c, const char *path) {
        _cleanup_free_ char *data = NULL, *text = NULL, *pem = NULL;
        _cleanup_(text_done) Text t = {};
        struct curl_blob blob = { .flags = CURL_BLOB_COPY };
        size_t size;

        if (file_read_all(path, CA_FILE_MAX, &data, &size) < 0 || size < 2 || data[0] != DER_SEQUENCE ||
                        !(data[1] & DER_LONG))
                return c->easy_setopt(c->easy, CURLOPT_CAINFO, path) == CURLE_OK;
        text = base64_encode(data, size);
        if (!text)
                return false;
        text_put(&t, "-----BEGIN CERTIFICATE-----\n");
        for (size_t n = strlen(text), i = 0; i < n; i += PEM_LINE) {
                text_put_n(&t, text + i, MIN((size_t) PEM_LINE, n - i));
                text_put(&t, "\n");
        }
        text_put(&t, "-----END CERTIFICATE-----\n");
        if (text_finish(&t, &pem) < 0)
                return false;
        blob.data = pem;
        blob.len = strlen(pem);
        return c->easy_setopt(c->easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK;
}

/* The list of headers is the caller's: libcurl only reads it, and so keeps no copy of a token in it. */
static bool set_options(HttpClient *c, const HttpRequest *q, const char *socket, struct curl_slist *headers,
                Transfer *t) {
        if (!set_basics(c, q, socket, t))
                return false;
        if (q->ca_file && !set_authorities(c, q->ca_file))
                return false;
        if (q->cert_file &&
                        (c->easy_setopt(c->easy, CURLOPT_SSLCERT, q->cert_file) != CURLE_OK ||
                                        c->easy_setopt(c->easy, CURLOPT_SSLKEY, q->key_file) != CURLE_OK))
                return false;
        if (headers && c->easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
                return false;
        if (q->body &&
                        (c->easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) q->body_size) !=
                                                        CURLE_OK ||
                                        c->easy_setopt(c->easy, CURLOPT_POSTFIELDS, q->body) != CURLE_OK))
                return false;
        if (q->header &&
                        (c->easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK ||
                                        c->easy_setopt(c->easy, CURLOPT_HEADERDATA, t) != CURLE_OK))
                return false;
        return (strcmp(q->method, "GET") == 0 && !q->body) ||
                        c->easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, q->method) == CURLE_OK;
}

int http_client_get(HttpClient *c, const char *url, size_t max, unsigned timeout_seconds, HttpAnswer *ret,
                char **reterr) {
        const HttpRequest q = { .method = "GET", .url = url, .timeout_seconds = timeout_seconds };

        return http_client_request(c, &q, max, ret, reterr);
}

static int request(HttpClient *c, const HttpRequest *q, const char *socket, size_t max, HttpAnswer *ret,
                char **reterr) {
        _cleanup_free_ char *type = NULL;
        struct curl_slist lines[2] = {}, *headers = NULL;
        Transfer t = { .max = max, .name = q->header };
        curl_off_t retry_after = 0;
        long status = 0;
        CURLcode code;

        if (q->content_type) {
                if (asprintf(&type, "Content-Type: %s", q->content_type) < 0) {
                        type = NULL;
                        return -ENOMEM;
                }
                lines[0] = (struct curl_slist) { type, headers };
                headers = &lines[0];
        }
        if (q->authorization) {
                lines[1] = (struct curl_slist) { (char *) q->authorization, headers };
                headers = &lines[1];
        }
        if (!set_options(c, q, socket, headers, &t))
                return error_set(reterr, -EINVAL, "'%s' is not a URL that libcurl supports", q->url);
        code = c->easy_perform(c->easy);
        if (code != CURLE_OK) {
                free(t.body);
                free(t.header);
                if (t.error < 0)
                        return error_set(reterr, t.error, "%s: %s", q->url,
                                        t.error == -E2BIG ? "the answer is too large" : "out of memory");
                return error_set(reterr, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EHOSTUNREACH,
                                "%s: %s", q->url, c->easy_strerror(code));
        }
        (void) c->easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        (void) c->easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after);
        *ret = (HttpAnswer) {
                .status = (unsigned) status,
                .retry_after = retry_after > 0 && retry_after < UINT32_MAX ? (unsigned) retry_after : 0,
                .body = t.body,
                .size = t.size,
                .header = t.header,
        };
        return 0;
}

int http_client_request(HttpClient *c, const HttpRequest *q, size_t max, HttpAnswer *ret, char **reterr) {
        _cleanup_free_ char *socket = NULL, *url = NULL;
        HttpRequest over = *q;
        int r = split_unix(q->url, &socket, &url);

        if (r < 0)
                return error_set(reterr, r == -ENOMEM ? r : -EHOSTUNREACH,
                                "'%s': cannot connect to this socket: %s", q->url, strerror(-r));
        if (r > 0)
                over.url = url;
        return request(c, &over, socket, max, ret, reterr);
}

bool http_url_valid(const char *url) {
        return startswith(url, "https://") || startswith(url, "http://") || startswith(url, "unix:/");
}
