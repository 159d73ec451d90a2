/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Options of TDs: where quotes come from, which registers are predicted and expected, and the conditions of both. */

#include <stdio.h>
#include <string.h>

#include "config-handlers.h"
#include "config-rules.h"
#include "config-tdx.h"
#include "error.h"
#include "strutil.h"

#define SOCKET_PATH_SIZE 108u /* unix(7), with the NUL */

int vm_config_quote_vsock(const char *where, uint32_t *ret_cid, uint32_t *ret_port) {
        const char *rest = startswith(where, "vsock:"), *colon = rest ? strchr(rest, ':') : NULL;
        _cleanup_free_ char *cid = NULL;
        uint64_t a, b;

        if (!rest)
                return 0;
        if (!colon)
                return -EINVAL;
        cid = strndup(rest, (size_t) (colon - rest));
        if (!cid)
                return -ENOMEM;
        if (parse_u64_max(cid, UINT32_MAX, &a) < 0 || parse_u64_max(colon + 1, UINT32_MAX, &b) < 0 || b == 0)
                return -EINVAL;
        *ret_cid = (uint32_t) a;
        *ret_port = (uint32_t) b;
        return 1;
}

bool vm_config_expect_next(const char **p, Expectation *ret) {
        const char *text = *p, *colon;
        size_t n;

        if (!text)
                return false;
        n = strcspn(text, ",");
        colon = memchr(text, ':', n);
        *ret = (Expectation) { .digest = colon ? colon + 1 : text };
        ret->size = n - (size_t) (ret->digest - text);
        /* A name that does not fit is none that is known. */
        if (colon)
                (void) snprintf(ret->name, sizeof(ret->name), "%.*s", (int) (colon - text), text);
        *p = text[n] == ',' ? text + n + 1 : NULL;
        return true;
}

int config_handle_quote_socket(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint32_t cid, port;
        int r = vm_config_quote_vsock(value, &cid, &port);

        if (r == -ENOMEM)
                return r;
        if (r < 0 || (r == 0 && !streq(value, "no") && !streq(value, "auto") && *value != '/'))
                return error_set(reterr, -EINVAL,
                                "expected the absolute path of a socket, vsock:CID:PORT, no or auto, not '%s'",
                                value);
        if (strlen(value) >= SOCKET_PATH_SIZE)
                return error_set(reterr, -ENAMETOOLONG, "'%s' is too long for the path of a socket", value);
        return option_set_string(userdata, row, value, reterr);
}

/* --- rules -------------------------------------------------------------------------------------------------------------- */

static bool is_register(const char *name) {
        static const char *const registers[] = { "mrtd", "rtmr0", "rtmr1", "rtmr2" };

        for (size_t i = 0; i < ELEMENTSOF(registers); i++)
                if (streq(registers[i], name))
                        return true;
        return false;
}

bool expect_no_digest(const VmConfig *c) {
        const Coco *coco = coco_of(c->coco);
        const char *p = c->expect;
        Expectation e;

        while (vm_config_confidential(c) && vm_config_expect_next(&p, &e))
                if (e.size != 2 * coco->digest_size || strspn(e.digest, "0123456789abcdefABCDEF") < e.size ||
                                (*e.name && !(coco->event_log && is_register(e.name))))
                        return true;
        return false;
}

bool registers_alone(const VmConfig *c) {
        return !coco_of(c->coco)->event_log && (c->edk2 || c->fw_cfg || c->bios);
}

bool registers_without_kernel(const VmConfig *c) {
        return (c->edk2 && !c->linux_path) || ((c->fw_cfg || c->bios) && !c->edk2);
}

bool cpu_of_host(const VmConfig *c) {
        return coco_of(c->coco)->cpu_of_host && !streq(c->cpu_model, "host") && !streq(c->cpu_model, "max");
}

bool owner_values_alone(const VmConfig *c) {
        return !coco_of(c->coco)->owner_values &&
                        (c->mrconfigid || c->mrowner || c->mrownerconfig || c->quote_socket);
}
