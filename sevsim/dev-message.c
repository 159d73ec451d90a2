/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What both faces of the simulated device share: the guest messages, as the driver and the hypervisor carry them, the faults, and how an
 * answer goes back to the kernel. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dev.h"
#include "sim-bytes.h"

/* SNP_GUEST_VMM_ERR_* of the kernel's include/uapi/linux/sev-guest.h */
enum { VMM_INVALID_LEN = 1, VMM_BUSY = 2 };

void dev_reply(const Dev *d, uint64_t unique, int r, const void *body, size_t size) {
        struct fuse_out_header h = {
                .len = (uint32_t) (sizeof(h) + (r == 0 ? size : 0)), .error = r, .unique = unique
        };
        const struct iovec v[] = {
                { &h, sizeof(h) },
                { (void *) (uintptr_t) body, size },
        };

        /* It fails if who asked has given up. */
        if (writev(d->fd, v, r == 0 && size > 0 ? 2 : 1) < 0)
                return;
}

static bool take_flag(const char *word, const char *name, bool *ret) {
        if (strcmp(word, name) != 0)
                return false;
        *ret = true;
        return true;
}

static bool take_number(const char *word, const char *name, uint32_t *ret) {
        size_t n = strlen(name);

        if (strncmp(word, name, n) != 0 || word[n] != '=')
                return false;
        *ret = (uint32_t) strtoul(word + n + 1, NULL, 0);
        return true;
}

void dev_faults_read(DevFaults *f) {
        DevFaults new = { .path = f->path };
        char *save = NULL, words[sizeof(new.text)];
        int fd = f->path ? open(f->path, O_RDONLY | O_CLOEXEC) : -EBADF;

        if (fd >= 0) {
                ssize_t n = read(fd, new.text, sizeof(new.text) - 1);

                close(fd);
                new.text[n > 0 ? n : 0] = 0;
        }
        if (strcmp(new.text, f->text) == 0)
                return; /* the same: counters go on */
        memcpy(words, new.text, sizeof(words));
        for (char *w = strtok_r(words, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
                if (!take_flag(w, "busy", &new.busy) && !take_flag(w, "no-channel", &new.no_channel) &&
                                !take_flag(w, "old-kernel", &new.old_kernel) &&
                                !take_flag(w, "no-provider", &new.no_provider) &&
                                !take_flag(w, "wrong-data", &new.wrong_data) &&
                                !take_flag(w, "no-certs", &new.no_certs) &&
                                !take_flag(w, "bad-table", &new.bad_table) &&
                                !take_flag(w, "grow", &new.grow) && !take_flag(w, "vlek", &new.vlek) &&
                                !take_number(w, "vmpl", &new.vmpl) &&
                                !take_number(w, "fw-error", &new.fw_error) &&
                                !take_number(w, "status", &new.status) &&
                                !take_number(w, "size", &new.size) && !take_number(w, "pages", &new.pages) &&
                                !take_number(w, "race", &new.races) &&
                                !take_number(w, "again", &new.again) &&
                                !take_number(w, "ebusy", &new.ebusy) && strncmp(w, "provider=", 9) == 0)
                        (void) snprintf(new.provider, sizeof(new.provider), "%s", w + 9);
        *f = new;
}

int dev_message_report(Dev *d, const uint8_t *request, bool extended, uint32_t pages,
                uint8_t response[static DEV_RESPONSE_SIZE], uint64_t *ret_exit, uint32_t *ret_pages) {
        uint32_t whole = (uint32_t) ((dev_psp_certs(d->psp)->size + DEV_PAGE - 1) / DEV_PAGE), status;
        uint32_t needed = d->faults->grow ? pages + 1 : d->faults->pages ?: d->faults->no_certs ? 0 : whole;
        uint8_t changed[DEV_REPORT_REQUEST_SIZE];

        *ret_exit = 0;
        memset(response, 0, DEV_RESPONSE_SIZE);
        if (d->faults->no_channel)
                return -ENOTTY;
        if (d->faults->busy) {
                *ret_exit = (uint64_t) VMM_BUSY << 32;
                return -ETIMEDOUT; /* the driver has tried for a minute */
        }
        if (d->faults->fw_error) {
                *ret_exit = d->faults->fw_error;
                return -EIO;
        }
        if (extended && pages < needed) {
                *ret_exit = (uint64_t) VMM_INVALID_LEN << 32;
                *ret_pages = needed;
                return -EIO;
        }
        memcpy(changed, request, sizeof(changed));
        changed[0] ^= d->faults->wrong_data;
        status = d->faults->status ?: dev_psp_report(d->psp, changed, response + DEV_RESPONSE_HEADER);
        put_le32(response, status);
        put_le32(response + 4, status != DEV_STATUS_OK ? 0 : d->faults->size ?: PSP_SNP_REPORT_SIZE);
        return 0;
}
