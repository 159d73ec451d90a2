/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-vmspawn.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "foreign-effect.h"
#include "foreign-words.h"
#include "options-check.h"
#include "strutil.h"

/* --- tables -------------------------------------------------------------------------------------------------------------- */

#define CREDENTIAL "it adds a credential to the measured initrd"

static const EffectRow option_rows[] = {
        { EFFECT_NONE, "quiet no-ask-password no-pager keep-unit system user register uuid machine tpm tpm-state notify-ready network-tap network-user-mode slice property extra-drive image-format discard-disk grow-image ephemeral background vsock-cid ssh-key-type efi-nvram-state smbios11 bind-volume private-users" },
        { EFFECT_KNOWN, "coco linux initrd firmware cpus ram set-credential load-credential console console-transport image directory pass-ssh-key vsock kvm qemu-gui image-disk-type" },
        { EFFECT_UNKNOWN, "bind bind-ro", CREDENTIAL ", fstab.extra" },
        { EFFECT_UNKNOWN, "bind-user bind-user-shell bind-user-group",
                        CREDENTIAL " with the user's record" },
        { EFFECT_UNKNOWN,
                        "forward-journal forward-journal-max-use forward-journal-keep-free forward-journal-max-file-size forward-journal-max-files",
                        CREDENTIAL ", journal.forward_to_socket" },
        { EFFECT_UNKNOWN, "firmware-features secure-boot",
                        "it chooses another firmware: name the image with --firmware=" },
        { EFFECT_UNKNOWN, "efi-nvram-template", "systemd-vmspawn refuses it with --coco=" },
        { EFFECT_UNKNOWN, "help version introspect-cli", "systemd-vmspawn does not start a guest with it" },
};
static const EffectTable options = {
        .what = "systemd-vmspawn's option --", .rows = option_rows, .n_rows = ELEMENTSOF(option_rows)
};

static const char switches[] =
                "quiet no-ask-password no-pager keep-unit system user network-tap network-user-mode ephemeral qemu-gui help version introspect-cli";

static const struct {
        char letter;
        const char *name;
} letters[] = {
        { 'q', "quiet" },
        { 'h', "help" },
        { 'i', "image" },
        { 'D', "directory" },
        { 'M', "machine" },
        { 'x', "ephemeral" },
        { 'n', "network-tap" },
        { 'G', "grow-image" },
        { 's', "smbios11" },
        { 'S', "slice" },
        { 'p', "property" },
};

static const struct {
        const char *old, *name;
} renamed[] = {
        { "qemu-smp", "cpus" },
        { "qemu-mem", "ram" },
        { "qemu-kvm", "kvm" },
        { "qemu-vsock", "vsock" },
};

static bool takes_value(const char *name) {
        return !options_list_has(switches, name);
}

/* --- one option ---------------------------------------------------------------------------------------------------------- */

typedef enum Console { CONSOLE_TERMINAL, CONSOLE_GUI, CONSOLE_HEADLESS } Console;

typedef struct Reader {
        VmspawnLine *l;
        char *const *assumed;
        const char *term;
        char *coco, *directory, *firmware; /* owned */
        Console console;
        bool serial, ssh_key, vsock, ended;
        bool scsi_cd;
        char **reterr;
} Reader;

static int set_text(char **to, const char *value) {
        free(*to);
        *to = strdup(value);
        return *to ? 0 : -ENOMEM;
}

static int read_boolean(Reader *c, const char *name, const char *value, bool *ret) {
        int r = parse_boolean(value);

        if (r < 0)
                return error_set(c->reterr, -EINVAL, "--%s=%s is neither yes nor no", name, value);
        *ret = r;
        return 0;
}

static int read_console(Reader *c, const char *value) {
        static const struct {
                const char *name;
                Console console;
        } names[] = {
                { "interactive", CONSOLE_TERMINAL },
                { "read-only", CONSOLE_TERMINAL },
                { "native", CONSOLE_TERMINAL },
                { "gui", CONSOLE_GUI },
                { "headless", CONSOLE_HEADLESS },
        };

        FOREACH_ARRAY(n, names, ELEMENTSOF(names))
                if (streq(n->name, value)) {
                        c->console = n->console;
                        return 0;
                }
        return error_set(c->reterr, -EINVAL, "--console=%s is not a console of systemd-vmspawn", value);
}

/* Options of the launcher with the same name and meaning. */
static int hand_over(Reader *c, const char *name, const char *value) {
        size_t n = streq(name, "ram") ? strcspn(value, ":")
                                      : strlen(value); /* hot-pluggable memory is not measured */

        if (streq(name, "linux")) {
                int r = set_text(&c->l->kernel, value);

                if (r < 0)
                        return r;
        }
        return strv_pushf(&c->l->options, "--%s=%.*s", name, (int) n, value);
}

static int take_known(Reader *c, const char *name, const char *value) {
        bool yes;
        int r;

        if (streq(name, "console"))
                return read_console(c, value);
        if (streq(name, "qemu-gui"))
                return read_console(c, "gui");
        if (streq(name, "console-transport")) {
                c->serial = streq(value, "serial");
                return 0;
        }
        if (streq(name, "pass-ssh-key"))
                return read_boolean(c, name, value, &c->ssh_key);
        if (streq(name, "vsock") || streq(name, "kvm")) {
                r = streq(value, "auto") ? 0 : read_boolean(c, name, value, &yes);
                if (r < 0)
                        return r;
                yes = streq(value, "auto") || yes;
                if (streq(name, "vsock"))
                        c->vsock = yes;
                else if (!yes)
                        return error_set(c->reterr, -EINVAL,
                                        "systemd-vmspawn refuses --kvm=%s with --coco=", value);
                return 0;
        }
        if (streq(name, "image"))
                return set_text(&c->l->image, value);
        if (streq(name, "directory"))
                return set_text(&c->directory, value);
        if (streq(name, "image-disk-type")) {
                c->scsi_cd = streq(value, "scsi-cd");
                return 0;
        }
        if (streq(name, "firmware")) {
                r = set_text(&c->firmware, value);
                if (r < 0)
                        return r;
        }
        if (streq(name, "coco"))
                return set_text(&c->coco, value);
        return hand_over(c, name, value);
}

static int take_option(Reader *c, const char *name, const char *value) {
        int r;

        FOREACH_ARRAY(o, renamed, ELEMENTSOF(renamed))
                if (streq(o->old, name))
                        name = o->name;
        r = effect_check(&options, name, c->assumed, c->reterr);
        if (r == 1)
                return take_known(c, name, value);
        if (r == 0 && streq(name, "smbios11"))
                return strv_pushf(&c->l->notices,
                                "NOT MEASURED: --smbios11=%s, which a confidential guest ignores", value);
        return r < 0 ? r : 0;
}

/* --name, --name=value, --name value. *i moves to its own value. */
static int take_long(Reader *c, const Words *w, size_t *i) {
        _cleanup_free_ char *name = strdup(w->items[*i].text + 2);
        char *value = name ? strchr(name, '=') : NULL;

        if (!name)
                return -ENOMEM;
        if (value)
                *value++ = 0;
        if (!takes_value(name))
                return value ? error_set(c->reterr, -EINVAL, "--%s takes no value", name)
                             : take_option(c, name, "");
        if (!value && ++*i >= w->n_items)
                return error_set(c->reterr, -EINVAL, "--%s has no value", name);
        return take_option(c, name, value ?: w->items[*i].text);
}

/* -x, -xq, -iPATH, -i PATH. */
static int take_short(Reader *c, const Words *w, size_t *i) {
        for (const char *s = w->items[*i].text + 1; *s; s++) {
                const char *name = NULL;
                int r;

                FOREACH_ARRAY(l, letters, ELEMENTSOF(letters))
                        if (l->letter == *s)
                                name = l->name;
                if (!name)
                        return error_set(c->reterr, -EINVAL, "systemd-vmspawn's option -%c: unknown", *s);
                if (takes_value(name)) {
                        if (s[1])
                                return take_option(c, name, s + 1);
                        if (++*i >= w->n_items)
                                return error_set(c->reterr, -EINVAL, "-%c has no value", *s);
                        return take_option(c, name, w->items[*i].text);
                }
                r = take_option(c, name, "");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- the line ------------------------------------------------------------------------------------------------------------ */

/* sudo, env and VAR=VALUE stand in front of the program. The index of its first argument. */
static int skip_prefix(Reader *c, const Words *w, size_t *ret) {
        for (size_t i = 0; i < w->n_items; i++) {
                const char *text = w->items[i].text, *slash = strrchr(text, '/'),
                           *name = slash ? slash + 1 : text, *rest;

                if (streq(name, "systemd-vmspawn") || streq(name, "vmspawn")) {
                        *ret = i + 1;
                        return 0;
                }
                rest = startswith(text, "SYSTEMD_VMSPAWN_QEMU_EXTRA=");
                if (rest && *rest && !strv_contains(c->assumed, "SYSTEMD_VMSPAWN_QEMU_EXTRA"))
                        return error_set(c->reterr, -EINVAL,
                                        "SYSTEMD_VMSPAWN_QEMU_EXTRA adds options to QEMU's command line; "
                                        "if they change no measured byte, add --assume-unmeasured=SYSTEMD_VMSPAWN_QEMU_EXTRA");
                rest = startswith(text, "TERM=");
                if (rest)
                        c->term = rest;
        }
        *ret = 0;
        if (w->n_items > 0 && w->items[0].text[0] != '-')
                return error_set(c->reterr, -EINVAL, "systemd-vmspawn is missing in this command line");
        return 0;
}

static bool names_root(char *const *words) {
        STRV_FOREACH(w, words)
                if (startswith(*w, "root=") || startswith(*w, "mount.usr="))
                        return true;
        return false;
}

/* What systemd-vmspawn adds before and after the kernel command line. */
static int complete_words(Reader *c, char **user, char ***words) {
        int r = 0;

        if (c->console == CONSOLE_GUI)
                r = strv_push(words, "systemd.minimum_uptime_sec=15");
        if (c->console == CONSOLE_TERMINAL) {
                if (c->term && *c->term && !streq(c->term, "unknown")) {
                        r = strv_pushf(words, "TERM=%s", c->term);
                        if (r >= 0)
                                r = strv_pushf(words, "systemd.tty.term.hvc0=%s", c->term);
                }
                if (r >= 0)
                        r = strv_push(words, c->serial ? "console=ttyS0" : "console=hvc0");
                if (r >= 0)
                        r = strv_pushf(&c->l->notices,
                                        "systemd-vmspawn adds $TERM to the measured command line; using '%s' from this environment; --console=headless avoids this",
                                        c->term ?: "");
        }
        STRV_FOREACH(w, user)
                if (r >= 0)
                        r = strv_push(words, *w);
        if (r >= 0 && c->directory)
                r = strv_push(words, "root=root rootfstype=virtiofs rw");
        if (r >= 0 && c->scsi_cd && strv_contains(user, "rw"))
                r = strv_push(words, "ro");
        return r;
}

static int refuse_unless_assumed(Reader *c, bool given, const char *name, const char *what) {
        if (!given || strv_contains(c->assumed, name))
                return 0;
        return error_set(c->reterr, -EINVAL,
                        "systemd-vmspawn adds %s to the measured initrd unless --%s=no is given; for the digest without it, add --assume-unmeasured=%s",
                        what, name, name);
}

static int check(Reader *c) {
        static const char *const no_firmware[] = { "bios", "none" };
        int r;

        if (!c->coco || streq(c->coco, "no"))
                return error_set(c->reterr, -EINVAL,
                                "the line has no --coco=sev-snp: such a guest has no launch digest");
        if (streq(c->coco, "tdx"))
                return error_set(c->reterr, -EINVAL, "--coco=tdx: this guest is not a SEV guest");
        if (!streq(c->coco, "sev-snp"))
                return error_set(c->reterr, -EINVAL, "systemd-vmspawn refuses --coco=%s", c->coco);
        if (!c->l->kernel)
                return error_set(c->reterr, -EINVAL,
                                "systemd-vmspawn refuses --coco=sev-snp without --linux=");
        for (size_t i = 0; c->firmware && i < ELEMENTSOF(no_firmware); i++)
                if (streq(c->firmware, no_firmware[i]))
                        return error_set(c->reterr, -EINVAL,
                                        "systemd-vmspawn refuses --firmware=%s with --coco=", c->firmware);
        r = refuse_unless_assumed(c, c->ssh_key, "pass-ssh-key", "a fresh SSH key");
        return r < 0 ? r : refuse_unless_assumed(c, c->vsock, "vsock", "a random port");
}

static int read_words(Reader *c, const Words *w) {
        _cleanup_strv_free_ char **user = NULL;
        size_t i;
        int r = skip_prefix(c, w, &i);

        for (; r >= 0 && i < w->n_items; i++) {
                const char *text = w->items[i].text;

                if (!c->ended && streq(text, "--"))
                        c->ended = true;
                else if (c->ended || text[0] != '-' || !text[1])
                        r = strv_push(&user, text);
                else
                        r = text[1] == '-' ? take_long(c, w, &i) : take_short(c, w, &i);
        }
        if (r >= 0)
                r = check(c);
        if (r >= 0)
                r = strv_push(&c->l->options, "--coco=sev-snp");
        if (r >= 0)
                r = strv_push(&c->l->options, "--exact-words");
        if (r >= 0)
                r = complete_words(c, user, &c->l->words);
        if (r >= 0 && c->l->image)
                r = strv_pushf(&c->l->notices, "NOT MEASURED: the disk '%s'", c->l->image);
        if (names_root(user) || c->directory) {
                free(c->l->image);
                c->l->image = NULL;
        }
        return r;
}

void vmspawn_line_done(VmspawnLine *l) {
        strv_free(l->options);
        strv_free(l->words);
        strv_free(l->notices);
        free(l->image);
        free(l->kernel);
        *l = (VmspawnLine) {};
}

int vmspawn_line_read(
                const char *text, const char *term, char *const *assumed, VmspawnLine *ret, char **reterr) {
        _cleanup_(vmspawn_line_done) VmspawnLine l = {};
        _cleanup_(words_done) Words words = {};
        Reader c = {
                .l = &l, .assumed = assumed, .term = term, .ssh_key = true, .vsock = true, .reterr = reterr
        };
        int r = words_shell(text, &words, reterr);

        if (r >= 0 && text[words.end + strspn(text + words.end, " \t\r\n")])
                r = error_set(reterr, -EINVAL, "more than one command: '%.40s'", text + words.end);
        if (r >= 0)
                r = read_words(&c, &words);
        free(c.coco);
        free(c.directory);
        free(c.firmware);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (VmspawnLine) {});
        return 0;
}
