/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-vcpus.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "foreign-qemu-table.h"
#include "sev-cpu.h"
#include "strutil.h"

/* --- -smp ---------------------------------------------------------------------------------------------------------------- */

/* QEMU's order of levels. On PCs the first two and clusters cannot be more than 1. */
enum { DRAWERS, BOOKS, SOCKETS, DIES, CLUSTERS, MODULES, CORES, THREADS, CPUS, MAXCPUS, _SMP_MAX };

static const char *const smp_names[_SMP_MAX] = {
        [DRAWERS] = "drawers",
        [BOOKS] = "books",
        [SOCKETS] = "sockets",
        [DIES] = "dies",
        [CLUSTERS] = "clusters",
        [MODULES] = "modules",
        [CORES] = "cores",
        [THREADS] = "threads",
        [CPUS] = "cpus",
        [MAXCPUS] = "maxcpus",
};

/* Beyond what any machine takes, so that products stay in 64 bits where they are compared. */
#define SMP_VALUE_MAX 65536u

static int read_smp(const Pairs *smp, uint64_t values[static _SMP_MAX], char **reterr) {
        FOREACH_ARRAY(i, smp->items, smp->n_items) {
                unsigned long long n;
                size_t which = 0;

                while (which < _SMP_MAX && !streq(i->key, smp_names[which]))
                        which++;
                if (which == _SMP_MAX)
                        return error_set(reterr, -EINVAL, "-smp: unknown property %s", i->key);
                if (qemu_number(i->value, &n) < 0 || n > SMP_VALUE_MAX)
                        return error_set(reterr, -EINVAL, "-smp's %s=%s is not a number up to %u", i->key,
                                        i->value, SMP_VALUE_MAX);
                if (n == 0)
                        return error_set(
                                        reterr, -EINVAL, "QEMU refuses this launch: -smp's %s is 0", i->key);
                if (n > 1 && (which == DRAWERS || which == BOOKS || which == CLUSTERS))
                        return error_set(
                                        reterr, -EINVAL, "QEMU refuses this launch: PCs have no %s", i->key);
                values[which] = n;
        }
        return 0;
}

/* The product of all levels but one (or of all: _SMP_MAX); 0 if it is out of bounds. */
static uint64_t product(const uint64_t v[static _SMP_MAX], size_t but) {
        uint64_t n = 1;

        for (size_t i = DRAWERS; i <= THREADS; i++)
                if (i != but) {
                        n *= MAX(v[i], (uint64_t) 1);
                        if (n > UINT32_MAX)
                                return 0;
                }
        return n;
}

static uint64_t share(const uint64_t v[static _SMP_MAX], size_t level) {
        uint64_t n = product(v, level);

        return n > 0 ? v[MAXCPUS] / n : 0;
}

/* Cores are preferred over sockets over threads, as since QEMU 6.2. */
static void complete(uint64_t v[static _SMP_MAX]) {
        if (v[CPUS] == 0 && v[MAXCPUS] == 0)
                return;
        if (v[MAXCPUS] == 0)
                v[MAXCPUS] = v[CPUS];
        if (v[CORES] == 0)
                v[CORES] = share(v, CORES);
        else if (v[SOCKETS] == 0)
                v[SOCKETS] = share(v, SOCKETS);
        else if (v[THREADS] == 0)
                v[THREADS] = share(v, THREADS);
}

int qemu_line_vcpus(const QemuLine *l, unsigned *ret, char **reterr) {
        const char *type = pairs_get(&l->machine, "type") ?: "pc";
        unsigned most = qemu_machine_max_cpus(type);
        uint64_t v[_SMP_MAX] = {}, total, cpus;
        int r = read_smp(&l->smp, v, reterr);

        if (r < 0)
                return r;
        complete(v);
        total = product(v, _SMP_MAX);
        if (total == 0)
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: the levels of -smp make too many vCPUs");
        if (v[MAXCPUS] == 0)
                v[MAXCPUS] = total;
        cpus = v[CPUS] > 0 ? v[CPUS] : v[MAXCPUS];
        if (total != v[MAXCPUS])
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: the levels of -smp make %llu vCPUs, and maxcpus is %llu",
                                (unsigned long long) total, (unsigned long long) v[MAXCPUS]);
        cpus += l->extra_cpus;
        if (cpus > v[MAXCPUS])
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: %llu vCPUs are more than maxcpus, %llu",
                                (unsigned long long) cpus, (unsigned long long) v[MAXCPUS]);
        if (most > 0 && v[MAXCPUS] > most) /* 0: by --assume-unmeasured */
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: the machine type %s has at most %u vCPUs", type,
                                most);
        *ret = (unsigned) cpus;
        return 0;
}

/* --- -cpu ---------------------------------------------------------------------------------------------------------------- */

void qemu_cpu_done(QemuCpu *c) {
        free(c->name);
        *c = (QemuCpu) {};
}

/* MODEL,+feature,-feature,name=value,name: no escapes; underscores are dashes. */
static int read_features(char *text, const QemuLine *l, Pairs *to, char **reterr) {
        char *rest = text;

        for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
                bool sign = *item == '+' || *item == '-';
                char *name = item + sign, *equals = strchr(name, '=');
                int r;

                if (!*name)
                        continue;
                if (equals)
                        *equals = 0;
                for (char *c = name; *c; c++)
                        if (*c == '_')
                                *c = '-';
                r = sign || !equals ? effect_check(&qemu_cpu_properties, name, l->assumed, reterr)
                                    : effect_check_pair(&qemu_cpu_properties,
                                                      &(Pair) { .key = name, .value = equals + 1 },
                                                      l->assumed, reterr);
                if (r == 1 && (sign || !equals))
                        return error_set(reterr, -EINVAL,
                                        "QEMU refuses this launch: -cpu's property %s must be a number",
                                        name);
                if (r == 1)
                        r = pairs_set(to, name, equals + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Family, model and stepping given by number: 1 if there is any. */
static int read_numbers(const Pairs *p, unsigned fms[static 3], bool given[static 3], char **reterr) {
        static const struct {
                const char *name;
                unsigned max;
        } numbers[3] = { { "family", 0xff + 0xf }, { "model", 0xff }, { "stepping", 0xf } };
        int any = 0;

        for (size_t i = 0; i < 3; i++) {
                const char *text = pairs_get(p, numbers[i].name);
                unsigned long long n;

                if (!text)
                        continue;
                if (qemu_number(text, &n) < 0 || n > numbers[i].max)
                        return error_set(reterr, -EINVAL,
                                        "QEMU refuses this launch: -cpu's %s=%s is not a number up to %u",
                                        numbers[i].name, text, numbers[i].max);
                fms[i] = (unsigned) n;
                given[i] = true;
                any = 1;
        }
        return any;
}

/* Whether a -global reaches a CPU model: it names the model's type or one above it. "host" is a kind of "max". */
static bool qemu_global_is_for(const char *key, const char *model) {
        const char *driver = strchr(key, ':') + 1, *rest = startswith(driver, model);

        return startswith(driver, "x86_64-cpu.") || startswith(driver, "cpu.") ||
                        (rest && startswith(rest, "-x86_64-cpu.")) ||
                        (streq(model, "host") && startswith(driver, "max-x86_64-cpu."));
}

int qemu_line_cpu(const QemuLine *l, QemuCpu *ret, char **reterr) {
        _cleanup_free_ char *copy = strdup(l->cpu ?: "qemu64");
        _cleanup_(qemu_cpu_done) QemuCpu c = {};
        _cleanup_(pairs_done) Pairs numbers = {};
        bool given[3] = {};
        unsigned fms[3] = {};
        char *features;
        int r = 0;

        if (!copy)
                return -ENOMEM;
        features = strchr(copy, ',');
        if (features)
                *features++ = 0;
        c.name = strdup(copy);
        if (!c.name)
                return -ENOMEM;
        FOREACH_ARRAY(g, l->cpu_globals.items, l->cpu_globals.n_items)
                if (r >= 0 && qemu_global_is_for(g->key, c.name))
                        r = pairs_set(&numbers, strchr(g->key, '.') + 1, g->value);
        if (r >= 0 && features)
                r = read_features(features, l, &numbers, reterr);
        if (r < 0)
                return r;
        if (qemu_cpu_is_host(c.name))
                c.host = true;
        else if (qemu_cpu_model(c.name, fms, fms + 1, fms + 2) < 0)
                c.unknown = true;
        r = read_numbers(&numbers, fms, given, reterr);
        if (r < 0)
                return r;
        c.changed = r > 0;
        if (given[0] && given[1] && given[2])
                c.host = c.unknown = false;
        if (!c.host && !c.unknown)
                c.signature = sev_cpu_signature(fms[0], fms[1], fms[2]);
        *ret = TAKE_STRUCT(c, (QemuCpu) {});
        return 0;
}
