/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-qemu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "strutil.h"

#define POLICY_ES 0x4u
/* libvirt's chains have two nodes; a loop must not hold us. */
#define BLOCKDEV_DEPTH 8u

/* One option argument, as key=value,... or as JSON. */
typedef struct Argument {
        const char *text; /* borrowed */
        Json *json;       /* owned; NULL: key=value */
} Argument;

typedef struct QemuLine {
        const char *bios, *kernel, *initrd, *append, *smp, *cpu, *machine, *pflash; /* borrowed */
        Argument *objects, *blockdevs;                                              /* owned */
        size_t n_objects, n_blockdevs;
        bool readconfig;
} QemuLine;

static void line_done(QemuLine *l) {
        FOREACH_ARRAY(o, l->objects, l->n_objects)
                js_unref(o->json);
        FOREACH_ARRAY(b, l->blockdevs, l->n_blockdevs)
                js_unref(b->json);
        free(l->objects);
        free(l->blockdevs);
}

/* --- words and values ------------------------------------------------------------------------------------------------ */

int shell_split(const char *text, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_(text_done) Text word = {};
        bool in_word = false;
        char quote = 0;

        for (const char *p = text;; p++) {
                bool blank = *p == 0 || (!quote && strchr(" \t\r\n", *p));
                char *s;
                int r;

                if (blank && in_word && !quote) {
                        r = text_finish(&word, &s);
                        if (r >= 0)
                                r = strv_consume(&l, s);
                        if (r < 0)
                                return r;
                        in_word = false;
                }
                if (*p == 0)
                        break;
                if (blank)
                        continue;
                if (*p == '\\' && quote != '\'' && p[1]) {
                        p++;
                        if (*p == '\n')
                                continue;
                        if (quote && !strchr("\"\\$`", *p))
                                text_put(&word, "\\");
                        text_put_n(&word, p, 1);
                } else if (*p == quote)
                        quote = 0;
                else if (!quote && (*p == '\'' || *p == '"'))
                        quote = *p;
                else
                        text_put_n(&word, p, 1);
                in_word = true;
        }
        if (quote)
                return error_set(reterr, -EINVAL, "a quote (%c) is not closed", quote);
        *ret = TAKE_PTR(l);
        return 0;
}

/* The value of a key: owned, NULL if absent. In key=value text a doubled comma is a comma; the first item may lack its key, which is
 * then `first`. */
static int keyval_get(const char *text, const char *key, const char *first, char **ret) {
        bool beginning = true;

        *ret = NULL;
        while (*text) {
                _cleanup_(text_done) Text item = {};
                _cleanup_free_ char *s = NULL;
                char *equals;
                int r;

                for (; *text && (*text != ',' || text[1] == ','); text++) {
                        if (*text == ',')
                                text++;
                        text_put_n(&item, text, 1);
                }
                if (*text == ',')
                        text++;
                r = text_finish(&item, &s);
                if (r < 0)
                        return r;
                equals = strchr(s, '=');
                if (equals)
                        *equals = 0;
                if (equals ? streq(s, key) : beginning && first && streq(first, key)) {
                        free(*ret); /* the last one counts */
                        *ret = strdup(equals ? equals + 1 : s);
                        if (!*ret)
                                return -ENOMEM;
                }
                beginning = false;
        }
        return 0;
}

static int argument_get(const Argument *a, const char *key, const char *first, char **ret) {
        const Json *value;
        uint64_t n;
        bool b;

        if (!a->json)
                return keyval_get(a->text, key, first, ret);
        *ret = NULL;
        value = js_get(a->json, key);
        if (!value)
                return 0;
        if (js_string_value(value))
                *ret = strdup(js_string_value(value));
        else if (js_bool_value(value, &b) >= 0)
                *ret = strdup(b ? "on" : "off");
        else if (js_u64_value(value, &n) >= 0 && asprintf(ret, "%llu", (unsigned long long) n) < 0)
                *ret = NULL;
        return *ret ? 0 : -ENOMEM;
}

static int add_argument(Argument **l, size_t *n, const char *text, char **reterr) {
        Argument *items = reallocarray(*l, *n + 1, sizeof(Argument));

        if (!items)
                return -ENOMEM;
        *l = items;
        items[*n] = (Argument) { .text = text };
        if (text[0] == '{') {
                int r = js_parse(text, strlen(text), &items[*n].json, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "QEMU's argument '%.40s'", text);
        }
        (*n)++;
        return 0;
}

/* --- the line -------------------------------------------------------------------------------------------------------- */

static int read_pflash(const char *value, QemuLine *l) {
        _cleanup_free_ char *interface = NULL, *unit = NULL;
        int r;

        r = keyval_get(value, "if", NULL, &interface);
        if (r >= 0)
                r = keyval_get(value, "unit", NULL, &unit);
        if (r < 0)
                return r;
        /* Unit 0 is the code; the variable store behind it is not measured. */
        if (interface && streq(interface, "pflash") && (unit ? streq(unit, "0") : !l->pflash))
                l->pflash = value;
        return 0;
}

static int read_line(char *const *argv, QemuLine *l, char **reterr) {
        for (size_t i = 1; argv[i]; i++) {
                const char *option = startswith(argv[i], "--") ?: startswith(argv[i], "-"),
                           *value = argv[i + 1];
                const struct {
                        const char *name;
                        const char **to;
                } texts[] = {
                        { "bios", &l->bios },
                        { "kernel", &l->kernel },
                        { "initrd", &l->initrd },
                        { "append", &l->append },
                        { "smp", &l->smp },
                        { "cpu", &l->cpu },
                        { "machine", &l->machine },
                        { "M", &l->machine },
                };
                bool taken = false;
                int r = 0;

                if (!option || !value)
                        continue;
                FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                        if (streq(option, t->name)) {
                                *t->to = value;
                                taken = true;
                        }
                if (streq(option, "object"))
                        r = add_argument(&l->objects, &l->n_objects, value, reterr);
                else if (streq(option, "blockdev"))
                        r = add_argument(&l->blockdevs, &l->n_blockdevs, value, reterr);
                else if (streq(option, "drive"))
                        r = read_pflash(value, l);
                else if (streq(option, "readconfig"))
                        l->readconfig = true;
                else if (!taken)
                        continue;
                if (r < 0)
                        return r;
                i++;
        }
        return 0;
}

static int find_object(const QemuLine *l, const char *id, const char *const *types, const Argument **ret) {
        *ret = NULL;
        FOREACH_ARRAY(o, l->objects, l->n_objects) {
                _cleanup_free_ char *type = NULL, *own = NULL;
                int r;

                r = argument_get(o, "qom-type", "qom-type", &type);
                if (r >= 0)
                        r = argument_get(o, "id", NULL, &own);
                if (r < 0)
                        return r;
                for (const char *const *t = types; type && *t; t++)
                        if (streq(type, *t) && (!id || streq_ptr(own, id)))
                                *ret = o;
        }
        return 0;
}

/* The file of a block node, through the nodes that lie on it. */
static int node_file(const QemuLine *l, const char *node, unsigned depth, char **ret) {
        *ret = NULL;
        FOREACH_ARRAY(b, l->blockdevs, depth > 0 ? l->n_blockdevs : 0) {
                _cleanup_free_ char *name = NULL, *file = NULL;
                int r;

                r = argument_get(b, "node-name", NULL, &name);
                if (r < 0 || !streq_ptr(name, node))
                        continue;
                r = argument_get(b, "filename", NULL, ret);
                if (r < 0 || *ret)
                        return r;
                r = argument_get(b, "file", NULL, &file);
                return r < 0 || !file ? r : node_file(l, file, depth - 1, ret);
        }
        return 0;
}

static int find_firmware(const QemuLine *l, char **ret) {
        _cleanup_free_ char *node = NULL;
        int r = 0;

        *ret = NULL;
        if (l->bios) {
                *ret = strdup(l->bios);
                return *ret ? 0 : -ENOMEM;
        }
        if (l->pflash)
                return keyval_get(l->pflash, "file", NULL, ret);
        if (l->machine)
                r = keyval_get(l->machine, "pflash0", NULL, &node);
        return r < 0 || !node ? r : node_file(l, node, BLOCKDEV_DEPTH, ret);
}

static unsigned factor(const char *smp, const char *key) {
        _cleanup_free_ char *s = NULL;
        unsigned n;

        return keyval_get(smp, key, NULL, &s) >= 0 && s && parse_unsigned(s, &n) >= 0 && n > 0 ? n : 1;
}

/* vCPUs at start; hot-pluggable ones (maxcpus) have no VMSA yet. */
static int count_vcpus(const char *smp, char **ret) {
        int r = 0;

        *ret = NULL;
        if (smp)
                r = keyval_get(smp, "cpus", "cpus", ret);
        if (r < 0 || *ret)
                return r;
        return asprintf(ret, "%u",
                               smp ? factor(smp, "sockets") * factor(smp, "dies") * factor(smp, "cores") *
                                                               factor(smp, "threads")
                                   : 1) < 0
                        ? -ENOMEM
                        : 0;
}

static bool is_on(const char *s) {
        return s && (streq(s, "on") || streq(s, "yes") || streq(s, "true") || streq(s, "y"));
}

/* Fills an option that was not given; takes the text. */
static void fill(char **to, char *text) {
        if (*to)
                free(text);
        else
                *to = text;
}

static int fill_copy(char **to, const char *text) {
        if (*to || !text)
                return 0;
        *to = strdup(text);
        return *to ? 0 : -ENOMEM;
}

static int fill_mode(const Argument *sev, MeasureArguments *a, char **reterr) {
        _cleanup_free_ char *type = NULL, *policy = NULL, *legacy = NULL;
        uint64_t bits = 1;
        int r;

        r = argument_get(sev, "qom-type", "qom-type", &type);
        if (r >= 0)
                r = argument_get(sev, "policy", NULL, &policy);
        if (r >= 0)
                r = argument_get(sev, "legacy-vm-type", NULL, &legacy);
        if (r < 0)
                return r;
        if (streq(type, "sev-snp-guest"))
                return fill_copy(&a->mode, "snp");
        if (policy && parse_u64(policy, &bits) < 0)
                return error_set(reterr, -EINVAL, "QEMU's policy '%s' is no number", policy);
        if (!(bits & POLICY_ES))
                return fill_copy(&a->mode, "sev");
        r = fill_copy(&a->mode, "seves");
        /* "auto" is the legacy type where QEMU knows it. */
        if (r >= 0 && !a->vmm_type)
                r = fill_copy(&a->vmsa,
                                legacy && (streq(legacy, "off") || streq(legacy, "no")) ? "qemu"
                                                                                        : "qemu-pre-6.10");
        return r;
}

static int fill_boot(const QemuLine *l, const Argument *sev, MeasureArguments *a) {
        _cleanup_free_ char *hashes = NULL;
        int r = argument_get(sev, "kernel-hashes", NULL, &hashes);

        if (r < 0 || !is_on(hashes) || !l->kernel)
                return r;
        r = fill_copy(&a->kernel, l->kernel);
        if (r >= 0)
                r = fill_copy(&a->initrd, l->initrd);
        return r < 0 ? r : fill_copy(&a->append, l->append);
}

static int fill_machine(const QemuLine *l, MeasureArguments *a) {
        char *firmware = NULL, *vcpus = NULL, *model = NULL;
        int r;

        r = find_firmware(l, &firmware);
        if (r < 0)
                return r;
        fill(&a->ovmf, firmware);
        r = count_vcpus(l->smp, &vcpus);
        if (r < 0)
                return r;
        fill(&a->vcpus, vcpus);
        if (a->vcpu_sig || a->vcpu_family)
                return 0;
        r = l->cpu ? keyval_get(l->cpu, "model", "model", &model) : 0;
        if (r < 0)
                return r;
        fill(&a->vcpu_type, model ?: strdup("qemu64"));
        return a->vcpu_type ? 0 : -ENOMEM;
}

static int find_igvm(const QemuLine *l, char **ret) {
        static const char *const types[] = { "igvm-cfg", NULL };
        const Argument *igvm;
        int r = find_object(l, NULL, types, &igvm);

        *ret = NULL;
        return r < 0 || !igvm ? r : argument_get(igvm, "file", NULL, ret);
}

int qemu_arguments(
                char *const *argv, MeasureArguments *a, char **ret_igvm, char **ret_notice, char **reterr) {
        static const char *const types[] = { "sev-guest", "sev-snp-guest", NULL };
        _cleanup_free_ char *id = NULL, *igvm = NULL;
        _cleanup_(line_done) QemuLine l = {};
        const Argument *sev = NULL;
        int r;

        r = read_line(argv, &l, reterr);
        if (r >= 0 && l.machine)
                r = keyval_get(l.machine, "confidential-guest-support", NULL, &id);
        if (r >= 0 && l.machine && !id)
                r = keyval_get(l.machine, "memory-encryption", NULL, &id);
        if (r >= 0)
                r = find_object(&l, id, types, &sev);
        if (r < 0)
                return r;
        if (!sev)
                return error_set(reterr, -EINVAL,
                                "QEMU's command line has no sev-guest or sev-snp-guest object%s: such a "
                                "guest has no launch digest",
                                l.readconfig ? " (what its -readconfig file says is not known)" : "");
        r = fill_mode(sev, a, reterr);
        if (r >= 0)
                r = fill_boot(&l, sev, a);
        if (r >= 0)
                r = fill_machine(&l, a);
        if (r >= 0)
                r = find_igvm(&l, &igvm);
        if (r < 0)
                return r;
        *ret_notice = l.readconfig ? strdup("QEMU reads a configuration file (-readconfig), which is not "
                                            "taken into account")
                                   : NULL;
        *ret_igvm = TAKE_PTR(igvm);
        return 0;
}
