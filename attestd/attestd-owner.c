/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests of guest owners, and the documents that anybody may read. */

#include <errno.h>
#include <string.h>

#include "attestd-digests.h"
#include "attestd-scheme.h"
#include "attestd-service.h"
#include "coco.h"
#include "snp-packet.h"
#include "strutil.h"

int service_read_body(const Request *q, Json **ret, Reply *reply) {
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        int r = js_parse(q->body ?: "", q->body_size, &j, &error);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return reply_problem(reply, 400, "malformed", "Malformed request", "%s",
                                error ?: "not valid JSON");
        if (!js_is_object(j))
                return reply_problem(reply, 400, "malformed", "Malformed request", "expected a JSON object");
        *ret = TAKE_PTR(j);
        return 1;
}

int service_load(ServiceCall *c) {
        const Service *s = c->s;
        const Request *q = c->q;
        _cleanup_js_ Json *j = NULL;
        int r = s->store->ops->vm_get(s->store, q->id, /* counted= */ false, &c->vm);

        if (r == -ENOENT)
                return reply_problem(c->reply, 404, "unknown-vm", "Unknown registration",
                                "no registration has this id");
        /* A client that floods one registration keeps nobody from the others, nor others from this one. */
        if (r >= 0 && q->owner == 0 && s->rate && !rate_take(s->rate, q->path, q->peer ?: "")) {
                c->reply->retry_after = 1;
                return reply_problem(c->reply, 429, "too-many-requests", "Too many requests",
                                "rate limit exceeded for this registration; retry in one second");
        }
        if (r >= 0)
                r = js_parse(c->vm.document, strlen(c->vm.document), &j, NULL);
        if (r >= 0)
                r = registration_parse(j, /* with_secrets= */ false, &c->reg, NULL);
        return r < 0 ? r : 1;
}

int handle_capabilities(const Service *s, const Request *q, Reply *reply) {
        _cleanup_ec_key_ EcKey *signer = NULL;
        _cleanup_js_ Json *schemes = js_array();
        _cleanup_free_ char *key = NULL;
        Json *j = NULL;
        int r = schemes ? vault_signer(s->vault, &signer) : -ENOMEM;

        (void) q;
        for (int m = 0; r >= 0 && m < _COCO_MODE_MAX; m++)
                if (scheme_of((CocoMode) m))
                        r = js_append(schemes, js_string(coco_of((CocoMode) m)->scheme));
        if (r >= 0)
                r = snp_packet_signer_text(signer, &key);
        if (r < 0)
                return r;
        r = js_build(&j, "{s:s, s:s, s:i, s:o, s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "service",
                        "cvmspawn-attestd", "version", CVMSPAWN_VERSION, "protocol", 1, "schemes",
                        TAKE_PTR(schemes), "packet-key", key, "body-size-max", (int) BODY_SIZE_MAX,
                        "launches-open-max", (int) LAUNCH_OPEN_MAX, "launch-seconds",
                        (int) LAUNCH_TTL_SECONDS, "launch-failures", (int) LAUNCH_FAILURES,
                        "launches-held-max", (int) LAUNCH_HELD_MAX, "firmware-size-max",
                        (int) FIRMWARE_BODY_MAX);
        return r < 0 ? r : reply_json(reply, 200, j);
}

int handle_health(const Service *s, const Request *q, Reply *reply) {
        static const uint8_t nobody[STORE_TOKEN_HASH_SIZE] = {};
        Json *j = NULL;
        int64_t owner;
        int r = s->store->ops->owner_find(s->store, nobody, &owner);

        (void) q;
        if (r < 0 && r != -ENOENT)
                return r;
        r = js_build(&j, "{s:s}", "status", "ok");
        return r < 0 ? r : reply_json(reply, 200, j);
}

/* The registration in a body, with the digests that follow from it: 1, or the reply is made. Without secrets, which `keep` permits, *table stays empty. */
static int read_registration(const Service *s, const Request *q, bool keep, Registration *ret,
                Json **ret_body, SecretBuf *table, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        int r = service_read_body(q, &j, reply);

        if (r <= 0)
                return r;
        if (js_get(j, "computed-digests"))
                return reply_problem(reply, 422, "bad-registration", "Invalid registration",
                                "computed-digests: computed by the service; use launch-digests for your own digests");
        r = registration_parse(j, !keep || js_get(j, "secrets"), &reg, &error);
        if (r >= 0 && reg.secrets)
                r = registration_table(&reg, table, &error);
        if (r >= 0)
                r = service_digests(s, q->owner, &reg, scheme_of(reg.mode)->digests, &error);
        if (r == -EINVAL || r == -E2BIG)
                return reply_problem(reply, 422, "bad-registration", "Invalid registration", "%s",
                                error ?: "a member has the wrong type");
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(reg, (Registration) {});
        *ret_body = TAKE_PTR(j);
        return 1;
}

/* Document and sealed table of what was read; both are freed with *v. */
static int fill_vm(const Service *s, const Request *q, const Registration *reg, const Json *body,
                const SecretBuf *table, StoreVm *v) {
        VaultPlace place;
        int r;

        v->id = strdup(q->id);
        v->owner = q->owner;
        v->created = service_now(s);
        if (!v->id)
                return -ENOMEM;
        r = registration_document(body, reg, &v->document);
        if (r < 0 || table->size == 0)
                return r;
        place = service_secrets_place(q->id);
        return vault_seal(s->vault, &place, table->data, table->size, &v->sealed, &v->sealed_size);
}

int handle_register(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(store_vm_done) StoreVm v = {};
        _cleanup_js_ Json *j = NULL;
        Json *answer = NULL;
        int r = read_registration(s, q, /* keep= */ false, &reg, &j, &table, reply);

        if (r <= 0)
                return r;
        r = fill_vm(s, q, &reg, j, &table, &v);
        if (r >= 0)
                r = s->store->ops->vm_add(s->store, &v);
        if (r == -EEXIST)
                return reply_problem(reply, 409, "exists", "Already registered",
                                "there is already a registration with this id: update it with PUT, delete it first, or use another id");
        if (r >= 0)
                r = js_build(&answer, "{s:s, s:I}", "id", q->id, "secret-table-size", (int64_t) table.size);
        return r < 0 ? r : reply_json(reply, 201, answer);
}

static int unknown(Reply *reply) {
        return reply_problem(reply, 404, "unknown-vm", "Unknown registration",
                        "you have no registration with this id");
}

/* Secrets are stored in the form that their scheme needs. */
static bool same_form(const StoreVm *old, const Registration *reg) {
        _cleanup_(registration_done) Registration before = {};
        _cleanup_js_ Json *j = NULL;

        if (js_parse(old->document, strlen(old->document), &j, NULL) < 0 ||
                        registration_parse(j, /* with_secrets= */ false, &before, NULL) < 0)
                return false;
        return scheme_of(before.mode)->table == scheme_of(reg->mode)->table;
}

int handle_update(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(store_vm_done) StoreVm v = {}, old = {};
        _cleanup_js_ Json *j = NULL;
        Json *answer = NULL;
        uint64_t ended = 0, size;
        int r = s->store->ops->vm_get(s->store, q->id, /* counted= */ false, &old);

        if (r == -ENOENT || (r >= 0 && old.owner != q->owner))
                return unknown(reply);
        if (r < 0)
                return r;
        r = read_registration(s, q, /* keep= */ true, &reg, &j, &table, reply);
        if (r <= 0)
                return r;
        if (table.size == 0 && !same_form(&old, &reg))
                return reply_problem(reply, 422, "bad-registration", "Invalid registration",
                                "scheme: changing it requires the secrets to be sent again");
        /* Secrets that stay were checked against the area as it was. */
        size = table.size > 0 ? table.size : old.sealed_size - VAULT_OVERHEAD;
        if (size > reg.secret_area_size)
                return reply_problem(reply, 422, "bad-registration", "Invalid registration",
                                "secret-area-size: the registered secrets need %llu bytes",
                                (unsigned long long) size);
        r = fill_vm(s, q, &reg, j, &table, &v);
        if (r >= 0)
                r = s->store->ops->vm_update(s->store, &v, v.created, &ended);
        if (r == -ENOENT)
                return unknown(reply);
        if (r >= 0)
                r = js_build(&answer, "{s:s, s:I, s:I}", "id", q->id, "secret-table-size", (int64_t) size,
                                "launches-ended", (int64_t) ended);
        return r < 0 ? r : reply_json(reply, 200, answer);
}

static int vm_to_json(const StoreVm *v, Json **ret) {
        _cleanup_js_ Json *j = js_object(), *said = js_object(), *document = NULL;
        const Json *computed;
        int r = js_parse(v->document, strlen(v->document), &document, NULL);

        if (r < 0)
                return r;
        /* The registration can be sent again as it is; what the service computed stands beside it. */
        for (void *i = js_iter(document); i; i = js_iter_next(document, i))
                if (!streq(js_iter_key(i), "computed-digests") &&
                                js_set(said, js_iter_key(i), js_ref((Json *) js_iter_value(i))) < 0)
                        return -ENOMEM;
        computed = js_get(document, "computed-digests");
        if (computed && js_set(j, "computed-digests", js_ref((Json *) computed)) < 0)
                return -ENOMEM;
        if (!j || !said || js_set(j, "id", js_string(v->id)) < 0 ||
                        js_set(j, "created", js_u64((uint64_t) v->created)) < 0 ||
                        js_set(j, "launches-open", js_u64(v->open)) < 0 ||
                        js_set(j, "launches-held", js_u64(v->held)) < 0 ||
                        js_set(j, "launches-released", js_u64(v->released)) < 0 ||
                        js_set(j, "registration", TAKE_PTR(said)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(j);
        return 0;
}

static int list_one(void *userdata, const StoreVm *v) {
        Json *j = NULL;
        int r = vm_to_json(v, &j);

        return r < 0 ? r : js_append(userdata, j);
}

int handle_list(const Service *s, const Request *q, Reply *reply) {
        _cleanup_js_ Json *list = js_array();
        int r;

        if (!list)
                return -ENOMEM;
        r = s->store->ops->vm_list(s->store, q->owner, list_one, list);
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}

int handle_show(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(store_vm_done) StoreVm v = {};
        Json *j = NULL;
        int r = s->store->ops->vm_get(s->store, q->id, /* counted= */ true, &v);

        if (r == -ENOENT || (r >= 0 && v.owner != q->owner))
                return unknown(reply);
        if (r >= 0)
                r = vm_to_json(&v, &j);
        return r < 0 ? r : reply_json(reply, 200, j);
}

static int event_one(void *userdata, int64_t when, const char *vm, const char *launch, const char *event) {
        Json *j = NULL;
        int r = js_build(&j, "{s:I, s:s, s:s, s:s}", "time", when, "vm", vm, "launch-id", launch, "event",
                        event);

        return r < 0 ? r : js_append(userdata, j);
}

/* Also of a registration that was deleted: the audit log stays. */
int handle_events(const Service *s, const Request *q, Reply *reply) {
        _cleanup_js_ Json *list = js_array();
        int r;

        if (!list)
                return -ENOMEM;
        r = s->store->ops->events(s->store, q->owner, q->id, event_one, list);
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}

int handle_delete(const Service *s, const Request *q, Reply *reply) {
        int r = s->store->ops->vm_delete(s->store, q->owner, q->id, service_now(s));

        if (r == -ENOENT)
                return unknown(reply);
        if (r < 0)
                return r;
        reply->status = 204;
        return 0;
}
