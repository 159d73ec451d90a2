/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kata-words.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "overflow.h"
#include "strutil.h"

#define BASE                                                                                                \
        "tsc=reliable no_timer_check rcupdate.rcu_expedited=1 i8042.direct=1 i8042.dumbkbd=1 i8042.nopnp=1 i8042.noaux=1 noreplace-smp reboot=k cryptomgr.notests net.ifnames=0 pci=lastbus=0"
#define IMAGE                                                                                               \
        " systemd.unit=kata-containers.target systemd.mask=systemd-networkd.service systemd.mask=systemd-networkd.socket"
#define SECTOR 512u

static const char *root_flags(const char *type) {
        return streq(type, "ext4") ? "data=ordered,errors=remount-ro ro" : "ro";
}

typedef struct Verity {
        const char *hash, *salt;
        uint64_t blocks, data_size, hash_size;
} Verity;

/* root_hash=...,salt=...,data_blocks=...,data_block_size=...,hash_block_size=...: splits `items` in place. */
static int read_verity(char **items, Verity *ret, char **reterr) {
        uint64_t *numbers[] = { &ret->blocks, &ret->data_size, &ret->hash_size };
        static const char *const names[] = { "data_blocks=", "data_block_size=", "hash_block_size=" };

        STRV_FOREACH(item, items) {
                const char *hash = startswith(*item, "root_hash="), *salt = startswith(*item, "salt=");
                bool known = hash || salt;

                if (hash)
                        ret->hash = hash;
                if (salt)
                        ret->salt = salt;
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        const char *value = startswith(*item, names[i]);

                        known = known || (value && parse_u64(value, numbers[i]) >= 0);
                }
                if (!known)
                        return error_set(reterr, -EINVAL, "kernel_verity_params: '%s' is not known", *item);
        }
        if (!ret->hash || !ret->salt || ret->blocks == 0 || ret->data_size == 0 || ret->hash_size == 0)
                return error_set(reterr, -EINVAL,
                                "kernel_verity_params: expected root_hash, salt, data_blocks, data_block_size and hash_block_size");
        return 0;
}

static int put_verity(const KataWords *w, Text *t, char **reterr) {
        _cleanup_strv_free_ char **items = NULL;
        Verity v = {};
        uint64_t bytes;
        int r = strv_split(w->verity, ',', &items);

        if (r >= 0)
                r = read_verity(items, &v, reterr);
        if (r < 0)
                return r;
        if (!mul_u64(v.blocks, v.data_size, &bytes))
                return error_set(reterr, -EINVAL, "kernel_verity_params: the device is too large");
        text_putf(t,
                        " dm-mod.create=\"dm-verity,,,ro,0 %" PRIu64 " verity 1 /dev/vda1 /dev/vda2 %" PRIu64
                        " %" PRIu64 " %" PRIu64 " 0 sha256 %s %s\" root=/dev/dm-0",
                        bytes / SECTOR, v.data_size, v.hash_size, v.blocks, v.hash, v.salt);
        return 0;
}

static int put_root(const KataWords *w, Text *t, char **reterr) {
        bool verity = w->verity && *w->verity;
        int r = 0;

        if (!w->rootfs_type)
                return verity ? error_set(reterr, -EINVAL,
                                                "kernel_verity_params needs an image, and there is an initrd")
                              : 0;
        if (!streq(w->rootfs_type, "ext4") && !streq(w->rootfs_type, "xfs") &&
                        !streq(w->rootfs_type, "erofs"))
                return error_set(reterr, -EINVAL, "rootfs_type '%s' is neither ext4, xfs nor erofs",
                                w->rootfs_type);
        if (verity)
                r = put_verity(w, t, reterr);
        else
                text_put(t, " root=/dev/vda1");
        text_putf(t, " rootflags=%s rootfstype=%s", root_flags(w->rootfs_type), w->rootfs_type);
        return r;
}

static void put_agent(const KataWords *w, Text *t) {
        if (w->agent_debug)
                text_put(t, " agent.log=debug");
        if (w->agent_tracing)
                text_put(t, " agent.trace=true");
        if (w->agent_console)
                text_put(t, " agent.debug_console agent.debug_console_vport=1026");
        if (w->cdh_timeout > 0)
                text_putf(t, " agent.cdh_api_timeout=%u", w->cdh_timeout);
        if (w->launch_timeout > 0)
                text_putf(t, " agent.launch_process_timeout=%u", w->launch_timeout);
}

int kata_words(const KataWords *w, char **ret, char **reterr) {
        _cleanup_(text_done) Text t = {};
        int r;

        text_put(&t, BASE);
        r = put_root(w, &t, reterr);
        if (r < 0)
                return r;
        text_put(&t, w->legacy_serial ? " console=ttyS0" : " console=hvc0 console=hvc1");
        text_put(&t,
                        w->debug ? " debug systemd.show_status=true systemd.log_level=debug"
                                 : " quiet systemd.show_status=false");
        text_put(&t, " panic=1 selinux=0");
        if (w->rootfs_type)
                text_put(&t, IMAGE);
        if (w->scsi)
                text_put(&t, " scsi_mod.scan=none");
        put_agent(w, &t);
        if (w->params && *w->params)
                text_putf(&t, " %s", w->params);
        return text_finish(&t, ret);
}
