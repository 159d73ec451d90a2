/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* GUIDs inside firmware images, each once. Unless said otherwise: edk2, OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and
 * OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm. */

#include "encode.h"

/* The entry nearest the end of the image; names the length of the whole table. */
#define GUID_OVMF_TABLE_FOOTER                                                                              \
        GUID_INIT(0x96b582de, 0x1fb2, 0x45f7, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d)
/* u32: where application processors start under SEV-ES and SEV-SNP. */
#define GUID_SEV_ES_RESET_BLOCK                                                                             \
        GUID_INIT(0x00f771de, 0x1a7e, 0x4fcb, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e)
/* u32 base, u32 size: where the table of kernel hashes belongs. */
#define GUID_SEV_HASH_TABLE_RV                                                                              \
        GUID_INIT(0x7255371f, 0x3a3b, 0x4b04, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54)
/* u32 base, u32 size: where LAUNCH_SECRET may write. */
#define GUID_SEV_SECRET_BLOCK                                                                               \
        GUID_INIT(0x4c2eb361, 0x7d9b, 0x4cc3, 0x80, 0x81, 0x12, 0x7c, 0x90, 0xd3, 0xd2, 0x94)
/* u32: where the SEV metadata begins, counted back from the end of the image. */
#define GUID_OVMF_SEV_METADATA                                                                              \
        GUID_INIT(0xdc886566, 0x984a, 0x4798, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc)
/* u32: where the TDX metadata begin, counted back from the end of the image (Intel TDX Virtual Firmware Design Guide). */
#define GUID_OVMF_TDX_METADATA                                                                              \
        GUID_INIT(0xe47a6535, 0x984a, 0x4798, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2)
/* Known by name only. */
#define GUID_OVMF_IGVM_METADATA                                                                             \
        GUID_INIT(0x784fa70e, 0x3176, 0x4677, 0x8a, 0x20, 0x04, 0xb6, 0x86, 0x99, 0xe3, 0x74)
/* COCONUT-SVSM: u32 reset vector, u32 compatibility mask. */
#define GUID_OVMF_RESET_VECTOR                                                                              \
        GUID_INIT(0x813d7b2c, 0x9558, 0x4d88, 0x8b, 0x31, 0x14, 0x27, 0xa8, 0x5a, 0xbe, 0x69)
/* COCONUT-SVSM image: u32 entry point counted from the image's base. */
#define GUID_SVSM_INFO GUID_INIT(0xa789a612, 0x0597, 0x4c4b, 0xa4, 0x9f, 0xcb, 0xb1, 0xfe, 0x9d, 0x1d, 0xdd)
/* File system GUID of a firmware volume that holds UEFI variables: MdeModulePkg, gEfiSystemNvDataFvGuid. */
#define GUID_SYSTEM_NV_DATA_FV                                                                              \
        GUID_INIT(0xfff12b8d, 0x7696, 0x4c8b, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50)
/* File systems of firmware volumes: UEFI PI specification 1.7, volume 3, 3.2.2; the second one knows files over 16 MiB. */
#define GUID_FFS2 GUID_INIT(0x8c8ce578, 0x8a3d, 0x4f1c, 0x99, 0x35, 0x89, 0x61, 0x85, 0xc3, 0x2d, 0xd3)
#define GUID_FFS3 GUID_INIT(0x5473c07a, 0x3dcb, 0x4dca, 0xbd, 0x6f, 0x1e, 0x96, 0x89, 0xe7, 0x34, 0x9a)
/* A compressed section: MdeModulePkg, gLzmaCustomDecompressGuid. */
#define GUID_SECTION_LZMA                                                                                   \
        GUID_INIT(0xee4e5898, 0x3914, 0x4259, 0x9d, 0x6e, 0xdc, 0x7b, 0xd7, 0x94, 0x03, 0xcf)
/* The boot loader inside the firmware: OvmfPkg/AmdSev/Grub/Grub.inf. */
#define GUID_FILE_GRUB GUID_INIT(0xb5ae312c, 0xbc8a, 0x43b1, 0x9c, 0x62, 0xeb, 0xb8, 0x26, 0xdd, 0x5d, 0x07)

/* Edk2's GUIDs of variables: EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10). */
#define GUID_GLOBAL   GUID_INIT(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c)
#define GUID_SECURITY GUID_INIT(0xd719b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f)
