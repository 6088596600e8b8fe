"""Reading `service.yaml`: everything that is wrong with it is said at once, with line and column, before anything happens."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.adapters.service_schema import Setting, setting_at
from tasks.adapters.yaml_places import Document, Place, Problem, read_yaml
from tasks.errors import InvalidInputError
from tasks.service import ServiceSpec

FILE = "service.yaml"
MAX_BYTES = 1_000_000


def read_service(path: Path) -> tuple[ServiceSpec, Path]:
    """The service of a folder that holds service.yaml (or of the file), and that folder, absolute.

    InvalidInputError names every mistake as `file:line:column: setting: what was found; what is allowed`.
    """
    file = (path / FILE if os.path.isdir(path) else path).absolute()
    document = read_yaml(_content(file, path))
    if document.problems:
        raise _refused(file, document.problems)
    spec, problems = _validated(document)
    if spec is None or (problems := list(_absent(spec, document, file.parent))):
        raise _refused(file, problems)
    return spec, file.parent


def _content(file: Path, asked: Path) -> bytes:
    try:
        if not file.exists():
            raise InvalidInputError(
                f"{asked} was given as a service, but {file} does not exist;"
                f" name a folder that holds {FILE}, such as deployments/services/hello"
            )
        if not file.is_file():
            raise InvalidInputError(f"{file} is not a file; name a folder that holds {FILE}")
        if file.stat().st_size > MAX_BYTES:
            raise InvalidInputError(f"{file} is larger than {MAX_BYTES} bytes; that is no {FILE}")
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error


def _refused(file: Path, problems: list[Problem]) -> InvalidInputError:
    count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = [
        f"{file}:{one.place.line}:{one.place.column}: {one.text}" for one in sorted(set(problems))
    ]
    return InvalidInputError("\n".join([f"{FILE} has {count}; nothing was changed", *lines]))


def _validated(document: Document) -> tuple[ServiceSpec | None, list[Problem]]:
    """Strict, from JSON: what an editor with the schema calls wrong is wrong here, and `"2"` is not 2."""
    if not isinstance(document.value, dict):
        found = "a list" if isinstance(document.value, list) else repr(document.value)
        text = f"found {found}; a service is a mapping that begins with `service: its-name`"
        return None, [Problem(Place(), text)]
    try:
        return ServiceSpec.model_validate_json(json.dumps(document.value), strict=True), []
    except ValidationError as error:
        errors = _first_hand(error.errors())
        return None, [problem for one in errors for problem in _problems(one, document)]


def _first_hand(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the consequences: pydantic leaves wrong entries out of a list, and then calls the list too short."""
    wrong = {one["loc"][:end] for one in errors for end in range(len(one["loc"]))}
    return [one for one in errors if one["type"] != "too_short" or one["loc"] not in wrong]


def _problems(error: ErrorDetails, document: Document) -> Iterator[Problem]:
    setting = setting_at(error["loc"])
    if error["type"] == "contradiction":
        for path, text in error["ctx"]["found"]:
            inner = setting_at((*error["loc"], *path))
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


def _absent(spec: ServiceSpec, document: Document, folder: Path) -> Iterator[Problem]:
    """Files that the bake would look for in vain."""
    for source in spec.bake.files:
        if wrong := _wrong_file(folder, source):
            yield Problem(document.keys["bake", "files", source], f"bake.files: {source!r} {wrong}")
    wanted = spec.bake.requirements
    if wanted is not None and (wrong := _wrong_file(folder, wanted)):
        place = document.places["bake", "requirements"]
        yield Problem(place, f"bake.requirements: {wanted!r} {wrong}")
    base = spec.bake.base.partition("@")[0]
    layout = base.removeprefix("layout:")
    if layout != base and _wrong_file(folder, f"{layout}/index.json", anywhere=True):
        place = document.places["bake", "base"]
        yield Problem(place, f"bake.base: {folder / layout} is no OCI image layout (no index.json)")


def _wrong_file(folder: Path, name: str, anywhere: bool = False) -> str:
    try:
        if not (folder / name).exists():
            return f"does not exist beside {FILE}"
        if not anywhere and not (folder / name).resolve().is_relative_to(folder.resolve()):
            return f"leads out of {folder}"
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
