/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-handlers.h"

#include <stdio.h>
#include <string.h>

#include "credential.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"
#include "terminal-tint.h"

#define CPUS_MAX         1024u /* q35 machines of QEMU 10 take no more with ordinary interrupt routing */
#define MACHINE_NAME_MAX 64u   /* as a host name: machined's limit */

static void *field(void *userdata, const OptionRow *row) {
        return (char *) userdata + row->offset;
}

static const char *const firmware_choices[] = {
        [FIRMWARE_AUTO] = "auto",
        [FIRMWARE_UEFI] = "uefi",
        [FIRMWARE_BIOS] = "bios",
        [FIRMWARE_NONE] = "none",
        [FIRMWARE_PATH] = "path",
        [FIRMWARE_LIST] = "list",
        [FIRMWARE_DESCRIBE] = "describe",
};
static_assert(ELEMENTSOF(firmware_choices) == _FIRMWARE_CHOICE_MAX, "every choice has a name");

static const char *const console_modes[] = {
        [CONSOLE_AUTO] = "auto",
        [CONSOLE_INTERACTIVE] = "interactive",
        [CONSOLE_READ_ONLY] = "read-only",
        [CONSOLE_NATIVE] = "native",
        [CONSOLE_HEADLESS] = "headless",
};
static_assert(ELEMENTSOF(console_modes) == _CONSOLE_MODE_MAX, "every mode has a name");

static const char *const console_transports[] = {
        [CONSOLE_SERIAL] = "serial",
        [CONSOLE_VIRTIO] = "virtio",
};
static_assert(ELEMENTSOF(console_transports) == _CONSOLE_TRANSPORT_MAX, "every transport has a name");

static const char *const credential_transports[] = {
        [TRANSPORT_AUTO] = "auto",
        [TRANSPORT_INITRD] = "initrd",
        [TRANSPORT_SMBIOS] = "smbios",
        [TRANSPORT_FW_CFG] = "fw_cfg",
        [TRANSPORT_CMDLINE] = "cmdline",
};
static_assert(ELEMENTSOF(credential_transports) == _CREDENTIAL_TRANSPORT_MAX, "every transport has a name");

const char *firmware_choice_to_string(FirmwareChoice f) {
        return firmware_choices[f];
}

const char *console_mode_to_string(ConsoleMode m) {
        return console_modes[m];
}

const char *console_transport_to_string(ConsoleTransport t) {
        return console_transports[t];
}

const char *credential_transport_to_string(CredentialTransport t) {
        return credential_transports[t];
}

const char *tristate_to_string(Tristate t) {
        return t == TRISTATE_AUTO ? "auto" : t == TRISTATE_YES ? "yes" : "no";
}

/* Finds a word in names[first..n) and stores its index, which is the enum's value. */
static int pick(const char *const *names, size_t n, size_t first, const char *value, unsigned *ret,
                char **reterr) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *list = NULL;

        for (size_t i = first; i < n; i++) {
                if (streq(names[i], value)) {
                        *ret = (unsigned) i;
                        return 0;
                }
                text_putf(&t, "%s%s", i == first ? "" : i + 1 == n ? " or " : ", ", names[i]);
        }
        return error_set(reterr, -EINVAL, "expected %s, not '%s'",
                        text_finish(&t, &list) < 0 ? "another word" : list, value);
}

int config_handle_help(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;

        if (value && !streq(value, "all"))
                return error_set(reterr, -EINVAL, "expected all, not '%s'", value);
        c->help = true;
        c->help_all = value;
        return 0;
}

int config_handle_nothing(_unused_ void *userdata, _unused_ const OptionRow *row, _unused_ const char *value,
                _unused_ char **reterr) {
        return 0;
}

int config_handle_alone(_unused_ void *userdata, _unused_ const OptionRow *row, _unused_ const char *value,
                char **reterr) {
        return error_set(reterr, -EINVAL, "it prints the options and starts no guest: pass nothing else");
}

int config_handle_tristate(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int b;

        if (streq(value, "auto")) {
                *(Tristate *) field(userdata, row) = TRISTATE_AUTO;
                return 0;
        }
        b = parse_boolean(value);
        if (b < 0)
                return error_set(reterr, b, "expected yes, no or auto, not '%s'", value);
        *(Tristate *) field(userdata, row) = b ? TRISTATE_YES : TRISTATE_NO;
        return 0;
}

int config_handle_notify_ready(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (streq(value, "auto"))
                return error_set(reterr, -EINVAL, "expected yes or no, not 'auto'");
        return config_handle_tristate(userdata, row, value, reterr);
}

/* --console=gui and its older name. */
int config_handle_gui(_unused_ void *userdata, _unused_ const OptionRow *row, _unused_ const char *value,
                char **reterr) {
        return error_set(reterr, -EOPNOTSUPP,
                        "a graphical console is not supported: QEMU runs confined and as a user that cannot reach this session's display; use --console=interactive, or ssh and a remote desktop of the guest by --publish=");
}

int config_handle_console(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (streq(value, "gui"))
                return config_handle_gui(userdata, row, value, reterr);
        return pick(console_modes, ELEMENTSOF(console_modes), CONSOLE_INTERACTIVE, value,
                        field(userdata, row), reterr);
}

int config_handle_background(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;

        if (*value && !terminal_tint_valid(value))
                return error_set(reterr, -EINVAL,
                                "expected a background colour as parameters of SGR, such as 44, 48;5;22 or 48;2;0;40;0, not '%s'",
                                value);
        if (*value)
                return option_set_string(userdata, row, value, reterr);
        free(c->background);
        c->background = NULL;
        return 0;
}

int config_handle_console_transport(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        return pick(console_transports, ELEMENTSOF(console_transports), 0, value, field(userdata, row),
                        reterr);
}

int config_handle_credential_transport(
                void *userdata, const OptionRow *row, const char *value, char **reterr) {
        return pick(credential_transports, ELEMENTSOF(credential_transports), 0, value, field(userdata, row),
                        reterr);
}

int config_handle_json(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        static const JsonMode modes[] = {
                [OPTION_JSON_OFF] = JSON_OFF,
                [OPTION_JSON_PRETTY] = JSON_PRETTY_MODE,
                [OPTION_JSON_SHORT] = JSON_SHORT_MODE,
        };
        OptionJson style;
        int r = option_parse_json(value, &style, reterr);

        if (r >= 0)
                *(JsonMode *) field(userdata, row) = modes[style];
        return r;
}

int config_handle_coco(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        CocoMode m = coco_mode_from_string(value);
        VmConfig *c = (VmConfig *) ((char *) userdata + row->offset - offsetof(VmConfig, coco));
        const bool automatic = streq(value, "auto");

        if (m < 0 && !automatic)
                return error_set(reterr, -EINVAL, "expected no, sev, sev-es, sev-snp, tdx or auto, not '%s'",
                                value);
        c->coco = automatic ? COCO_NONE : m;
        c->coco_auto = automatic;
        return 0;
}

int config_handle_firmware(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        VmConfig *c = userdata;
        char *copy;

        for (size_t i = 0; i < ELEMENTSOF(firmware_choices); i++)
                if (i != FIRMWARE_PATH && streq(firmware_choices[i], value)) {
                        c->firmware = (FirmwareChoice) i;
                        return 0;
                }
        if (!strchr(value, '/') && !strchr(value, '.'))
                return error_set(reterr, -EINVAL,
                                "expected auto, uefi, bios, none, list, describe or a path, not '%s'",
                                value);

        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(c->firmware_path);
        c->firmware_path = copy;
        c->firmware = FIRMWARE_PATH;
        return 0;
}

int config_handle_cpus(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint64_t v;
        int r = parse_u64_max(value, CPUS_MAX, &v);

        if (r < 0 || v == 0)
                return error_set(reterr, -EINVAL, "expected a number from 1 to %u, not '%s'", CPUS_MAX,
                                value);
        *(unsigned *) field(userdata, row) = (unsigned) v;
        return 0;
}

int config_handle_machine(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        size_t n = strlen(value);

        if (n == 0 || n > MACHINE_NAME_MAX || value[0] == '-' || value[0] == '.' ||
                        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
                                        n)
                return error_set(reterr, -EINVAL,
                                "'%s' is not a machine name: use at most %u letters, digits, '-', '_' and '.'",
                                value, MACHINE_NAME_MAX);
        return option_set_string(userdata, row, value, reterr);
}

/* 32 hexadecimal digits, with or without dashes; kept in the form with dashes. */
int config_handle_uuid(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        char text[GUID_TEXT_SIZE], plain[33];
        size_t n = 0;
        uint8_t bytes[16];

        for (const char *p = value; *p; p++)
                if (*p != '-') {
                        if (n >= 32)
                                return error_set(reterr, -EINVAL, "'%s' is not a UUID", value);
                        plain[n++] = *p;
                }
        plain[n] = 0;
        if (hex_decode_exact(plain, bytes, sizeof(bytes)) < 0 || (strchr(value, '-') && strlen(value) != 36))
                return error_set(reterr, -EINVAL,
                                "'%s' is not a UUID: expected 32 hexadecimal digits, with or without dashes",
                                value);

        (void) snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", plain, plain + 8, plain + 12,
                        plain + 16, plain + 20);
        return option_set_string(userdata, row, text, reterr);
}

static int add_credential(VmConfig *c, const char *value, bool load, char **reterr) {
        const char *option = load ? "PATH" : "VALUE", *colon = strchr(value, ':');
        CredentialSource *items;
        CredentialSource s = {};
        char **slot = load ? &s.path : &s.text;

        if (!colon)
                return error_set(reterr, -EINVAL, "expected ID:%s (':' is missing)", option);
        s.id = strndup(value, (size_t) (colon - value));
        *slot = strdup(colon + 1);
        if (!s.id || !*slot) {
                free(s.id);
                erase_string_free(*slot);
                return -ENOMEM;
        }

        items = reallocarray(c->credentials, c->n_credentials + 1, sizeof(CredentialSource));
        if (!items) {
                free(s.id);
                erase_string_free(*slot);
                return -ENOMEM;
        }
        c->credentials = items;
        c->credentials[c->n_credentials++] = s;
        return 0;
}

int config_handle_set_credential(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        return add_credential(userdata, value, /* load= */ false, reterr);
}

int config_handle_load_credential(
                void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        return add_credential(userdata, value, /* load= */ true, reterr);
}

typedef struct MaskWord {
        const char *word;
        unsigned bit;
} MaskWord;

static int add_words(const MaskWord *words, size_t n, const char *value, unsigned *mask, char **reterr) {
        _cleanup_strv_free_ char **list = NULL;
        int r = strv_split(value, ',', &list);

        if (r < 0)
                return r;
        STRV_FOREACH(s, list) {
                unsigned bit = 0;

                FOREACH_ARRAY(w, words, n)
                        if (streq(w->word, *s))
                                bit = w->bit;
                if (bit == 0) {
                        _cleanup_(text_done) Text t = {};

                        FOREACH_ARRAY(w, words, n)
                                text_putf(&t, "%s%s", w == words ? "" : ", ", w->word);
                        return error_set(reterr, -EINVAL, "'%s' is not one of %s", *s,
                                        t.data ?: "the values");
                }
                *mask |= bit;
        }
        return 0;
}

int config_handle_print(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        static const MaskWord words[] = {
                { "config", PRINT_CONFIG },
                { "argv", PRINT_ARGV },
                { "credentials", PRINT_CREDENTIALS },
                { "digest", PRINT_DIGEST },
                { "confinement", PRINT_CONFINEMENT },
        };

        return add_words(words, ELEMENTSOF(words), value, field(userdata, row), reterr);
}

int config_handle_allow(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        static const MaskWord words[] = {
                { "disk", ALLOW_DISK },
                { "shares", ALLOW_SHARES },
                { "qemu-arg", ALLOW_QEMU_ARG },
        };

        return add_words(words, ELEMENTSOF(words), value, field(userdata, row), reterr);
}

int config_handle_guest_features(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ((VmConfig *) userdata)->guest_features_set = true;
        return option_set_u64(userdata, row, value, reterr);
}

int config_handle_vm_type(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        static const char *const names[] = { "new", "legacy" };
        unsigned v;
        int r = pick(names, ELEMENTSOF(names), 0, value, &v, reterr);

        if (r < 0)
                return r;
        *(bool *) field(userdata, row) = v == 1;
        return 0;
}

int config_handle_owner(void *userdata, const OptionRow *row, const char *value, _unused_ char **reterr) {
        VmConfig *c = userdata;

        return strv_pushf(&c->owner, "--%s%s%s", row->name, value ? "=" : "", value ?: "");
}
