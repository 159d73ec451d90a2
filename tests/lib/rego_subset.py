# SPDX-License-Identifier: LGPL-2.1-or-later
"""An evaluator for the subset of Rego v1 that attestation policies use; not OPA, and named so. Enough for complete rules with `default`, `if`
and `else`, `in`, comparisons, references with dots, brackets and `[_]`, assignments, objects, arrays, sets, comprehensions of arrays,
a few builtins, and functions that the caller gives. What it does not know is a SyntaxError, never a guess."""

import re

TOKEN = re.compile(r'\s*(?:#[^\n]*)?(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<name>[A-Za-z_]\w*)|(?P<op>:=|==|!=|<=|>=|[<>{}\[\](),.:|&=]))')
UNDEFINED = object()
KEYWORDS = {"default", "if", "else", "in", "not", "package", "import", "true", "false", "null", "some", "every", "with", "as", "contains"}


def tokens(text):
    out, at, line = [], 0, 1
    text = re.sub(r"(?m)^((?:[^\"#`\n]|\"(?:[^\"\\\n]|\\\\.)*\"|`[^`\n]*`)*)#.*$", r"\1", text)
    while text[at:].strip():
        m = TOKEN.match(text, at)
        if not m or m.end() == at:
            raise SyntaxError(f"line {line}: not Rego of this subset: {text[at:at + 40]!r}")
        line += text.count("\n", at, m.start(m.lastgroup))
        out.append((m.lastgroup, m.group(m.lastgroup), line))
        line += text.count("\n", m.start(m.lastgroup), m.end())
        at = m.end()
    return out + [("end", "", line)]


class Parser:
    def __init__(self, text):
        self.t, self.i, self.defaults, self.rules = tokens(text), 0, {}, {}

    def peek(self, *texts):
        kind, text, _ = self.t[self.i]
        return kind != "string" and text in texts

    def take(self, *texts):
        if self.peek(*texts):
            self.i += 1
            return self.t[self.i - 1][1]
        return None

    def need(self, text):
        if not self.take(text):
            kind, got, line = self.t[self.i]
            raise SyntaxError(f"line {line}: expected {text!r}, not {got or kind!r}")

    def name(self):
        kind, text, line = self.t[self.i]
        if kind != "name" or text in KEYWORDS - {"input", "data"}:
            raise SyntaxError(f"line {line}: expected a name, not {text!r}")
        self.i += 1
        return text

    def module(self):
        while not self.t[self.i][0] == "end":
            if self.take("package", "import"):
                line = self.t[self.i][2]
                while self.t[self.i][2] == line and self.t[self.i][0] != "end":
                    self.i += 1
            elif self.take("default"):
                name = self.name()
                self.need(":=") if self.peek(":=") else self.need("=")
                self.defaults[name] = self.term()
            else:
                self.rule()
        return self

    def rule(self):
        name = self.name()
        branches = [self.branch()]
        while self.take("else"):
            branches.append(self.branch())
        self.rules.setdefault(name, []).append(branches)

    def branch(self):
        value = ("value", True)
        if self.take(":=", "="):
            value = self.term()
        body = []
        if self.take("if"):
            if self.take("{"):
                while not self.take("}"):
                    body.append(self.statement())
            else:
                body.append(self.statement())
        return value, body

    def statement(self):
        if self.peek("some", "every", "with"):
            raise SyntaxError(f"line {self.t[self.i][2]}: {self.t[self.i][1]} is not in this subset")
        if self.take("not"):
            return ("not", self.statement())
        if self.t[self.i][0] == "name" and self.t[self.i + 1][1] == ":=":
            name = self.name()
            self.need(":=")
            return ("assign", name, self.term())
        return self.term()

    def term(self):
        left = self.union()
        op = self.take("==", "!=", "<", "<=", ">", ">=", "in")
        return (op, left, self.union()) if op else left

    def union(self):
        left = self.reference()
        while op := self.take("|", "&"):
            left = (op, left, self.reference())
        return left

    def reference(self):
        node = self.atom()
        while True:
            # A bracket on the next line begins another statement.
            same = self.t[self.i][2] == self.t[self.i - 1][2]
            if self.peek(".") and self.take("."):
                node = ("get", node, ("value", self.t[self.i][1]))
                self.i += 1
            elif same and self.peek("[") and self.take("["):
                node = ("each", node) if self.take("_") else ("get", node, self.term())
                self.need("]")
            elif same and self.peek("(") and self.take("("):
                node = ("call", node, self.sequence(")"))
            else:
                return node

    def sequence(self, end):
        out = []
        while not self.take(end):
            out.append(self.term())
            if not self.take(","):
                self.need(end)
                break
        return out

    def atom(self):
        kind, text, line = self.t[self.i]
        self.i += 1
        if kind == "number":
            return ("value", float(text) if "." in text else int(text))
        if kind == "string":
            return ("value", text[1:-1] if text[0] == "`" else __import__("json").loads(text))
        if kind == "name" and text in ("true", "false", "null"):
            return ("value", {"true": True, "false": False, "null": None}[text])
        if kind == "name" and text not in KEYWORDS:
            return ("name", text)
        if text == "(":
            node = self.term()
            self.need(")")
            return node
        if text == "[":
            return self.array()
        if text == "{":
            return self.braces()
        raise SyntaxError(f"line {line}: unexpected {text or kind!r}")

    def array(self):
        if self.take("]"):
            return ("array", [])
        first = self.reference()
        if self.take("|"):
            body = []
            while not self.take("]"):
                body.append(self.statement())
            return ("comprehension", first, body)
        rest = self.sequence("]") if self.take(",") else (self.need("]") or [])
        return ("array", [first, *rest])

    def braces(self):
        if self.take("}"):
            return ("object", [])
        first = self.term()
        if not self.take(":"):
            return ("set", [first, *(self.sequence("}") if self.take(",") else (self.need("}") or []))])
        pairs = [(first, self.term())]
        while self.take(","):
            if self.peek("}"):
                break
            key = self.term()
            self.need(":")
            pairs.append((key, self.term()))
        self.need("}")
        return ("object", pairs)


def same(a, b):
    """As JSON: true is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


class Policy:
    """evaluate(rule) of a module, with an input document and functions of the caller."""

    def __init__(self, text, document, functions):
        module = Parser(text).module()
        self.defaults, self.rules = module.defaults, module.rules
        self.document, self.cache = document, {}
        self.functions = {"count": len, "object.union_n": lambda l: {k: v for o in l for k, v in o.items()}, **functions}

    def evaluate(self, rule):
        if rule not in self.cache:
            self.cache[rule] = UNDEFINED
            self.cache[rule] = self.compute(rule)
        return self.cache[rule]

    def compute(self, rule):
        found = []
        for branches in self.rules.get(rule, []):
            for value, body in branches:
                env = next(self.solve(body, {}), None)
                v = UNDEFINED if env is None else next(self.values(value, env), UNDEFINED)
                if v is not UNDEFINED:
                    found.append(v)
                    break
        if any(not same(v, found[0]) for v in found):
            raise ValueError(f"{rule}: complete rules with several values: {found}")
        if found:
            return found[0]
        return next(self.values(self.defaults[rule], {}), UNDEFINED) if rule in self.defaults else UNDEFINED

    def solve(self, body, env):
        if not body:
            yield env
            return
        first, rest = body[0], body[1:]
        if first[0] == "assign":
            for v in self.values(first[2], env):
                yield from self.solve(rest, {**env, first[1]: v})
        elif first[0] == "not":
            if next(self.solve([first[1]], env), None) is None:
                yield from self.solve(rest, env)
        else:
            for v in self.values(first, env):
                if v is not False:
                    yield from self.solve(rest, env)

    def all(self, nodes, env):
        if not nodes:
            yield []
            return
        for v in self.values(nodes[0], env):
            for rest in self.all(nodes[1:], env):
                yield [v, *rest]

    def values(self, node, env):
        kind = node[0]
        if kind == "value":
            yield node[1]
        elif kind == "name":
            v = env[node[1]] if node[1] in env else self.document if node[1] == "input" else self.evaluate(node[1])
            if v is not UNDEFINED:
                yield v
        elif kind == "get":
            for base, key in self.all([node[1], node[2]], env):
                if isinstance(base, dict) and key in base:
                    yield base[key]
                elif isinstance(base, list) and isinstance(key, int) and 0 <= key < len(base):
                    yield base[key]
        elif kind == "each":
            for base in self.values(node[1], env):
                yield from base.values() if isinstance(base, dict) else base if isinstance(base, list) else ()
        elif kind == "call":
            name = node[1][1] if node[1][0] == "name" else f"{node[1][1][1]}.{node[1][2][1]}"
            if name not in self.functions:
                raise SyntaxError(f"function {name} is not in this subset")
            for arguments in self.all(node[2], env):
                v = self.functions[name](*arguments)
                if v is not UNDEFINED:
                    yield v
        elif kind in ("array", "set"):
            yield from self.all(node[1], env)
        elif kind == "object":
            for flat in self.all([n for pair in node[1] for n in pair], env):
                yield dict(zip(flat[::2], flat[1::2]))
        elif kind == "comprehension":
            yield [v for e in self.solve(node[2], env) for v in self.values(node[1], e)]
        else:
            yield from self.compare(node, env)

    def compare(self, node, env):
        for a, b in self.all([node[1], node[2]], env):
            if node[0] == "in":
                members = b.values() if isinstance(b, dict) else b if isinstance(b, list) else None
                if members is not None:
                    yield any(same(a, m) for m in members)
            elif node[0] in ("==", "!="):
                yield same(a, b) == (node[0] == "==")
            elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
                yield {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[node[0]]
            else:
                raise SyntaxError(f"{node[0]} of {a!r} and {b!r} is not in this subset")
