"""Reading `service.yaml`: everything that is wrong with it is said at once, with line and column, before anything happens."""

import os
from collections.abc import Iterator
from pathlib import Path

from tasks.adapters.settings_file import FileKind, read_settings, refused
from tasks.adapters.yaml_places import Document, Problem
from tasks.recipes import Bake, DockerfileBake
from tasks.references import parse_reference
from tasks.service import ServiceSpec

FILE = "service.yaml"
KIND = FileKind(
    FILE,
    "a service is a mapping that begins with `service: its-name`",
    f"name a folder that holds {FILE}, such as deployments/services/hello",
)


def read_service(path: Path) -> tuple[ServiceSpec, Path]:
    """The service of a folder that holds service.yaml (or of the file), and that folder, absolute.

    InvalidInputError names every mistake as `file:line:column: setting: what was found; what is allowed`.
    """
    file = (path / FILE if os.path.isdir(path) else path).absolute()
    spec, document = read_settings(ServiceSpec, file, KIND)
    if problems := list(_absent(spec, document, file.parent)):
        raise refused(file, KIND, problems)
    return spec, file.parent


def _absent(spec: ServiceSpec, document: Document, folder: Path) -> Iterator[Problem]:
    """Files that the bake would look for in vain."""
    if isinstance(spec.bake, DockerfileBake):
        yield from _absent_for_docker(spec.bake, document, folder)
    else:
        yield from _absent_for_files(spec.bake, document, folder)


def _absent_for_docker(bake: DockerfileBake, document: Document, folder: Path) -> Iterator[Problem]:
    for name, path in (("dockerfile", bake.dockerfile), ("context", bake.context)):
        wrong = _wrong_file(folder, path)
        if not wrong and (folder / path).is_dir() != (name == "context"):
            wrong = "is no folder" if name == "context" else "is no file"
        if wrong:
            place = document.places.get(("bake", name), document.places["bake", "dockerfile"])
            yield Problem(place, f"bake.{name}: {path!r} {wrong}")


def _absent_for_files(bake: Bake, document: Document, folder: Path) -> Iterator[Problem]:
    for source in bake.files:
        if wrong := _wrong_file(folder, source):
            yield Problem(document.keys["bake", "files", source], f"bake.files: {source!r} {wrong}")
    wanted = bake.requirements
    if wanted is not None and (wrong := _wrong_file(folder, wanted)):
        place = document.places["bake", "requirements"]
        yield Problem(place, f"bake.requirements: {wanted!r} {wrong}")
    base = parse_reference(bake.base).repository
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
