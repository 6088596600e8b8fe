"""Reading a settings file: everything that is wrong with it is said at once, with line and column, before anything happens."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.adapters.settings_schema import Setting, setting_at
from tasks.adapters.yaml_places import Document, Place, Problem, read_yaml
from tasks.errors import InvalidInputError
from tasks.settings import Part

MAX_BYTES = 1_000_000
Model = TypeVar("Model", bound=Part)


@dataclass(frozen=True)
class FileKind:
    """How messages speak of it: its name, what its content is, and what to do if it is not there."""

    name: str
    content: str
    missing: str


def read_settings(model: type[Model], file: Path, kind: FileKind) -> tuple[Model, Document]:
    """The settings in the file, and where each stands.

    InvalidInputError names every mistake as `file:line:column: setting: what was found; what is allowed`.
    """
    document = read_yaml(_content(file, kind))
    if document.problems:
        raise refused(file, kind, document.problems)
    found, problems = _validated(model, document, kind)
    if found is None:
        raise refused(file, kind, problems)
    return found, document


def refused(file: Path, kind: FileKind, problems: list[Problem]) -> InvalidInputError:
    """All mistakes of a file in one error, in the order of their places."""
    count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = [
        f"{file}:{one.place.line}:{one.place.column}: {one.text}" for one in sorted(set(problems))
    ]
    return InvalidInputError("\n".join([f"{kind.name} has {count}; nothing was changed", *lines]))


def _content(file: Path, kind: FileKind) -> bytes:
    try:
        if not file.exists():
            raise InvalidInputError(f"asked for {file}, which does not exist; {kind.missing}")
        if not file.is_file():
            raise InvalidInputError(f"{file} is not a file; {kind.missing}")
        if file.stat().st_size > MAX_BYTES:
            raise InvalidInputError(
                f"{file} is larger than {MAX_BYTES} bytes; that is no {kind.name}"
            )
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error


def _validated(
    model: type[Model], document: Document, kind: FileKind
) -> tuple[Model | None, list[Problem]]:
    """Strict, from JSON: what an editor with the schema calls wrong is wrong here, and `"2"` is not 2."""
    if not isinstance(document.value, dict):
        found = "a list" if isinstance(document.value, list) else repr(document.value)
        return None, [Problem(Place(), f"found {found}; {kind.content}")]
    try:
        return model.model_validate_json(json.dumps(document.value), strict=True), []
    except ValidationError as error:
        errors = _first_hand(error.errors())
        return None, [problem for one in errors for problem in _problems(model, one, document)]


def _first_hand(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the consequences: pydantic leaves wrong entries out of a list, and then calls the list too short."""
    wrong = {one["loc"][:end] for one in errors for end in range(len(one["loc"]))}
    return [one for one in errors if one["type"] != "too_short" or one["loc"] not in wrong]


def _problems(model: type[Part], error: ErrorDetails, document: Document) -> Iterator[Problem]:
    setting = setting_at(model, error["loc"])
    if error["type"] == "contradiction":
        for path, text in error["ctx"]["found"]:
            inner = setting_at(model, (*error["loc"], *path))
            yield Problem(_place(inner, document), f"{inner.name}: {text}")
        return
    text = setting.explain(error["type"], error["msg"], error["input"])
    yield Problem(_place(setting, document), f"{setting.name}: {text}")


def _place(setting: Setting, document: Document) -> Place:
    """Where the value stands; where its name stands if the name is wrong; where its surroundings begin if it is missing."""
    for end in range(len(setting.path), 0, -1):
        path = setting.path[:end]
        if (setting.of_the_name or end < len(setting.path)) and path in document.keys:
            return document.keys[path]
        if path in document.places:
            return document.places[path]
    return Place()
