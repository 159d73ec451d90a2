# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the house checks share: which files are ours, and how a finding is told."""

import pathlib
import sys

C_SUFFIXES = {'.c', '.h'}
SKIP_DIRECTORIES = {'.git', '__pycache__', '.pytest_cache', 'mkosi.output', 'mkosi.cache', 'build'}


def source_files(root):
    """Every file below root, relative; build directories, caches and what is not a file are left out."""
    found = []
    pending = [pathlib.Path(root)]
    while pending:
        for p in sorted(pending.pop().iterdir()):
            if p.is_symlink():
                continue
            if p.is_dir():
                if p.name not in SKIP_DIRECTORIES and not (p / 'build.ninja').exists() \
                        and not (p / 'meson-private').exists():
                    pending.append(p)
            elif p.is_file():
                found.append(p.relative_to(root))
    return sorted(found)


def c_files(root):
    return [p for p in source_files(root) if p.suffix in C_SUFFIXES]


def is_script(root, path):
    """A shell or Python file by its suffix, or by its first line."""
    if path.suffix in {'.py', '.sh'}:
        return True
    if path.suffix:
        return False
    with open(root / path, 'rb') as f:
        return f.read(2) == b'#!'


def read(root, path):
    return (root / path).read_text(encoding='utf-8')


def strip_comments(text):
    """C without comments and without the inside of string literals; lines stay where they are."""
    out = []
    i = 0
    while i < len(text):
        if text.startswith('/*', i):
            end = text.find('*/', i + 2)
            end = len(text) if end < 0 else end + 2
            out.append('\n' * text.count('\n', i, end))
            i = end
        elif text.startswith('//', i):
            end = text.find('\n', i)
            i = len(text) if end < 0 else end
        elif text[i] in '"\'':
            quote, end = text[i], i + 1
            while end < len(text) and text[end] not in (quote, '\n'):
                end += 2 if text[end] == '\\' else 1
            out.append(quote + quote)
            i = end + 1
        else:
            out.append(text[i])
            i += 1
    return ''.join(out)


def finish(name, findings, what):
    """Prints the findings, and the one line that says what was looked at; exits."""
    for f in findings:
        print(f)
    if findings:
        print(f'{name}: {len(findings)} finding{"s" if len(findings) > 1 else ""}')
        sys.exit(1)
    print(f'{name}: {what}')
    sys.exit(0)
