/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-numbers.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "measure-launch.h"
#include "sev-cpu.h"
#include "strutil.h"

/* AMD 56860, table "ATTESTATION_REPORT": version, and since version 3 the CPU. */
#define REPORT_SIZE         1184u
#define REPORT_VERSION      0x000
#define REPORT_CPUID_FAMILY 0x188
#define REPORT_CPUID_MODEL  0x189
#define REPORT_CPUID_STEP   0x18a

static int compare_unsigned(const void *a, const void *b) {
        unsigned x = *(const unsigned *) a, y = *(const unsigned *) b;

        return x < y ? -1 : x > y;
}

/* "7" or "1-64". */
static int parse_range(const char *text, unsigned *ret_first, unsigned *ret_last) {
        _cleanup_free_ char *copy = strdup(text);
        char *dash;
        int r;

        if (!copy)
                return -ENOMEM;
        dash = strchr(copy, '-');
        if (dash)
                *dash = 0;
        r = parse_unsigned(copy, ret_first);
        if (r < 0)
                return r;
        if (!dash) {
                *ret_last = *ret_first;
                return 0;
        }
        r = parse_unsigned(dash + 1, ret_last);
        return r < 0 ? r : *ret_last < *ret_first ? -EINVAL : 0;
}

int parse_vcpus(const char *text, unsigned **ret, size_t *ret_n, char **reterr) {
        _cleanup_strv_free_ char **items = NULL;
        _cleanup_free_ unsigned *list = NULL;
        size_t n = 0, unique = 0;
        int r;

        r = strv_split(text, ',', &items);
        if (r < 0)
                return r;
        STRV_FOREACH(item, items) {
                unsigned first, last;
                unsigned *grown;

                r = parse_range(*item, &first, &last);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return error_set(reterr, -EINVAL,
                                        "expected a number of vCPUs, a range or a list such as 1-64,128, "
                                        "not '%s'",
                                        text);
                if (last > VCPUS_MAX)
                        return error_set(reterr, -ERANGE, "%u vCPUs are more than %u", last, VCPUS_MAX);
                if (n + (last - first) + 1 > MEASURE_ROWS_MAX)
                        return error_set(reterr, -E2BIG, "more than %u vCPU counts", MEASURE_ROWS_MAX);
                grown = reallocarray(list, n + (last - first) + 1, sizeof(unsigned));
                if (!grown)
                        return -ENOMEM;
                list = grown;
                for (unsigned i = first; i <= last; i++)
                        list[n++] = i;
        }
        if (n == 0)
                return error_set(reterr, -EINVAL, "expected a number of vCPUs");
        qsort(list, n, sizeof(unsigned), compare_unsigned);
        for (size_t i = 0; i < n; i++)
                if (i == 0 || list[i] != list[unique - 1])
                        list[unique++] = list[i];
        *ret = TAKE_PTR(list);
        *ret_n = unique;
        return 0;
}

/* A report names the CPU of the machine that made it. */
static int signature_from_report(const char *path, uint32_t *ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        const uint8_t *report;
        uint32_t version;
        size_t size;
        int r;

        r = input_read(NULL, path, 64 * 1024, &data, &size, reterr);
        if (r < 0)
                return r;
        if (size < REPORT_SIZE)
                return error_set(reterr, -EBADMSG,
                                "'%s' is not an attestation report: it has %zu bytes, expected %u", path,
                                size, REPORT_SIZE);
        report = (const uint8_t *) data;
        version = le32_read(report + REPORT_VERSION);
        if (version < 3 || version > 255)
                return error_set(reterr, -EOPNOTSUPP,
                                "report '%s' has version %u, which does not name its CPU: pass --vcpu-type or --vcpu-sig",
                                path, version);
        *ret = sev_cpu_signature(
                        report[REPORT_CPUID_FAMILY], report[REPORT_CPUID_MODEL], report[REPORT_CPUID_STEP]);
        return 0;
}

static int parse_cpu_signature(const char *item, MeasureCpu *ret, char **reterr) {
        const char *path = startswith(item, "from:"), *name;
        int r;

        if (path)
                r = signature_from_report(path, &ret->signature, reterr);
        else
                r = parse_unsigned(item, &ret->signature);
        if (r < 0)
                return error_set(reterr, r, "expected a 32 bit number, or from:REPORT, not '%s'", item);
        name = sev_cpu_name(ret->signature);
        ret->name = name ? strdup(name) : NULL;
        return name && !ret->name ? -ENOMEM : 0;
}

static int parse_cpus(const char *text, int (*parse)(const char *, MeasureCpu *, char **), MeasureCpu **ret,
                size_t *ret_n, char **reterr) {
        _cleanup_strv_free_ char **items = NULL;
        MeasureCpu *cpus;
        size_t n = 0;
        int r;

        r = strv_split(text, ',', &items);
        if (r < 0)
                return r;
        cpus = calloc(strv_length(items) + 1, sizeof(MeasureCpu));
        if (!cpus)
                return -ENOMEM;
        STRV_FOREACH(item, items) {
                r = parse(*item, cpus + n++, reterr);
                if (r < 0) {
                        measure_cpus_free(cpus, n);
                        return r;
                }
        }
        *ret = cpus;
        *ret_n = n;
        return 0;
}

int parse_cpu_names(const char *text, MeasureCpu **ret, size_t *ret_n, char **reterr) {
        return parse_cpus(text, measure_cpu_from_name, ret, ret_n, reterr);
}

int parse_cpu_signatures(const char *text, MeasureCpu **ret, size_t *ret_n, char **reterr) {
        return parse_cpus(text, parse_cpu_signature, ret, ret_n, reterr);
}
