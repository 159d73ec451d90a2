/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `owner agent --via=`: hosts speak to it as to an attestation service, so it becomes one: cvmspawn-attestd, which has the protocol, the owner's end of
 * the tunnel and its confinement. It listens on a socket in the owner's folder, and on no address. */

#include "owner-via.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "process.h"
#include "strutil.h"

#define SERVICE "cvmspawn-attestd"

static int push_option(char ***argv, const char *name, const char *value) {
        return value ? strv_pushf(argv, "--%s=%s", name, value) : 0;
}

static int build(const OwnerVia *v, const OwnerArgs *a, char ***argv) {
        const struct {
                const char *name, *value;
        } options[] = {
                { "state", a->owner_dir },
                { "via", v->url },
                { "via-token-file", v->token_file },
                { "via-ca", v->ca_file },
                { "tls-cert", v->tls_cert },
                { "tls-key", v->tls_key },
                { "insecure-root", a->platform.insecure_root },
        };
        int r = strv_push(argv, SERVICE);

        FOREACH_ARRAY(o, options, ELEMENTSOF(options))
                if (r >= 0)
                        r = push_option(argv, o->name, o->value);
        STRV_FOREACH(file, a->platform.certs)
                if (r >= 0)
                        r = push_option(argv, "certs", *file);
        return r < 0 ? r : strv_pushf(argv, "--listen=unix:%s/socket", a->owner_dir);
}

int owner_via(const OwnerVia *v, const OwnerArgs *a, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *beside = NULL;
        int r;

        if (!a->owner_dir || !v->token_file || !v->tls_cert || !v->tls_key)
                return error_set(reterr, -EINVAL,
                                "--via= requires --owner-dir=, --via-token-file=, --tls-cert= and --tls-key=");
        r = build(v, a, &argv);
        if (r >= 0)
                r = process_find_beside(SERVICE, &beside);
        if (r < 0 && r != -ENOENT)
                return r;
        /* In a build directory it is beside this program; installed, it is where programs are. */
        (void) (beside ? execv(beside, argv) : execvp(SERVICE, argv));
        return error_set(reterr, -errno, "cannot start '%s', which --via= needs: %s%s", beside ?: SERVICE,
                        strerror(errno), errno == ENOENT ? "; install it" : "");
}
