/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-input.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "error.h"
#include "fd.h"

/* Large enough that system calls do not count, small enough to stay in the second level cache. */
#define BUFFER_SIZE (128u * 1024u)

void input_digest_done(InputDigest *d) {
        free(d->parts);
        *d = (InputDigest) {};
}

void plan_digests_done(PlanDigests *d) {
        input_digest_done(&d->kernel);
        input_digest_done(&d->initrd);
        input_digest_done(&d->cmdline);
}

static int feed(Hash *whole, Hash *own, const void *p, size_t n) {
        int r = whole ? hash_update(whole, p, n) : 0;

        if (r >= 0 && own)
                r = hash_update(own, p, n);
        return r;
}

/* No more than the largest part needs: a page of words does not cost a large allocation. */
static uint8_t *buffer_new(const PlanInput *in, size_t first, size_t *ret_size) {
        uint64_t largest = 1;

        for (size_t i = first; i < in->n_parts; i++)
                largest = MAX(largest, in->parts[i].length);
        *ret_size = (size_t) MIN(largest, (uint64_t) BUFFER_SIZE);
        return malloc(*ret_size);
}

/* One part goes into both hashes; either may be NULL. */
static int feed_part(const PlanPart *part, const char *name, Hash *whole, Hash *own, uint8_t *buffer,
                size_t buffer_size, char **reterr) {
        uint64_t left = part->length, offset = part->offset;

        if (part->fd < 0)
                memset(buffer, 0, (size_t) MIN(left, (uint64_t) buffer_size));
        while (left > 0) {
                size_t n = (size_t) MIN(left, (uint64_t) buffer_size);
                int r;

                r = part->fd < 0 ? 0 : fd_pread_exact(part->fd, buffer, n, offset);
                if (r == -ENODATA)
                        return error_set(reterr, r,
                                        "%s: '%s' ends before its %" PRIu64
                                        " bytes: it changed while it was read",
                                        name, part->label, part->length);
                if (r < 0)
                        return error_set(reterr, r, "%s: cannot read '%s': %s", name, part->label,
                                        strerror(-r));
                r = feed(whole, own, buffer, n);
                if (r < 0)
                        return r;
                left -= n;
                offset += n;
        }
        return 0;
}

/* All parts: the first one's own digest is an intermediate state of the whole's, so nothing is hashed twice but what was
 * appended. */
static int digest_parts(const PlanInput *in, const char *name, Hash *whole, InputDigest *d, char **reterr) {
        size_t size;
        _cleanup_free_ uint8_t *buffer = buffer_new(in, 0, &size);
        _cleanup_hash_ Hash *own = NULL;
        int r;

        if (!buffer)
                return -ENOMEM;
        for (size_t i = 0; i < in->n_parts; i++) {
                const PlanPart *p = in->parts + i;

                if (i == 1) {
                        r = hash_new(HASH_SHA256, &own);
                        if (r < 0)
                                return r;
                }
                r = feed_part(p, name, whole, own, buffer, size, reterr);
                if (r < 0)
                        return r;
                if (i == 0) {
                        _cleanup_hash_ Hash *first = NULL;

                        r = hash_clone(whole, &first);
                        if (r >= 0)
                                r = hash_final(first, d->parts[0].sha256);
                } else
                        r = hash_final(own, d->parts[i].sha256);
                if (r < 0)
                        return r;
                d->parts[i].label = p->label;
                d->parts[i].size = p->length;
        }
        return 0;
}

int input_digest(const PlanInput *in, const char *name, InputDigest *ret, char **reterr) {
        _cleanup_(input_digest_done) InputDigest d = {
                .present = in->present, .size = plan_input_size(in), .n_parts = in->n_parts
        };
        _cleanup_hash_ Hash *whole = NULL, *nul = NULL;
        int r;

        if (in->n_parts > 0) {
                d.parts = calloc(in->n_parts, sizeof(InputPart));
                if (!d.parts)
                        return -ENOMEM;
        }
        r = hash_new(HASH_SHA256, &whole);
        if (r < 0)
                return r;
        if (in->n_parts > 0) {
                r = digest_parts(in, name, whole, &d, reterr);
                if (r < 0)
                        return r;
        }
        r = hash_clone(whole, &nul);
        if (r >= 0)
                r = hash_update(nul, "", 1);
        if (r >= 0)
                r = hash_final(nul, d.sha256_nul);
        if (r >= 0)
                r = hash_final(whole, d.sha256);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d, (InputDigest) {});
        return 0;
}

int input_feed(const PlanInput *in, size_t first, const char *name, Hash *hash, char **reterr) {
        _cleanup_free_ uint8_t *buffer = NULL;
        size_t size;
        int r = 0;

        if (first >= in->n_parts)
                return 0;
        buffer = buffer_new(in, first, &size);
        if (!buffer)
                return -ENOMEM;
        for (size_t i = first; r >= 0 && i < in->n_parts; i++)
                r = feed_part(in->parts + i, name, hash, NULL, buffer, size, reterr);
        return r;
}

/* --- several inputs at once ------------------------------------------------------------------------------------------ */

typedef struct Job {
        const PlanInput *in; /* NULL: `beside` */
        const char *name;
        InputDigest *digest;
        BesideFunction beside;
        void *userdata;
        int result;
        char *error; /* owned */
} Job;

static void *job_run(void *userdata) {
        Job *job = userdata;

        if (job->in)
                job->result = input_digest(job->in, job->name, job->digest, &job->error);
        else
                job->result = job->beside(job->userdata, &job->error);
        return NULL;
}

static int job_compare(const void *a, const void *b) {
        const Job *x = a, *y = b;
        uint64_t n = x->in ? plan_input_size(x->in) : 0, m = y->in ? plan_input_size(y->in) : 0;

        return n < m ? 1 : n > m ? -1 : 0;
}

/* The second largest job and all smaller ones, one after another. */
typedef struct Queue {
        Job *jobs;
        size_t n_jobs;
} Queue;

static void *queue_run(void *userdata) {
        Queue *q = userdata;

        FOREACH_ARRAY(job, q->jobs, q->n_jobs)
                (void) job_run(job);
        return NULL;
}

/* The initrd is usually larger than all other inputs together, so two threads are all that helps. */
static int run_jobs(Job *jobs, size_t n, char **reterr) {
        Queue rest = { jobs + 1, n - 1 };
        pthread_t thread;
        bool threaded;
        int r = 0;

        qsort(jobs, n, sizeof(Job), job_compare);
        threaded = pthread_create(&thread, NULL, queue_run, &rest) == 0;
        (void) job_run(jobs);
        if (threaded)
                (void) pthread_join(thread, NULL);
        else
                (void) queue_run(&rest);

        FOREACH_ARRAY(job, jobs, n) {
                if (job->result < 0 && r >= 0) {
                        r = job->result;
                        if (reterr && !*reterr)
                                *reterr = TAKE_PTR(job->error);
                }
                free(job->error);
        }
        return r;
}

int plan_digests(const LaunchPlan *plan, BesideFunction beside, void *userdata, PlanDigests *ret,
                char **reterr) {
        _cleanup_(plan_digests_done) PlanDigests d = {};
        Job jobs[] = {
                { .in = &plan->kernel, .name = "kernel", .digest = &d.kernel },
                { .in = &plan->initrd, .name = "initrd", .digest = &d.initrd },
                { .in = &plan->cmdline, .name = "cmdline", .digest = &d.cmdline },
                { .beside = beside, .userdata = userdata },
        };
        int r;

        r = run_jobs(jobs, beside ? 4 : 3, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d, (PlanDigests) {});
        return 0;
}

int plan_digests_empty(PlanDigests *ret) {
        static const PlanInput none = {};
        _cleanup_(plan_digests_done) PlanDigests d = {};
        int r;

        r = input_digest(&none, "kernel", &d.kernel, NULL);
        if (r >= 0)
                r = input_digest(&none, "initrd", &d.initrd, NULL);
        if (r >= 0)
                r = input_digest(&none, "cmdline", &d.cmdline, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d, (PlanDigests) {});
        return 0;
}

void plan_digests_hashes(const PlanDigests *d, KernelHashes *ret) {
        memcpy(ret->cmdline, d->cmdline.sha256_nul, SHA256_SIZE);
        memcpy(ret->initrd, d->initrd.sha256, SHA256_SIZE);
        memcpy(ret->kernel, d->kernel.sha256, SHA256_SIZE);
}
