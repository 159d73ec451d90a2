/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OCI image layouts: index.json names manifests by digest, perhaps by way of further indexes; a manifest names the configuration and the
 * layers. Each is checked against the digest and size by which it was named. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container-image.h"
#include "error.h"
#include "json.h"
#include "strutil.h"

#define INDEX_DEPTH_MAX 4u

static const char *const index_types[] = { "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json" };
static const char *const manifest_types[] = { "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json" };

typedef struct Candidate {
        ContainerDigest digest;
        Json *descriptor; /* owned */
        char *name;       /* owned; NULL: none */
        ContainerMatch how;
        bool is_amd64;
} Candidate;

typedef struct Search {
        ContainerSource *source;
        const char *wanted;
        ContainerNames names;
        Candidate *found; /* owned */
        size_t n_found;
} Search;

static void candidate_done(Candidate *c) {
        js_unref(c->descriptor);
        free(c->name);
        *c = (Candidate) {};
}

static void search_done(Search *s) {
        FOREACH_ARRAY(c, s->found, s->n_found)
                candidate_done(c);
        free(s->found);
}

static bool is_one_of(const char *type, const char *const types[static 2]) {
        return type && (streq(type, types[0]) || streq(type, types[1]));
}

/* The blob that a descriptor names. */
static int read_blob(ContainerSource *s, const Json *descriptor, const char *what, char **ret,
                size_t *ret_size, char **reterr) {
        _cleanup_free_ char *place = NULL, *text = NULL;
        ContainerDigest digest;
        uint64_t announced;
        size_t size;
        int r = container_digest_parse(js_string_value(js_get(descriptor, "digest")), &digest);

        if (r < 0)
                return error_set(reterr, -EBADMSG, "%s is not named by a sha256 or sha512 digest", what);
        place = container_digest_place(&digest);
        if (!place)
                return -ENOMEM;
        r = container_read(s, place, CONTAINER_JSON_MAX, &text, &size, reterr);
        if (r == -ENOENT)
                return error_set(reterr, r, "%s is missing: no file '%s'", what, place);
        if (r < 0)
                return r;
        r = container_digest_check(&digest, text, size, what, reterr);
        if (r < 0)
                return r;
        if (js_u64_value(js_get(descriptor, "size"), &announced) < 0 || announced != size)
                return error_set(reterr, -EBADMSG, "%s has %zu bytes, which is not what the image says",
                                what, size);
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static const char *name_of(const Json *descriptor) {
        const Json *notes = js_get(descriptor, "annotations");

        return js_string_value(js_get(notes, "io.containerd.image.name"))
                        ?: js_string_value(js_get(notes, "org.opencontainers.image.ref.name"));
}

/* above: it, or an index above it, is wanted by its digest. */
static ContainerMatch match(const Json *descriptor, const char *inherited, bool above, const char *wanted) {
        const Json *notes = js_get(descriptor, "annotations");
        const char *const names[] = { inherited, js_string_value(js_get(notes, "io.containerd.image.name")),
                js_string_value(js_get(notes, "org.opencontainers.image.ref.name")) };
        ContainerMatch best = !wanted || above ? CONTAINER_MATCH_EXACT : CONTAINER_MATCH_NONE;

        for (size_t i = 0; i < ELEMENTSOF(names) && best < CONTAINER_MATCH_EXACT; i++) {
                ContainerMatch how = container_name_match(names[i], wanted);

                best = MAX(best, how);
        }
        return best;
}

static bool is_wanted_digest(const Json *descriptor, const char *wanted) {
        ContainerDigest digest;

        return wanted &&
                        container_digest_parse(js_string_value(js_get(descriptor, "digest")), &digest) >=
                        0 &&
                        container_digest_matches(&digest, wanted);
}

/* Signatures and build records are beside the images. */
static bool is_attachment(const Json *descriptor) {
        const char *os = js_string_value(js_get(js_get(descriptor, "platform"), "os"));

        return js_get(js_get(descriptor, "annotations"), "vnd.docker.reference.type") ||
                        (os && streq(os, "unknown"));
}

static void add_name(ContainerNames *names, const Json *descriptor, const char *name) {
        const Json *platform = js_get(descriptor, "platform");
        ContainerDigest digest = {};

        if (container_digest_parse(js_string_value(js_get(descriptor, "digest")), &digest) < 0)
                digest.known = false;
        container_names_add_image(names, name, &digest, js_string_value(js_get(platform, "os")),
                        js_string_value(js_get(platform, "architecture")));
}

static int add_candidate(
                Search *s, const Json *descriptor, const char *name, ContainerMatch how, char **reterr) {
        const Json *platform = js_get(descriptor, "platform");
        const char *os = js_string_value(js_get(platform, "os")),
                   *machine = js_string_value(js_get(platform, "architecture"));
        Candidate c = { .how = how,
                .is_amd64 = os && machine && streq(os, "linux") && streq(machine, "amd64") };

        if (container_digest_parse(js_string_value(js_get(descriptor, "digest")), &c.digest) < 0)
                return error_set(reterr, -EBADMSG, "a manifest is not named by a sha256 or sha512 digest");
        FOREACH_ARRAY(f, s->found, s->n_found)
                if (f->digest.algorithm == c.digest.algorithm &&
                                memcmp(f->digest.bytes, c.digest.bytes, hash_size(c.digest.algorithm)) ==
                                                0) {
                        f->how = MAX(f->how, how);
                        return 0; /* another name of it */
                }
        if (s->n_found >= CONTAINER_IMAGES_MAX)
                return error_set(reterr, -E2BIG, "more than %u images", CONTAINER_IMAGES_MAX);
        if (!s->found)
                s->found = calloc(CONTAINER_IMAGES_MAX, sizeof(Candidate));
        if (!s->found || (name && !(c.name = strdup(name))))
                return -ENOMEM;
        c.descriptor = js_ref((Json *) descriptor);
        s->found[s->n_found++] = c;
        return 0;
}

/* Where in the indexes. */
typedef struct Place {
        const char *name; /* of an index above; NULL: none */
        bool wanted;      /* an index above is wanted by its digest */
        unsigned depth;
} Place;

static int search_index(Search *s, const Json *index, const Place *at, char **reterr);

static int follow(Search *s, const Json *descriptor, const Place *at, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *index = NULL;
        size_t size;
        int r;

        if (at->depth > INDEX_DEPTH_MAX)
                return error_set(reterr, -ELOOP, "indexes inside indexes, more than %u deep",
                                INDEX_DEPTH_MAX);
        r = read_blob(s->source, descriptor, "an index", &text, &size, reterr);
        if (r >= 0)
                r = js_parse(text, size, &index, reterr);
        return r < 0 ? r : search_index(s, index, at, reterr);
}

static int search_index(Search *s, const Json *index, const Place *at, char **reterr) {
        const Json *manifests = js_get(index, "manifests");
        int r = 0;

        for (size_t i = 0; i < js_length(manifests) && r >= 0; i++) {
                const Json *d = js_at(manifests, i);
                const char *type = js_string_value(js_get(d, "mediaType"));
                const Place below = { name_of(d) ?: at->name, at->wanted || is_wanted_digest(d, s->wanted),
                        at->depth + 1 };
                ContainerMatch how = match(d, at->name, below.wanted, s->wanted);

                if (is_attachment(d))
                        continue;
                if (at->depth == 0)
                        add_name(&s->names, d, below.name);
                if (is_one_of(type, index_types))
                        r = follow(s, d, &below, reterr); /* names may be inside */
                else if (is_one_of(type, manifest_types) && how != CONTAINER_MATCH_NONE)
                        r = add_candidate(s, d, below.name, how, reterr);
        }
        return r;
}

static int pick(const Search *s, const Candidate **ret, char **reterr) {
        ContainerMatch best = CONTAINER_MATCH_NONE;
        ContainerNames several = {};
        size_t n = 0, n_amd64 = 0;

        FOREACH_ARRAY(c, s->found, s->n_found)
                best = MAX(best, c->how);
        FOREACH_ARRAY(c, s->found, s->n_found) {
                if (c->how < best)
                        continue;
                n++;
                n_amd64 += c->is_amd64;
                add_name(&several, c->descriptor, c->name);
        }
        FOREACH_ARRAY(c, s->found, s->n_found)
                if (c->how == best && (n == 1 || (n_amd64 == 1 && c->is_amd64))) {
                        *ret = c;
                        return 0;
                }
        if (n == 0)
                return error_set(reterr, -ENOENT, "no image%s%s%s in it; it has: %s", s->wanted ? " '" : "",
                                s->wanted ?: "", s->wanted ? "'" : "",
                                s->names.n > 0 ? s->names.text : "none");
        return error_set(reterr, -ENOTUNIQ,
                        "%zu images in it%s%s%s%s: choose one with --image=NAME:TAG or its digest; it has: %s",
                        n, s->wanted ? " fit '" : "", s->wanted ?: "", s->wanted ? "'" : "",
                        n_amd64 == 0 ? ", none of them said to be for linux/amd64" : "", several.text);
}

static int read_layer(const Json *descriptor, ContainerLayer *ret, size_t number, char **reterr) {
        const char *type = js_string_value(js_get(descriptor, "mediaType"));

        if (type &&
                        (strstr(type, "encrypted") || strstr(type, "nondistributable") ||
                                        strstr(type, "foreign")))
                return error_set(reterr, -EOPNOTSUPP, "layer %zu is %s: the image does not contain it",
                                number,
                                strstr(type, "encrypted") ? "encrypted" : "to be downloaded from elsewhere");
        if (container_digest_parse(js_string_value(js_get(descriptor, "digest")), &ret->blob) < 0)
                return error_set(reterr, -EBADMSG, "layer %zu is not named by a sha256 or sha512 digest",
                                number);
        ret->place = container_digest_place(&ret->blob);
        return ret->place ? 0 : -ENOMEM;
}

static int read_manifest(ContainerSource *s, const Json *manifest, ContainerImage *ret, char **reterr) {
        const Json *layers = js_get(manifest, "layers");
        _cleanup_free_ char *config = NULL;
        size_t n = js_length(layers), size;
        int r = 0;

        if (n == 0 || n > CONTAINER_LAYERS_MAX)
                return error_set(reterr, -EBADMSG, "the image has %zu layers, expected 1 to %u", n,
                                CONTAINER_LAYERS_MAX);
        ret->layers = calloc(n, sizeof(ContainerLayer));
        if (!ret->layers)
                return -ENOMEM;
        for (ret->n_layers = 0; ret->n_layers < n && r >= 0; ret->n_layers++)
                r = read_layer(js_at(layers, ret->n_layers), ret->layers + ret->n_layers, ret->n_layers + 1,
                                reterr);
        if (r >= 0)
                r = read_blob(s, js_get(manifest, "config"), "the image's configuration", &config, &size,
                                reterr);
        return r < 0 ? r : container_read_config(ret, config, size, reterr);
}

int container_choose_oci(ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr) {
        _cleanup_(search_done) Search search = { .source = s, .wanted = wanted };
        _cleanup_free_ char *text = NULL, *manifest_text = NULL;
        _cleanup_js_ Json *index = NULL, *manifest = NULL;
        const Candidate *c = NULL;
        size_t size;
        int r = container_read(s, "index.json", CONTAINER_JSON_MAX, &text, &size, reterr);

        if (r >= 0)
                r = js_parse(text, size, &index, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "index.json");
        r = search_index(&search, index, &(Place) {}, reterr);
        if (r >= 0)
                r = pick(&search, &c, reterr);
        if (r >= 0)
                r = read_blob(s, c->descriptor, "the manifest", &manifest_text, &size, reterr);
        if (r >= 0)
                r = js_parse(manifest_text, size, &manifest, reterr);
        if (r < 0)
                return r;
        ret->kind = "oci";
        ret->manifest = c->digest;
        if (c->name && !(ret->name = strdup(c->name)))
                return -ENOMEM;
        return read_manifest(s, manifest, ret, reterr);
}
