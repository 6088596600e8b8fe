"""Bakes: known inputs are found again, unknown ones are fetched, packed and stored. Knows nothing of Prefect."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from tasks import oci, platforms
from tasks.bake import rules
from tasks.bake.assembly import read_assembly
from tasks.bake.base import OpenStore
from tasks.bake.building import read_build
from tasks.bake.kitchen import Dish, Inputs, Kitchen, Say, work_folder
from tasks.errors import NotFoundError
from tasks.materials import Materials
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tasks.recipes import DockerfileBake
from tasks.references import BaseUsed
from tasks.service import ServiceSpec


@dataclass(frozen=True)
class BakedLayer:
    """One layer of the artifact, in order; `name` is base, packages, files, or `layer 1` and so on from a Dockerfile."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Baked:
    """What came of a bake. `reused`: the inputs were known, nothing was written. `content_key` is 64 hex digits.

    `materials`: what went in, for its provenance. `bases`: those of them that a rebuild can follow.
    """

    artifact: Artifact
    content_key: str
    reused: bool
    seconds: float
    layers: tuple[BakedLayer, ...]
    started_at: datetime
    materials: Materials
    bases: tuple[BaseUsed, ...] = ()


def bake(
    spec: ServiceSpec,
    folder: Path,
    store: ArtifactStore,
    cache: Path,
    on_progress: Say | None = None,
    open_store: OpenStore = platforms.store,
    *,
    fresh: bool = False,
    followed: Mapping[str, str] = MappingProxyType({}),
) -> Baked:
    """Bake the service in `folder` into `store`. Wheels are kept in `cache`, so that the next bake needs no index.

    All inputs are read and hashed first: what is wrong with them is refused before anything is written. A file
    ignored by Git but named in `files` is baked, too. `fresh`: bake even what is known, with nothing from a build cache.
    `followed`: digests to stand on instead of those written, by reference as written (tasks/references.py).
    """
    started, started_at = time.monotonic(), datetime.now(UTC)
    say = on_progress or (lambda _: None)
    inputs = read_inputs(spec, folder, followed)
    say(inputs.summary)
    known = None if fresh else _known(inputs.key, store)
    if known:
        say(f"inputs are known, reusing {known}")
        dish = Dish(known)
    else:
        with work_folder(cache) as work:
            dish = inputs.make(Kitchen(store, cache, work, say, open_store, fresh))
        say(f"baked {dish.digest}")
    return Baked(
        Artifact(spec.service, dish.digest, store.repository),
        inputs.key,
        known is not None,
        time.monotonic() - started,
        _layers(store, dish.digest),
        started_at,
        replace(inputs.materials(cache), builder=dish.builder),
        inputs.bases,
    )


def known_artifact(
    spec: ServiceSpec,
    folder: Path,
    store: ArtifactStore,
    followed: Mapping[str, str] = MappingProxyType({}),
) -> Artifact | None:
    """What a bake of these inputs made before, if it did. Writes nothing, and asks no engine."""
    digest = _known(read_inputs(spec, folder, followed).key, store)
    return Artifact(spec.service, digest, store.repository) if digest else None


def makes(spec: ServiceSpec, folder: Path, artifact: Artifact, followed: Mapping[str, str]) -> bool:
    """Would a bake of what is in `folder` now have the very inputs that the artifact was baked from? Writes nothing."""
    store = platforms.store(artifact.repository)
    manifest = oci.checked_manifest(store.manifest(artifact.digest))
    config = json.loads(store.blob(manifest["config"]["digest"]))
    return rules.baked_from(config) == read_inputs(spec, folder, followed).key


def read_inputs(
    spec: ServiceSpec, folder: Path, followed: Mapping[str, str] = MappingProxyType({})
) -> Inputs:
    """As the recipe has them, in `folder` as it is now, on bases as they are followed."""
    if isinstance(spec.bake, DockerfileBake):
        return read_build(spec, spec.bake, folder, followed)
    return read_assembly(spec, spec.bake, folder, followed)


def _known(key: str, store: ArtifactStore) -> str | None:
    """The artifact of these inputs, if it is whole: its configuration has the key, and no part is missing."""
    digest = store.resolve(rules.key_tag(key))
    if digest is None:
        return None
    try:
        manifest = oci.checked_manifest(store.manifest(digest))
        config = json.loads(store.blob(manifest["config"]["digest"]))
    except NotFoundError:
        return None
    if rules.baked_from(config) != key:
        return None
    return digest if all(store.has_blob(layer["digest"]) for layer in manifest["layers"]) else None


def _layers(store: ArtifactStore, digest: str) -> tuple[BakedLayer, ...]:
    manifest = oci.checked_manifest(store.manifest(digest))
    config = json.loads(store.blob(manifest["config"]["digest"]))
    names = [entry["created_by"].removeprefix("bakewell: ") for entry in config["history"]]
    pairs = zip(names, manifest["layers"], strict=True)
    return tuple(BakedLayer(name, layer["digest"], layer["size"]) for name, layer in pairs)
