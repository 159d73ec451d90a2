/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every allocation fails once while a text is parsed and written: the result is right, or there is none. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "json.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
int main(void) {
        printf("SKIPPED: the address sanitizer has its own malloc()\n");
        return 77;
}
#else

void *__libc_malloc(size_t n);

static unsigned countdown; /* 0: none fails */
static unsigned failed;

void *malloc(size_t n) {
        if (countdown > 0 && --countdown == 0) {
                failed++;
                errno = ENOMEM;
                return NULL;
        }
        return __libc_malloc(n);
}

static const char text[] =
                "{\"a-key-that-is-longer-than-the-first-buffer\":[1,true,null,\"and a string of more than thirty-two "
                "bytes, so that the buffer grows\"],\"execute\":\"qmp_capabilities\",\"id\":{\"x\":{\"y\":[]}}}";

static void never_half_a_text(_unused_ void **state) {
        unsigned at = 1;

        for (failed = 1; failed > 0; at++) {
                _cleanup_js_ Json *j = NULL;
                _cleanup_free_ char *out = NULL, *reason = NULL;
                int r;

                failed = 0;
                countdown = at;
                r = js_parse(text, strlen(text), &j, &reason);
                if (r >= 0)
                        out = js_text(j, JS_SHORT);
                countdown = 0;
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_null(j);
                        assert_null(reason);
                        assert_int_equal(failed, 1);
                } else if (out)
                        assert_string_equal(out, text);
                else
                        assert_int_equal(failed, 1);
        }
        assert_true(at > 20);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(never_half_a_text) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
