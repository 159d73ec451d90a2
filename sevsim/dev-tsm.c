/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tree /sys/kernel/config/tsm/report: an entry a directory, made by mkdir(2), with attributes in it. `inblob` is taken when the file
 * that wrote it is closed, as configfs does with binary attributes, and close(2) does not report whether it was; each write counts in
 * `generation`; a report is made when the first of outblob and auxblob is read after a write. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev-tsm.h"
#include "sim-bytes.h"

const DevAttributeRow dev_attributes[_DEV_ATTRIBUTE_MAX] = {
        [DEV_GENERATION] = { "generation", 0444 },
        [DEV_PROVIDER] = { "provider", 0444 },
        [DEV_PRIVLEVEL] = { "privlevel", 0200 },
        [DEV_PRIVLEVEL_FLOOR] = { "privlevel_floor", 0444 },
        [DEV_INBLOB] = { "inblob", 0200 },
        [DEV_OUTBLOB] = { "outblob", 0444 },
        [DEV_AUXBLOB] = { "auxblob", 0444 },
};

/* report.c, try_advance_write_generation(): so many writes without a read that the numbers would meet. */
static int advance(DevEntry *e) {
        if (e->write_generation == e->read_generation - 1)
                return -EBUSY;
        e->write_generation++;
        return 0;
}

static int store_level(Dev *d, DevEntry *e, const uint8_t *p, size_t n) {
        char text[16], *end = NULL;
        unsigned long v;
        int r;

        if (n == 0 || n >= sizeof(text))
                return -EINVAL;
        memcpy(text, p, n);
        text[n] = 0;
        v = strtoul(text, &end, 0);
        if (end == text || strspn(end, "\n") != strlen(end) || v < d->psp->vmpl || v > DEV_VMPL_MAX)
                return -EINVAL;
        r = advance(e);
        if (r == 0)
                e->level = (uint32_t) v;
        return r;
}

/* The driver, sev_report_new(). */
static int make_report(Dev *d, DevEntry *e) {
        uint8_t request[DEV_REPORT_REQUEST_SIZE] = {}, response[DEV_RESPONSE_SIZE];
        uint32_t pages = 0, size;
        uint64_t exit;
        int r;

        if (e->in_size != DEV_DATA_SIZE)
                return -EINVAL;
        memcpy(request, e->in, DEV_DATA_SIZE);
        put_le32(request + DEV_DATA_SIZE, e->level);
        r = dev_message_report(
                        d, request, /* extended= */ true, DEV_CERTS_MAX / DEV_PAGE, response, &exit, &pages);
        if (r < 0)
                return r;
        if (get_le32(response) != DEV_STATUS_OK)
                return -ENXIO;
        size = get_le32(response + 4);
        if (size > DEV_RESPONSE_SIZE - DEV_RESPONSE_HEADER)
                return -ENOMEM;
        memcpy(e->out, response + DEV_RESPONSE_HEADER, size);
        e->out_size = size;
        e->aux = dev_psp_certs(d->psp)->table;
        e->aux_size = d->faults->no_certs ? 0 : dev_psp_certs(d->psp)->size;
        return 0;
}

/* tsm_report_read() */
static int need_report(Dev *d, DevEntry *e) {
        int r;

        if (d->faults->no_provider)
                return -ENXIO;
        if (e->in_size == 0)
                return -EINVAL;
        if (d->faults->again > 0)
                return d->faults->again--, -EAGAIN;
        if (d->faults->ebusy > 0)
                return d->faults->ebusy--, -EBUSY;
        if (e->out_size > 0 && e->read_generation == e->write_generation)
                return 0;
        r = make_report(d, e);
        if (r < 0)
                return r;
        e->read_generation = e->write_generation;
        if (d->faults->races > 0) { /* the other process was quicker than the next reader */
                d->faults->races--;
                e->in[0] ^= 1;
                (void) advance(e);
        }
        return 0;
}

int dev_attribute_read(Dev *d, DevEntry *e, DevAttribute which, char text[static DEV_TEXT_MAX],
                const uint8_t **ret, size_t *ret_size) {
        const char *provider = *d->faults->provider ? d->faults->provider : "sev_guest";
        int r = 0;

        switch (which) {
        case DEV_GENERATION:
                r = snprintf(text, DEV_TEXT_MAX, "%lu\n", e->write_generation);
                break;
        case DEV_PROVIDER:
                r = snprintf(text, DEV_TEXT_MAX, "%s\n", provider);
                break;
        case DEV_PRIVLEVEL_FLOOR:
                r = snprintf(text, DEV_TEXT_MAX, "%u\n", d->psp->vmpl);
                break;
        case DEV_OUTBLOB:
        case DEV_AUXBLOB:
                r = need_report(d, e);
                if (r < 0)
                        return r;
                *ret = which == DEV_OUTBLOB ? e->out : e->aux;
                *ret_size = which == DEV_OUTBLOB ? e->out_size : e->aux_size;
                return 0;
        default:
                return -EACCES;
        }
        *ret = (const uint8_t *) text;
        *ret_size = (size_t) r;
        return 0;
}

int dev_attribute_write(Dev *d, DevOpen *o, DevEntry *e, const uint8_t *p, size_t n, uint64_t offset) {
        if (o->which == DEV_PRIVLEVEL)
                return store_level(d, e, p, n);
        if (o->which != DEV_INBLOB)
                return -EACCES;
        if (offset > DEV_DATA_SIZE || n > DEV_DATA_SIZE - offset)
                return -EFBIG;
        memcpy(o->in + offset, p, n);
        if (o->in_size < offset + n)
                o->in_size = offset + n;
        o->dirty = true;
        return 0;
}

void dev_attribute_close(DevOpen *o, DevEntry *e) {
        if (!o->dirty)
                return;
        o->dirty = false;
        if (advance(e) < 0)
                return;
        memcpy(e->in, o->in, sizeof(e->in));
        e->in_size = o->in_size;
}

int dev_tsm_start(const char *fuse, const char *place) {
        char options[96];
        int fd = open(fuse, O_RDWR | O_CLOEXEC), r;

        if (fd < 0)
                return -errno;
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0", fd,
                        (unsigned) S_IFDIR | 0755U);
        if (mount("sevsim", place, "fuse.sevsim", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        return fd;
}
