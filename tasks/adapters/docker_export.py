"""Built images on their way out of a Docker engine: to a registry, or as a stream; and away from the engine afterwards."""

import json
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from docker.errors import ImageNotFound

from tasks.adapters.docker_build import CONNECT_SECONDS, SILENT_SECONDS, log_in
from tasks.adapters.docker_engine import engine, translated
from tasks.errors import CorruptError, RefusedError, TransientError

CHUNK = 1024 * 1024
DENIED = (
    "denied",
    "unauthorized",
    "forbidden",
    "authentication required",
    "not found",
    "name unknown",
)


@dataclass(frozen=True)
class SavedImage:
    """What `docker save` wrote, in both its forms: the configuration's bytes, and each layer as a file, in order."""

    config: bytes
    layers: tuple[Path, ...]


def push(name: str, say: Callable[[str], None]) -> None:
    """`name` is `host/repository:tag`. The SDK never raises by itself: what went wrong is in the stream.

    RefusedError if the registry will not have it; else TransientError.
    """
    repository, _, tag = name.rpartition(":")
    say(f"pushing {name}")
    with translated(f"the engine to push {name}"):
        api, auth = engine().client.api, log_in(repository)
        for event in api.push(repository, tag=tag, stream=True, decode=True, auth_config=auth):
            if "errorDetail" in event or "error" in event:
                said = str((event.get("errorDetail") or {}).get("message") or event.get("error"))
                kind = (
                    RefusedError if any(one in said.lower() for one in DENIED) else TransientError
                )
                raise kind(f"asked the engine to push {name}; it found: {said}; see that it may")


def save(name: str, skipped: int, work: Path) -> SavedImage:
    """The image in `work`, without its first `skipped` layers."""
    path = work / "saved.tar"
    with translated(f"the engine to save {name}"), path.open("wb") as file:
        api, patience = engine().client.api, (CONNECT_SECONDS, SILENT_SECONDS)
        answer = api._get(api._url("/images/{0}/get", name), stream=True, timeout=patience)
        with closing(answer):
            api._raise_for_status(answer)
            file.writelines(answer.iter_content(CHUNK))
    try:
        with tarfile.open(path, mode="r:") as saved:
            return _read(saved, skipped, work)
    except (tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise CorruptError(f"asked the engine to save {name}; found no image: {error!r}") from error
    finally:
        path.unlink()


def _read(saved: tarfile.TarFile, skipped: int, work: Path) -> SavedImage:
    (described,) = json.loads(_file(saved, "manifest.json").read())
    layers = []
    for number, name in enumerate(described["Layers"][skipped:]):
        layers.append(work / f"saved-{number}")
        source = _file(saved, name)
        with layers[-1].open("wb") as target:
            while part := source.read(CHUNK):
                target.write(part)
    return SavedImage(_file(saved, described["Config"]).read(), tuple(layers))


def _file(saved: tarfile.TarFile, name: str) -> BinaryIO:
    """Engines before 25 keep equal layers once, and links to them."""
    member = saved.getmember(name)
    if member.issym():
        parts: list[str] = []
        for part in (PurePosixPath(name).parent / member.linkname).parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        member = saved.getmember("/".join(parts))
    return cast(BinaryIO, saved.extractfile(member))


def inspected(name: str) -> Mapping[str, Any]:
    """`Config` and `RootFS` (its `Layers` are diff_ids) as the engine tells them."""
    with translated(f"the engine for the image {name}"):
        return cast(Mapping[str, Any], engine().client.api.inspect_image(name))


def remove(name: str) -> None:
    """Take the name, and with it the image, off the engine; what it was built from stays in the build cache."""
    with translated(f"the engine to remove {name}"):
        try:
            engine().client.api.remove_image(name, noprune=True)
        except ImageNotFound:
            return


def names_in(repository: str) -> tuple[str, ...]:
    """What the engine has of that repository, as `repository:tag`."""
    with translated(f"the engine for images of {repository}"):
        found = engine().client.api.images(name=repository)
    return tuple(tag for image in found for tag in image.get("RepoTags") or ())
