/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TDX metadata, found through the GUID table as for a launch; what is accepted gives a TD HOB. */

#include <stdint.h>
#include <stdlib.h>

#include "firmware-ovmf.h"
#include "macro.h"
#include "tdvf-metadata.h"
#include "tdx-hob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL, *hob_error = NULL;
        OvmfInfo table;
        TdvfInfo info;
        TdxHob hob;

        if (ovmf_parse_table(data, size, &table, NULL) < 0 || !table.has_tdx)
                return 0;
        if (tdvf_parse(data, size, table.tdx_distance, &info, &error) < 0) {
                if (!error)
                        abort();
                return 0;
        }
        if (error || !tdvf_find(&info, TDVF_TD_HOB))
                abort();
        FOREACH_ARRAY(s, info.sections, info.n_sections)
                if (!tdvf_type_to_string(s->type) || s->gpa % 4096 != 0 || s->size == 0 ||
                                (uint64_t) s->offset + s->raw > size)
                        abort();
        if (tdx_hob_build(&info, UINT64_C(4) << 30, &hob, &hob_error) < 0)
                return 0;
        if (hob.size > sizeof(hob.bytes) || hob.measured >= hob.size)
                abort();
        return 0;
}
