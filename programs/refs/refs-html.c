/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* refs show --html: a bundle as one page for people. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "date.h"
#include "encode.h"
#include "html.h"
#include "refs-inputs.h"
#include "refs-judge.h"
#include "refs-registers.h"
#include "refs.h"

static int put_head(Text *t, const RefsFile *f, bool checked) {
        const RefsBundle *b = &f->bundle;
        _cleanup_(text_done) Text s = {};
        _cleanup_free_ char *line = NULL, *hex = hex_encode(f->sha256, sizeof(f->sha256));
        int r;

        text_putf(&s, "sequence %" PRIu64 ", issued %s", b->sequence, date_text((int64_t) b->issued).text);
        if (b->expires > 0)
                text_putf(&s, ", expires %s", date_text((int64_t) b->expires).text);
        r = text_finish(&s, &line);
        if (r < 0 || !hex)
                return -ENOMEM;
        html_verdict(t, HTML_PLAIN, b->name ?: "Reference bundle", line);
        if (checked)
                html_paragraph(t, HTML_GOOD, "Signatures verified.");
        else
                html_paragraph(t, HTML_WARNING,
                                "Signatures NOT CHECKED: anybody can have written this bundle.");
        html_paragraph(t, HTML_PLAIN, hex);
        return 0;
}

static int put_expectations(Text *t, const RefsBundle *b) {
        int r = 0;

        html_heading(t, "Expected of machines and guests");
        html_list_begin(t);
        for (int g = 0; r >= 0 && g < _SNP_GENERATION_MAX; g++) {
                _cleanup_free_ char *tcb = NULL;

                if (!b->has_tcb[g])
                        continue;
                tcb = snp_tcb_text(b->tcb + g, (SnpGeneration) g);
                r = tcb ? 0 : -ENOMEM;
                html_list_row(t, snp_generation_product((SnpGeneration) g), tcb);
        }
        if (b->platform.has_smt)
                html_list_row(t, "SMT", b->platform.smt ? "on" : "off");
        if (b->platform.has_tsme)
                html_list_row(t, "TSME", b->platform.tsme ? "on" : "off");
        if (b->has_guest_policy) {
                char policy[32];

                (void) snprintf(policy, sizeof(policy), "0x%" PRIx64, b->guest_policy);
                html_list_row(t, "guest policy", policy);
        }
        html_list_end(t);
        return r;
}

static int put_rows(Text *t, const RefsLaunch *l) {
        static const char *const names[] = { "vCPUs and CPU, or register", "launch digest" };

        html_table_begin(t, names, ELEMENTSOF(names));
        FOREACH_ARRAY(run, l->runs, l->n_runs)
                for (size_t i = 0; i < run->n; i++) {
                        _cleanup_free_ char *row = NULL,
                                            *hex = hex_encode(run->digests + i * l->digest_size,
                                                            l->digest_size);

                        if (!hex || refs_row_text(run, i, &row) < 0)
                                return -ENOMEM;
                        {
                                const char *const cells[] = { coco_of(l->mode)->event_log ? "mrtd" : row,
                                        hex };

                                html_table_row(t, cells, ELEMENTSOF(cells));
                        }
                }
        for (size_t i = 0; i < REFS_REGISTERS; i++) {
                const char *const cells[] = { refs_register_names[i], refs_register(l, i) };

                if (cells[1])
                        html_table_row(t, cells, ELEMENTSOF(cells));
        }
        html_table_end(t);
        return 0;
}

static int put_launch(Text *t, const RefsLaunch *l) {
        _cleanup_(text_done) Text s = {};
        _cleanup_free_ char *title = NULL;
        int r;

        text_put(&s, coco_mode_to_string(l->mode));
        if (l->name)
                text_putf(&s, " '%s'", l->name);
        if (l->vmm)
                text_putf(&s, ", started as by %s", l->vmm);
        if (l->has_family)
                text_putf(&s, "; a family gives the digests of up to %u vCPUs and all CPU models",
                                l->family_vcpus);
        r = text_finish(&s, &title);
        if (r < 0)
                return r;
        html_heading(t, title);
        refs_inputs_html(t, l->inputs);
        return put_rows(t, l);
}

int refs_show_html(const RefsArguments *a, const RefsFile *f) {
        const RefsBundle *b = &f->bundle;
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *page = NULL;
        int r;

        html_begin(&t, b->name ?: "Reference bundle");
        r = put_head(&t, f, a->signers != NULL);
        if (r >= 0)
                r = put_expectations(&t, b);
        FOREACH_ARRAY(l, b->launches, r < 0 ? 0 : b->n_launches) {
                r = put_launch(&t, l);
                if (r < 0)
                        return r;
        }
        html_end(&t);
        if (r >= 0)
                r = text_finish(&t, &page);
        return r < 0 ? r : fputs(page, stdout) < 0 ? -EIO : 0;
}
