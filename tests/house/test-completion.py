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
function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]-}"
'''


DAEMONS = 'cvmspawn-attestd', 'cvmspawn-collateral', 'cvmspawn-tunnel'


def offered(*words, program='cvmspawn'):
    r = subprocess.run(['bash', '--norc', '-c', BASH, 'test', DIRECTORY / program, program, *words],
                       capture_output=True, text=True, check=True)
    return set(r.stdout.split())


class Bash(unittest.TestCase):
    def test_options(self):
        self.assertEqual(offered('--co'), {'--coco=', '--coco-policy=', '--console=', '--console-log=', '--console-transport=', '--copy-out='})
        self.assertEqual(offered('--eph'), {'--ephemeral'})
        self.assertEqual(offered('--no-such'), set())

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

    def test_lists(self):
        self.assertIn('EPYC-Milan-v3', offered('--cpu', '=', 'EPYC-Mil'))
        self.assertIn('EPYC-Milan-v3', offered('measure', '--vcpu-type', '=', 'EPYC-Mil'))
        self.assertIn('EPYC-v4,EPYC-Milan-v3', offered('measure', '--vcpu-type', '=', 'EPYC-v4,EPYC-Mil'))
        self.assertEqual(offered('--print', '=', 'digest,ar'), {'digest,argv'})
        self.assertEqual(offered('--coco-policy', '=', 'smt,nosm'), {'smt,nosmt'})
        self.assertEqual(offered('session', '--policy', '=', 'nosend,ke'), {'nosend,keysharing'})

    def test_subcommands(self):
        self.assertEqual(offered('report', ''), {'show', 'verify'})
        self.assertEqual(offered('report', 'show', '--f'), {'--field=', '--format='})
        self.assertEqual(offered('report', 'verify', '--f'), {'--format='})
        self.assertTrue({'--leaf=', '--help'} <= offered('report', 'verify', '--'))
        self.assertEqual(offered('owner', 're'), {'register', 'reject'})
        self.assertEqual(offered('snpguest', 'fe'), {'fetch'})
        self.assertEqual(offered('snpguest', 'fetch', ''), {'ca', 'vcek', 'crl'})
        self.assertEqual(offered('snpguest', 'fetch', 'ca', '--end'), {'--endorser='})
        self.assertEqual(offered('snpguest', 'verify', 'certs', '--end'), set())
        self.assertEqual(offered('attest-qemu', 'pre'), {'prepare'})
        self.assertEqual(offered('owner', 'ag'), {'agent'})

    def test_verbs(self):
        self.assertEqual(offered('mea'), {'measure'})
        self.assertTrue({'measure', 'help'} <= offered(''))
        self.assertEqual(offered('hel'), {'help'})
        # The verb's own options, not the launcher's.
        self.assertIn('--record=', offered('sevsim', '--rec'))
        self.assertEqual(offered('sevsim', '--conso'), set())
        # A verb is one only as the first word.
        self.assertEqual(offered('--quiet', 'mea'), set())

    def test_daemons(self):
        self.assertEqual(offered('--via', program='cvmspawn-attestd'), {'--via=', '--via-token-file=', '--via-ca='})
        self.assertEqual(offered('--crl', '=', 're', program='cvmspawn-attestd'), {'required'})
        self.assertEqual(offered('ex', program='cvmspawn-collateral'), {'export'})
        self.assertEqual(offered('', program='cvmspawn-tunnel'), {'serve', 'add', 'connect'})
        self.assertEqual(offered('connect', '--t', program='cvmspawn-tunnel'), {'--to='})
        self.assertEqual(offered('serve', '--t', program='cvmspawn-tunnel'), {'--tls-cert=', '--tls-key=', '--tunnels='})
        self.assertEqual(offered('serve', '--via', program='cvmspawn-tunnel'), set())
        with tempfile.TemporaryDirectory() as d:
            token = pathlib.Path(d) / 'token'
            token.touch()
            self.assertEqual(offered('connect', '--via-token-file', '=', f'{d}/to', program='cvmspawn-tunnel'), {str(token)})

    def test_syntax(self):
        for program in ('cvmspawn', *DAEMONS):
            subprocess.run(['bash', '-n', DIRECTORY / program], check=True)


class Zsh(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('zsh'):
            if MUST_WORK:
                raise AssertionError('zsh is not installed, and MUST_WORK=1')
            raise unittest.SkipTest('zsh is not installed')

    def test_syntax(self):
        for program in ('cvmspawn', *DAEMONS):
            subprocess.run(['zsh', '-n', DIRECTORY / f'_{program}'], check=True)

    # compinit reads the head of each file in $fpath, 700 of other programs among them: it sees ours and the basic ones.
    SETUP = """
        unix=(${(M)fpath:#*/Completion/Unix})
        fpath=('%s' ${(M)fpath:#*/Completion(|/Base)})
        autoload -Uz compinit; compinit -D -u
        autoload -Uz $unix/{_files,_path_files,_directories,_file_descriptors}(N)
        print re''ady
        """

    def read_until(self, what):
        deadline = time.monotonic() + 20
        while what not in self.seen and time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.terminal, 4096)
                except OSError:
                    break
        return what in self.seen

    def setUp(self):
        self.seen = b''
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir('/')
            os.environ.update(TERM='dumb', HISTFILE='', PS1='')
            os.execvp('zsh', ['zsh', '-f', '-i'])
        self.addCleanup(os.close, self.terminal)
        self.addCleanup(os.waitpid, self.pid, 0)
        self.addCleanup(os.kill, self.pid, 9)
        os.write(self.terminal, (self.SETUP % DIRECTORY).encode())
        self.assertTrue(self.read_until(b'ready'), self.seen)

    def typed(self, keys, expected):
        """Types into an interactive zsh until the text is echoed."""
        self.seen = b''
        os.write(self.terminal, keys)
        self.assertTrue(self.read_until(expected), self.seen)

    def test_option(self):
        self.typed(b'cvmspawn --exact\t', b'--exact-words')

    def test_value(self):
        self.typed(b'cvmspawn --console=inter\t', b'--console=interactive')

    def test_verb(self):
        self.typed(b'cvmspawn meas\t', b'ure ')  # a bell may ring between what was typed and the rest

    def test_subcommand(self):
        self.typed(b'cvmspawn report ver\t', b'ify ')

    def test_subcommands_options(self):
        self.typed(b'cvmspawn report show --fi\t', b'--field=')

    def test_daemon(self):
        self.typed(b'cvmspawn-attestd --rotate-w\t', b'--rotate-wait=')

    def test_daemons_subcommand(self):
        self.typed(b'cvmspawn-tunnel conn\t', b'ect ')

    def test_daemons_subcommands_options(self):
        self.typed(b'cvmspawn-tunnel connect --via-t\t', b'--via-token-file=')

    def test_list(self):
        self.typed(b'cvmspawn --print=digest,ar\t', b'argv')

    def test_verbs_options(self):
        self.typed(b'cvmspawn sevsim --expect-d\t', b'--expect-digest=')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
