"""What an engine has built, taken out of it: by way of a staging repository, or as `docker save` gives it."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks import oci
from tasks.adapters import docker_export
from tasks.adapters.registry_staging import StagingRepository
from tasks.bake import normal, rules
from tasks.bake.kitchen import Kitchen
from tasks.bake.layers import BUFFER
from tasks.bake.normaliser import unpacked
from tasks.bake.staging import is_abandoned, is_in_registry, staging_repository, staging_tag
from tasks.errors import BakewellError, RefusedError


@dataclass(frozen=True)
class Staging:
    """The name of an image while it exists: `repository:tag`. `registry` is None where it is on the engine alone."""

    repository: str
    tag: str
    registry: StagingRepository | None

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True)
class BuiltParts:
    """What was built on the base. `settings`: the image's `config`; `raw`: the whole configuration; `layers`: plain tars."""

    settings: Mapping[str, Any]
    raw: bytes
    layers: tuple[Path, ...]

    def contents(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Every byte that was built, and where it is."""
        yield "configuration or history", [self.raw]
        for number, layer in enumerate(self.layers, 1):
            with layer.open("rb") as file:
                yield f"layer {number}", iter(lambda: file.read(BUFFER), b"")


@contextmanager
def staged(kitchen: Kitchen, service: str) -> Iterator[Staging]:
    """A name for an image, which is gone afterwards from engine and registry. What was left by killed bakes goes first."""
    repository = staging_repository(kitchen.store.repository, service)
    in_registry = is_in_registry(kitchen.store.repository)
    registry = StagingRepository(repository) if in_registry else None
    now = datetime.now(UTC)
    _sweep(repository, registry, now)
    staging = Staging(repository, staging_tag(now, secrets.token_hex(4)), registry)
    try:
        yield staging
    finally:
        for problem in _remove(repository, staging.tag, registry):
            kitchen.say(
                f"{staging.name} could not be removed; the next bake tries again: {problem}"
            )


def _sweep(repository: str, registry: StagingRepository | None, now: datetime) -> None:
    """A registry that cannot even be listed is told of when something is pushed there."""
    tags = {name.rpartition(":")[2] for name in docker_export.names_in(repository)}
    try:
        tags.update(registry.tags() if registry else ())
    except BakewellError:
        registry = None
    for tag in sorted(tag for tag in tags if is_abandoned(tag, now)):
        list(_remove(repository, tag, registry))


def _remove(repository: str, tag: str, registry: StagingRepository | None) -> Iterator[str]:
    """Why it could not be, where so: the artifact is not worse for it."""
    if registry is not None and (problem := registry.remove(tag)):
        yield problem
    try:
        docker_export.remove(f"{repository}:{tag}")
    except BakewellError as error:
        yield str(error)


def take_out(staging: Staging, base: rules.Base, kitchen: Kitchen) -> BuiltParts:
    """The layers above the base's. By way of the registry the base's bytes move nowhere; where it will not take the image
    (some registries know only repositories that were made before), all of it comes from the engine."""
    found = docker_export.inspected(staging.name)
    own = list(((base.config or {}).get("rootfs") or {}).get("diff_ids") or [])
    skipped = normal.layers_of_base(own, found["RootFS"].get("Layers") or [], base.reference)
    if staging.registry is not None:
        try:
            docker_export.push(staging.name, kitchen.say)
        except RefusedError as error:
            kitchen.say(f"{error}; saving it instead")
        else:
            raw, layers = _read_back(staging, staging.registry, skipped, kitchen.work)
            return BuiltParts(found["Config"], raw, layers)
    kitchen.say(f"saving {staging.name}")
    saved = docker_export.save(staging.name, skipped, kitchen.work)
    return BuiltParts(found["Config"], saved.config, _plain(saved.layers))


def _read_back(
    staging: Staging, registry: StagingRepository, skipped: int, work: Path
) -> tuple[bytes, tuple[Path, ...]]:
    store = registry.store
    digest = store.resolve(staging.tag)
    if digest is None:
        raise RefusedError(
            f"asked for {staging.name}, which the engine says it has pushed; it is not there; see that {staging.repository}"
            " keeps what is pushed"
        )
    manifest = oci.checked_manifest(store.manifest(digest))
    if oci.media_type(manifest) in oci.INDEX_TYPES:
        child = rules.platform_manifest(manifest, staging.name)
        manifest = oci.checked_manifest(store.manifest(child))
    paths = []
    for number, layer in enumerate(manifest["layers"][skipped:]):
        paths.append(work / f"staged-{number}")
        with paths[-1].open("wb") as file:
            file.writelines(store.stream(layer["digest"]))
    return store.blob(manifest["config"]["digest"]), _plain(paths)


def _plain(layers: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(unpacked(one, one.with_suffix(".tar")) for one in layers)
