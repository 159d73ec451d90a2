/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A firmware without its file: what SEV-SNP needs to know of it as JSON, in the form of sev-snp-measure-go with additions.
 *
 * {"OVMFHash":hex,"ResetEIP":"0x80b004","MetadataItems":[{"GPA":"0x800000","Size":"0x9000","SectionTypeInt":1}...],
 *  "HashTable":{"GPA":"0x810c00","Size":"0x400"}}          the last member is ours: kernel hashes need it
 */

#include "json.h"
#include "measure-firmware.h"

_warn_unused_result_ int firmware_metadata_to_json(const FirmwareImage *f, Json **ret, char **reterr);
_warn_unused_result_ int firmware_metadata_from_json(const Json *j, FirmwareImage *ret, char **reterr);
_warn_unused_result_ int firmware_metadata_load(const char *path, FirmwareImage *ret, char **reterr);
