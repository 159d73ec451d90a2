#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The house checks find what they are for: each case is a small tree with one flaw, or none."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
BUILD = pathlib.Path(sys.argv[1]).resolve()
LICENCE = '/* SPDX-License-Identifier: LGPL-2.1-or-later */\n'


def run(check, files, *arguments):
    with tempfile.TemporaryDirectory() as d:
        for name, text in files.items():
            p = pathlib.Path(d) / name
            p.parent.mkdir(parents=True, exist_ok=True)
            p.write_text(text, encoding='utf-8')
            if text.startswith('#!'):
                p.chmod(0o755)
        arguments = [a.replace('@', d) for a in arguments] or [d]
        return subprocess.run([sys.executable, TOOLS / f'check-{check}', *arguments], capture_output=True, text=True,
                              check=False)


class Checks(unittest.TestCase):
    def finds(self, check, files, words):
        r = run(check, files)
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertIn(words, r.stdout)

    def passes(self, check, files):
        r = run(check, files)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_layers_includes(self):
        for name, line, words in [
            ('sev/a.c', '#include <openssl/evp.h>', 'belongs in crypto/'),
            ('base/b.c', '#include <jansson.h>', 'belongs in base/json'),
            ('qmp/a.c', '#include <systemd/sd-event.h>', 'belongs in base/loop'),
            ('measure/a.c', '#include <archive.h>', 'belongs in cpio/'),
            ('cli/a.c', '#include <curl/curl.h>', 'belongs in http/'),
            ('launcher/run/a.c', '#include <seccomp.h>', 'belongs in confine/'),
            ('cli/a.c', '# include <microhttpd.h>', 'belongs in attestd/'),
            ('export/a.c', '#include <libvirt/libvirt.h>', 'belongs in libvirt/'),
            ('launcher/compose/a.c', '#include <sys/socket.h>', 'pure folder'),
            ('sev/a.c', '#include <fcntl.h>', 'pure folder'),
            ('launcher/resolve/a.c', '#include <sys/socket.h>', 'no sockets'),
            ('qmp/a.c', '#include "../base/fd.h"', 'unqualified'),
            ('qmp/a.c', '#include "base/fd.h"', 'unqualified'),
            ('qmp/a.c', '#include "plan.h"', 'qmp may not use'),
            ('attest/a.c', '#include "measure-snp.h"', 'attest may not use'),
            ('launcher/config/a.c', '#include "resolve.h"', 'launcher/config may not use'),
        ]:
            with self.subTest(line, file=name):
                self.finds('layers', {'sev/plan.h': LICENCE, 'measure/measure-snp.h': LICENCE,
                                      'launcher/resolve/resolve.h': LICENCE, name: LICENCE + line + '\n'}, words)

    def test_layers_words(self):
        for name, line, words in [
            ('qmp/a.c', 'fprintf(stderr, "no");', 'silent'),
            ('base/a.c', 'log_error("no");', 'only programs log'),
            ('cpio/a.c', 'exit(1);', 'only programs exit'),
            ('launcher/run/a.c', 'pid = fork();', 'process_spawn()'),
            ('cli/a.c', 'system("rm -rf /");', 'no shell'),
            ('sev/a.c', 'return -1;', 'never -1'),
            ('sev/a.c', 'if (a + b < a)', 'overflow'),
            ('sev/a.c', 'if (a->n + b < b)', 'overflow'),
            ('sev/a.c', 'if ((x << 3) < x)', 'overflow'),
            ('sev/a.c', 'if (a * b / b != a)', 'overflow'),
            ('cli/a.c', 'log_failure(fd, why);', 'error number'),
            ('qmp/a.c', 'strcpy(a, b);', 'bounds'),
        ]:
            with self.subTest(line, file=name):
                self.finds('layers', {name: LICENCE + f'void f(void) {{\n        {line}\n}}\n'}, words)

    def test_layers_passes(self):
        self.passes('layers', {
            'base/json.c': LICENCE + '#include <jansson.h>\n',
            'base/loop.c': LICENCE + '#include <systemd/sd-event.h>\n',
            'crypto/a.c': LICENCE + '#include <openssl/evp.h>\n#include "plan2.h"\n',
            'launcher/run/a.c': LICENCE + '#include "qmp-client.h"\n',
            'qmp/qmp-client.h': LICENCE + '/* return -1; fork() */ char *s = "exit(1)";\n',
            'cli/a.c': LICENCE + 'int main(void) { log_error("x"); log_failure(r, why); exit(1); }\n',
            'tests/unit/a.c': LICENCE + '#include <openssl/evp.h>\n',
            'b/build.ninja': '', 'b/x.c': '#include <curl/curl.h>\n',
        })

    def test_layers_same_header_twice(self):
        self.finds('layers', {'sev/a.h': LICENCE, 'qmp/a.h': LICENCE}, 'of this name')

    def test_size(self):
        function = 'static int f(\n                int a) {\n' + '        a++;\n' * 97 + '}\n'
        self.passes('size', {'a.c': LICENCE + function, 'b.c': LICENCE + '\n' * 599})
        self.finds('size', {'a.c': LICENCE + function.replace('a++;', 'a++;\n        a--;', 1)}, 'f() has 101 lines')
        self.finds('size', {'b.c': LICENCE + '\n' * 600}, '601 lines')
        self.finds('size', {'b': '#!/bin/sh\n' + '\n' * 600}, '601 lines')
        self.passes('size', {'a.c': LICENCE + 'static const int t[] = {\n' + '        1,\n' * 200 + '};\n'})

    def test_spdx(self):
        self.passes('spdx', {'a.c': LICENCE, 'a.py': '#!/usr/bin/env python3\n# ' + LICENCE[3:-4] + '\n'})
        self.finds('spdx', {'a.c': '\n' + LICENCE}, 'expected /* SPDX')
        self.finds('spdx', {'a.h': '// SPDX-License-Identifier: LGPL-2.1-or-later\n'}, 'expected /* SPDX')
        self.finds('spdx', {'tool': '#!/bin/sh\n'}, 'expected # SPDX')
        self.finds('spdx', {'meson.build': "project('x')\n"}, 'expected # SPDX')
        self.finds('spdx', {'a.c': LICENCE + 'int a; \n'}, 'trailing blank')
        self.finds('spdx', {'a.c': LICENCE + 'int a;'}, 'no newline')

    def test_requirements(self):
        files = {'tests/a.py': 'def test_x(a):\n    pass\n', 'tests/b.c': 'cmocka_unit_test_setup(whole, setup)\nvoid other(void **s)\n'}
        rows = [f'| R{i} | a wish | tests/a.py::test_x, tests/b.c::whole |' for i in range(1, 34)]
        rows[5] = '| R6 | a wish | later: it has to wait |'

        def table(*changed):
            return files | {'docs/requirements.md': '\n'.join(['| | requirement | shown by |', '|---|---|---|', *changed]) + '\n'}

        self.passes('requirements', table(*rows))
        for rest, words in [
            (rows[1:], 'R1: has no row'),
            (rows + rows[:1], 'R1: there twice'),
            (rows + [rows[0].replace('R1', 'R34')], 'R34: nobody required'),
            (rows[:-1] + ['| R33 | a wish | tests/a.py::test_y |'], 'no test tests/a.py::test_y'),
            (rows[:-1] + ['| R33 | a wish | tests/c.py::test_x |'], 'no test tests/c.py::test_x'),
            (rows[:-1] + ['| R33 | a wish | tests/b.c::other |'], 'no test tests/b.c::other'),
            (rows[:-1] + ['| R33 | a wish | tests/a.py |'], "neither file::test"),
            (rows[:-1] + ['| R33 | a wish | |'], 'neither file::test'),
            (rows[:-1] + ['| R33 | a wish | later: |'], 'no reason'),
            (rows[:-1] + ['| R33 | | tests/a.py::test_x |'], 'says nothing'),
            (rows[:-1] + ['| R33 a wish tests/a.py::test_x |'], 'a row that is none'),
        ]:
            with self.subTest(words):
                self.finds('requirements', table(*rest), words)

    def needed(self, rows):
        return run('needed', {'needed.txt': rows}, '@/needed.txt', str(BUILD / 'cli'))

    def test_needed(self):
        r = self.needed('other: libx\n')
        self.assertEqual(r.returncode, 1, r.stdout)
        self.assertIn('cvmspawn: has no row', r.stdout)
        self.assertIn('measure: has no row', r.stdout)
        r = self.needed('cvmspawn:\nmeasure:\n')
        self.assertNotIn('cvmspawn:', r.stdout)
        self.assertRegex(r.stdout, 'measure: needs libjansson.so[.0-9]*, which')

    def man(self, page, owed=''):
        files = {
            'tests/house/man-pages-owed.txt': owed,
            'cli/verb-x': "#!/bin/sh\nprintf 'option\\t--alpha\\tN\\tfirst\\noption\\t--be-ta\\t\\tsecond\\n"
                          "unsupported\\t--old\\t\\tnot yet\\n'\n",
        }
        if page is not None:
            files['man/cvmspawn-x.1.scd'] = page
        return run('man', files, '@', '@/cli')

    def test_man(self):
        good = '# X\n\n# TRUST ZONE\n\n*Verifier.* --old.\n*-a*, *--alpha=*_N_\n*--be-ta*\n\n# EXIT STATUS\n'
        for page, owed in [(good, ''), (None, 'x\n'), (good.replace('alpha=*', 'alpha*='), ''), (good + 'prose on *--no-such-option*\n', '')]:
            r = self.man(page, owed)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        for page, owed, words in [
            (good, 'x\n', 'take it off the list'),
            (None, '', 'no man page for x'),
            (good.replace('*Verifier', '*Nobody'), '', 'trust zone'),
            (good.replace('# EXIT STATUS', '# EXIT'), '', 'EXIT STATUS'),
            (good.replace('*--be-ta*', 'prose on *--be-ta*'), '', '--be-ta of x is not described'),
            (good.replace('--old', '--older'), '', '--old, known but not supported by x, is not mentioned'),
            (good + '*--no-such-option*\n', '', 'has no option --no-such-option'),
        ]:
            with self.subTest(words):
                r = self.man(page, owed)
                self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
                self.assertIn(words, r.stdout)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
