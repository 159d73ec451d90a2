# SPDX-License-Identifier: LGPL-2.1-or-later
"""An evaluator for the subset of Common Expression Language that `refs export --format=cel` writes; not cel-go, and named so. Literals, lists, members,
`in`, comparisons, `!`, `&&` and `||` (which settle an error of the other side), parentheses and comments. What it does not know is a SyntaxError, an
operation without an overload or a member that is missing an EvalError, never a guess."""

import re

TOKEN = re.compile(r'(?:\s|//[^\n]*(?:\n|$))*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<string>"(?:[^"\\\n])*"|\'(?:[^\'\\\n])*\')|(?P<name>[A-Za-z_]\w*)|(?P<op>&&|\|\||==|!=|<=|>=|[<>!()\[\],.]))')
TAIL = re.compile(r"(?:\s|//[^\n]*(?:\n|$))*\Z")
LITERALS = {"true": True, "false": False, "null": None}
RESERVED = {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
            "while", "in"}  # fmt: skip


class EvalError(Exception):
    pass


def tokens(text):
    at, out = 0, []
    while not TAIL.match(text, at):
        m = TOKEN.match(text, at)
        if not m:
            raise SyntaxError(f"not CEL of this subset: {text[at:at + 40]!r}")
        out.append((m.lastgroup, m.group(m.lastgroup)))
        at = m.end()
    return out + [("end", "")]


def kind(x):
    return "number" if isinstance(x, (int, float)) and not isinstance(x, bool) else type(x).__name__


def equal(a, b):
    if kind(a) != kind(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    return a == b


def compare(op, a, b):
    if op in ("==", "!="):
        return equal(a, b) == (op == "==")
    if op == "in":
        if isinstance(b, (list, dict)):
            return any(equal(a, x) for x in b)
        raise EvalError("no such overload")
    if kind(a) != kind(b) or kind(a) not in ("number", "str", "bool"):
        raise EvalError("no such overload")
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


class Expression:
    def __init__(self, text):
        self.t, self.i = tokens(text), 0
        self.run = self.logical("||", True, lambda: self.logical("&&", False, self.relation))
        if self.t[self.i][0] != "end":
            raise SyntaxError(f"expected the end, not {self.t[self.i][1]!r}")

    def take(self, *texts):
        what, text = self.t[self.i]
        if what in ("op", "name") and text in texts:
            self.i += 1
            return text
        return None

    def need(self, text):
        if not self.take(text):
            raise SyntaxError(f"expected {text!r}, not {self.t[self.i][1]!r}")

    def logical(self, op, settles, part):
        """One side that settles the result hides an error of the other, whichever comes first."""
        parts = [part()]
        while self.take(op):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]

        def run(env):
            error = None
            for p in parts:
                try:
                    value = p(env)
                    if not isinstance(value, bool):
                        raise EvalError("no such overload")
                except EvalError as e:
                    error = error or e
                    continue
                if value == settles:
                    return settles
            if error:
                raise error
            return not settles

        return run

    def relation(self):
        left = self.unary()
        while op := self.take("==", "!=", "<", "<=", ">", ">=", "in"):
            left = (lambda a, op, b: lambda env: compare(op, a(env), b(env)))(left, op, self.unary())
        return left

    def unary(self):
        if not self.take("!"):
            return self.member()
        inner = self.unary()

        def run(env):
            value = inner(env)
            if not isinstance(value, bool):
                raise EvalError("no such overload")
            return not value

        return run

    def member(self):
        value = self.primary()
        while self.take("."):
            what, name = self.t[self.i]
            if what != "name" or name in RESERVED:
                raise SyntaxError(f"expected a member, not {name!r}")
            self.i += 1
            value = (lambda of, name: lambda env: self.select(of(env), name))(value, name)
        return value

    @staticmethod
    def select(of, name):
        if not isinstance(of, dict) or name not in of:
            raise EvalError(f"no such key: {name}")
        return of[name]

    def primary(self):
        what, text = self.t[self.i]
        self.i += 1
        if what == "number":
            number = float(text) if "." in text else int(text)
            return lambda env: number
        if what == "string":
            return lambda env: text[1:-1]
        if what == "name" and text in LITERALS:
            return lambda env: LITERALS[text]
        if what == "name" and text not in RESERVED:
            return lambda env: self.select(env, text)
        if text == "(":
            inner = self.logical("||", True, lambda: self.logical("&&", False, self.relation))
            self.need(")")
            return inner
        if text == "[":
            items = []
            while not self.take("]"):
                if items:
                    self.need(",")
                    if self.take("]"):  # CEL allows a comma at the end
                        break
                items.append(self.logical("||", True, lambda: self.logical("&&", False, self.relation)))
            return lambda env: [x(env) for x in items]
        raise SyntaxError(f"expected a value, not {text!r}")


def evaluate(text, env=None):
    return Expression(text).run(env or {})
