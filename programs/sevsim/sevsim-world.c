/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "json.h"
#include "process.h"
#include "sevsim-parts.h"
#include "sevsim-world.h"
#include "strutil.h"
#include "tree.h"

#define LIBRARY_SIZE_MAX ((size_t) 64 << 20)

static bool has_mode(const char *path, mode_t mode) {
        struct stat st;

        return stat(path, &st) >= 0 && (st.st_mode & mode) == mode;
}

/* Whether any user has these rights on the file or folder, and can get there. */
static bool reachable_by_all(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy || !has_mode(copy, mode))
                return false;
        for (char *slash = strrchr(copy, '/'); slash && slash != copy; slash = strrchr(copy, '/')) {
                *slash = 0;
                if (!has_mode(copy, S_IXOTH))
                        return false;
        }
        return true;
}

static int write_file(const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_close_ int fd = fd_open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
        int r;

        if (fd < 0)
                return fd;
        r = fd_write_all(fd, data, size);
        if (r >= 0 && fchmod(fd, mode) < 0)
                r = -errno;
        return r;
}

/* ld.so(8) splits LD_PRELOAD at these, and replaces what follows a '$'. */
static bool preloadable(const char *path) {
        return !strpbrk(path, " :$");
}

/* QEMU may run as a user who cannot look into the build directory or somebody's home. */
static int place_library(SevsimWorld *world, char **reterr) {
        _cleanup_free_ char *path = NULL, *bytes = NULL;
        size_t size;
        int r;

        r = sevsim_find_part("sevsim.so", &path, reterr);
        if (r < 0)
                return r;
        if (reachable_by_all(path, S_IROTH) && preloadable(path)) {
                world->library = TAKE_PTR(path);
                return 0;
        }
        if (!preloadable(world->folder))
                return error_set(reterr, -EINVAL,
                                "'%s' has a space, ':' or '$' in its path, which LD_PRELOAD cannot contain: set TMPDIR to another folder",
                                world->folder);
        if (asprintf(&world->library, "%s/sevsim.so", world->folder) < 0)
                return -ENOMEM;
        r = file_read_all(path, LIBRARY_SIZE_MAX, &bytes, &size);
        if (r >= 0)
                r = write_file(world->library, bytes, size, 0755);
        return r < 0 ? error_set(reterr, r, "cannot copy '%s' to '%s': %s", path, world->library,
                                       strerror(-r))
                     : 0;
}

static unsigned count_launches(const char *record) {
        DIR *d = opendir(record);
        unsigned n = 0;

        if (!d)
                return 0;
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                if (startswith(e->d_name, "launch-"))
                        n++;
        closedir(d);
        return n;
}

/* The user who runs QEMU writes here: every user may write, and remove only their own files. A folder that is out of reach, in
 * somebody's home for instance, gets the record afterwards. */
static int place_record(SevsimWorld *world, const char *wanted, char **reterr) {
        _cleanup_free_ char *kept = NULL;

        if (wanted) {
                if (mkdir(wanted, 0755) >= 0) {
                        if (chmod(wanted, 01777) < 0)
                                return error_set(reterr, -errno, "cannot open '%s' for QEMU's user: %m",
                                                wanted);
                } else if (errno != EEXIST)
                        return error_set(reterr, -errno, "cannot make the record folder '%s': %m", wanted);
                kept = realpath(wanted, NULL);
                if (!kept)
                        return error_set(reterr, -errno, "cannot find the record folder '%s': %m", wanted);
                world->before = count_launches(kept);
                if (reachable_by_all(kept, S_IWOTH | S_IXOTH)) {
                        world->record = TAKE_PTR(kept);
                        return 0;
                }
        }
        if (asprintf(&world->record, "%s/record", world->folder) < 0)
                return -ENOMEM;
        if (mkdir(world->record, 0755) < 0 || chmod(world->record, 01777) < 0)
                return error_set(reterr, -errno, "cannot make the record folder '%s': %m", world->record);
        world->deliver = TAKE_PTR(kept);
        return 0;
}

int sevsim_place_platform(const char *folder, const char *generation, char **reterr) {
        if (!sevsim_has_identity(folder))
                return sevsim_make_identity(folder, /* complete= */ true, generation, reterr);
        return generation ? error_set(reterr, -EEXIST,
                                            "'%s' has a platform already: --generation= is for a new one",
                                            folder)
                          : 0;
}

/* Without its own folder each run gets another platform, with the chip's part of the identity only: AMD's part has
 * RSA keys, which take seconds. */
static int place_platform(SevsimWorld *world, const SevsimOptions *options, char **reterr) {
        const char *wanted = options->platform;
        int r;

        if (!wanted) {
                if (asprintf(&world->platform, "%s/platform", world->folder) < 0)
                        return -ENOMEM;
                return sevsim_make_identity(
                                world->platform, /* complete= */ false, options->generation, reterr);
        }
        r = sevsim_place_platform(wanted, options->generation, reterr);
        if (r < 0)
                return r;
        world->platform = realpath(wanted, NULL);
        return world->platform
                        ? 0
                        : error_set(reterr, -errno, "cannot find the platform folder '%s': %m", wanted);
}

int sevsim_host_caps(char **ret) {
        _cleanup_free_ char *qemu = NULL, *swtpm = NULL;
        _cleanup_js_ Json *j = NULL;
        int r;

        r = process_find_program("qemu-system-x86_64", &qemu);
        if (r >= 0)
                r = process_find_program("swtpm", &swtpm);
        if (r < 0)
                return r;
        r = js_build(&j, "{s:b, s:b, s:s?, s:b, s:b, s:b, s:b, s:I, s:I, s:s?, s:s?}", "simulation", true,
                        "kvm", true, "kvm-reason", NULL, "sev", true, "sev-es", true, "sev-snp", true, "tdx",
                        true, "cbitpos", 51LL, "reduced-phys-bits", 1LL, "qemu", qemu, "swtpm", swtpm);
        if (r < 0)
                return r;
        *ret = js_text(j, JS_PRETTY);
        return *ret ? 0 : -ENOMEM;
}

static int place_host_caps(SevsimWorld *world) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (asprintf(&world->host_caps, "%s/host-caps.json", world->folder) < 0)
                return -ENOMEM;
        r = sevsim_host_caps(&text);
        return r < 0 ? r : write_file(world->host_caps, text, strlen(text), 0644);
}

int sevsim_world_make(const SevsimOptions *options, SevsimWorld *ret, char **reterr) {
        _cleanup_(sevsim_world_done) SevsimWorld world = {};
        int r = tree_make_temporary("cvmspawn-sevsim", &world.folder, reterr);

        if (r >= 0 && chmod(world.folder, 0755) < 0)
                r = error_set(reterr, -errno, "cannot let others into '%s': %m", world.folder);
        if (r >= 0)
                r = place_library(&world, reterr);
        if (r >= 0)
                r = place_record(&world, options->record, reterr);
        if (r >= 0)
                r = place_platform(&world, options, reterr);
        if (r >= 0)
                r = place_host_caps(&world);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(world, (SevsimWorld) {});
        return 0;
}

void sevsim_world_done(SevsimWorld *world) {
        world->folder = tree_remove(world->folder);
        free(world->library);
        free(world->record);
        free(world->deliver);
        free(world->platform);
        free(world->host_caps);
        *world = (SevsimWorld) {};
}

static bool is_ours(const char *variable) {
        return startswith(variable, "LD_PRELOAD=") || startswith(variable, "CVMSPAWN_SEVSIM_");
}

int sevsim_world_env(const SevsimWorld *world, const SevsimOptions *options, char ***ret) {
        _cleanup_strv_free_ char **env = NULL;
        const char *preload = getenv("LD_PRELOAD");
        int r = 0;

        STRV_FOREACH(variable, environ)
                if (r >= 0 && !is_ours(*variable))
                        r = strv_push(&env, *variable);
        if (r >= 0)
                r = strv_pushf(&env, "LD_PRELOAD=%s%s%s", world->library, preload ? ":" : "", preload ?: "");
        if (r >= 0)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_RECORD=%s", world->record);
        if (r >= 0)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_PLATFORM=%s", world->platform);
        if (r >= 0)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_HOST_CAPS=%s", world->host_caps);
        if (r >= 0 && options->join)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_HOST=%s", options->join);
        if (r >= 0 && options->guest)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_GUEST=%s", options->guest);
        if (r >= 0 && options->sev_node)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_NODE=%s", options->sev_node);
        if (r >= 0 && options->faults)
                r = strv_pushf(&env, "CVMSPAWN_SEVSIM_FAULTS=%s", options->faults);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}
