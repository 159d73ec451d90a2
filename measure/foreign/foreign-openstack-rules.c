/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-openstack-reader.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

/* --- members ------------------------------------------------------------------------------------------------------------- */

static int check_members(
                OpenstackReader *q, const Json *object, const EffectTable *table, const EffectTable *other) {
        int r = 0;

        for (void *i = js_iter(object); i && r >= 0; i = js_iter_next(object, i)) {
                const char *key = js_iter_key(i);

                r = effect_check(other && !effect_find(table, key) ? other : table, key, q->o->assumed,
                                q->reterr);
        }
        return r < 0 ? r : 0;
}

/* An object's member that is an object; *ret is NULL where there is none. */
static int object_at(
                OpenstackReader *q, const Json *j, const char *what, const char *key, const Json **ret) {
        *ret = js_get(j, key);
        return !*ret || js_is_object(*ret)
                        ? 0
                        : error_set(q->reterr, -EINVAL,
                                          "the %s's member %s is not an object: print it with '-f json' by an openstack client of version 5 or later",
                                          what, key);
}

/* The client has an image's properties in an object, Glance itself has them beside the others. */
static int find_parts(OpenstackReader *q) {
        const OpenstackInput *in = q->in;
        int r = 0;

        if (!js_is_object(in->image) || !js_is_object(in->flavor) ||
                        (in->server && !js_is_object(in->server)))
                return error_set(q->reterr, -EINVAL,
                                "image, flavor and server are JSON objects, as 'openstack image show -f json' prints them");
        r = object_at(q, in->image, "image", "properties", &q->properties);
        if (r >= 0)
                r = object_at(q, in->flavor, "flavor", "properties", &q->specs);
        if (r >= 0 && !q->specs)
                r = object_at(q, in->flavor, "flavor", "extra_specs", &q->specs);
        if (r >= 0)
                r = check_members(q, in->image, &openstack_image_table,
                                q->properties ? NULL : &openstack_property_table);
        if (r >= 0 && q->properties)
                r = check_members(q, q->properties, &openstack_property_table, NULL);
        if (r >= 0)
                r = check_members(q, in->flavor, &openstack_flavor_table, NULL);
        if (r >= 0 && q->specs)
                r = check_members(q, q->specs, &openstack_spec_table, NULL);
        if (r >= 0 && in->server)
                r = check_members(q, in->server, &openstack_server_table, NULL);
        if (!q->properties)
                q->properties = in->image;
        return r;
}

int openstack_text_at(OpenstackReader *q, const Json *j, const char *key, const char **ret) {
        const Json *v = j ? js_get(j, key) : NULL;
        bool b;

        *ret = NULL;
        if (!v || js_is_null(v))
                return 0;
        if (js_bool_value(v, &b) >= 0)
                *ret = b ? "true" : "false";
        else
                *ret = js_string_value(v);
        if (!*ret || strlen(*ret) != (js_string_value(v) ? js_string_length(v) : strlen(*ret)))
                return error_set(q->reterr, -EINVAL, "the value of %s is not a text", key);
        return 0;
}

/* 1, 0, or -ENODATA where there is none. */
static int bool_at(OpenstackReader *q, const Json *j, const char *key) {
        const char *text;
        int r = openstack_text_at(q, j, key, &text), b;

        if (r < 0 || !text)
                return r < 0 ? r : -ENODATA;
        b = parse_boolean(text);
        return b < 0 ? error_set(q->reterr, -EINVAL, "%s=%s is neither true nor false", key, text) : b;
}

/* --- Nova's rules -------------------------------------------------------------------------------------------------------- */

static const OpenstackModel models[] = {
        { "amd-sev", "sev-guest", 0x33, false, false },
        { "amd-sev-es", "sev-guest", 0x37, false, true },
        { "amd-sev-snp", "sev-snp-guest", 0x30000, true, true },
};

#define REFUSES "Nova refuses this server: "

/* Flavor and image may each ask for it, or both alike. */
static int check_encryption(OpenstackReader *q) {
        int image = bool_at(q, q->properties, "hw_mem_encryption"),
            flavor = bool_at(q, q->specs, "hw:mem_encryption");

        if ((image < 0 && image != -ENODATA) || (flavor < 0 && flavor != -ENODATA))
                return -EINVAL;
        if (image >= 0 && flavor >= 0 && image != flavor)
                return error_set(q->reterr, -EINVAL,
                                REFUSES
                                "the flavor has hw:mem_encryption=%s and the image hw_mem_encryption=%s: make them equal",
                                flavor ? "true" : "false", image ? "true" : "false");
        if (image != 1 && flavor != 1)
                return error_set(q->reterr, -EINVAL,
                                "neither image (hw_mem_encryption=true) nor flavor (hw:mem_encryption=true) asks for encryption: such a server has no launch digest");
        return 0;
}

static int choose_model(OpenstackReader *q) {
        const char *image, *flavor, *model;
        int r = openstack_text_at(q, q->properties, "hw_mem_encryption_model", &image);

        if (r >= 0)
                r = openstack_text_at(q, q->specs, "hw:mem_encryption_model", &flavor);
        if (r < 0)
                return r;
        if (image && flavor && !streq(image, flavor))
                return error_set(q->reterr, -EINVAL,
                                REFUSES
                                "the flavor has hw:mem_encryption_model=%s and the image hw_mem_encryption_model=%s: make them equal",
                                flavor, image);
        model = image ?: flavor ?: "amd-sev";
        FOREACH_ARRAY(m, models, ELEMENTSOF(models))
                if (streq(m->name, model)) {
                        q->model = m;
                        return 0;
                }
        return error_set(q->reterr, -EINVAL,
                        "the memory encryption model is %s: expected amd-sev, amd-sev-es or amd-sev-snp",
                        model);
}

static int check_machine(OpenstackReader *q) {
        static const struct {
                const char *key, *value;
                bool mandatory;
        } needed[] = {
                { "hw_firmware_type", "uefi", true },
                { "hw_architecture", "x86_64", false },
                { "architecture", "x86_64", false },
                { "hw_vm_mode", "hvm", false },
                { "vm_mode", "hvm", false },
        };
        const char *text;
        int r = 0;

        FOREACH_ARRAY(n, needed, ELEMENTSOF(needed)) {
                r = openstack_text_at(q, q->properties, n->key, &text);
                if (r < 0)
                        return r;
                if (text ? !streq(text, n->value) : n->mandatory)
                        return error_set(q->reterr, -EINVAL,
                                        REFUSES "the image's property %s must be %s, and is %s", n->key,
                                        n->value, text ?: "missing");
        }
        r = openstack_text_at(q, q->properties, "hw_machine_type", &text);
        if (r >= 0 && text && !strstr(text, "q35"))
                return error_set(q->reterr, -EINVAL,
                                REFUSES "the image's property hw_machine_type must be q35, and is %s", text);
        return r;
}

static int check_stateless(OpenstackReader *q) {
        int stateless = bool_at(q, q->properties, "hw_firmware_stateless");

        if (stateless < 0 && stateless != -ENODATA)
                return stateless;
        if (stateless == 1)
                return 0;
        if (q->model->hashes)
                return error_set(q->reterr, -EINVAL,
                                REFUSES "amd-sev-snp needs the image's property hw_firmware_stateless=true");
        return strv_push(&q->line.notices,
                        "NOT MEASURED: the server's variable store, since hw_firmware_stateless is not true");
}

/* --- server -------------------------------------------------------------------------------------------------------------- */

/* "NAME (ID)", or an object with id or name. */
static bool refers(const Json *j, const char *id, const char *name) {
        const char *text = js_string_value(j);
        const char *own = js_string_value(js_get(j, "id")),
                   *own_name = js_string_value(js_get(j, "original_name"))
                        ?: js_string_value(js_get(j, "name"));

        if (text)
                return (id && strstr(text, id)) || (name && streq(text, name));
        return own ? streq_ptr(own, id) : streq_ptr(own_name, name);
}

/* Newer releases show the flavor that the server was made with, whatever became of that flavor since then. */
static int check_server_flavor(OpenstackReader *q, const Json *own) {
        const Json *specs = NULL;
        const char *name = js_string_value(js_get(q->in->flavor, "name"))
                        ?: js_string_value(js_get(q->in->flavor, "id")),
                   *model;
        uint64_t running, given;
        int r = check_members(q, own, &openstack_flavor_table, NULL);

        if (r >= 0 && !js_is_null(js_get(own, "extra_specs")))
                r = object_at(q, own, "server's flavor", "extra_specs", &specs);
        if (r >= 0 && specs)
                r = check_members(q, specs, &openstack_spec_table, NULL);
        if (r >= 0)
                r = openstack_text_at(q, specs, "hw:mem_encryption_model", &model);
        if (r >= 0 && model && !streq(model, q->model->name))
                r = error_set(q->reterr, -EINVAL,
                                "the server's own flavor has hw:mem_encryption_model=%s, and image and flavor that were passed give %s: pass those that the server was started with",
                                model, q->model->name);
        if (r < 0 || !js_get(own, "vcpus") || js_is_null(js_get(own, "vcpus")))
                return r;
        if (js_u64_value(js_get(own, "vcpus"), &running) < 0)
                return error_set(q->reterr, -EINVAL, "the server's flavor: vcpus is not a number of vCPUs");
        if (js_u64_value(js_get(q->in->flavor, "vcpus"), &given) >= 0 && given > 0 && given != running)
                return error_set(q->reterr, -EINVAL,
                                "the server has %llu vCPUs, the flavor '%s' has %llu: pass the flavor that the server was started with",
                                (unsigned long long) running, name ?: "", (unsigned long long) given);
        return 0;
}

/* Objects that a server shows of its image and flavor. */
static int check_server_parts(OpenstackReader *q, const Json *image, const Json *flavor) {
        int r = 0;

        if (js_is_object(image))
                r = check_members(q, image, &openstack_image_table, &openstack_property_table);
        return r >= 0 && js_is_object(flavor) ? check_server_flavor(q, flavor) : r;
}

/* The answers must belong together. */
static int check_server(OpenstackReader *q) {
        const Json *server = q->in->server, *image = server ? js_get(server, "image") : NULL,
                   *flavor = server ? js_get(server, "flavor") : NULL;
        const char *image_id = js_string_value(js_get(q->in->image, "id")),
                   *image_name = js_string_value(js_get(q->in->image, "name")),
                   *flavor_id = js_string_value(js_get(q->in->flavor, "id")),
                   *flavor_name = js_string_value(js_get(q->in->flavor, "name"));
        const char *text = js_string_value(image);

        bool volume = text && (!*text || startswith(text, "N/A"));

        if (volume &&
                        strv_push(&q->line.notices,
                                        "the server was started from a volume: the properties that count are those of the volume's image, and the image that was passed must have the same") <
                                        0)
                return -ENOMEM;
        if (!volume && image && !refers(image, image_id, image_name))
                return error_set(q->reterr, -EINVAL,
                                "the server was not started from this image (%s): pass the image that 'openstack server show' names",
                                image_name ?: image_id ?: "without a name");
        if (flavor && !refers(flavor, flavor_id, flavor_name))
                return error_set(q->reterr, -EINVAL,
                                "the server does not have this flavor (%s): pass the flavor that 'openstack server show' names",
                                flavor_name ?: flavor_id ?: "without a name");
        return check_server_parts(q, image, flavor);
}

static int server_metadata(OpenstackReader *q, const Json **ret) {
        int r = 0;

        *ret = NULL;
        if (!q->in->server)
                return 0;
        r = object_at(q, q->in->server, "server", "properties", ret);
        if (r >= 0 && !*ret)
                r = object_at(q, q->in->server, "server", "metadata", ret);
        for (void *i = r >= 0 && *ret ? js_iter(*ret) : NULL; i; i = js_iter_next(*ret, i)) {
                const char *key = js_iter_key(i);

                /* Other names are those of users. */
                if (startswith(key, "ATTESTATION:") && !streq(key, "ATTESTATION:vcpu_model") &&
                                !strv_contains(q->o->assumed, key))
                        return error_set(q->reterr, -EINVAL,
                                        "the server's property %s: unknown, and it may say something about the measured bytes; if it does not, add --assume-unmeasured=%s",
                                        key, key);
        }
        return r;
}

int openstack_cpu(OpenstackReader *q, const char **ret) {
        const Json *metadata;
        const char *model;
        int r = server_metadata(q, &metadata);

        if (r >= 0)
                r = openstack_text_at(q, metadata, "ATTESTATION:vcpu_model", &model);
        if (r < 0)
                return r;
        *ret = model ?: "qemu64";
        if (q->o->given.cpu || !q->model->vcpus)
                return 0;
        if (!model)
                return error_set(q->reterr, -EINVAL,
                                "the CPU model is part of the digest, and no property ATTESTATION:vcpu_model of a server tells it: pass --server=FILE ('openstack server show -f json'), --vcpu-type=MODEL or --vcpu-sig=NUMBER");
        if (streq(model, "host") || startswith(model, "host-"))
                return error_set(q->reterr, -EINVAL,
                                "the server's ATTESTATION:vcpu_model is %s, the CPU of its compute node, and its signature is part of the digest: pass it with --vcpu-sig=NUMBER (CPUID leaf 1, EAX, of that machine) or --vcpu-sig=from:REPORT",
                                model);
        return 0;
}

int openstack_check(OpenstackReader *q) {
        static int (*const steps[])(OpenstackReader * q) = { find_parts, check_encryption, choose_model,
                check_machine, check_stateless, check_server };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = steps[i](q);
        return r;
}
