/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim-record.h"

enum { LAUNCHES_MAX = 9999 };

struct SimRecord {
        char *path; /* owned: of a launch's folder; NULL: the lines of the host */
        bool lost;  /* something could not be written: a launch's folder is gone */
        int dir_fd;
        int lines_fd;
        int pages_fd;
        off_t pages_size;
        unsigned sequence;
        FILE *line; /* owned: the line under way */
        char *line_text;
        size_t line_size;
};

void sim_log(const char *format, ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        dprintf(STDERR_FILENO, "sevsim (simulation): %s\n", text);
}

static int make_launch_dir(const char *root, char **ret) {
        char *path = NULL;

        for (unsigned i = 1; i <= LAUNCHES_MAX; i++) {
                if (asprintf(&path, "%s/launch-%03u", root, i) < 0)
                        return -ENOMEM;
                if (mkdir(path, 0755) >= 0) {
                        *ret = path;
                        return 0;
                }
                free(path);
                if (errno != EEXIST)
                        return -errno;
        }
        return -ENOSPC;
}

/* Half a record reads like a launch that did something else: all of it goes, and what follows is not recorded. */
static void record_lose(SimRecord *record, int error) {
        DIR *d = record->path ? opendir(record->path) : NULL;

        record->lost = true;
        sim_log("the record is incomplete%s: %s", record->path ? " and was removed" : "", strerror(error));
        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
                (void) unlinkat(dirfd(d), e->d_name, 0); /* not "." and ".." */
        if (d)
                closedir(d);
        if (record->path)
                (void) rmdir(record->path);
}

static SimRecord *record_open(char *path, int dir_fd, const char *lines) {
        SimRecord *record = calloc(1, sizeof(SimRecord));

        if (!record)
                return NULL;
        record->path = path;
        record->dir_fd = dir_fd;
        record->pages_fd = -1;
        record->lines_fd = openat(dir_fd, lines, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (record->lines_fd >= 0 && path)
                record->pages_fd =
                                openat(dir_fd, "pages.bin", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (record->lines_fd < 0 || (path && record->pages_fd < 0))
                record_lose(record, errno);
        return record;
}

int record_new(SimRecord **ret) {
        const char *root = getenv("CVMSPAWN_SEVSIM_RECORD");
        char *path = NULL;
        int fd, r;

        if (!root)
                return 0;
        r = make_launch_dir(root, &path);
        fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (r >= 0 && fd < 0)
                r = -errno;
        if (r >= 0) {
                *ret = record_open(path, fd, "commands.jsonl");
                if (*ret)
                        return (*ret)->lost ? -EIO : 0;
                r = -ENOMEM;
        }
        sim_log("cannot record into '%s': %s", root, strerror(-r));
        if (fd >= 0)
                close(fd);
        free(path);
        return r;
}

SimRecord *record_host(void) {
        static SimRecord *host;
        static bool tried;
        const char *root = getenv("CVMSPAWN_SEVSIM_RECORD");

        if (!tried && root) {
                int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        host = record_open(NULL, fd, "host.jsonl");
        }
        tried = true;
        return host;
}

bool record_is_lost(const SimRecord *record) {
        return record && record->lost;
}

void record_free(SimRecord *record) {
        if (!record)
                return;
        close(record->dir_fd);
        if (record->lines_fd >= 0)
                close(record->lines_fd);
        if (record->pages_fd >= 0)
                close(record->pages_fd);
        if (record->line)
                fclose(record->line);
        free(record->line_text);
        free(record->path);
        free(record);
}

static int write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

void record_begin(SimRecord *record, const char *command) {
        if (!record || record->lost)
                return;
        record->line = open_memstream(&record->line_text, &record->line_size);
        if (record->line)
                fprintf(record->line, "{\"simulation\":true,\"sequence\":%u,\"pid\":%d,\"command\":\"%s\"",
                                record->sequence++, (int) getpid(), command);
}

bool record_in_line(const SimRecord *record) {
        return record && record->line;
}

void record_string(SimRecord *record, const char *key, const char *value) {
        if (!record_in_line(record))
                return;
        fprintf(record->line, ",\"%s\":\"", key);
        for (const char *p = value; *p; p++)
                if (*p == '"' || *p == '\\' || (unsigned char) *p < 0x20 || (unsigned char) *p > 0x7e)
                        fprintf(record->line, "\\u%04x", (unsigned char) *p);
                else
                        fputc(*p, record->line);
        fputc('"', record->line);
}

void record_number(SimRecord *record, const char *key, uint64_t value) {
        if (record_in_line(record))
                fprintf(record->line, ",\"%s\":%llu", key, (unsigned long long) value);
}

void record_address(SimRecord *record, const char *key, uint64_t value) {
        if (record_in_line(record))
                fprintf(record->line, ",\"%s\":\"0x%llx\"", key, (unsigned long long) value);
}

void record_bool(SimRecord *record, const char *key, bool value) {
        if (record_in_line(record))
                fprintf(record->line, ",\"%s\":%s", key, value ? "true" : "false");
}

void record_hex(SimRecord *record, const char *key, const void *data, size_t size) {
        const uint8_t *p = data;

        if (!record_in_line(record))
                return;
        fprintf(record->line, ",\"%s\":\"", key);
        for (size_t i = 0; i < size; i++)
                fprintf(record->line, "%02x", p[i]);
        fputc('"', record->line);
}

/* One write a line, so that lines of several processes in host.jsonl do not mix; a part of one is taken back. */
void record_end(SimRecord *record) {
        struct stat before;
        int r;

        if (!record_in_line(record))
                return;
        fputs("}\n", record->line);
        fclose(record->line);
        record->line = NULL;
        r = record->lost ? 0 : fstat(record->lines_fd, &before);
        if (r >= 0 && !record->lost) {
                r = write_all(record->lines_fd, record->line_text, record->line_size);
                if (r < 0) {
                        (void) !ftruncate(record->lines_fd, before.st_size);
                        record_lose(record, -r);
                }
        }
        free(record->line_text);
        record->line_text = NULL;
}

void record_pages(SimRecord *record, const void *data, size_t size) {
        int r;

        if (!record_in_line(record) || record->lost)
                return;
        record_number(record, "pages_offset", (uint64_t) record->pages_size);
        record_number(record, "pages_size", size);
        r = write_all(record->pages_fd, data, size);
        if (r < 0)
                record_lose(record, -r);
        record->pages_size += (off_t) size;
}

void record_file(SimRecord *record, const char *name, const void *data, size_t size, mode_t mode) {
        int fd, r;

        if (!record || record->lost)
                return;
        fd = openat(record->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
        r = fd < 0 ? -errno : write_all(fd, data, size);
        if (fd >= 0)
                close(fd);
        if (r < 0)
                record_lose(record, -r);
}

void record_file_hex(SimRecord *record, const char *name, const void *data, size_t size) {
        const uint8_t *p = data;
        char text[2 * 64 + 2];
        size_t n = 0;

        for (size_t i = 0; i < size && n + 3 < sizeof(text); i++)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%02x", p[i]);
        text[n++] = '\n';
        record_file(record, name, text, n, 0644);
}
