/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "config-volumes.h"

#include <string.h>

#include "error.h"
#include "secret.h"
#include "strutil.h"

void vm_config_init(VmConfig *c) {
        *c = (VmConfig) {
                .cpus = 1,
                .ram = UINT64_C(2) << 30,
                .kvm = TRISTATE_AUTO,
                .tpm = TRISTATE_AUTO,
                .pass_ssh_key = TRISTATE_AUTO,
                .secure_boot = TRISTATE_AUTO,
                .notify_ready = TRISTATE_AUTO,
                .registration = TRISTATE_AUTO,
                .guest_features = 1,
                .vcek = true,
                .discard_disk = true,
        };
}

void vm_config_done(VmConfig *c) {
        FOREACH_ARRAY(s, c->credentials, c->n_credentials) {
                free(s->id);
                erase_string_free(s->text);
                free(s->path);
        }
        free(c->credentials);
        FOREACH_ARRAY(d, c->extra_drives, c->n_extra_drives) {
                free(d->path);
                volume_source_free(d->volume);
        }
        free(c->extra_drives);
        FOREACH_ARRAY(f, c->image_files, c->n_image_files)
                free(f->path);
        free(c->image_files);
        FOREACH_ARRAY(s, c->binds, c->n_binds) {
                free(s->source);
                free(s->target);
        }
        free(c->binds);
        bind_users_free(c->bind_users, c->n_bind_users);
        FOREACH_ARRAY(k, c->copies, c->n_copies) {
                free(k->path);
                free(k->file);
        }
        free(c->copies);
        strv_free(c->publish);
        free(c->firmware_path);
        strv_free(c->firmware_include);
        strv_free(c->firmware_exclude);
        strv_free(c->cmdline);
        free(c->linux_name);
        free(c->initrd_name);
        strv_free(c->owner);
        options_free(&config_option_table, c);
        *c = (VmConfig) {};
}

/* The machine's name: as given, else the image's, the directory's or the kernel's file name without its suffix. */
static int default_machine_name(VmConfig *c) {
        const char *path = c->image ?: c->directory ?: c->linux_path, *name;
        char *copy;
        size_t n;

        if (c->machine || !path)
                return 0;
        c->machine_of_kernel = !c->image && !c->directory;
        n = strlen(path);
        while (n > 0 && path[n - 1] == '/')
                n--;
        name = path + n;
        while (name > path && name[-1] != '/')
                name--;
        copy = strndup(name, MIN(strcspn(name, "."), (size_t) (path + n - name)));
        if (!copy)
                return -ENOMEM;
        /* What --machine= would refuse becomes a dash; a name of nothing else is left to "cvm". */
        for (char *p = copy; *p; p++)
                if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", *p))
                        *p = '-';
        if (strspn(copy, "-") == strlen(copy)) {
                free(copy);
                copy = strdup("cvm");
                if (!copy)
                        return -ENOMEM;
        }
        c->machine = copy;
        return 0;
}

int vm_config_parse(VmConfig *c, int argc, char *const *argv, char **reterr) {
        int r = options_parse(&config_option_table, argc, argv, c, &c->cmdline, reterr);

        if (r < 0)
                return r;
        c->cpu_model_set = c->cpu_model;
        if (!c->cpu_model) {
                c->cpu_model = strdup(coco_of(c->coco)->cpu_model);
                if (!c->cpu_model)
                        return -ENOMEM;
        }
        return default_machine_name(c);
}

static int credentials_to_json(const VmConfig *c, Json **ret) {
        _cleanup_js_ Json *a = js_array();

        if (!a)
                return -ENOMEM;
        FOREACH_ARRAY(s, c->credentials, c->n_credentials) {
                Json *item = NULL;
                int r = js_build(&item, "{s:s, s:s?}", "id", s->id, "path", s->path);

                if (r < 0)
                        return r;
                r = js_append(a, item);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(a);
        return 0;
}

static Json *drives_to_json(const VmConfig *c) {
        _cleanup_js_ Json *a = js_array();

        for (size_t i = 0; a && i < c->n_extra_drives; i++) {
                const DriveSource *d = c->extra_drives + i;
                Json *item = NULL;

                if (js_build(&item, "{s:s, s:s, s:s}", "path", d->path, "format",
                                    image_format_to_string(d->format), "type",
                                    disk_type_facts(vm_config_drive_type(c, i))->name) < 0 ||
                                js_append(a, item) < 0)
                        return NULL;
        }
        return TAKE_PTR(a);
}

static Json *image_files_to_json(const VmConfig *c, bool data) {
        _cleanup_js_ Json *a = js_array();

        for (size_t i = 0; a && i < c->n_image_files; i++) {
                const ImageFile *f = c->image_files + i;
                Json *item = NULL;

                if (f->data != data)
                        continue;
                if (js_build(&item, "{s:s, s:s}", "path", f->path, "format",
                                    image_format_to_string(f->format)) < 0 ||
                                js_append(a, item) < 0)
                        return NULL;
        }
        return TAKE_PTR(a);
}

static Json *binds_to_json(const VmConfig *c) {
        _cleanup_js_ Json *a = js_array();

        for (size_t i = 0; a && i < c->n_binds; i++) {
                const ShareSource *s = c->binds + i;
                Json *item = NULL;

                if (js_build(&item, "{s:s, s:s, s:b}", "source", s->source, "target", s->target, "read-only",
                                    s->read_only) < 0 ||
                                js_append(a, item) < 0)
                        return NULL;
        }
        return TAKE_PTR(a);
}

static Json *bind_users_to_json(const VmConfig *c) {
        _cleanup_js_ Json *a = js_array();

        FOREACH_ARRAY(u, c->bind_users, c->n_bind_users)
                if (!a || js_append(a, js_string(u->name)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

static Json *copies_to_json(const VmConfig *c) {
        _cleanup_js_ Json *a = js_array();

        for (size_t i = 0; a && i < c->n_copies; i++) {
                Json *item = NULL;

                if (js_build(&item, "{s:s, s:s}", "path", c->copies[i].path, "file", c->copies[i].file) <
                                                0 ||
                                js_append(a, item) < 0)
                        return NULL;
        }
        return TAKE_PTR(a);
}

static Json *users_to_json(const VmConfig *c) {
        Json *j = NULL;

        if (c->user_range == 0)
                return js_null();
        return js_build(&j, "{s:o, s:I}", "shift", c->user_shift_set ? js_u64(c->user_shift) : js_null(),
                               "range", (long long) c->user_range) < 0
                        ? NULL
                        : j;
}

typedef struct Member {
        const char *key;
        Json *value; /* taken */
} Member;

static int set_members(Json *j, const Member *members, size_t n) {
        int r = 0;

        FOREACH_ARRAY(m, members, n) {
                int k = js_set(j, m->key, m->value);

                if (r >= 0)
                        r = k;
        }
        return r;
}

static int set_conduct(Json *j, const VmConfig *c) {
        const Member members[] = {
                { "run", js_string(c->run) },
                { "copy-out", copies_to_json(c) },
                { "timeout-usec", js_u64(c->timeout_usec) },
                { "reboot", js_string(c->reset ? "reset" : "exit") },
        };

        return set_members(j, members, ELEMENTSOF(members));
}

static int set_confidential(Json *j, const VmConfig *c, uint64_t policy) {
        const Member members[] = {
                { "coco", js_string(coco_mode_to_string(c->coco)) },
                { "simulate", js_bool(c->simulate) },
                { "cpu", js_string(c->cpu_model) },
                { "policy", js_u64(policy) },
                { "guest-features", js_u64(c->guest_features) },
                { "host-data", js_string(c->host_data) },
                { "mrconfigid", js_string(c->mrconfigid) },
                { "mrowner", js_string(c->mrowner) },
                { "mrownerconfig", js_string(c->mrownerconfig) },
                { "quote-socket", js_string(c->quote_socket) },
                { "edk2", js_string(c->edk2) },
                { "fw-cfg", js_string(c->fw_cfg) },
                { "bios", js_string(c->bios) },
                { "id-block", js_string(c->id_block) },
                { "id-auth", js_string(c->id_auth) },
                { "id-key", js_string(c->id_key) },
                { "author-key", js_string(c->author_key) },
                { "vcek", js_bool(c->vcek) },
                { "dh-cert", js_string(c->dh_cert) },
                { "session", js_string(c->session) },
                { "owner-dir", js_string(c->owner_dir) },
                { "attestation-service", js_string(c->attestation_service) },
                { "owner", js_strv(c->owner) },
                { "expect", js_string(c->expect) },
                { "lock", js_string(c->lock) },
                { "sev-vm-type", js_string(c->legacy_vm_type ? "legacy" : "new") },
        };

        return set_members(j, members, ELEMENTSOF(members));
}

static int set_files(Json *j, const VmConfig *c) {
        const Member members[] = {
                { "image-disk-type", js_string(disk_type_facts(c->image_disk_type)->name) },
                { "discard-disk", js_bool(c->discard_disk) },
                { "grow-image", js_u64(c->grow_image) },
                { "extra-drives", drives_to_json(c) },
                { "backing-files", image_files_to_json(c, /* data= */ false) },
                { "data-files", image_files_to_json(c, /* data= */ true) },
                { "directory", js_string(c->directory) },
                { "private-users", users_to_json(c) },
                { "binds", binds_to_json(c) },
                { "bind-users", bind_users_to_json(c) },
                { "bind-user-shell",
                                js_string(c->bind_user_host_shell ? "yes" : c->bind_user_shell ?: "no") },
                { "bind-user-groups", js_strv(c->bind_user_groups) },
        };

        return set_members(j, members, ELEMENTSOF(members));
}

int vm_config_to_json(const VmConfig *c, Json **ret) {
        _cleanup_js_ Json *j = NULL, *credentials = NULL;
        uint64_t policy = 0;
        int r;

        r = credentials_to_json(c, &credentials);
        if (r >= 0)
                r = vm_config_policy(c, &policy, NULL);
        if (r < 0)
                return r;

        r = js_build(&j, "{s:s?, s:s?, s:s, s:b, s:s?, s:o, s:o, s:b, s:s?}", "machine", c->machine, "image",
                        c->image, "image-format", image_format_to_string(c->image_format), "ephemeral",
                        c->ephemeral, "linux", c->linux_name ?: c->linux_path, "initrd", js_strv(c->initrds),
                        "cmdline", js_strv(c->cmdline), "exact-words", c->exact_words, "adapter",
                        c->adapter);
        if (r < 0)
                return r;

        const Member more[] = {
                { "cpus", js_u64(c->cpus) },
                { "ram", js_u64(c->ram) },
                { "ram-max", js_u64(c->ram_max) },
                { "ram-slots", js_u64(c->ram_slots) },
                { "kvm", js_string(tristate_to_string(c->kvm)) },
                { "firmware", js_string(c->firmware_path ?: firmware_choice_to_string(c->firmware)) },
                { "tpm", js_string(tristate_to_string(c->tpm)) },
                { "tpm-state", js_string(c->tpm_state ?: "auto") },
                { "secure-boot", js_string(tristate_to_string(c->secure_boot)) },
                { "firmware-features", js_strv(c->firmware_include) },
                { "firmware-features-excluded", js_strv(c->firmware_exclude) },
                { "efi-nvram-template", js_string(c->efi_nvram_template) },
                { "efi-nvram-state", js_string(c->efi_nvram_state ?: "auto") },
                { "uuid", js_string(c->uuid) },
                { "register", js_string(tristate_to_string(c->registration)) },
                { "manager", js_string(manager_to_string(c->manager)) },
                { "slice", js_string(c->slice) },
                { "properties", js_strv(c->properties) },
                { "keep-unit", js_bool(c->keep_unit) },
                { "network", js_string(network_mode_to_string(c->network)) },
                { "publish", js_strv(c->publish) },
                { "smbios11", js_strv(c->smbios11) },
                { "vsock", js_string(vsock_mode_to_string(c->vsock)) },
                { "vsock-cid", js_u64(c->vsock_cid) },
                { "pass-ssh-key", js_string(c->ssh_key ?: tristate_to_string(c->pass_ssh_key)) },
                { "ssh-key-type", js_string(c->ssh_key_type) },
                { "console", js_string(console_mode_to_string(c->console)) },
                { "console-transport", js_string(console_transport_to_string(c->console_transport)) },
                { "console-log", js_string(c->console_log) },
                { "background", js_string(c->background) },
                { "forward-journal", js_string(c->forward_journal) },
                { "credentials", TAKE_PTR(credentials) },
                { "credential-transport",
                                js_string(credential_transport_to_string(c->credential_transport)) },
                { "qemu", js_string(c->qemu) },
                { "qemu-arg", js_strv(c->qemu_args) },
        };
        r = set_members(j, more, ELEMENTSOF(more));
        if (r >= 0)
                r = set_files(j, c);
        if (r >= 0)
                r = set_conduct(j, c);
        if (r >= 0)
                r = set_confidential(j, c, policy);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}
