/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Firmware files that owners upload, for registrations that name firmware by its hash. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "encode.h"
#include "fd.h"
#include "measure-firmware.h"

static int describe(const FirmwareImage *f, Json **ret) {
        return js_build(ret, "{s:o, s:I, s:b, s:b}", "sha256",
                        js_hex(f->digest.sha256, sizeof(f->digest.sha256)), "size", (int64_t) f->size,
                        "kernel-hashes", firmware_image_require(f, OVMF_NEED_HASH_TABLE, NULL) >= 0,
                        "sev-es", firmware_image_require(f, OVMF_NEED_RESET, NULL) >= 0);
}

static int keep(const Service *s, const Request *q, int fd, Reply *reply) {
        _cleanup_(firmware_image_done) FirmwareImage image = {};
        _cleanup_(plan_input_done) PlanInput in = {};
        StoreFirmware f = { .owner = q->owner, .created = service_now(s), .size = q->body_size };
        Json *answer = NULL;
        int r = plan_input_add(&in, "upload", fd, 0, q->body_size);

        if (r >= 0)
                r = firmware_image_load(&in, FIRMWARE_SHA256, &image, NULL);
        if (r >= 0) {
                memcpy(f.sha256, image.digest.sha256, sizeof(f.sha256));
                r = s->store->ops->firmware_add(s->store, &f, fd, FIRMWARES_MAX);
        }
        if (r == -EDQUOT)
                return reply_problem(reply, 409, "firmware-full", "Too much firmware",
                                "you have uploaded %u firmware files, the maximum; delete one that no new registration needs",
                                FIRMWARES_MAX);
        if (r < 0 && r != -EEXIST)
                return r;
        reply->status = r == -EEXIST ? 200 : 201;
        r = describe(&image, &answer);
        return r < 0 ? r : reply_json(reply, reply->status, answer);
}

int handle_firmware_add(const Service *s, const Request *q, Reply *reply) {
        _cleanup_close_ int mine = -EBADF;

        if (q->body_size == 0)
                return reply_problem(reply, 400, "malformed", "Malformed request",
                                "expected the firmware file itself");
        if (!q->is_file) {
                mine = memfd_new_sealed("firmware", q->body, q->body_size);
                if (mine < 0)
                        return mine;
        }
        return keep(s, q, q->is_file ? q->fd : mine, reply);
}

static int list_one(void *userdata, const StoreFirmware *f) {
        Json *j = NULL;
        int r = js_build(&j, "{s:o, s:I, s:I}", "sha256", js_hex(f->sha256, sizeof(f->sha256)), "size",
                        (int64_t) f->size, "created", f->created);

        return r < 0 ? r : js_append(userdata, j);
}

int handle_firmware_list(const Service *s, const Request *q, Reply *reply) {
        _cleanup_js_ Json *list = js_array();
        int r;

        if (!list)
                return -ENOMEM;
        r = s->store->ops->firmware_list(s->store, q->owner, list_one, list);
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}

int handle_firmware_delete(const Service *s, const Request *q, Reply *reply) {
        uint8_t sha256[STORE_SHA256_SIZE];
        int r = hex_decode_exact(q->id, sha256, sizeof(sha256));

        r = r < 0 ? -ENOENT : s->store->ops->firmware_delete(s->store, q->owner, sha256);
        if (r == -ENOENT)
                return reply_problem(reply, 404, "unknown-firmware", "Unknown firmware",
                                "you have uploaded no firmware with this SHA-256");
        if (r < 0)
                return r;
        reply->status = 204;
        return 0;
}
