/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which UEFI build a guest gets, and where its variables and its TPM are kept. */

#include <errno.h>
#include <string.h>

#include "config-handlers.h"
#include "config-rules.h"
#include "error.h"
#include "strutil.h"

int config_handle_state(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        char **p = (char **) ((char *) userdata + row->offset);

        if (streq(value, "auto")) {
                free(*p);
                *p = NULL;
                return 0;
        }
        if (!streq(value, "off") && !strchr(value, '/'))
                return error_set(reterr, -EINVAL,
                                "expected auto, off or a path, not '%s'; write './%s' for a path", value,
                                value);
        return option_set_string(userdata, row, value, reterr);
}

int config_handle_firmware_features(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        VmConfig *c = userdata;
        int r = 0;

        if (streq(value, "list")) {
                c->list_firmware_features = true;
                return 0;
        }
        /* Nothing: not even what is left out by default. */
        if (!*value) {
                c->any_firmware_features = true;
                return 0;
        }
        r = strv_split(value, ',', &words);
        STRV_FOREACH(w, words) {
                const char *name = **w == '~' ? *w + 1 : *w;

                if (r < 0)
                        return r;
                if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
                        return error_set(reterr, -EINVAL,
                                        "'%s' is not a firmware feature: use names such as secure-boot, with ~ in front for what must not be there; list shows the known ones",
                                        *w);
                r = strv_push(**w == '~' ? &c->firmware_exclude : &c->firmware_include, name);
        }
        return r;
}

static bool kept(const char *state) {
        return state && !streq(state, "off");
}

const char *vm_config_state_base(const VmConfig *c) {
        if (c->ephemeral || (c->image && disk_type_facts(c->image_disk_type)->read_only))
                return NULL;
        return c->image ?: c->directory;
}

bool coco_secure_boot(const VmConfig *c) {
        /* A TD's firmware has its keys in itself, and logs what it checks. */
        return vm_config_confidential(c) && !coco_of(c->coco)->event_log && c->secure_boot == TRISTATE_YES;
}

bool coco_nvram(const VmConfig *c) {
        return vm_config_confidential(c) && (c->efi_nvram_template || kept(c->efi_nvram_state));
}

/* With a kernel there is no UEFI unless it is requested. */
bool uefi_alone(const VmConfig *c) {
        const bool uefi = c->firmware == FIRMWARE_UEFI || c->firmware == FIRMWARE_PATH ||
                        c->firmware == FIRMWARE_DESCRIBE || c->firmware == FIRMWARE_LIST ||
                        (c->firmware == FIRMWARE_AUTO && (!c->linux_path || vm_config_confidential(c)));

        return !uefi &&
                        (c->secure_boot == TRISTATE_YES || c->firmware_include || c->firmware_exclude ||
                                        c->efi_nvram_template || kept(c->efi_nvram_state));
}

bool state_ephemeral(const VmConfig *c) {
        return c->ephemeral && (kept(c->efi_nvram_state) || kept(c->tpm_state));
}

bool tpm_state_alone(const VmConfig *c) {
        return kept(c->tpm_state) && c->tpm == TRISTATE_NO;
}
