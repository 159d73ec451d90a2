#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all programs have in common, as a person meets it: commands and how a mistyped one is answered; and that no program ends with
status 0 when what it printed did not arrive.

usage: test-programs.py DIRECTORY-OF-PROGRAMS
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
CVMSPAWN = PROGRAMS / 'cvmspawn'
DAEMONS = ['cvmspawn-attestd', 'cvmspawn-collateral', 'cvmspawn-guest', 'cvmspawn-guest-attest', 'cvmspawn-tunnel']
VERBS = sorted(p.name.removeprefix('verb-') for p in PROGRAMS.glob('verb-*') if p.is_file() and os.access(p, os.X_OK))
NO_VERSION = {'validate'}  # the original has none


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False, **options)


class Grammar(unittest.TestCase):
    def refused(self, words, *says):
        done = run(CVMSPAWN, *words)
        self.assertEqual((done.returncode, done.stdout), (125, ''), words)
        for what in says:
            self.assertIn(what, done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1)

    def test_mistyped_commands(self):
        for typed, meant in [('mesure', 'measure'), ('inspct', 'inspect'), ('hlep', 'help'), ('valid', 'validate'), ('reprot', 'report')]:
            self.refused([typed], f"unknown command '{typed}'; did you mean '{meant}'?", "'cvmspawn help' lists the commands")
        self.refused(['frobnicate'], "unknown command 'frobnicate'; 'cvmspawn help' lists")
        self.refused(['help', 'mesure'], "did you mean 'measure'?")

    def test_command_that_is_not_first(self):
        self.refused(['--quiet', 'measure'], "'measure' is a command and must be the first argument")
        # After -- it is a kernel argument, and this launch lacks something else.
        done = run(CVMSPAWN, '--', 'measure')
        self.assertNotIn('is a command', done.stderr)

    def test_mistyped_options(self):
        self.refused(['--cocoo=sev'], "unknown option '--cocoo'; did you mean --coco?")
        self.refused(['--intird=x'], "unknown option '--intird'; did you mean --initrd?")
        self.refused(['--zzzz'], "unknown option '--zzzz', see --help")

    def test_help_of_a_command(self):
        for verb in VERBS:
            words = ['help'] if verb == 'spawn' else ['help', *verb.split('-')] if verb == 'owner-agent' else ['help', verb]
            done = run(CVMSPAWN, *words)
            self.assertEqual((done.returncode, done.stderr), (0, ''), verb)
            if verb != 'spawn':
                self.assertEqual(done.stdout, run(PROGRAMS / f'verb-{verb}', '--help').stdout)

    def test_json_has_one_shape(self):
        """Each program that has --json takes the same values, and refuses others alike."""
        seen = 0
        for program in [PROGRAMS / f'verb-{verb}' for verb in VERBS] + [PROGRAMS / d for d in DAEMONS]:
            options = run(program, '--dump-options=list').stdout
            if '\t--json\t' not in options:
                continue
            seen += 1
            done = run(program, '--json=xml')
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("--json: expected pretty, short or off, not 'xml'", done.stderr, program.name)
            self.assertIn('--json[=STYLE]', run(program, '--dump-options=help').stdout, program.name)
        self.assertGreater(seen, 9)


class Outputs(unittest.TestCase):
    """Standard output full, closed, without a reader, slow: the status tells, or everything arrives."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        kernel = pathlib.Path(cls.folder.name) / 'vmlinuz'
        image = bytearray(8192)
        image[0x1F1] = 4
        image[0x202:0x208] = b'HdrS\x0f\x02'
        kernel.write_bytes(image)
        verbs = [PROGRAMS / f'verb-{verb}' for verb in VERBS]
        daemons = [PROGRAMS / d for d in DAEMONS]
        cls.commands = [[CVMSPAWN, 'help'], [CVMSPAWN, 'help', 'measure']]
        cls.commands += [[p, '--help'] for p in verbs + daemons] + [[p, '--dump-options=list'] for p in verbs + daemons]
        cls.commands += [[p, '--version'] for p in verbs if p.name.removeprefix('verb-') not in NO_VERSION
                         and '\t--version\t' in run(p, '--dump-options=list').stdout]
        cls.commands += [[PROGRAMS / 'verb-inspect', 'kernel', kernel], [PROGRAMS / 'verb-inspect', 'kernel', kernel, '--json'],
                         [PROGRAMS / 'verb-sevsim', '--print-host-caps']]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def lost(self, argv, **options):
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
                              check=False, **options)
        self.assertNotEqual(done.returncode, 0, argv)
        return done

    def said(self, argv, done):
        """An error message, unless it is the build that asked."""
        if not str(argv[1]).startswith('--dump-options='):
            self.assertNotEqual(done.stderr, '', argv)

    def test_what_is_tried_works(self):
        for argv in self.commands:
            done = run(*argv)
            self.assertEqual(done.returncode, 0, (argv, done.stderr))
            self.assertTrue(done.stdout, argv)

    def test_full(self):
        with open('/dev/full', 'wb') as full:
            for argv in self.commands:
                with self.subTest(argv):
                    self.said(argv, self.lost(argv, stdout=full))

    def test_closed(self):
        for argv in self.commands:
            with self.subTest(argv):
                self.said(argv, self.lost(argv, preexec_fn=lambda: os.close(1)))

    def test_nobody_reads(self):
        for ignored in (True, False):
            for argv in self.commands:
                with self.subTest(argv, ignored=ignored):
                    reader, writer = os.pipe()
                    os.close(reader)
                    action = signal.SIG_IGN if ignored else signal.SIG_DFL
                    self.lost(argv, stdout=writer, restore_signals=False, preexec_fn=lambda a=action: signal.signal(signal.SIGPIPE, a))
                    os.close(writer)

    def test_slow_reader_gets_all(self):
        for argv in self.commands[:3]:
            whole = run(*argv).stdout
            with subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True, bufsize=1, pipesize=4096) as child:
                self.assertEqual(''.join(iter(lambda: child.stdout.read(100), '')), whole)
            self.assertEqual(child.returncode, 0)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
