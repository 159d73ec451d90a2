/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As PID 1: runs the command of --run=, or leaves the credentials where systemd 250 and later look for them, and goes on with the init that the
 * initrd has. What that is: https://systemd.io/CREDENTIALS, "Passing credentials into container", $CREDENTIALS_DIRECTORY. */

#include "adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_FOLDER ADAPTER_FOLDER "/proc"
#define DEV_FOLDER  ADAPTER_FOLDER "/dev"

/* The word ends at a blank; quotes do not matter to a path. */
static char *last_init(const char *words) {
        char *found = NULL;

        for (const char *w = words; *w;) {
                size_t n = strcspn(w, " \n");

                if (strncmp(w, "rdinit=/", 8) == 0 && n - 7 < 4096) {
                        char *path = strndup(w + 7, n - 7);

                        if (path && strcmp(path, ADAPTER_PATH) != 0) {
                                free(found);
                                found = path;
                        } else
                                free(path);
                }
                w += n;
                w += strspn(w, " \n");
        }
        return found ? found : strdup("/init");
}

static char *real_init(void) {
        char *words = NULL, *path;
        size_t size;

        adapter_mount("proc", PROC_FOLDER, NULL);
        if (!adapter_read(PROC_FOLDER "/cmdline", &words, &size))
                adapter_fail("cannot read the kernel command line", NULL);
        (void) umount2(PROC_FOLDER, MNT_DETACH);
        path = last_init(words);
        free(words);
        if (!path)
                adapter_fail("out of memory", NULL);
        return path;
}

static void make_folder(const char *path) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                adapter_fail("cannot make a folder for credentials", path);
}

/* Nothing of ours is left in the initrd: its own programs find it as if we had never been there. */
static void hand_over(void) {
        adapter_mount("devtmpfs", DEV_FOLDER, "mode=0755");
        make_folder(DEV_FOLDER "/.cvmspawn");
        make_folder(DEV_FOLDER "/" ADAPTER_PLACE);
        adapter_take_credentials(DEV_FOLDER "/" ADAPTER_PLACE);
        if (umount2(DEV_FOLDER, MNT_DETACH) < 0)
                adapter_fail("cannot unmount", DEV_FOLDER);
        if (setenv("CREDENTIALS_DIRECTORY", "/dev/" ADAPTER_PLACE, /* overwrite= */ 1) < 0)
                adapter_fail("out of memory", NULL);
}

static void tidy(void) {
        (void) rmdir(DEV_FOLDER);
        (void) rmdir(PROC_FOLDER);
        (void) unlink(ADAPTER_PATH);
        (void) rmdir(ADAPTER_FOLDER);
}

int main(int argc, char **argv) {
        char *init;

        if (getpid() != 1 || argc < 1) {
                adapter_say_on(STDERR_FILENO,
                                "this is the init of a guest that cvmspawn launches; see cvmspawn(1), --adapter=",
                                NULL);
                return EXIT_FAILURE;
        }
        (void) umask(0022);
        if (adapter_has_command())
                adapter_run();
        init = real_init();
        hand_over();
        tidy();
        argv[0] = init;
        (void) execv(init, argv);
        adapter_fail("cannot start the initrd's own init", init);
}
