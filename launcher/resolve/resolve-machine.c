/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the machine of a name boots: NAME.raw, NAME.qcow2 or the directory NAME, where machinectl(1) keeps machines. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "resolve.h"
#include "strutil.h"

static const char *const folders[] = {
        "/etc/machines",
        "/run/machines",
        "/var/lib/machines",
        "/var/lib/container",
        "/usr/local/lib/machines",
        "/usr/lib/machines",
};

static const struct {
        const char *suffix;
        ImageFormat format;
        mode_t types[2]; /* of the file; 0: none */
} forms[] = {
        { "", IMAGE_FORMAT_AUTO, { S_IFDIR, S_IFBLK } },
        { ".raw", IMAGE_FORMAT_RAW, { S_IFREG, 0 } },
        { ".qcow2", IMAGE_FORMAT_QCOW2, { S_IFREG, 0 } },
};

static int take(VmConfig *config, char *path, mode_t type, ImageFormat format) {
        if (type == S_IFDIR) {
                config->directory = path;
                return 0;
        }
        config->image = path;
        if (config->image_format == IMAGE_FORMAT_AUTO)
                config->image_format = format;
        return 0;
}

int resolve_machine_image(VmConfig *config, char **reterr) {
        if (!config->machine || config->machine_of_kernel || config->linux_path || config->image ||
                        config->directory || config->list_firmware_features)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                for (size_t k = 0; k < ELEMENTSOF(forms); k++) {
                        char *path;
                        struct stat st;

                        if (asprintf(&path, "%s/%s%s", folders[i], config->machine, forms[k].suffix) < 0)
                                return -ENOMEM;
                        if (stat(path, &st) >= 0 && (st.st_mode & S_IFMT) != 0 &&
                                        ((st.st_mode & S_IFMT) == forms[k].types[0] ||
                                                        (st.st_mode & S_IFMT) == forms[k].types[1]))
                                return take(config, path, st.st_mode & S_IFMT, forms[k].format);
                        free(path);
                }
        return error_set(reterr, -ENOENT,
                        "nothing to boot: neither '%s', '%s.raw' nor '%s.qcow2' is in /var/lib/machines or another directory of machinectl(1); pass --linux=, --image= or --directory=",
                        config->machine, config->machine, config->machine);
}
