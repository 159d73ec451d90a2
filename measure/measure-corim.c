/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An unsigned CoRIM (draft-ietf-rats-corim) with the profile for SEV-SNP:
 *
 *   501({0: id, 1: [506(bytes of the CoMID)], 3: 32(profile)})
 *   CoMID: {1: {0: id}, 4: {0: [[{0: {0: 111(class), 1: "AMD"}}, [{0: 641, 1: {2: [[7, digest]]}}]] ...]}}
 *
 * Tag 111 holds the class identifier with its DER tag and length, as the profile's draft has it, although RFC 9090 wants the value
 * alone; readers take both. libcbor is loaded on need: hardly any measurement ends here. */

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "measure-format.h"

#ifdef HAVE_LIBCBOR

#include <cbor.h>

#define PROFILE      "tag:amd.com,2025:snp-corim-profile"
#define SONAME       "libcbor.so." STRING(CBOR_MAJOR_VERSION) "." STRING(CBOR_MINOR_VERSION)
#define STRING(x)    STRING_OF(x)
#define STRING_OF(x) #x

/* Per digest: class, keys and digest take 90 bytes. */
#define BYTES_PER_ROW 128u
#define BYTES_FIXED   1024u
#define NAME_MAX_SIZE 256u

enum {
        TAG_CORIM = 501,
        TAG_COMID = 506,
        TAG_URI = 32,
        TAG_OID = 111,
        MKEY_MEASUREMENT = 641,
        ALGORITHM_SHA384 = 7, /* IANA: named information hash algorithms */
};

/* 1.3.6.1.4.1.3704.3.1, SEV-SNP by chip. */
static const uint8_t class_id[] = { 0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01 };

typedef struct CborWriter {
        uint8_t *data; /* owned */
        size_t size, used;
        bool full;
        typeof(cbor_encode_uint) *uint, *tag, *map, *array, *bytes, *string;
} CborWriter;

static void put(CborWriter *w, typeof(cbor_encode_uint) *encode, uint64_t n) {
        size_t k = w->full ? 0 : encode(n, w->data + w->used, w->size - w->used);

        w->full = w->full || k == 0;
        w->used += k;
}

static void put_raw(CborWriter *w, typeof(cbor_encode_uint) *encode, const void *p, size_t n) {
        put(w, encode, n);
        w->full = w->full || n > w->size - w->used;
        if (w->full)
                return;
        memcpy(w->data + w->used, p, n);
        w->used += n;
}

static int writer_init(CborWriter *w, void *library, size_t size) {
        const struct {
                const char *name;
                typeof(cbor_encode_uint) **to;
        } functions[] = {
                { "cbor_encode_uint", &w->uint },
                { "cbor_encode_tag", &w->tag },
                { "cbor_encode_map_start", &w->map },
                { "cbor_encode_array_start", &w->array },
                { "cbor_encode_bytestring_start", &w->bytes },
                { "cbor_encode_string_start", &w->string },
        };

        FOREACH_ARRAY(f, functions, ELEMENTSOF(functions)) {
                *(void **) f->to = dlsym(library, f->name);
                if (!*f->to)
                        return -ENOPKG;
        }
        w->data = malloc(size);
        w->size = size;
        return w->data ? 0 : -ENOMEM;
}

static void put_triple(CborWriter *w, const LaunchDigest *d) {
        put(w, w->array, 2);
        put(w, w->map, 1); /* environment */
        put(w, w->uint, 0);
        put(w, w->map, 2); /* class */
        put(w, w->uint, 0);
        put(w, w->tag, TAG_OID);
        put_raw(w, w->bytes, class_id, sizeof(class_id));
        put(w, w->uint, 1);
        put_raw(w, w->string, "AMD", 3);
        put(w, w->array, 1); /* measurements */
        put(w, w->map, 2);
        put(w, w->uint, 0);
        put(w, w->uint, MKEY_MEASUREMENT);
        put(w, w->uint, 1);
        put(w, w->map, 1);
        put(w, w->uint, 2);
        put(w, w->array, 1);
        put(w, w->array, 2);
        put(w, w->uint, ALGORITHM_SHA384);
        put_raw(w, w->bytes, d->bytes, d->size);
}

static void put_comid(CborWriter *w, const char *name, const FormatRow *rows, size_t n) {
        put(w, w->map, 2);
        put(w, w->uint, 1);
        put(w, w->map, 1);
        put(w, w->uint, 0);
        put_raw(w, w->string, name, strlen(name));
        put(w, w->uint, 4);
        put(w, w->map, 1);
        put(w, w->uint, 0);
        put(w, w->array, n);
        FOREACH_ARRAY(row, rows, n)
                put_triple(w, &row->digest);
}

static int encode(void *library, const char *name, const FormatRow *rows, size_t n, uint8_t **ret,
                size_t *ret_size) {
        CborWriter comid = {}, w = {};
        size_t size = BYTES_FIXED + n * BYTES_PER_ROW;
        int r;

        r = writer_init(&comid, library, size);
        if (r >= 0)
                r = writer_init(&w, library, size + BYTES_FIXED);
        if (r >= 0) {
                put_comid(&comid, name, rows, n);
                put(&w, w.tag, TAG_CORIM);
                put(&w, w.map, 3);
                put(&w, w.uint, 0);
                put_raw(&w, w.string, name, strlen(name));
                put(&w, w.uint, 1);
                put(&w, w.array, 1);
                put(&w, w.tag, TAG_COMID);
                put_raw(&w, w.bytes, comid.data, comid.used);
                put(&w, w.uint, 3);
                put(&w, w.tag, TAG_URI);
                put_raw(&w, w.string, PROFILE, strlen(PROFILE));
                r = comid.full || w.full ? -ENOBUFS : 0;
        }
        free(comid.data);
        if (r < 0) {
                free(w.data);
                return r;
        }
        *ret = w.data;
        *ret_size = w.used;
        return 0;
}

int corim_encode(const FormatInput *in, char **ret, size_t *ret_size, char **reterr) {
        const char *name = in->name ?: "snp_launch_measurement";
        uint8_t *cbor = NULL;
        void *library;
        int r;

        if (strlen(name) > NAME_MAX_SIZE)
                return error_set(reterr, -EINVAL, "--name: more than %u bytes", NAME_MAX_SIZE);
        FOREACH_ARRAY(row, in->rows, in->n_rows)
                if (row->digest.size != SHA384_SIZE)
                        return error_set(reterr, -EOPNOTSUPP, "the CoRIM profile is for SEV-SNP only");
        library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
        if (!library)
                return error_set(reterr, -ENOPKG,
                                "--format=corim needs libcbor: install the package libcbor%d.%d",
                                CBOR_MAJOR_VERSION, CBOR_MINOR_VERSION);
        r = encode(library, name, in->rows, in->n_rows, &cbor, ret_size);
        (void) dlclose(library);
        if (r < 0)
                return error_set(reterr, r, "cannot encode the CoRIM");
        *ret = (char *) cbor;
        return 0;
}

#else

int corim_encode(_unused_ const FormatInput *in, _unused_ char **ret, _unused_ size_t *ret_size,
                char **reterr) {
        return error_set(reterr, -EOPNOTSUPP, "--format=corim: built without libcbor (Debian: libcbor-dev)");
}

#endif
