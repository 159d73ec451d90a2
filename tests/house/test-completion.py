#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The completion files in the shells that they are made for: bash's function called as bash does, and a TAB in an interactive zsh.

usage: test-completion.py DIRECTORY-OF-COMPLETIONS
"""

import os
import pathlib
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

DIRECTORY = pathlib.Path(sys.argv[1]).resolve()
MUST_WORK = os.environ.get('MUST_WORK') == '1'

# Splits at = as readline does (COMP_WORDBREAKS), and prints what the function offers.
BASH = r'''
set -u
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
function=$(complete -p cvmspawn | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" cvmspawn "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]-}"
'''


def offered(*words):
    r = subprocess.run(['bash', '--norc', '-c', BASH, 'test', DIRECTORY / 'cvmspawn', 'cvmspawn', *words],
                       capture_output=True, text=True, check=True)
    return set(r.stdout.split())


class Bash(unittest.TestCase):
    def test_options(self):
        self.assertEqual(offered('--co'), {'--coco=', '--coco-policy=', '--console=', '--console-transport='})
        self.assertEqual(offered('--eph'), {'--ephemeral'})
        self.assertEqual(offered('--no-such'), set())
        self.assertNotIn('--bind=', offered('--'))  # known, but not supported

    def test_values(self):
        self.assertEqual(offered('--console', '=', 'i'), {'interactive'})
        self.assertEqual(offered('--console', '='), {'interactive', 'read-only', 'native', 'headless'})
        self.assertEqual(offered('--console', 'nat'), {'native'})
        self.assertTrue({'sev', 'sev-es', 'sev-snp'} <= offered('--coco', '=', ''))
        self.assertEqual(offered('--ram', '=', ''), set())

    def test_files(self):
        with tempfile.TemporaryDirectory() as d:
            kernel = pathlib.Path(d) / 'vmlinuz'
            kernel.touch()
            self.assertEqual(offered('--linux', '=', f'{d}/vm'), {str(kernel)})

    def test_verbs(self):
        self.assertEqual(offered('mea'), {'measure'})
        self.assertTrue({'measure', 'help'} <= offered(''))
        self.assertEqual(offered('hel'), {'help'})
        # The verb's own options, not the launcher's.
        self.assertIn('--record=', offered('sevsim', '--rec'))
        self.assertEqual(offered('sevsim', '--conso'), set())
        # A verb is one only as the first word.
        self.assertEqual(offered('--quiet', 'mea'), set())

    def test_syntax(self):
        subprocess.run(['bash', '-n', DIRECTORY / 'cvmspawn'], check=True)


class Zsh(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('zsh'):
            if MUST_WORK:
                raise AssertionError('zsh is not installed, and MUST_WORK=1')
            raise unittest.SkipTest('zsh is not installed')

    def test_syntax(self):
        subprocess.run(['zsh', '-n', DIRECTORY / '_cvmspawn'], check=True)

    def typed(self, keys, expected):
        """Types into an interactive zsh until the text is echoed; returns what came."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir('/')
            os.environ.update(TERM='dumb', HISTFILE='', PS1='')
            os.execvp('zsh', ['zsh', '-f', '-i'])
        seen, deadline = b'', time.monotonic() + 60

        def read_until(what):
            nonlocal seen
            while what not in seen and time.monotonic() < deadline:
                if select.select([fd], [], [], 0.2)[0]:
                    try:
                        seen += os.read(fd, 4096)
                    except OSError:
                        break
            return what in seen

        try:
            os.write(fd, f"fpath=('{DIRECTORY}' $fpath); autoload -Uz compinit; compinit -D -u; print re''ady\n".encode())
            self.assertTrue(read_until(b'ready'), seen)
            seen = b''
            os.write(fd, keys)
            found = read_until(expected)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(fd)
        self.assertTrue(found, seen)

    def test_option(self):
        self.typed(b'cvmspawn --exact\t', b'--exact-words')

    def test_value(self):
        self.typed(b'cvmspawn --console=inter\t', b'--console=interactive')

    def test_verb(self):
        self.typed(b'cvmspawn meas\t', b'ure ')  # a bell may ring between what was typed and the rest

    def test_verbs_options(self):
        self.typed(b'cvmspawn sevsim --expect-d\t', b'--expect-digest=')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
