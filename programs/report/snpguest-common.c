/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the commands share. */

#include <errno.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "report.h"
#include "snpguest.h"
#include "strutil.h"

int snpguest_write(const char *path, const void *p, size_t n, char **reterr) {
        int r = file_write_atomic(path, p, n, 0644, ATOMIC_FILE_REPLACE);

        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

int snpguest_processor(const char *name, SnpGeneration *ret, char **reterr) {
        *ret = snp_generation_from_string(name);
        return *ret < 0 ? error_set(reterr, -EINVAL, "unknown processor model '%s'; expected %s", name,
                                          values_text(SNP_GENERATION_NAMES SNP_GENERATION_ALIASES).text)
                        : 0;
}

int snpguest_report_generation(
                const SnpReport *report, const char *processor, SnpGeneration *ret, char **reterr) {
        SnpGeneration stated = _SNP_GENERATION_INVALID, own = snp_report_generation(report);
        int r = processor ? snpguest_processor(processor, &stated, reterr) : 0;

        if (r < 0)
                return r;
        if (own >= 0 && stated >= 0 && own != stated)
                return error_set(reterr, -EINVAL,
                                "the CPUID in the report belongs to %s, not to %s; remove --processor-model",
                                snp_generation_product(own), snp_generation_product(stated));
        *ret = own >= 0 ? own : stated;
        return 0;
}

int snpguest_read_report(const char *path, ReportFile *f, SnpReport *ret, char **reterr) {
        int r;

        r = report_file_read(path, f, reterr);
        if (r < 0)
                return r;
        r = snp_report_decode(f->evidence.report, f->evidence.report_size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}
