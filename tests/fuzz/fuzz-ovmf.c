/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Firmware images: the GUID table and SEV metadata. A refusal has a sentence; what is accepted lies inside the image. */

#include <stdint.h>
#include <stdlib.h>

#include "firmware-ovmf.h"
#include "macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL, *missing = NULL;
        OvmfInfo info;

        if (ovmf_parse(data, size, &info, &error) < 0) {
                if (!error)
                        abort();
                return 0;
        }
        if (error || !ovmf_has_table(data, size) || info.size != size)
                abort();
        FOREACH_ARRAY(e, info.entries, info.n_entries)
                if ((uint64_t) e->offset + e->size > size)
                        abort();
        FOREACH_ARRAY(s, info.sections, info.n_sections)
                if (!ovmf_section_type_to_string(s->type) || s->gpa % 4096 != 0 || s->size % 4096 != 0)
                        abort();
        for (unsigned need = 1; need < 16; need++)
                (void) !ovmf_require(&info, need, &missing);
        return 0;
}
