/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn extract: kernel, initrd and kernel command line out of a disk image, without root, without mounting. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "crypto-init.h"
#include "encode.h"
#include "error.h"
#include "extract.h"
#include "fd.h"
#include "stdout.h"
#include "strutil.h"

#define AT(member) offsetof(Arguments, member)

static int set_partition(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        unsigned n;

        if (parse_unsigned(value, &n) < 0 || n == 0)
                return error_set(reterr, -EINVAL,
                                "expected the number of a partition, from 1, not '%s'; a disk without a table needs none",
                                value);
        return option_set_unsigned(userdata, row, value, reterr);
}

static const OptionRow rows[] = {
        { "output", 'o', OPTION_REQUIRED, "DIR", "Output",
                        "Write vmlinuz, initrd.img and cmdline into this directory\n(default: write nothing, print what was found)",
                        "@dir", option_set_string, AT(output), 0 },
        { "list", 'l', OPTION_NONE, NULL, NULL, "List partitions and boot entries only", NULL,
                        option_set_true, AT(list), 0 },
        VERB_ROWS(NULL),
        { "kernel", 0, OPTION_REQUIRED, "VERSION", "Choice", "Use the entry with this kernel version", NULL,
                        option_set_string, AT(kernel), 0 },
        { "entry", 0, OPTION_REQUIRED, "NAME", NULL, "Use the entry with this id, title or file name", NULL,
                        option_set_string, AT(entry), 0 },
        { "partition", 0, OPTION_REQUIRED, "N", NULL, "Use an entry of this partition", NULL, set_partition,
                        AT(partition), 0 },
        { "subvolume", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Set the subvolume of btrfs that is the root directory\n(default: the only one with an /etc)",
                        NULL, option_set_string, AT(subvolume), 0 },
        { "format", 0, OPTION_REQUIRED, "FORMAT", NULL,
                        "Set the image's format: raw, qcow2, vmdk, vhdx, vdi or\nvpc (default: by the ending of its name, otherwise raw)",
                        "raw qcow2 vmdk vhdx vdi vpc", option_set_word, AT(format), 0 },
        { "backing-file", 0, OPTION_REQUIRED, "[FORMAT:]PATH", NULL,
                        "Let the image have this backing file; repeat it for a\nchain", "@file",
                        option_append, AT(backing), 0 },
        { "oci", 0, OPTION_REQUIRED, "SOURCE", "Container image",
                        "Take a file out of a container image: an OCI layout\n(directory or tar) or what 'docker save' writes",
                        "@file", option_set_string, AT(oci), 0 },
        { "registry", 0, OPTION_REQUIRED, "SOURCE", NULL,
                        "Fetch the image with skopeo first, for instance from\ndocker://quay.io/NAME:TAG",
                        NULL, option_set_string, AT(registry), 0 },
        { "image", 0, OPTION_REQUIRED, "NAME:TAG", NULL, "Choose one of several images", NULL,
                        option_set_string, AT(image), 0 },
        { "path", 0, OPTION_REQUIRED, "PATH", NULL, "Set the file's path in the image", NULL,
                        option_set_string, AT(path), 0 },
        { "kernel-fd", 0, OPTION_REQUIRED, "FD", NULL, "Write the kernel to this descriptor", NULL,
                        option_set_unsigned, AT(kernel_fd), OPTION_HIDDEN },
        { "initrd-fd", 0, OPTION_REQUIRED, "FD", NULL, "Write the initrd to this descriptor", NULL,
                        option_set_unsigned, AT(initrd_fd), OPTION_HIDDEN },
};

static const OptionRule rules[] = {
        { .options = "list",
                        .excludes = "output kernel entry partition kernel-fd initrd-fd",
                        .why = "a list has all entries" },
        { .options = "kernel-fd initrd-fd", .excludes = "output" },
        { .options = "oci registry",
                        .excludes = "list kernel entry partition subvolume format backing-file kernel-fd initrd-fd",
                        .why = "that is for disk images" },
        { .options = "oci", .excludes = "registry" },
        { .options = "image path", .needs = "oci registry" },
};

static const OptionTable table = {
        .program = "cvmspawn extract",
        .arguments = "[IMAGE]",
        .summary = "Get kernel, initrd and kernel command line out of a disk image, or a file out of a container image.",
        .zone = "verifier",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int set_hash(Json *to, const Copied *copied) {
        int r = js_set(to, "size", js_u64(copied->size));

        return r < 0 ? r : js_set(to, "sha256", js_hex(copied->sha256, sizeof(copied->sha256)));
}

/* The sizes that were announced are those that came. */
static int add_hashes(Json *j, const Copied *kernel, const Copied *initrd, char **reterr) {
        Json *k = (Json *) js_get(j, "kernel"), *i = NULL;
        uint64_t size = 0;
        int r;

        if (js_u64_value(js_get(k, "size"), &size) < 0 || size != kernel->size)
                return error_set(reterr, -EBADMSG, "the kernel has %llu bytes, %llu were expected",
                                (unsigned long long) kernel->size, (unsigned long long) size);
        r = set_hash(k, kernel);
        if (r >= 0 && initrd->size > 0) {
                i = js_object();
                r = i ? set_hash(i, initrd) : -ENOMEM;
        }
        if (r < 0) {
                js_unref(i);
                return r;
        }
        return js_set(j, "initrd", i ?: js_null());
}

static int write_cmdline(Output *o, const Json *j, char **reterr) {
        const char *words = js_string_value(js_get(j, "cmdline"));
        int fd, r;

        if (!words)
                return 0;
        r = output_add(o, "cmdline", &fd, reterr);
        if (r < 0 || fd < 0)
                return r;
        r = fd_write_all(fd, words, strlen(words));
        if (r >= 0)
                r = fd_write_all(fd, "\n", 1);
        return r < 0 ? error_set(reterr, r, "cannot write the kernel command line: %s", strerror(-r)) : 0;
}

/* The child sends the kernel first; an entry without an initrd leaves an empty file behind, which gets no name. */
static int take_files(const Arguments *a, const Reader *reader, Output *o, Copied *kernel, Copied *initrd,
                char **reterr) {
        int kernel_fd = (int) a->kernel_fd ?: -EBADF, initrd_fd = (int) a->initrd_fd ?: -EBADF, r = 0;

        if (a->output)
                r = output_add(o, "vmlinuz", &kernel_fd, reterr);
        if (r >= 0 && a->output)
                r = output_add(o, "initrd.img", &initrd_fd, reterr);
        if (r >= 0)
                r = output_copy(reader->kernel, kernel_fd, "kernel", kernel, reterr);
        if (r >= 0)
                r = output_copy(reader->initrd, initrd_fd, "initrd", initrd, reterr);
        if (r >= 0 && a->output && initrd->size == 0)
                o->files[--o->n_files].fd = fd_close(initrd_fd);
        return r;
}

/* What the reader gets: the image, or a raw one that qemu-img made of it and of the files that the user named. */
typedef struct Disk {
        int image, made; /* owned */
        DiskFormat format;
        char *grub; /* owned; NULL: not installed */
        HelperJob job;
        VolumeHelper volume_helper;
        Helper helper;
} Disk;

#define DISK_NONE ((Disk) { .image = -EBADF, .made = -EBADF, .helper = HELPER_NONE })

static void disk_done(Disk *d) {
        helper_done(&d->helper);
        d->image = fd_close(d->image);
        d->made = fd_close(d->made);
        free(d->grub);
}

static int convert(const Arguments *a, Disk *d, char **reterr) {
        _cleanup_(disk_chain_done) DiskChain chain = {};
        int r = disk_chain_open(d->image, d->format, a->backing, &chain, reterr);

        if (r >= 0)
                d->made = disk_convert(&chain, reterr);
        return r < 0 ? r : d->made < 0 ? d->made : 0;
}

static int open_disk(const Arguments *a, const char *path, Disk *d, ReaderJob *job, char **reterr) {
        int r;

        d->image = disk_open(path, reterr);
        if (d->image < 0)
                return d->image;
        d->format = disk_format_of(a->format, path);
        if (d->format > DISK_QCOW2 || a->backing) {
                r = convert(a, d, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "'%s'", path);
        }
        job->image = d->made >= 0 ? d->made : d->image;
        job->kind = d->made >= 0 ? IMAGE_MADE_RAW : d->format == DISK_QCOW2 ? IMAGE_QCOW2 : IMAGE_RAW;
        r = a->subvolume ? foreign_find("grub-fstest", "grub-common", &d->grub, reterr)
                         : process_find_program("grub-fstest", &d->grub);
        if (r < 0 || !d->grub)
                return r;
        d->job = (HelperJob) { d->grub, job->image, d->made >= 0 ? DISK_RAW : d->format, d->made >= 0 };
        r = helper_start(&d->job, &d->helper, reterr);
        if (r < 0)
                return r;
        d->volume_helper = helper_volume(&d->helper, a->subvolume);
        job->helper = &d->volume_helper;
        return 0;
}

static int add_results(const Arguments *a, const Disk *d, const Copied *kernel, const Copied *initrd,
                Json *j, char **reterr) {
        int r = js_set(j, "format", js_string(disk_format_to_string(d->format)));

        return r < 0 || a->list ? r : add_hashes(j, kernel, initrd, reterr);
}

static int extract(const Arguments *a, const char *path, Output *output, Json **ret, char **reterr) {
        ReaderJob job = {
                .kernel = a->kernel, .entry = a->entry, .partition = a->partition, .list = a->list
        };
        _cleanup_(disk_done) Disk disk = DISK_NONE;
        _cleanup_(reader_done) Reader reader = READER_NONE;
        _cleanup_js_ Json *j = NULL;
        Copied kernel = {}, initrd = {};
        int r = output_open(a->output, output, reterr);

        if (r >= 0)
                r = open_disk(a, path, &disk, &job, reterr);
        if (r >= 0)
                r = reader_start(&job, &reader, reterr);
        if (r >= 0)
                r = take_files(a, &reader, output, &kernel, &initrd, reterr);
        if (r < 0)
                return r;
        r = reader_finish(&reader, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "'%s'", path);
        r = add_results(a, &disk, &kernel, &initrd, j, reterr);
        if (r >= 0 && a->output)
                r = write_cmdline(output, j, reterr);
        if (r >= 0 && a->output)
                r = output_keep(output, reterr);
        if (r >= 0 && a->output)
                r = output_list(output, j);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

/* For a program of ours: the error message, as JSON too. */
static int answer_failure(int r, const char *message) {
        _cleanup_js_ Json *j = NULL;
        int k = js_build(&j, "{s:s, s:I}", "error", message ?: strerror(-r), "errno", (long long) -r);

        if (k >= 0)
                k = verb_print_json(j, JS_SHORT);
        return k < 0 ? k : 1;
}

static int run_disk(const Arguments *a, char *const *words, Output *output, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL,
                                "expected one disk image: cvmspawn extract IMAGE [OPTIONS...]");
        r = crypto_init_terse();
        if (r >= 0)
                r = extract(a, words[0], output, &j, reterr);
        if (r >= 0)
                r = js_set(j, "image", js_string(words[0]));
        if (r < 0)
                return a->kernel_fd ? answer_failure(r, *reterr) : r;
        /* A program of ours has its own messages. */
        if (!a->kernel_fd)
                extract_warn(j, a->list);
        return extract_print(a, words[0], j);
}

static int run_container(const Arguments *a, char *const *words, Output *output, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r;

        if (strv_length(words) > 0)
                return error_set(
                                reterr, -EINVAL, "a disk image and a container image: expected one of them");
        r = crypto_init_terse();
        if (r >= 0)
                r = extract_container(a, output, &j, reterr);
        return r < 0 ? r : extract_print_container(a, j);
}

/* Files stay if the list of them was printed. */
static int extract_run(void *arguments, char **words, char **reterr) {
        _cleanup_(output_done) Output output = OUTPUT_NONE;
        const Arguments *a = arguments;
        int r = a->oci || a->registry ? run_container(a, words, &output, reterr)
                                      : run_disk(a, words, &output, reterr);

        r = stdout_finish(r, reterr);
        output.kept = r == 0;
        return r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = extract_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
