/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firmware-descriptor.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "json.h"
#include "strutil.h"

static const char *const mapping_names[] = {
        [FIRMWARE_MEMORY] = "memory",
        [FIRMWARE_FLASH] = "flash",
};
static_assert(ELEMENTSOF(mapping_names) == _FIRMWARE_MAPPING_MAX, "every mapping has a name");

const char *firmware_mapping_to_string(FirmwareMapping m) {
        return m >= 0 && m < _FIRMWARE_MAPPING_MAX ? mapping_names[m] : NULL;
}

void firmware_descriptor_done(FirmwareDescriptor *d) {
        FOREACH_ARRAY(t, d->targets, d->n_targets) {
                free(t->architecture);
                strv_free(t->machines);
        }
        free(d->targets);
        free(d->path);
        free(d->problem);
        free(d->description);
        strv_free(d->interfaces);
        free(d->mode);
        free(d->executable);
        free(d->executable_format);
        free(d->nvram_template);
        free(d->nvram_format);
        strv_free(d->features);
        *d = (FirmwareDescriptor) {};
}

void firmware_list_done(FirmwareList *l) {
        FOREACH_ARRAY(d, l->items, l->n_items)
                firmware_descriptor_done(d);
        free(l->items);
        *l = (FirmwareList) {};
}

/* --- reading one file ------------------------------------------------------------------------------------------------ */

typedef struct FlashFile {
        char *filename, *format;
} FlashFile;

typedef struct Mapping {
        char *device, *filename, *mode;
        FlashFile executable, nvram;
} Mapping;

static void mapping_done(Mapping *m) {
        free(m->device);
        free(m->filename);
        free(m->mode);
        free(m->executable.filename);
        free(m->executable.format);
        free(m->nvram.filename);
        free(m->nvram.format);
}

static int read_flash_file(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "filename", JS_FIELD_STRING, offsetof(FlashFile, filename), true, NULL },
                { "format", JS_FIELD_STRING, offsetof(FlashFile, format), true, NULL },
        };

        return js_dispatch(value, fields, ELEMENTSOF(fields), /* foreign= */ true, target, reterr);
}

static int read_mapping(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "device", JS_FIELD_STRING, offsetof(Mapping, device), true, NULL },
                { "filename", JS_FIELD_STRING, offsetof(Mapping, filename), false, NULL },
                { "mode", JS_FIELD_STRING, offsetof(Mapping, mode), false, NULL },
                { "executable", JS_FIELD_CUSTOM, offsetof(Mapping, executable), false, read_flash_file },
                { "nvram-template", JS_FIELD_CUSTOM, offsetof(Mapping, nvram), false, read_flash_file },
        };
        FirmwareDescriptor *d = target;
        _cleanup_(mapping_done) Mapping m = {};
        int r;

        r = js_dispatch(value, fields, ELEMENTSOF(fields), /* foreign= */ true, &m, reterr);
        if (r < 0)
                return r;
        if (streq(m.device, "memory")) {
                if (!m.filename)
                        return error_set(reterr, -EBADMSG, "member 'filename' is missing");
                d->mapping = FIRMWARE_MEMORY;
                d->executable = TAKE_PTR(m.filename);
                d->executable_format =
                                strdup("raw"); /* a memory mapping has no format: it is loaded as it is */
                return d->executable_format ? 0 : -ENOMEM;
        }
        if (!streq(m.device, "flash"))
                return error_set(reterr, -EBADMSG, "device '%s' is neither 'flash' nor 'memory'", m.device);
        if (!m.executable.filename)
                return error_set(reterr, -EBADMSG, "member 'executable' is missing");
        d->mapping = FIRMWARE_FLASH;
        d->mode = m.mode ? TAKE_PTR(m.mode) : strdup("split");
        d->executable = TAKE_PTR(m.executable.filename);
        d->executable_format = TAKE_PTR(m.executable.format);
        d->nvram_template = TAKE_PTR(m.nvram.filename);
        d->nvram_format = TAKE_PTR(m.nvram.format);
        return d->mode ? 0 : -ENOMEM;
}

static int read_targets(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "architecture", JS_FIELD_STRING, offsetof(FirmwareTarget, architecture), true, NULL },
                { "machines", JS_FIELD_STRV, offsetof(FirmwareTarget, machines), true, NULL },
        };
        FirmwareDescriptor *d = target;

        if (!js_is_array(value))
                return error_set(reterr, -EBADMSG, "expected an array");
        d->targets = calloc(js_length(value) + 1, sizeof(FirmwareTarget));
        if (!d->targets)
                return -ENOMEM;
        for (size_t i = 0; i < js_length(value); i++) {
                int r;

                d->n_targets++;
                r = js_dispatch(js_at(value, i), fields, ELEMENTSOF(fields), /* foreign= */ true,
                                &d->targets[i], reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int descriptor_parse(const char *text, size_t size, FirmwareDescriptor *d, char **reterr) {
        static const JsField fields[] = {
                { "description", JS_FIELD_STRING, offsetof(FirmwareDescriptor, description), true, NULL },
                { "interface-types", JS_FIELD_STRV, offsetof(FirmwareDescriptor, interfaces), true, NULL },
                { "mapping", JS_FIELD_CUSTOM, 0, true, read_mapping },
                { "targets", JS_FIELD_CUSTOM, 0, true, read_targets },
                { "features", JS_FIELD_STRV, offsetof(FirmwareDescriptor, features), true, NULL },
        };
        _cleanup_js_ Json *j = NULL;
        int r;

        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return r;
        return js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ true, d, reterr);
}

int firmware_descriptor_load(const char *path, FirmwareDescriptor *ret, char **reterr) {
        _cleanup_(firmware_descriptor_done) FirmwareDescriptor d = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read_all(path, FIRMWARE_DESCRIPTOR_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read firmware descriptor '%s': %s", path, strerror(-r));
        d.path = strdup(path);
        if (!d.path)
                return -ENOMEM;
        r = descriptor_parse(text, size, &d, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "firmware descriptor '%s'", path);
        *ret = TAKE_STRUCT(d, (FirmwareDescriptor) {});
        return 0;
}

/* --- directories ----------------------------------------------------------------------------------------------------- */

static int add_directory(char ***l, const char *base, const char *below) {
        _cleanup_free_ char *path = NULL;

        /* The base directory specification: a relative path in a variable is to be ignored. */
        if (!base || base[0] != '/')
                return 0;
        if (asprintf(&path, "%s%s/qemu/firmware", base, below) < 0)
                return -ENOMEM;
        return strv_contains(*l, path) ? 0 : strv_push(l, path);
}

/* The variable's value, or the directory below $HOME where it is unset. */
static int add_home(char ***l, char *(*lookup)(const char *), const char *variable, const char *below) {
        const char *value = lookup(variable);

        if (value && value[0] != 0)
                return add_directory(l, value, "");
        return add_directory(l, lookup("HOME"), below);
}

int firmware_directories(char *(*lookup)(const char *name), char ***ret) {
        _cleanup_strv_free_ char **l = NULL, **shared = NULL;
        const char *data_dirs = lookup("XDG_DATA_DIRS");
        int r;

        r = add_home(&l, lookup, "XDG_CONFIG_HOME", "/.config");
        if (r < 0)
                return r;
        r = add_directory(&l, "/etc", "");
        if (r < 0)
                return r;
        r = add_home(&l, lookup, "XDG_DATA_HOME", "/.local/share");
        if (r < 0)
                return r;
        if (!data_dirs || data_dirs[0] == 0)
                data_dirs = "/usr/local/share:/usr/share";
        r = strv_split(data_dirs, ':', &shared);
        if (r < 0)
                return r;
        STRV_FOREACH(d, shared) {
                r = add_directory(&l, *d, "");
                if (r < 0)
                        return r;
        }
        r = add_directory(&l, "/usr/share", "");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static bool hidden(const FirmwareList *l, char *const *masked, const char *name) {
        FOREACH_ARRAY(d, l->items, l->n_items)
                if (streq(base_name(d->path), name))
                        return true;
        return strv_contains(masked, name);
}

static int list_add(FirmwareList *l, char *path, char *problem, FirmwareDescriptor *d) {
        FirmwareDescriptor *items = reallocarray(l->items, l->n_items + 1, sizeof(FirmwareDescriptor));

        if (!items)
                return -ENOMEM;
        l->items = items;
        items[l->n_items++] = problem ? (FirmwareDescriptor) { .path = path, .problem = problem } : *d;
        return 0;
}

static int load_file(FirmwareList *l, char ***masked, const char *directory, const char *name) {
        _cleanup_(firmware_descriptor_done) FirmwareDescriptor d = {};
        _cleanup_free_ char *path = NULL, *problem = NULL;
        struct stat st;
        int r;

        if (hidden(l, *masked, name))
                return 0;
        if (l->n_items >= FIRMWARE_DESCRIPTORS_MAX)
                return -E2BIG;
        if (asprintf(&path, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        if (stat(path, &st) >= 0 && (st.st_size == 0 || S_ISCHR(st.st_mode)))
                return strv_push(masked, name);

        r = firmware_descriptor_load(path, &d, &problem);
        if (r == -ENOMEM)
                return r;
        if (r < 0 && !problem)
                return r;
        if (r >= 0) {
                r = list_add(l, NULL, NULL, &d);
                if (r >= 0)
                        d = (FirmwareDescriptor) {};
                return r;
        }
        r = list_add(l, path, problem, NULL);
        if (r >= 0) {
                path = NULL;
                problem = NULL;
        }
        return r;
}

static int load_directory(FirmwareList *l, char ***masked, const char *directory, char **reterr) {
        DIR *dir = opendir(directory);
        int r = 0;

        if (!dir)
                return 0; /* not there, or not ours to read: as if it were empty */
        for (struct dirent *e; r >= 0 && (e = readdir(dir));)
                if (e->d_name[0] != '.' && endswith(e->d_name, ".json"))
                        r = load_file(l, masked, directory, e->d_name);
        (void) closedir(dir);
        if (r == -E2BIG)
                return error_set(reterr, r, "directory '%s' holds more than %u firmware descriptors",
                                directory, FIRMWARE_DESCRIPTORS_MAX);
        return r;
}

static int compare_names(const void *a, const void *b) {
        const FirmwareDescriptor *x = a, *y = b;

        return strcmp(base_name(x->path), base_name(y->path));
}

int firmware_list_load(char *const *directories, FirmwareList *ret, char **reterr) {
        _cleanup_(firmware_list_done) FirmwareList l = {};
        _cleanup_strv_free_ char **masked = NULL;

        STRV_FOREACH(d, directories) {
                int r = load_directory(&l, &masked, *d, reterr);

                if (r < 0)
                        return r;
        }
        if (l.n_items > 0)
                qsort(l.items, l.n_items, sizeof(FirmwareDescriptor), compare_names);
        *ret = TAKE_STRUCT(l, (FirmwareList) {});
        return 0;
}
