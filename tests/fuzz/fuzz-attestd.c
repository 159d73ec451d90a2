/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests to the attestation service: a line "METHOD PATH", then the body. The owner asks; there are registrations "sev", "snp" and "tdx", each
 * with an open launch whose id and keys are known. Whatever comes is answered, and never by "the service failed". */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest-session.h"
#include "attestd-service.h"
#include "attestd-sqlite.h"
#include "snp-packet.h"
#include "snp-verify.h"
#include "td-verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                             \
        do {                                                                                                \
                if (!(x))                                                                                   \
                        abort();                                                                            \
        } while (0)

#define DIGEST_32 "1111111111111111111111111111111111111111111111111111111111111111"
#define DIGEST_48 DIGEST_32 "11111111111111111111111111111111"

static const char sev_body[] =
                "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"any\",\"max-instances\":1000,"
                "\"launch-digests\":[\"" DIGEST_32
                "\"],\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":\"sesame\"}]}";
static const char snp_body[] =
                "{\"scheme\":\"amd-sev-snp\",\"policy\":196608,\"launch-digests\":[\"" DIGEST_48
                "\"],\"report-policy\":{\"minimum_tcb\":{\"milan\":{\"snp\":24}}},\"max-instances\":1000,"
                "\"secrets\":[{\"type\":\"credential\",\"name\":\"a\",\"data\":\"c2VzYW1l\"}]}";

static const char tdx_body[] =
                "{\"scheme\":\"intel-tdx\",\"policy\":268435456,\"launch-registers\":[{\"measurement\":\"" DIGEST_48
                "\",\"rtmr1\":\"" DIGEST_48 "\",\"rtmr2\":\"" DIGEST_48
                "\",\"host-credentials\":\"ignored\"}],\"report-policy\":{\"rtmr0\":\"any\"},\"max-instances\":1000,"
                "\"secrets\":[{\"type\":\"credential\",\"name\":\"a\",\"data\":\"c2VzYW1l\"}]}";

static uint64_t drawn;

/* Another one each time, the same in each run. */
static int counted(void *userdata, void *buf, size_t n) {
        (void) userdata;
        memset(buf, 0x42, n);
        drawn++;
        memcpy(buf, &drawn, MIN(n, sizeof(drawn)));
        return 0;
}

static int64_t now(void *userdata) {
        (void) userdata;
        return 1000000;
}

static unsigned ask(Service *s, const char *method, const char *path, const char *body, size_t size) {
        Request q = { .method = method,
                .path = path,
                .authorization = "Bearer owner",
                .body = size > 0 ? body : NULL,
                .body_size = size,
                .fd = -1 };
        Reply reply = {};
        unsigned status;

        service_handle(s, &q, &reply);
        status = reply.status;
        MUST(status >= 200 && status < 600 && (reply.error == 0 || reply.error == -ENOMEM));
        reply_done(&reply);
        return status;
}

/* An open launch, with id 111... and keys of zeros (SEV) or a nonce of zeros (SNP). */
static void add_launch(Service *s, const char *vm, uint8_t id, size_t keys_size) {
        static const uint8_t keys[64];
        const StoreLimits limits = { .open_max = LAUNCH_OPEN_MAX };
        StoreLaunch l = { .vm = (char *) vm, .created = 1000000, .policy = 3 };

        VaultPlace place;

        memset(l.id, id, sizeof(l.id));
        place = service_launch_place(&l);
        MUST(vault_seal(s->vault, &place, keys, keys_size, &l.keys, &l.keys_size) >= 0);
        MUST(s->store->ops->launch_add(s->store, &l, &limits) >= 0);
        free(l.keys);
}

static Service *world(void) {
        static TrustAnchor nobody = { .generation = "nobody" };
        static TrustAnchors anchors = { &nobody, 1 };
        static Vault vault;
        static SnpTrust trust;
        static TdTrust td_trust;
        static Service s;
        uint8_t hash[STORE_TOKEN_HASH_SIZE];

        if (s.store)
                return &s;
        MUST(secret_buf_alloc(&vault.key, VAULT_KEY_SIZE) >= 0);
        s = (Service) {
                .vault = &vault,
                .anchors = &anchors,
                .snp_trust = &trust,
                .td_trust = &td_trust,
                .random = counted,
                .now = now,
        };
        vault.random = counted;
        snp_trust_init(&trust);
        td_trust_init(&td_trust);
        MUST(store_sqlite_open(":memory:", &s.store, NULL) >= 0);
        MUST(service_token_hash("owner", 5, hash) >= 0);
        MUST(s.store->ops->owner_add(s.store, "owner", hash) >= 0);
        return &s;
}

/* The same state for each input. Most inputs are refused before they change anything: then it is still there. */
static void prepare(Service *s) {
        static int changes = -1;
        sqlite3 *db = ((SqliteStore *) s->store)->db;

        if (sqlite3_total_changes(db) == changes)
                return;
        (void) ask(s, "DELETE", "/vm/sev", NULL, 0);
        (void) ask(s, "DELETE", "/vm/snp", NULL, 0);
        (void) ask(s, "DELETE", "/vm/tdx", NULL, 0);
        (void) ask(s, "DELETE", "/vm/new", NULL, 0);
        MUST(ask(s, "POST", "/vm/sev", sev_body, strlen(sev_body)) == 201);
        MUST(ask(s, "POST", "/vm/snp", snp_body, strlen(snp_body)) == 201);
        MUST(ask(s, "POST", "/vm/tdx", tdx_body, strlen(tdx_body)) == 201);
        add_launch(s, "sev", 0x11, sizeof(SevKeys));
        add_launch(s, "snp", 0x22, SNP_PACKET_NONCE_SIZE);
        add_launch(s, "tdx", 0x33, SNP_PACKET_NONCE_SIZE);
        changes = sqlite3_total_changes(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
        char line[300], *space;
        Service *s = world();
        size_t n;

        if (!newline || (n = (size_t) (newline - data)) >= sizeof(line) || memchr(data, 0, n))
                return 0;
        memcpy(line, data, n);
        line[n] = 0;
        space = strchr(line, ' ');
        if (!space)
                return 0;
        *space = 0;
        prepare(s);
        (void) ask(s, line, space + 1, (const char *) newline + 1, size - n - 1);
        return 0;
}
