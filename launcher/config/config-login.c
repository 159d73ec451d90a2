/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Logins: the vsock device, its address, and the ssh key that the guest gets. */

#include <errno.h>
#include <string.h>

#include "config-handlers.h"
#include "config-rules.h"
#include "error.h"
#include "siphash.h"
#include "strutil.h"

#define CID_FIRST 3u          /* 0 to 2 are the hypervisor, loopback and the host: linux/vm_sockets.h */
#define CID_LAST  0xfffffffeu /* the one above is VMADDR_CID_ANY */

static const char *const vsock_modes[] = {
        [VSOCK_AUTO] = "auto",
        [VSOCK_NO] = "no",
        [VSOCK_YES] = "yes",
        [VSOCK_USER] = "user",
};
static_assert(ELEMENTSOF(vsock_modes) == _VSOCK_MODE_MAX, "every mode has a name");

const char *vsock_mode_to_string(VsockMode m) {
        return vsock_modes[m];
}

int config_handle_vsock(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        int b;

        if (streq(value, "auto") || streq(value, "user")) {
                c->vsock = *value == 'a' ? VSOCK_AUTO : VSOCK_USER;
                return 0;
        }
        b = parse_boolean(value);
        if (b < 0)
                return error_set(reterr, b, "expected yes, no, auto or user, not '%s'", value);
        c->vsock = b ? VSOCK_YES : VSOCK_NO;
        return 0;
}

int config_handle_vsock_cid(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint64_t v;

        if (parse_u64_max(value, CID_LAST, &v) < 0 || v < CID_FIRST)
                return error_set(reterr, -EINVAL, "expected a context identifier from %u to %u, not '%s'",
                                CID_FIRST, CID_LAST, value);
        *(uint32_t *) ((char *) userdata + row->offset) = (uint32_t) v;
        return 0;
}

int config_handle_ssh_key(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        int b = streq(value, "auto") ? 0 : parse_boolean(value);

        if (b < 0 && !strchr(value, '/') && !strchr(value, '.'))
                return error_set(reterr, -EINVAL,
                                "expected yes, no, auto or the file of a public key, not '%s'; write './%s' for a file",
                                value, value);
        c->pass_ssh_key = streq(value, "auto") ? TRISTATE_AUTO : b == 0 ? TRISTATE_NO : TRISTATE_YES;
        if (b < 0)
                return option_set_string(userdata, row, value, reterr);
        free(c->ssh_key);
        c->ssh_key = NULL;
        return 0;
}

/* systemd-vmspawn's rule, so that the same name has the same address with both. */
uint32_t vm_config_cid(const char *machine, uint32_t attempt) {
        static const uint8_t key[16] = { 0x03, 0xad, 0xf0, 0xa4, 0x59, 0x2c, 0x77, 0x11, 0xda, 0x39, 0x0c,
                0xba, 0xf5, 0x4c, 0x80, 0x52 };
        const char *name = machine ?: "cvm";
        const size_t n = strlen(name);
        uint8_t text[256 + 4] = {};
        size_t size = MIN(n, sizeof(text) - 4);

        memcpy(text, name, size);
        for (size_t i = 0; i < 4; i++)
                text[size + i] = (uint8_t) (attempt >> (8 * i));
        return (uint32_t) (CID_FIRST + siphash24(text, size + 4, key) % (CID_LAST - CID_FIRST));
}

bool vsock_cid_alone(const VmConfig *c) {
        return c->vsock_cid > 0 && c->vsock == VSOCK_NO;
}

bool coco_vsock_user(const VmConfig *c) {
        return vm_config_confidential(c) && c->vsock == VSOCK_USER;
}

bool coco_ssh_key(const VmConfig *c) {
        return vm_config_confidential(c) && c->pass_ssh_key == TRISTATE_YES && !c->ssh_key;
}

bool ssh_key_type_alone(const VmConfig *c) {
        return c->ssh_key_type &&
                        (c->ssh_key || c->pass_ssh_key == TRISTATE_NO ||
                                        (vm_config_confidential(c) && c->pass_ssh_key == TRISTATE_AUTO));
}

bool ready_alone(const VmConfig *c) {
        return c->notify_ready == TRISTATE_YES && !c->run && c->vsock != VSOCK_YES && c->vsock != VSOCK_USER;
}
