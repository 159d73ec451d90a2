/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Without a kernel to hash, the chain of trust of SEV goes on in the firmware alone: a build of edk2's AmdSevX64 with GRUB in it, which
 * opens an encrypted disk with a passphrase from the secret table and boots nothing else. Where the file for GRUB is empty, the
 * firmware would boot whatever the disk says, or nothing. */

#include "resolve-loader.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"
#include "fd.h"
#include "firmware-guids.h"
#include "firmware-volume.h"
#include "lzma-unpack.h"
#include "strutil.h"

#define REMEDY "add --linux=, or pass --firmware= an image of edk2's OvmfPkg/AmdSev built with GRUB"

static int unpack(const uint8_t *data, size_t n, uint8_t **ret, size_t *ret_size, _unused_ void *userdata,
                char **reterr) {
        return lzma_unpack(data, n, FIRMWARE_VOLUME_SIZE_MAX, ret, ret_size, reterr);
}

static const char *why_not(FirmwareFile file) {
        switch (file) {
        case FIRMWARE_FILE_ABSENT:
                return "the firmware does not contain a boot loader (GRUB)";
        case FIRMWARE_FILE_HIDDEN:
                return "no boot loader (GRUB) was found in the firmware, parts of which are compressed in an unknown format";
        case FIRMWARE_FILE_EMPTY:
                return "the file for the boot loader (GRUB) in the firmware is empty, as in Debian's OVMF.amdsev.fd";
        default:
                return "the file for the boot loader (GRUB) in the firmware is not a PE image";
        }
}

static int find_loader(const PlanPart *image, FirmwareFile *ret, char **reterr) {
        static const Guid grub = GUID_FILE_GRUB;
        void *p = mmap(NULL, image->length, PROT_READ, MAP_PRIVATE, image->fd, (off_t) image->offset);
        int r;

        if (p == MAP_FAILED)
                return error_set(reterr, -errno, "cannot read it: %m");
        r = firmware_volume_find(p, image->length, &grub, unpack, NULL, ret, reterr);
        (void) munmap(p, image->length);
        return r;
}

bool resolve_firmware_has_loader(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *error = NULL;
        FirmwareFile file;
        uint64_t size;

        fd = fd_open_regular(path, &size);
        if (fd < 0 || size == 0)
                return false;
        return find_loader(&(const PlanPart) { .fd = fd, .length = size }, &file, &error) >= 0 &&
                        file == FIRMWARE_FILE_PE;
}

/* The loader can open the disk only with an injected passphrase. A user who gives a session intends to inject one. */
static int check_secret_area(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        const char *firmware = in->plan.firmware.parts[0].label;

        if (in->secret_area)
                return 0;
        if ((config->session || vm_config_attested(config)) && options->for_launch)
                return error_set(reterr, -EPERM,
                                "%s without --linux=: '%s' has no secret area, so its boot loader cannot receive the passphrase of the disk: pass --firmware= a build of edk2's OvmfPkg/AmdSev, which has one",
                                config->session                     ? "--session="
                                                : config->owner_dir ? "--owner-dir="
                                                                    : "--attestation-service=",
                                firmware);
        return strv_pushf(&in->notices,
                        "'%s' has no secret area: its boot loader cannot receive a passphrase for the disk",
                        firmware);
}

int resolve_loader(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        const PlanInput *firmware = &in->plan.firmware;
        _cleanup_free_ char *error = NULL, *sentence = NULL;
        FirmwareFile file;
        Text text = {};
        int r;

        assert(firmware->n_parts == 1);

        r = find_loader(&firmware->parts[0], &file, &error);
        if (r >= 0 && file == FIRMWARE_FILE_PE) {
                r = strv_push(&in->notices,
                                "the launch digest covers the firmware only: what it boots is on the disk, whose passphrase it reads from the injected secrets");
                return r < 0 ? r : check_secret_area(config, options, in, reterr);
        }
        if (r < 0)
                text_putf(&text,
                                "--coco= without --linux=: cannot look for a boot loader in '%s': %s; " REMEDY,
                                firmware->parts[0].label, error ?: strerror(-r));
        else
                text_putf(&text, "--coco= without --linux=: '%s' is not suitable: %s; " REMEDY,
                                firmware->parts[0].label, why_not(file));
        r = text_finish(&text, &sentence);
        if (r < 0)
                return r;
        if (!options->for_launch)
                return strv_push(&in->notices, sentence);
        return error_set(reterr, -EPERM, "%s", sentence);
}
