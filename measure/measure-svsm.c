/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-svsm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "overflow.h"

int svsm_place(const FirmwareImage *firmware, uint64_t vars_size, const FirmwareImage *svsm,
                uint64_t *ret_gpa, char **reterr) {
        uint64_t gpa;
        int r;

        r = firmware_image_require(svsm, OVMF_NEED_METADATA, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "SVSM image");
        if (!svsm->info.has_svsm_entry)
                return error_set(reterr, -EOPNOTSUPP,
                                "SVSM image: no SVSM_INFO entry in its table: this is not a COCONUT-SVSM binary");
        if (firmware->size % SEV_PAGE_SIZE != 0 || svsm->size % SEV_PAGE_SIZE != 0 ||
                        vars_size % SEV_PAGE_SIZE != 0)
                return error_set(reterr, -EINVAL,
                                "the sizes of firmware, SVSM image and variable store must be multiples of 4 KiB");
        if (!sub_u64(firmware_image_gpa(firmware), vars_size, &gpa) || !sub_u64(gpa, svsm->size, &gpa))
                return error_set(reterr, -EINVAL,
                                "firmware, SVSM image and a variable store of %" PRIu64
                                " bytes do not fit below 4 GiB",
                                vars_size);
        *ret_gpa = gpa;
        return 0;
}

int svsm_digest(const FirmwareImage *firmware, const FirmwareImage *svsm, uint64_t gpa,
                const LaunchSpec *spec, LaunchTrace trace, void *userdata, LaunchDigest *ret,
                char **reterr) {
        VmsaSpec vmsa = { .profile = spec->profile,
                .entry = (uint32_t) gpa + svsm->info.svsm_entry,
                .signature = spec->signature,
                .features = spec->features };
        _cleanup_(snp_chain_done) SnpChain chain = {};
        LaunchTraceContext context = { trace, userdata };
        VmsaDigests digests;
        int r;

        r = launch_chain_init(&chain, &context);
        if (r >= 0)
                r = snp_chain_image(&chain, firmware->data, firmware->size, firmware_image_gpa(firmware),
                                "firmware");
        if (r >= 0)
                r = snp_chain_image(&chain, svsm->data, svsm->size, gpa, "SVSM");
        if (r >= 0)
                r = snp_chain_metadata(&chain, &svsm->info, 0, NULL, vmm_row(spec->profile), reterr);
        if (r >= 0)
                r = vmsa_digests(&vmsa, &digests);
        if (r >= 0)
                r = snp_chain_vmsas(&chain, &digests, 0, spec->vcpus);
        if (r < 0)
                return r;
        *ret = (LaunchDigest) { .algorithm = HASH_SHA384, .size = SHA384_SIZE };
        memcpy(ret->bytes, chain.digest, SHA384_SIZE);
        return 0;
}
