/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's network, and the names and addresses that follow from the machine's name as with systemd-vmspawn. */

#include <errno.h>
#include <string.h>

#include "config-handlers.h"
#include "config-rules.h"
#include "error.h"
#include "siphash.h"
#include "strutil.h"

static const char *const network_modes[] = {
        [NETWORK_NONE] = "none",
        [NETWORK_USER] = "user",
        [NETWORK_TAP] = "tap",
        [NETWORK_PASST] = "passt",
};
static_assert(ELEMENTSOF(network_modes) == _NETWORK_MODE_MAX, "every mode has a name");

const char *network_mode_to_string(NetworkMode m) {
        return network_modes[m];
}

int config_handle_network(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;

        if (!value) {
                c->network = streq(row->name, "network-tap") ? NETWORK_TAP : NETWORK_USER;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(network_modes); i++)
                if (streq(network_modes[i], value)) {
                        c->network = (NetworkMode) i;
                        return 0;
                }
        return error_set(reterr, -EINVAL, "expected none, user, tap or passt, not '%s'", value);
}

/* Names of interfaces have 15 characters: of a longer one the first eleven are kept, and four of its hash. */
void vm_config_tap_name(const char *machine, char ret[TAP_NAME_SIZE]) {
        static const uint8_t key[16] = { 0xe1, 0x90, 0xa4, 0x04, 0xa8, 0xef, 0x4b, 0x51, 0x8c, 0xcc, 0xc3,
                0x3a, 0x9f, 0x11, 0xfc, 0xa2 };
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        char name[128] = "vt-";
        const char *from = machine ?: "cvm";
        size_t n = MIN(strlen(from), sizeof(name) - 4);
        uint64_t hash;

        memcpy(name + 3, from, n);
        if (n + 3 < TAP_NAME_SIZE) {
                memcpy(ret, name, n + 4);
                return;
        }
        hash = siphash24(name, strlen(name), key);
        memcpy(ret, name, 11);
        for (unsigned i = 0; i < 4; i++)
                ret[11 + i] = digits[hash >> (18 - 6 * i) & 0x3f];
        ret[15] = 0;
}

void vm_config_mac(const uint8_t machine_id[16], const char *machine, uint8_t ret[6]) {
        static const uint8_t key[16] = { 0x01, 0xd0, 0xc6, 0x4c, 0x2b, 0xdf, 0x24, 0xfb, 0xc0, 0xf8, 0xb2,
                0x09, 0x7d, 0x59, 0xb2, 0x93 };
        const char *name = machine ?: "cvm";
        uint8_t text[16 + 256];
        const size_t n = strlen(name), size = MIN(n, sizeof(text) - 16);
        uint64_t hash;

        memcpy(text, machine_id, 16);
        memcpy(text + 16, name, size);
        hash = siphash24(text, 16 + size, key);
        for (size_t i = 0; i < 6; i++)
                ret[i] = (uint8_t) (hash >> (8 * i));
        /* Of no maker, and of one station: IEEE 802, "U/L" and "I/G". */
        ret[0] = (uint8_t) ((ret[0] | 2) & 0xfe);
}

bool publish_alone(const VmConfig *c) {
        return c->publish && c->network != NETWORK_USER && c->network != NETWORK_PASST;
}
