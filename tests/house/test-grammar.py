#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command-line grammar as the option tables state it: an option that has no meaning with a subcommand is refused, each option has a
subcommand, and help and summaries are imperative.

usage: test-grammar.py SOURCE-ROOT DIRECTORY-OF-PROGRAMS
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1]).resolve()
PROGRAMS = pathlib.Path(sys.argv[2]).resolve()
FILES = sorted(p for p in PROGRAMS.iterdir() if p.is_file() and os.access(p, os.X_OK) and p.name.startswith(('verb-', 'cvmspawn-')))
ALWAYS = {'--help', '--version'}
# Its parser is the original's, to the letter: each command has a separate table there, and refuses what is not in it.
DIALECTS = {'verb-snpguest'}
VALUES = ['x', '1', 'no', '0' * 96, 'sev', '/dev/null', 'rvps', 'vcek', 'auto', 'required', 'keep', 'quit', 'words', 'short', '0600', '11.3']

# What help and summaries may begin with. A word that is new here is a verb in the imperative, and nothing else.
VERBS = set('''
    Grow Forward
    Accept Act Add Allow Answer Append Ask Assemble Attach Believe Behave Bind Boot Build Check Choose Compare Compute Confirm Connect Continue
    Delete Derive Describe Discard Download Encrypt End Erase Expect Explain Fetch Forward Get Give Identify Inject Judge Keep Launch Leave Let
    Limit Link List Listen Look Make Measure Name Never Pass Power Predict Print Put Quit Read Record Register Reject Release Replace Require
    Run Say Send Set Show Sign Skip Speak Split Start Suppress Take Trust Upload Use Validate Verify Wait Warn Write
    '''.split())  # fmt: skip


def ask(program, what):
    return subprocess.run([program, f'--dump-options={what}'], check=True, capture_output=True, text=True, timeout=30).stdout


def options(program):
    """{--name: whether it has a value} of the options that are supported, and their first lines of help."""
    rows = [line.split('\t') for line in ask(program, 'list').splitlines()]
    return {r[1]: bool(r[2]) for r in rows if r[0] == 'option'}, {r[1]: r[3] for r in rows if r[0] == 'option'}


def commands(program):
    """{name: its options}; the name is empty where no subcommand is one, too."""
    rows = [line.split('\t') for line in ask(program, 'commands').splitlines()]
    return {r[0]: set(r[1:]) for r in rows}


def refusal(program, command, option, has_value):
    """What is said about an option with this subcommand: a value that the option takes comes first to its place."""
    for value in VALUES if has_value else [None]:
        argv = [program, *command.split(), option if value is None else f'{option}={value}']
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False)
        if 'has no meaning' in done.stderr or done.returncode == 0:
            break
    return done


class Subcommands(unittest.TestCase):
    def test_tables_are_whole(self):
        """No list names an option that does not exist, and no option is without a place."""
        seen = 0
        for program in FILES:
            known, lists = options(program)[0], commands(program)
            if not lists:
                continue
            seen += 1
            hidden = {'--launch-measure-blob', '--secret'}
            placed = set().union(*lists.values())
            self.assertEqual(placed - set(known) - hidden, set(), program.name)
            self.assertEqual(set(known) - placed - ALWAYS, set(), program.name)
        self.assertGreater(seen, 8)

    def test_meaningless_is_refused(self):
        work = [(program, command, option, value) for program in FILES if program.name not in DIALECTS
                for command, allowed in commands(program).items() if command != 'snpguest'
                for option, value in options(program)[0].items() if option not in allowed | ALWAYS]  # fmt: skip
        self.assertGreater(len(work), 100)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for (_, command, option, _), done in zip(work, pool.map(lambda w: refusal(*w), work)):
                with self.subTest(done.args):
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(done.stdout, '')
                    where = f"for '{command}'" if command else 'without a subcommand'
                    self.assertIn(f'{option} has no meaning {where}; ', done.stderr)

    def test_unknown_subcommands(self):
        for program in FILES:
            names = [n for n in commands(program) if n]
            if not names or program.name in DIALECTS:
                continue
            done = subprocess.run([program, names[0].split()[0] + 'x'], capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 1, program.name)
            self.assertIn(f"not '{names[0].split()[0]}x'", done.stderr)
            self.assertIn(names[0], done.stderr)

    def test_help_of_a_subcommand(self):
        for program in FILES:
            for command, allowed in commands(program).items():
                if not command or command == 'snpguest' or program.name == 'cvmspawn-guest':
                    continue
                text = subprocess.run([program, *command.split(), '--help'], capture_output=True, text=True, timeout=30, check=True).stdout
                shown = set(re.findall(r'^ {2}.{3}(--[\w-]+)', text, re.M))
                self.assertTrue(shown <= allowed | ALWAYS, (program.name, command, shown - allowed))


class Help(unittest.TestCase):
    def test_short_and_all(self):
        spawn = PROGRAMS / 'verb-spawn'
        run = lambda *argv: subprocess.run([spawn, *argv], capture_output=True, text=True, timeout=30, check=False)  # noqa: E731
        short, everything = run('--help').stdout, run('--help=all').stdout
        self.assertLess(len(short.splitlines()), 70)
        self.assertIn('--help=all', short)
        rows = [line.split('\t') for line in ask(spawn, 'list').splitlines()]
        for kind, option, *_ in rows:
            self.assertIn(option, everything)
            if kind == 'unsupported':
                self.assertNotRegex(short, rf'{option}(?![\w-])')
        done = run('--help=none')
        self.assertEqual(done.returncode, 125)
        self.assertIn("--help: expected all, not 'none'", done.stderr)


class Imperative(unittest.TestCase):
    def test_help(self):
        for program in FILES:
            for option, text in options(program)[1].items():
                with self.subTest(program.name, option=option):
                    self.assertIn(text.split()[0].rstrip(','), VERBS, text)

    def test_summaries(self):
        verbs = re.findall(r'\{ "[^"]+", "[^"]+", "([^"]+)" \}', (ROOT / 'programs/verbs.inc').read_text(encoding='utf-8'))
        self.assertGreater(len(verbs), 10)
        for text in verbs:
            self.assertIn(text.split()[0].rstrip(','), VERBS, text)
        for program in FILES:
            summary, _, rest = ask(program, 'help').split('\n\n', 1)[1].partition('\nTrust zone:')
            self.assertIn(summary.split()[0].rstrip(','), VERBS, program.name)
            self.assertTrue(summary.endswith('.'), program.name)
            if '\nCommands:\n' in rest:
                for line in re.findall(r'^(?: {2}\S.{30} | {34})(\S.*)$', rest.split('\nCommands:\n')[1].split('\n\n')[0], re.M):
                    self.assertIn(line.split()[0].rstrip(','), VERBS, (program.name, line))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
