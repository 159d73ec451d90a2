/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-scope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "config-rules.h"
#include "error.h"
#include "overflow.h"
#include "strutil.h"

#define WEIGHT_MAX    10000u
#define PERCENT_MAX   1000000u /* 10000 CPUs */
#define SLICE_MAX     200u
#define LETTERS       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS        "0123456789"
#define SLICE_LETTERS LETTERS DIGITS ":_.-\\"
#define UNIT_LETTERS  SLICE_LETTERS "@"

static const struct {
        const char *name, *property; /* no property: the same name */
        ScopeKind kind;
} properties[] = {
        { "AllowedCPUs", NULL, SCOPE_CPUS },
        { "AllowedMemoryNodes", NULL, SCOPE_CPUS },
        { "StartupAllowedCPUs", NULL, SCOPE_CPUS },
        { "CPUAccounting", NULL, SCOPE_BOOL },
        { "CPUQuota", "CPUQuotaPerSecUSec", SCOPE_PERCENT },
        { "CPUQuotaPeriodSec", "CPUQuotaPeriodUSec", SCOPE_USEC },
        { "CPUWeight", NULL, SCOPE_WEIGHT },
        { "StartupCPUWeight", NULL, SCOPE_WEIGHT },
        { "IOAccounting", NULL, SCOPE_BOOL },
        { "IOWeight", NULL, SCOPE_WEIGHT },
        { "StartupIOWeight", NULL, SCOPE_WEIGHT },
        { "IPAccounting", NULL, SCOPE_BOOL },
        { "ManagedOOMMemoryPressure", NULL, SCOPE_TEXT },
        { "ManagedOOMPreference", NULL, SCOPE_TEXT },
        { "ManagedOOMSwap", NULL, SCOPE_TEXT },
        { "MemoryAccounting", NULL, SCOPE_BOOL },
        { "MemoryHigh", NULL, SCOPE_BYTES },
        { "MemoryLow", NULL, SCOPE_BYTES },
        { "MemoryMax", NULL, SCOPE_BYTES },
        { "MemoryMin", NULL, SCOPE_BYTES },
        { "MemorySwapMax", NULL, SCOPE_BYTES },
        { "MemoryZSwapMax", NULL, SCOPE_BYTES },
        { "TasksAccounting", NULL, SCOPE_BOOL },
        { "TasksMax", NULL, SCOPE_TASKS },
        { "Delegate", NULL, SCOPE_BOOL },
        { "DevicePolicy", NULL, SCOPE_TEXT },
        { "CollectMode", NULL, SCOPE_TEXT },
        { "Description", NULL, SCOPE_TEXT },
        { "KillMode", NULL, SCOPE_TEXT },
        { "OOMPolicy", NULL, SCOPE_TEXT },
        { "RuntimeMaxSec", "RuntimeMaxUSec", SCOPE_USEC },
        { "TimeoutStopSec", "TimeoutStopUSec", SCOPE_USEC },
        { "After", NULL, SCOPE_UNITS },
        { "Before", NULL, SCOPE_UNITS },
        { "BindsTo", NULL, SCOPE_UNITS },
        { "Conflicts", NULL, SCOPE_UNITS },
        { "PartOf", NULL, SCOPE_UNITS },
        { "Requires", NULL, SCOPE_UNITS },
        { "Wants", NULL, SCOPE_UNITS },
};

static const char *const managers[] = {
        [MANAGER_AUTO] = "auto",
        [MANAGER_SYSTEM] = "system",
        [MANAGER_USER] = "user",
};
static_assert(ELEMENTSOF(managers) == _MANAGER_MAX, "every manager has a name");

const char *manager_to_string(ManagerChoice m) {
        return managers[m];
}

void scope_value_done(ScopeValue *v) {
        free(v->text);
        strv_free(v->words);
        *v = (ScopeValue) {};
}

/* "50%" -> 50. */
static int parse_percent(const char *s, uint64_t max, uint64_t *ret) {
        size_t n = strlen(s);
        char digits[16] = {};

        if (n < 2 || n > sizeof(digits) || s[n - 1] != '%')
                return -EINVAL;
        memcpy(digits, s, n - 1);
        return parse_u64_max(digits, max, ret);
}

static int parse_amount(const char *s, ScopeValue *v) {
        uint64_t percent;

        if (streq(s, "infinity")) {
                v->number = UINT64_MAX;
                return 0;
        }
        if (parse_percent(s, 100, &percent) < 0)
                return v->kind == SCOPE_BYTES ? parse_size(s, &v->number) : parse_u64(s, &v->number);
        v->scale = true;
        v->number = percent * UINT32_MAX / 100;
        return 0;
}

static int parse_cpu_range(const char *s, ScopeValue *v) {
        _cleanup_free_ char *first = strdup(s);
        char *dash = first ? strchr(first, '-') : NULL;
        uint64_t from, to;

        if (!first)
                return -ENOMEM;
        if (dash)
                *dash = 0;
        if (parse_u64_max(first, SCOPE_CPUS_MAX - 1, &from) < 0 ||
                        parse_u64_max(dash ? dash + 1 : first, SCOPE_CPUS_MAX - 1, &to) < 0 || from > to)
                return -EINVAL;
        for (uint64_t i = from; i <= to; i++)
                v->bits[i / 8] |= (uint8_t) (1u << (i % 8));
        v->n_bits = MAX(v->n_bits, (size_t) to / 8 + 1);
        return 0;
}

static int parse_cpus(const char *s, ScopeValue *v) {
        _cleanup_strv_free_ char **ranges = NULL;
        int r = strv_split(s, ',', &ranges);

        STRV_FOREACH(p, ranges)
                if (r >= 0)
                        r = parse_cpu_range(*p, v);
        return r;
}

static int parse_units(const char *s, ScopeValue *v) {
        int r = strv_split(s, ' ', &v->words);

        STRV_FOREACH(p, v->words)
                if (r >= 0 && (!**p || strspn(*p, UNIT_LETTERS) != strlen(*p) || !strchr(*p, '.')))
                        r = -EINVAL;
        return r;
}

static int parse_usec_or_none(const char *s, ScopeValue *v) {
        int r = parse_usec(s, &v->number);

        if (r >= 0 && v->number == 0)
                v->number = UINT64_MAX;
        return r;
}

static int parse_value(const char *s, ScopeValue *v) {
        int r;

        switch (v->kind) {
        case SCOPE_BYTES:
        case SCOPE_TASKS:
                return parse_amount(s, v);
        case SCOPE_WEIGHT:
                return streq(s, "idle")                                                          ? 0
                                : parse_u64_max(s, WEIGHT_MAX, &v->number) < 0 || v->number == 0 ? -EINVAL
                                                                                                 : 0;
        case SCOPE_PERCENT:
                r = parse_percent(s, PERCENT_MAX, &v->number);
                v->number *= 10000;
                return r >= 0 && v->number == 0 ? -EINVAL : r;
        case SCOPE_USEC:
                return parse_usec_or_none(s, v);
        case SCOPE_BOOL:
                r = parse_boolean(s);
                v->number = r > 0;
                return MIN(r, 0);
        case SCOPE_UNITS:
                return parse_units(s, v);
        case SCOPE_CPUS:
                return parse_cpus(s, v);
        case SCOPE_TEXT:
        case _SCOPE_KIND_MAX:
                break;
        }
        v->text = strdup(s);
        return !v->text ? -ENOMEM : *s ? 0 : -EINVAL;
}

static const char *expected(ScopeKind kind) {
        static const char *const texts[] = {
                [SCOPE_BYTES] = "bytes (with K, M, G or T), a percentage or infinity",
                [SCOPE_TASKS] = "a number, a percentage or infinity",
                [SCOPE_WEIGHT] = "a number from 1 to 10000, or idle",
                [SCOPE_PERCENT] = "a percentage such as 150%",
                [SCOPE_USEC] = "a time such as 2min",
                [SCOPE_BOOL] = "yes or no",
                [SCOPE_TEXT] = "a text",
                [SCOPE_UNITS] = "names of units",
                [SCOPE_CPUS] = "numbers such as 0-3,7",
        };
        static_assert(ELEMENTSOF(texts) == _SCOPE_KIND_MAX, "every kind has a text");

        return texts[kind];
}

static int refuse_name(const char *assignment, size_t n, char **reterr) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *list = NULL;

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                text_putf(&t, "%s%s", i == 0 ? "" : ", ", properties[i].name);
        return error_set(reterr, -EINVAL, "'%.*s' is not a property that can be set here; known are %s",
                        (int) n, assignment, text_finish(&t, &list) < 0 ? "others" : list);
}

int scope_value_parse(const char *assignment, ScopeValue *ret, char **reterr) {
        _cleanup_(scope_value_done) ScopeValue v = {};
        const size_t n = strcspn(assignment, "=");
        int r;

        if (!assignment[n])
                return error_set(reterr, -EINVAL, "expected NAME=VALUE, not '%s'", assignment);
        for (size_t i = 0; i < ELEMENTSOF(properties) && !v.property; i++)
                if (strlen(properties[i].name) == n && strncmp(properties[i].name, assignment, n) == 0) {
                        v.kind = properties[i].kind;
                        v.property = properties[i].property ?: properties[i].name;
                }
        if (!v.property)
                return refuse_name(assignment, n, reterr);
        r = parse_value(assignment + n + 1, &v);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return error_set(reterr, -EINVAL, "'%.*s' has the value '%s', expected %s", (int) n,
                                assignment, assignment + n + 1, expected(v.kind));
        *ret = v;
        v = (ScopeValue) {};
        return 0;
}

int scope_name(const char *machine, char **ret) {
        _cleanup_(text_done) Text t = {};

        text_put(&t, "machine-");
        for (const char *p = machine; *p; p++)
                if (strchr(LETTERS DIGITS ":_.", *p))
                        text_put_n(&t, p, 1);
                else
                        text_putf(&t, "\\x%02x", (unsigned char) *p);
        text_put(&t, ".scope");
        return text_finish(&t, ret);
}

int config_handle_slice(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        char name[SLICE_MAX + sizeof(".slice")];
        const size_t n = strlen(value);

        /* The parts between dashes are slices within each other. */
        if (n == 0 || n > SLICE_MAX || strspn(value, SLICE_LETTERS) != n || value[0] == '.' ||
                        ((value[0] == '-' || value[n - 1] == '-' || strstr(value, "--") ||
                                         strstr(value, "-.")) &&
                                        !streq(value, "-.slice")))
                return error_set(reterr, -EINVAL,
                                "'%s' is not the name of a slice unit, such as machine.slice", value);
        (void) snprintf(name, sizeof(name), "%s%s", value, endswith(value, ".slice") ? "" : ".slice");
        return option_set_string(userdata, row, name, reterr);
}

int config_handle_property(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ScopeValue v = {};
        int r = scope_value_parse(value, &v, reterr);

        if (r < 0)
                return r;
        scope_value_done(&v);
        return option_append(userdata, row, value, reterr);
}

int config_handle_manager(
                void *userdata, const OptionRow *row, _unused_ const char *value, _unused_ char **reterr) {
        VmConfig *c = userdata;

        c->manager = streq(row->name, "user") ? MANAGER_USER : MANAGER_SYSTEM;
        return 0;
}

bool scope_of_kept_unit(const VmConfig *c) {
        return c->keep_unit && (c->slice || c->properties);
}
