# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds answers of the attestation service against its OpenAPI document: as much of JSON Schema as that document uses, and no more: a
keyword that is not known here is an error."""

import json
import re
from pathlib import Path

NOTES = {"description", "contentEncoding", "format"}
KNOWN = NOTES | {"$ref", "type", "enum", "properties", "required", "additionalProperties", "items", "oneOf", "anyOf", "minimum", "maximum",
                 "minLength", "maxLength", "minItems", "maxItems", "pattern"}  # fmt: skip
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}


class Mismatch(Exception):
    pass


class Document:
    def __init__(self, path):
        self.tree = json.loads(Path(path).read_text())
        self.seen = set()  # (method, path template, status)
        self.codes = set()

    def follow(self, node):
        while "$ref" in node:
            name, node = node["$ref"], self.tree
            for part in name.removeprefix("#/").split("/"):
                node = node[part]
        return node

    def check_any(self, schema, value, where):
        fits = []
        for s in schema.get("oneOf") or schema["anyOf"]:
            try:
                self.check(s, value, where)
                fits.append(s)
            except Mismatch:
                pass
        if not fits or ("oneOf" in schema and len(fits) != 1):
            raise Mismatch(f"{where}: fits {len(fits)} of the alternatives")

    def check_object(self, schema, value, where):
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                raise Mismatch(f"{where}: {name} is missing")
        for name, member in value.items():
            if name in properties:
                self.check(properties[name], member, f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                raise Mismatch(f"{where}: {name} is not in the document")

    def check(self, schema, value, where="body"):
        schema = self.follow(schema)
        if unknown := set(schema) - KNOWN:
            raise AssertionError(f"tests/lib/openapi.py does not know {unknown}")
        if "oneOf" in schema or "anyOf" in schema:
            self.check_any(schema, value, where)
        kind = schema.get("type")
        if kind == "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                raise Mismatch(f"{where}: {value!r} is not an integer")
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                raise Mismatch(f"{where}: {value} is out of range")
        elif kind and not isinstance(value, TYPES[kind]):
            raise Mismatch(f"{where}: {value!r} is no {kind}")
        if "enum" in schema and value not in schema["enum"]:
            raise Mismatch(f"{where}: {value!r} is none of {schema['enum']}")
        if kind in ("string", "array"):
            low, high = (schema.get(f"{which}{'Length' if kind == 'string' else 'Items'}", len(value)) for which in ("min", "max"))
            if not low <= len(value) <= high:
                raise Mismatch(f"{where}: has {len(value)}")
        if kind == "string" and "pattern" in schema and not re.search(schema["pattern"], value):
            raise Mismatch(f"{where}: {value!r} does not match")
        if kind == "array" and "items" in schema:
            for i, item in enumerate(value):
                self.check(schema["items"], item, f"{where}[{i}]")
        if kind == "object":
            self.check_object(schema, value, where)

    def operation(self, method, path):
        """(template, operation) of what this request is; (template, None) if there is no such method, (None, None) no such path"""
        for template, item in self.tree["paths"].items():
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[A-Za-z0-9._-]{1,128}", re.escape(template)), path):
                return template, item.get(method.lower())
        return None, None

    def check_answer(self, method, path, status, body, request=None):
        """An answer, and if it was a good one what was asked; raises Mismatch."""
        where = f"{method} {path} {status}"
        if status >= 400:
            self.check({"$ref": "#/components/schemas/Problem"}, body, where)
            if body["status"] != status:
                raise Mismatch(f"{where}: says {body['status']}")
            self.codes.add(body["code"])
        template, operation = self.operation(method, path)
        if operation is None:
            if (status, body and body.get("code")) not in ((404, "not-found"), (405, "method-not-allowed"), (413, "too-large")):
                raise Mismatch(f"{where}: the document has no such operation")
            return
        if status == 404 and body["code"] == "not-found":
            return  # no id: a path of another kind
        responses = operation["responses"]
        if str(status) not in responses:
            if status == 413 and "requestBody" not in operation:
                return  # a body where none belongs
            if status not in (500, 503):
                raise Mismatch(f"{where}: the document has no such status")
            return
        self.seen.add((method.upper(), template, status))
        content = self.follow(responses[str(status)]).get("content")
        if status < 400 and (body is None) == bool(content):
            raise Mismatch(f"{where}: {'no' if body is None else 'a'} body")
        if status < 400 and content:
            self.check(content["application/json"]["schema"], body, where)
        wanted = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if status < 400 and wanted and request is not None:
            self.check_request(wanted["schema"], method, request, where)

    def check_request(self, schema, method, request, where):
        """An update may leave the secrets out; a registration is whole."""
        self.check(schema, request, f"{where}, request")
        is_registration = schema.get("$ref", "").endswith("/Registration")
        if is_registration and method.upper() == "POST" and "secrets" not in request:
            raise Mismatch(f"{where}: registered without secrets")

    def declared(self):
        return {(method.upper(), template, int(status)) for template, item in self.tree["paths"].items() for method, operation in item.items()
                if method != "parameters" for status in operation["responses"] if status != "default"}  # fmt: skip
