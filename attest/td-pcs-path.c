/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "strutil.h"
#include "td-pcs.h"

#define TCB_PATH    "/tdx/certification/v4/tcb?"
#define TCB_FILE    "intel-tcb-"
#define FILE_SUFFIX ".pcs"
#define CRL_PATH    "/sgx/certification/v4/pckcrl?"

static const struct {
        const char *path, *file, *header;
} fixed[] = {
        [TD_PCS_TCB_INFO] = { NULL, NULL, "TCB-Info-Issuer-Chain" },
        [TD_PCS_QE_IDENTITY] = { "/tdx/certification/v4/qe/identity", "intel-td-qe" FILE_SUFFIX,
                        "SGX-Enclave-Identity-Issuer-Chain" },
        [TD_PCS_PLATFORM_CRL] = { CRL_PATH "ca=platform&encoding=der", "intel-platform-crl" FILE_SUFFIX,
                        "SGX-PCK-CRL-Issuer-Chain" },
        [TD_PCS_PROCESSOR_CRL] = { CRL_PATH "ca=processor&encoding=der", "intel-processor-crl" FILE_SUFFIX,
                        "SGX-PCK-CRL-Issuer-Chain" },
        [TD_PCS_ROOT_CRL] = { "/IntelSGXRootCA.der", "intel-root-crl.der", NULL },
};
static_assert(ELEMENTSOF(fixed) == _TD_PCS_KIND_MAX, "every kind has a row");

const char *td_pcs_header(TdPcsKind kind) {
        return fixed[kind].header;
}

int td_pcs_path(const TdPcsItem *item, char **ret) {
        _cleanup_free_ char *fmspc = NULL;
        int r;

        if (fixed[item->kind].path) {
                *ret = strdup(fixed[item->kind].path);
                return *ret ? 0 : -ENOMEM;
        }
        fmspc = hex_encode(item->fmspc, TD_FMSPC_SIZE);
        if (!fmspc)
                return -ENOMEM;
        for (char *c = fmspc; *c; c++)
                *c = (char) toupper((unsigned char) *c);
        r = asprintf(ret, TCB_PATH "fmspc=%s", fmspc);
        return r < 0 ? -ENOMEM : 0;
}

int td_pcs_file(const TdPcsItem *item, char **ret) {
        _cleanup_free_ char *fmspc = NULL;

        if (fixed[item->kind].file) {
                *ret = strdup(fixed[item->kind].file);
                return *ret ? 0 : -ENOMEM;
        }
        fmspc = hex_encode(item->fmspc, TD_FMSPC_SIZE);
        return !fmspc || asprintf(ret, TCB_FILE "%s" FILE_SUFFIX, fmspc) < 0 ? -ENOMEM : 0;
}

static int read_fmspc(const char *text, const char *after, TdPcsItem *ret) {
        TdPcsItem item = { .kind = TD_PCS_TCB_INFO };
        char digits[2 * TD_FMSPC_SIZE + 1] = "";

        if (strlen(text) != 2 * TD_FMSPC_SIZE + strlen(after) || !endswith(text, after))
                return -ENOENT;
        memcpy(digits, text, 2 * TD_FMSPC_SIZE);
        if (hex_decode_exact(digits, item.fmspc, TD_FMSPC_SIZE) < 0)
                return -ENOENT;
        *ret = item;
        return 0;
}

/* The parameters of a list, in either order. */
static int read_crl(const char *query, TdPcsItem *ret) {
        static const char *const spellings[][2] = {
                { "ca=platform&encoding=der", "encoding=der&ca=platform" },
                { "ca=processor&encoding=der", "encoding=der&ca=processor" },
        };

        for (size_t i = 0; i < ELEMENTSOF(spellings); i++)
                if (streq(query, spellings[i][0]) || streq(query, spellings[i][1])) {
                        *ret = (TdPcsItem) { .kind = i == 0 ? TD_PCS_PLATFORM_CRL : TD_PCS_PROCESSOR_CRL };
                        return 0;
                }
        return -ENOENT;
}

int td_pcs_path_parse(const char *path, TdPcsItem *ret) {
        const char *query = startswith(path, TCB_PATH "fmspc=");

        if (query)
                return read_fmspc(query, "", ret);
        query = startswith(path, CRL_PATH);
        if (query)
                return read_crl(query, ret);
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                if (fixed[i].path && streq(path, fixed[i].path)) {
                        *ret = (TdPcsItem) { .kind = (TdPcsKind) i };
                        return 0;
                }
        return -ENOENT;
}

int td_pcs_file_parse(const char *name, TdPcsItem *ret) {
        const char *rest = startswith(name, TCB_FILE);

        if (rest) {
                for (const char *c = rest; *c; c++)
                        if (isupper((unsigned char) *c))
                                return -ENOENT; /* one file has one name */
                return read_fmspc(rest, FILE_SUFFIX, ret);
        }
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                if (fixed[i].file && streq(name, fixed[i].file)) {
                        *ret = (TdPcsItem) { .kind = (TdPcsKind) i };
                        return 0;
                }
        return -ENOENT;
}

int td_pcs_address(const TdPcsItem *item, const char *url, char **ret) {
        _cleanup_free_ char *path = NULL;
        int r = td_pcs_path(item, &path);

        if (r < 0)
                return r;
        return asprintf(ret, "%s%s",
                               url
                                               ?: item->kind == TD_PCS_ROOT_CRL ? TD_PCS_ROOT_URL
                                                                                : TD_PCS_URL,
                               path) < 0
                        ? -ENOMEM
                        : 0;
}
