#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The house checks find what they are for: each case is a small tree with one flaw, or none."""

import contextlib
import functools
import io
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
BUILD = pathlib.Path(sys.argv[1]).resolve()
LICENCE = '/* SPDX-License-Identifier: LGPL-2.1-or-later */\n'


sys.path.insert(0, str(TOOLS))  # house.py
sys.dont_write_bytecode = True


@functools.cache
def compiled(check):
    return compile((TOOLS / f'check-{check}').read_bytes(), f'check-{check}', 'exec')


def called(check, arguments):
    """The check as its own program would end, without a new interpreter each time."""
    out, status, argv = io.StringIO(), 0, sys.argv
    sys.argv = [f'check-{check}', *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            exec(compiled(check), {'__name__': '__main__', '__file__': str(TOOLS / f'check-{check}')})  # pylint: disable=exec-used
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    finally:
        sys.argv = argv
    return types.SimpleNamespace(returncode=status, stdout=out.getvalue(), stderr='')


def run(check, files, *arguments):
    with tempfile.TemporaryDirectory() as d:
        for name, text in files.items():
            p = pathlib.Path(d) / name
            p.parent.mkdir(parents=True, exist_ok=True)
            p.write_text(text, encoding='utf-8')
            if text.startswith('#!'):
                p.chmod(0o755)
        arguments = [a.replace('@', d) for a in arguments] or [d]
        return called(check, arguments)


class Checks(unittest.TestCase):
    def finds(self, check, files, words):
        r = run(check, files)
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertIn(words, r.stdout)

    def passes(self, check, files):
        r = run(check, files)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_recipes(self):
        def tree(files, listed=('a/a.h', 'a/a.c')):
            kinds = ['CPU model', 'Processor generation', 'VMM profile', 'Firmware section', 'Export format', 'REST endpoint']
            hacking = '## Recipes\n\n' + ''.join(
                f'* **{k}** (marker `ROW`): ' + ', '.join(f'`{p}`' for p in listed) + '.\n' for k in kinds)
            return {'HACKING.md': hacking, 'a/a.h': LICENCE + 'ROW\n', 'a/a.c': LICENCE + '"ROW/*"\n', **files}
        self.passes('recipes', tree({'a/b.c': LICENCE + '/* ROW */\n', 'tests/a.c': 'ROW'}))
        self.finds('recipes', tree({'a/b.c': LICENCE + 'int ROW;\n'}), 'does not list it')
        self.finds('recipes', tree({}, ('a/a.h', 'a/a.c', 'a/z.c')), 'a/z.c does not exist')
        self.finds('recipes', tree({'a/z.c': LICENCE}, ('a/a.h', 'a/a.c', 'a/z.c')), 'a/z.c has no ROW')
        self.finds('recipes', {**tree({}), 'HACKING.md': ''}, 'no recipe for: CPU model')

    def test_layers_includes(self):
        for name, line, words in [
            ('sev/a.c', '#include <openssl/evp.h>', 'belongs in crypto/'),
            ('base/b.c', '#include <jansson.h>', 'belongs in base/json'),
            ('qmp/a.c', '#include <systemd/sd-event.h>', 'belongs in base/loop'),
            ('measure/a.c', '#include <archive.h>', 'belongs in cpio/'),
            ('programs/a.c', '#include <curl/curl.h>', 'belongs in http/'),
            ('launcher/run/a.c', '#include <seccomp.h>', 'belongs in confine/'),
            ('programs/a.c', '# include <microhttpd.h>', 'belongs in attestd/'),
            ('owner/a.c', '#include <libvirt/libvirt.h>', 'belongs in libvirt/'),
            ('launcher/compose/a.c', '#include <sys/socket.h>', 'pure folder'),
            ('sev/a.c', '#include <fcntl.h>', 'pure folder'),
            ('launcher/resolve/a.c', '#include <sys/socket.h>', 'no sockets'),
            ('qmp/a.c', '#include "../base/fd.h"', 'unqualified'),
            ('qmp/a.c', '#include "base/fd.h"', 'unqualified'),
            ('qmp/a.c', '#include "plan.h"', 'qmp may not use'),
            ('attest/a.c', '#include "measure-snp.h"', 'attest may not use'),
            ('launcher/config/a.c', '#include "resolve.h"', 'launcher/config may not use'),
            ('launcher/run/a.c', '#include "spawn.h"', 'launcher/run may not use'),
            ('programs/report/a.c', '#include "spawn.h"', 'programs/report may not use'),
            ('sevsim/a.c', '#include "plan.h"', 'sevsim may not use'),
            ('sevsim/a.c', '#include "fd.h"', 'sevsim may not use'),
            ('programs/host/a.c', '#include "sim-psp.h"', 'programs/host may not use'),
            ('elsewhere/a.c', 'int a;', 'no room'),
        ]:
            with self.subTest(line, file=name):
                self.finds('layers', {'coco/plan.h': LICENCE, 'measure/measure-snp.h': LICENCE,
                                      'launcher/resolve/resolve.h': LICENCE, 'programs/spawn/spawn.h': LICENCE,
                                      'base/fd.h': LICENCE, 'sevsim/sim-psp.h': LICENCE, name: LICENCE + line + '\n'}, words)

    def test_layers_words(self):
        for name, line, words in [
            ('qmp/a.c', 'fprintf(stderr, "no");', 'silent'),
            ('base/a.c', 'log_error("no");', 'only programs log'),
            ('cpio/a.c', 'exit(1);', 'only programs exit'),
            ('launcher/run/a.c', 'pid = fork();', 'process_spawn()'),
            ('programs/a.c', 'system("rm -rf /");', 'no shell'),
            ('sev/a.c', 'return -1;', 'never -1'),
            ('sev/a.c', 'if (a + b < a)', 'overflow'),
            ('sev/a.c', 'if (a->n + b < b)', 'overflow'),
            ('sev/a.c', 'if ((x << 3) < x)', 'overflow'),
            ('sev/a.c', 'if (a * b / b != a)', 'overflow'),
            ('programs/a.c', 'log_failure(fd, why);', 'error number'),
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
            'programs/spawn/spawn.h': LICENCE, 'programs/verb.h': LICENCE,
            'programs/spawn/spawn.c': LICENCE + '#include "spawn.h"\n#include "verb.h"\n#include "qmp-client.h"\n',
            'programs/a.c': LICENCE + 'int main(void) { log_error("x"); log_failure(r, why); exit(1); }\n',
            'tests/unit/a.c': LICENCE + '#include <openssl/evp.h>\n',
            'b/build.ninja': '', 'b/x.c': '#include <curl/curl.h>\n',
        })

    def test_layers_rooms(self):
        rows = '0 | base | | bytes\n1 | sev | base | data\n'
        self.passes('layers', {'rooms.txt': rows, 'sev/a.c': LICENCE + '#include "fd.h"\n', 'base/fd.h': LICENCE,
                               'ARCHITECTURE.md': '| room | idea |\n|---|---|\n| base | bytes |\n| sev | data |\n'})
        self.finds('layers', {'rooms.txt': rows, 'ARCHITECTURE.md': '| base | bytes |\n'}, 'no row for the room sev')
        self.finds('layers', {'rooms.txt': rows + '1 | cpio | sev | archives\n'}, 'cpio (level 1) may not use sev (level 1)')
        self.finds('layers', {'rooms.txt': '0 | base | sev | bytes\n1 | sev | base | data\n'}, 'base may not use sev')

    def test_layers_same_header_twice(self):
        self.finds('layers', {'sev/a.h': LICENCE, 'qmp/a.h': LICENCE}, 'of this name')

    def test_size(self):
        function = 'static int f(\n                int a) {\n' + '        a++;\n' * 72 + '}\n'
        self.passes('size', {'a.c': LICENCE + function, 'b.c': LICENCE + '\n' * 399})
        self.finds('size', {'a.c': LICENCE + function.replace('a++;', 'a++;\n        a--;', 1)}, 'f() has 76 lines')
        self.finds('size', {'b.c': LICENCE + '\n' * 400}, '401 lines')
        self.finds('size', {'b': '#!/bin/sh\n' + '\n' * 400}, '401 lines')
        self.passes('size', {'a.c': LICENCE + 'static const int t[] = {\n' + '        1,\n' * 200 + '};\n'})

    def test_circles(self):
        def circles(files, known):
            with tempfile.TemporaryDirectory() as d:
                room = pathlib.Path(d) / 'b/room/libroom.a.p'
                room.mkdir(parents=True)
                for name, text in files.items():
                    subprocess.run(['gcc', '-c', '-x', 'c', '-', '-o', room / f'{name}.c.o'], input=text, text=True, check=True)
                (pathlib.Path(d) / 'known').write_text(known, encoding='utf-8')
                return subprocess.run([sys.executable, TOOLS / 'check-circles', pathlib.Path(d) / 'b', pathlib.Path(d) / 'known'],
                                      capture_output=True, text=True, check=False)
        circle = {'a': 'int b(void); int a(void) { return b(); }', 'b': 'int a(void); int b(void) { return a(); }'}
        line = {'a': 'int b(void); int a(void) { return b(); }', 'b': 'int b(void) { return 0; }'}
        self.assertEqual(circles(line, '').returncode, 0)
        self.assertIn('a b: these files need each other', circles(circle, '').stdout)
        self.assertEqual(circles(circle, 'a b: a reason\n').returncode, 0)
        self.assertIn('not a circle any more', circles(line, 'a b: a reason\n').stdout)

    def test_size_exceptions(self):
        def large(row):
            return {'b.c': LICENCE + '\n' * 450, 'tests/house/large.txt': f'# what\n{row}\n'}

        self.passes('size', large('b.c\t460\ta table'))
        self.finds('size', large('b.c\t450\ta table'), '451 lines, more than 450')
        self.finds('size', large('b.c\t460\t'), '451 lines, more than 400')
        self.finds('size', large('b.c\t460\ta table\nc.c\t500\ta table'), 'there is no file c.c')

    def test_size_parameters(self):
        def wide(parameters, rows=''):
            return {'a.c': LICENCE + f'static int f(\n                {parameters}) {{\n        return a;\n}}\n',
                    'tests/house/parameters.txt': '# a comment\n' + rows}

        six = 'int a, int b, int (*c)(int x, int y, int z), int d, int e, int g'
        self.passes('size', wide(six))
        self.finds('size', wide(six + ', int h'), 'f() has 7 parameters, more than 6')
        self.passes('size', wide(six + ', int h', 'a.c f\n'))
        self.finds('size', wide(six, 'a.c f\n'), 'remove the line')

    def test_english(self):
        def tree(text, owed='', name='sev/a.c'):
            return {'tests/house/english.txt': '# what\n(?i)\\bquux\\b\tagain\n', 'tests/house/english-owed.txt': owed, name: text}

        owed = '(?i)\\bquux\\b\tsev\t1\n'
        for text, name in [('/* begins quux */', 'sev/a.c'), ('f("Quux");', 'sev/a.c'), ('begins quux', 'sev/a.md')]:
            self.finds('english', tree(text, name=name), f'{name}:1: "')
            self.passes('english', tree(text, owed, name))
            self.finds('english', tree(text + '\n' + text, owed, name), '2 of "(?i)\\bquux\\b", 1 more than')
        self.passes('english', tree('int quux;'))
        self.finds('english', tree('f("the file "\n  "is empty");'), 'sev/a.c:1: a phrase of a message is split')
        self.passes('english', tree('f("the file: "\n  "is empty");'))
        self.passes('english', tree('f("the file "\n  "is empty");', name='attestd/attestd-sqlite.c'))
        with tempfile.TemporaryDirectory() as d:
            root = pathlib.Path(d)
            for name, text in tree('/* quux */', owed.replace('1', '3')).items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding='utf-8')
            table = root / 'tests/house/english-owed.txt'
            called('english', [d, '--update'])
            self.assertIn('\tsev\t1\n', table.read_text(encoding='utf-8'))
            (root / 'sev/a.c').write_text('/* quux, quux */', encoding='utf-8')
            called('english', [d, '--update'])  # never up
            self.assertIn('\tsev\t1\n', table.read_text(encoding='utf-8'))

    def test_fuzz(self):
        header = LICENCE + '_warn_unused_result_ int a_parse(const void *data, size_t n, A *ret);\nint a_open(const char *path);\n'

        def tree(table, target='void f(void) { a_open(0); }\n'):
            return {'sev/a.h': header, 'tests/fuzz/fuzz-a.c': target, 'tests/house/parsers.txt': table}

        self.finds('fuzz', tree(''), 'a_parse() reads input')
        self.passes('fuzz', tree('', 'void f(void) { a_parse(0); a_open(0); }\n'))
        self.passes('fuzz', tree('a_parse\tby fuzz-a\n'))
        self.passes('fuzz', tree('a_parse\tnone: it is not called\n'))
        self.finds('fuzz', tree('a_parse\tby fuzz-b\n'), 'there is no target fuzz-b')
        self.finds('fuzz', tree('a_parse\tnone:\n'), 'expected "by')

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
            (rows + rows[:1], 'R1: duplicate'),
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
        return run('needed', {'needed.txt': rows}, '@/needed.txt', str(BUILD / 'programs'))

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
            'programs/verb-x': "#!/bin/sh\nprintf 'option\\t--alpha\\tN\\tfirst\\noption\\t--be-ta\\t\\tsecond\\n"
                          "unsupported\\t--old\\t\\tnot yet\\n'\n",
        }
        if page is not None:
            files['man/cvmspawn-x.1.scd'] = page
        return run('man', files, '@', '@/programs')

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
