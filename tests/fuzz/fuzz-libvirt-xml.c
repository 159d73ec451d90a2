/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libvirt's XML: what was read can be asked, and a session can be put into it once at most. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-xml.h"

#define LAUNCH_SECURITY "//*[local-name()='launchSecurity' and @type='sev']"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(LibvirtXml *x) {
        static const char *const paths[] = { "/*", "//@*", "/domain/os/loader", LAUNCH_SECURITY };

        for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
                _cleanup_free_ char *text = NULL, *name = NULL;
                size_t n;

                assert(libvirt_xml_count(x, paths[i], &n) >= 0);
                assert(libvirt_xml_text(x, paths[i], &text) <= 0);
                assert(libvirt_xml_name(x, paths[i], &name) <= 0);
                assert(n > 0 || (!text && !name));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *with = NULL;
        _cleanup_free_ char *error = NULL, *error2 = NULL;
        _cleanup_libvirt_xml_ LibvirtXml *x = NULL, *y = NULL;
        size_t n;

        assert(text);
        if (libvirt_xml_parse(text, &x, &error) < 0) {
                assert(error);
                return 0;
        }
        ask(x);
        if (libvirt_xml_set_session(text, "Y2VydA==", "c2Vzc2lvbg==", &with, &error2) < 0)
                return 0;
        assert(libvirt_xml_parse(with, &y, NULL) >= 0);
        assert(libvirt_xml_count(y, "//*[local-name()='session' and .='c2Vzc2lvbg==']", &n) >= 0 && n >= 1);
        return 0;
}
