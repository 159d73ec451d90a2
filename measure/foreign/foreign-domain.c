/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-domain.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-domain-table.h"
#include "foreign-domain-writer.h"
#include "strutil.h"

/* --- pieces -------------------------------------------------------------------------------------------------------------- */

static int push(DomainWriter *w, const char *option, const char *value) {
        int r = strv_push(&w->d->argv, option);

        return r < 0 ? r : strv_push(&w->d->argv, value);
}

/* An option with the text at a path, unless there is none. */
static int push_text(DomainWriter *w, const char *option, const char *path) {
        _cleanup_free_ char *text = NULL;
        int r = domain_text_at(w, path, &text);

        return r < 0 || !text ? r : push(w, option, text);
}

static int write_type(DomainWriter *w) {
        _cleanup_free_ char *type = NULL, *arch = NULL, *machine = NULL, *smm = NULL;
        int r = domain_word_at(w, "/@type", &type);

        if (r >= 0)
                r = domain_word_at(w, "/os/type/@arch", &arch);
        if (r >= 0)
                r = domain_word_at(w, "/os/type/@machine", &machine);
        if (r >= 0)
                r = domain_word_at(w, "/features/smm/@state", &smm);
        if (r < 0)
                return r;
        if (!streq_ptr(type, "kvm"))
                return error_set(w->reterr, -EINVAL,
                                "QEMU refuses this launch: the domain's type is '%s', and SEV and TDX need kvm",
                                type ?: "");
        if (arch && !streq(arch, "x86_64"))
                return error_set(w->reterr, -EINVAL, "the domain is for %s, and SEV and TDX are for x86_64",
                                arch);
        r = machine ? pairs_set(&w->machine, "type", machine) : 0;
        if (r >= 0)
                r = pairs_set(&w->machine, "accel", "kvm");
        if (r >= 0 && smm)
                r = pairs_set(&w->machine, "smm", smm);
        return r;
}

static const struct {
        const char *unit;
        uint64_t bytes;
} units[] = {
        { "b", 1 },
        { "bytes", 1 },
        { "KB", 1000 },
        { "k", 1024 },
        { "KiB", 1024 },
        { "MB", 1000 * 1000 },
        { "M", 1024 * 1024 },
        { "MiB", 1024 * 1024 },
        { "GB", 1000 * 1000 * 1000 },
        { "G", 1024 * 1024 * 1024 },
        { "GiB", 1024 * 1024 * 1024 },
        { "TB", UINT64_C(1000) * 1000 * 1000 * 1000 },
        { "T", UINT64_C(1) << 40 },
        { "TiB", UINT64_C(1) << 40 },
};

static int write_memory(DomainWriter *w) {
        _cleanup_free_ char *text = NULL, *unit = NULL;
        uint64_t n, bytes = 0;
        int r = domain_word_at(w, "/memory", &text);

        if (r >= 0)
                r = domain_word_at(w, "/memory/@unit", &unit);
        if (r < 0 || !text)
                return r;
        FOREACH_ARRAY(u, units, ELEMENTSOF(units))
                if (streq(u->unit, unit ?: "KiB"))
                        bytes = u->bytes;
        if (parse_u64(text, &n) < 0 || bytes == 0 || n > UINT64_MAX / bytes)
                return error_set(w->reterr, -EINVAL, "<memory> '%s' %s is not a size", text, unit ?: "");
        r = strv_push(&w->d->argv, "-m");
        return r < 0 ? r : strv_pushf(&w->d->argv, "%lluB", (unsigned long long) (n * bytes));
}

static int write_vcpus(DomainWriter *w) {
        _cleanup_free_ char *current = NULL, *most = NULL;
        unsigned n = 1, max = 1;
        int r = domain_word_at(w, "/vcpu/@current", &current);

        if (r >= 0)
                r = domain_word_at(w, "/vcpu", &most);
        if (r < 0)
                return r;
        if (most && parse_unsigned(most, &max) < 0)
                return error_set(w->reterr, -EINVAL, "<vcpu> '%s' is not a number", most);
        n = max;
        if (current && parse_unsigned(current, &n) < 0)
                return error_set(w->reterr, -EINVAL, "<vcpu current='%s'> is not a number", current);
        if (n == 0 || n > max)
                return error_set(w->reterr, -EINVAL, "libvirt refuses this domain: %u of %u vCPUs", n, max);
        r = strv_push(&w->d->argv, "-smp");
        return r < 0 ? r : strv_pushf(&w->d->argv, "%u,maxcpus=%u", n, max);
}

static int write_cpu(DomainWriter *w) {
        _cleanup_free_ char *mode = NULL, *match = NULL, *model = NULL;
        int r = domain_word_at(w, "/cpu/@mode", &mode);

        if (r >= 0)
                r = domain_word_at(w, "/cpu/@match", &match);
        if (r >= 0)
                r = domain_word_at(w, "/cpu/model", &model);
        if (r < 0)
                return r;
        if ((mode && !streq(mode, "custom")) || streq_ptr(match, "minimum")) {
                w->d->cpu = strdup(mode && !streq(mode, "custom") ? mode : "match='minimum'");
                return w->d->cpu ? push(w, "-cpu", "host") : -ENOMEM;
        }
        return push(w, "-cpu", model ?: "qemu64");
}

static int write_flash(DomainWriter *w, const char *first, const char *file) {
        _cleanup_(pairs_done) Pairs p = {};
        int r = pairs_set(&p, "file", file);

        return r < 0 ? r : domain_push_pairs(w, "-drive", first, &p);
}

static int write_firmware(DomainWriter *w) {
        _cleanup_free_ char *file = NULL, *type = NULL, *format = NULL, *store = NULL;
        int r = domain_text_at(w, "/os/loader", &file);

        if (r >= 0)
                r = domain_word_at(w, "/os/loader/@type", &type);
        if (r >= 0)
                r = domain_word_at(w, "/os/loader/@format", &format);
        if (r >= 0)
                r = domain_text_at(w, "/os/nvram", &store);
        if (r < 0 || !file)
                return r;
        w->d->firmware = true;
        if (format && !streq(format, "raw"))
                return error_set(w->reterr, -EINVAL,
                                "the loader's format is %s, and the image inside is measured: convert it to raw (qemu-img convert -O raw) and pass it with --ovmf=FILE",
                                format);
        if (!streq_ptr(type, "pflash"))
                return push(w, "-bios", file);
        r = write_flash(w, "if=pflash,unit=0,format=raw,readonly=on", file);
        return r < 0 || !store ? r : write_flash(w, "if=pflash,unit=1,format=raw", store);
}

static int write_boot(DomainWriter *w) {
        static const struct {
                const char *option, *path;
        } parts[] = {
                { "-kernel", "/os/kernel" },
                { "-initrd", "/os/initrd" },
                { "-append", "/os/cmdline" },
                { "-shim", "/os/shim" },
        };
        int r = 0;

        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts))
                if (r >= 0)
                        r = push_text(w, p->option, p->path);
        return r;
}

/* <qemu:commandline>: arguments that libvirt puts after its own. */
static int write_arguments(DomainWriter *w) {
        static const char arguments[] = DOMAIN "/*[local-name()='commandline']/*[local-name()='arg']/@value";
        char path[PATH_MAX_X];
        size_t n = 0;
        int r = libvirt_xml_count(w->x, arguments, &n);

        for (size_t i = 1; r >= 0 && i <= MIN(n, (size_t) ELEMENTS_MAX); i++) {
                _cleanup_free_ char *text = NULL;

                (void) snprintf(path, sizeof(path), "(%s)[%zu]", arguments, i);
                r = libvirt_xml_text(w->x, path, &text);
                if (r >= 0)
                        r = strv_push(&w->d->argv, text ?: "");
        }
        return r;
}

/* --- document ------------------------------------------------------------------------------------------------------------ */

void foreign_domain_done(ForeignDomain *d) {
        strv_free(d->argv);
        free(d->cpu);
        strv_free(d->notices);
        *d = (ForeignDomain) {};
}

/* The document without the text around it: a log's time, a shell's prompt. Owned. */
static char *cut_out(const char *text) {
        static const char *const beginnings[] = { "<?xml", "<!--", "<dom" };
        const char *begin = NULL, *end = strrchr(text, '>');

        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++) {
                const char *s = strstr(text, beginnings[i]);

                if (s && (!begin || s < begin))
                        begin = s;
        }
        return begin && end && end > begin ? strndup(begin, (size_t) (end - begin) + 1) : strdup(text);
}

static int write_all(DomainWriter *w) {
        static int (*const parts[])(DomainWriter * w) = { write_type, write_memory, write_vcpus, write_cpu,
                write_firmware, write_boot, domain_write_security };
        int r = strv_push(&w->d->argv, "qemu-system-x86_64");

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++)
                r = parts[i](w);
        if (r >= 0)
                r = domain_push_pairs(w, "-machine", "", &w->machine);
        return r < 0 ? r : write_arguments(w);
}

int foreign_domain_read(const char *text, char *const *assumed, ForeignDomain *ret, char **reterr) {
        _cleanup_(foreign_domain_done) ForeignDomain d = {};
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL;
        _cleanup_free_ char *document = cut_out(text);
        DomainWriter w = { .d = &d, .reterr = reterr };
        size_t n = 0;
        int r;

        if (!document)
                return -ENOMEM;
        r = libvirt_xml_parse(document, &x, reterr);
        if (r < 0)
                return r;
        r = libvirt_xml_count(x, "//domain[@type]", &n);
        if (r >= 0 && n == 0)
                r = error_set(reterr, -EINVAL,
                                "<domain type='...'> is missing, and <launchSecurity> with it");
        if (r >= 0 && n > 1)
                r = error_set(reterr, -EINVAL, "there are %zu domains: pass one", n);
        if (r >= 0)
                r = foreign_domain_check(x, assumed, reterr);
        w.x = x;
        if (r >= 0)
                r = write_all(&w);
        pairs_done(&w.machine);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d, (ForeignDomain) {});
        return 0;
}
