"""The JSON Schema of a settings file: for editors, and to say what is allowed where a mistake was made.

`service.yaml` and policies are such files: each is one model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from tasks.settings import KINDS, MOVED, Part

ID: Final = "https://json-schema.org/draft/2020-12/schema"
WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minItems": "with {} or more entries",
    "minProperties": "with {} or more entries",
}


SECRET: Final = frozenset({"authentication", "password", "secret", "secrets", "targets", "token"})
"""Settings that name where a secret is."""

Schema = dict[str, Any]


@cache
def schema_of(model: type[Part]) -> Schema:
    """What `deployments/services/service.schema.json` and `deployments/policies/policy.schema.json` hold."""
    return {"$schema": ID, **model.model_json_schema(mode="validation")}


def published(model: type[Part]) -> str:
    return json.dumps(schema_of(model), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Setting:
    """One place in a settings file: its path in the data, what the schema says of it and of what surrounds it."""

    path: tuple[str | int, ...]
    schema: Schema
    parent: Schema
    of_the_name: bool = False

    @property
    def name(self) -> str:
        """`environments[0].strategy.weights`."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(parts).lstrip(".") or "the file"

    def explain(self, kind: str, message: str, found: object) -> str:
        """What was found, and what is allowed. `kind` and `message` are pydantic's."""
        if kind == "missing":
            return f"is missing; it is {self._allowed()}"
        if kind == "extra_forbidden" and (moved := self.parent.get(MOVED, {}).get(self.path[-1])):
            return f"is not a setting any more: {moved}"
        if kind == "extra_forbidden":
            return f"is not a setting{self._meant(self._known())}; known here: {', '.join(self._known())}"
        if kind.startswith("union_tag"):
            kinds = list(self.schema.get("discriminator", {}).get("mapping", {}))
            given = found.get("kind") if isinstance(found, dict) else found
            said = f"found kind {_shown(given)}" if kind == "union_tag_invalid" else "has no `kind`"
            return f"{said}{_meant(given, kinds)}; allowed: {', '.join(kinds)}"
        if kind in ("value_error", "json_invalid"):
            return message.removeprefix("Value error, ")
        if self._may_be_secret():
            return (
                f"found something else (not repeated: it may be secret); allowed: {self._allowed()}"
            )
        return f"found {_shown(found)}{_meant(found, self.schema.get('enum', []))}; allowed: {self._allowed()}"

    def _may_be_secret(self) -> bool:
        """Perhaps the secret itself was written where its name belongs. A choice of words is none."""
        return bool(SECRET & set(self.path)) and "enum" not in self.schema

    def _known(self) -> list[str]:
        return list(self.parent.get("properties", {}))

    def _meant(self, known: Sequence[str]) -> str:
        return _meant(self.path[-1], known)

    def _allowed(self) -> str:
        return _described(self.schema)


def setting_at(model: type[Part], loc: Sequence[str | int]) -> Setting:
    """Follow pydantic's `loc` in that model. It names the chosen kind of a strategy in between, and ends in `[key]` if a name is
    wrong: neither is part of the data."""
    path: list[str | int] = []
    parent: Schema = {}
    whole = schema_of(model)
    here = whole
    for part in loc:
        here = _resolved(whole, here)
        if part == "[key]":
            name = {"type": "string", **_resolved(whole, parent.get("propertyNames", {}))}
            return Setting(tuple(path), name, parent, True)
        if part in (kinds := _kinds(here)):
            here = _resolved(whole, {"$ref": kinds[str(part)]})
            continue
        path.append(part)
        parent, here = here, _inner(here, part)
    unknown = bool(path) and "properties" in parent and path[-1] not in parent["properties"]
    return Setting(tuple(path), _resolved(whole, here), parent, unknown)


def _kinds(schema: Schema) -> dict[str, str]:
    """What pydantic names in between -> where its schema is."""
    return dict(schema.get("discriminator", {}).get("mapping", {}) or schema.get(KINDS, {}))


def _inner(schema: Schema, part: str | int) -> Schema:
    found = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
    more = schema.get("additionalProperties")
    return found or (more if isinstance(more, dict) else {})


def _resolved(whole: Schema, schema: Schema) -> Schema:
    """Follow a reference, and forget that a setting may be left out."""
    if "$ref" in schema:
        target = whole["$defs"][schema["$ref"].rpartition("/")[2]]
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        real = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return _resolved(whole, {**{k: v for k, v in schema.items() if k != "anyOf"}, **real[0]})
    return schema


def _described(schema: Schema) -> str:
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(map(str, choices))
    limits = [text.format(schema[limit]) for limit, text in LIMITS.items() if limit in schema]
    words = " ".join([WORDS.get(schema.get("type", ""), "a mapping"), " and ".join(limits)]).strip()
    said = schema.get("description", "").partition("\n")[0].rstrip(".")
    return f"{words} ({said})" if said else words


def _meant(found: object, known: Sequence[str]) -> str:
    close = get_close_matches(str(found).lower(), [str(one).lower() for one in known], 1, 0.6)
    exact = [one for one in known if str(one).lower() in close]
    return f", did you mean `{exact[0]}`?" if exact else ""


def _shown(found: object) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, dict | list):
        return "a mapping" if isinstance(found, dict) else "a list"
    text = str(found).lower() if isinstance(found, bool) else repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
