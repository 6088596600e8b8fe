"""Bakes: known inputs are found again, unknown ones are fetched, packed and stored. Knows nothing of Prefect."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import oci, platforms
from tasks.adapters import wheels
from tasks.adapters.bring import bring_blob
from tasks.bake import rules
from tasks.bake.base import OpenStore, read_base
from tasks.bake.layers import pack
from tasks.bake.lock import LockedPackage, locked_packages
from tasks.bake.tree import read_files, read_tree
from tasks.errors import InvalidInputError, NotFoundError, RefusedError
from tasks.materials import Ingredient, Materials
from tasks.model import Artifact
from tasks.ports import ArtifactStore
from tasks.service import ServiceSpec

Say = Callable[[str], None]
ABANDONED_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class BakedLayer:
    """One layer of the artifact, in order; `name` is base, packages or files."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Baked:
    """What came of a bake. `reused`: the inputs were known, nothing was written. `content_key` is 64 hex digits.

    `materials`: what went in, for its provenance.
    """

    artifact: Artifact
    content_key: str
    reused: bool
    seconds: float
    layers: tuple[BakedLayer, ...]
    started_at: datetime
    materials: Materials


@dataclass(frozen=True)
class _Inputs:
    entries: tuple[rules.Entry, ...]
    packages: tuple[LockedPackage, ...]
    key: str


def bake(
    spec: ServiceSpec,
    folder: Path,
    store: ArtifactStore,
    cache: Path,
    on_progress: Say | None = None,
    open_store: OpenStore = platforms.store,
) -> Baked:
    """Bake the service in `folder` into `store`. Wheels are kept in `cache`, so that the next bake needs no index.

    All inputs are read and hashed first: what is wrong with them is refused before anything is written. A file
    ignored by Git but named in `files` is baked, too.
    """
    started, started_at = time.monotonic(), datetime.now(UTC)
    say = on_progress or (lambda _: None)
    inputs = _read(spec, folder)
    say(f"files: {len(inputs.entries)}, packages: {len(inputs.packages)}, key {inputs.key[:12]}")
    known = _known(inputs.key, store)
    digest = known or _bake_new(spec, folder, inputs, store, cache, say, open_store)
    say(f"inputs are known, reusing {digest}" if known else f"baked {digest}")
    layers = _layers(store, digest)
    artifact = Artifact(spec.service, digest, store.repository)
    seconds, materials = time.monotonic() - started, _materials(spec, inputs, cache)
    return Baked(artifact, inputs.key, known is not None, seconds, layers, started_at, materials)


def known_artifact(spec: ServiceSpec, folder: Path, store: ArtifactStore) -> Artifact | None:
    """What a bake of these inputs made before, if it did. Writes nothing."""
    digest = _known(_read(spec, folder).key, store)
    return Artifact(spec.service, digest, store.repository) if digest else None


def _read(spec: ServiceSpec, folder: Path) -> _Inputs:
    entries = read_files(folder, spec.bake.files)
    packages = _locked(folder, spec.bake.requirements)
    key = rules.content_key(spec, entries, packages, wheels.interpreter())
    return _Inputs(entries, packages, key)


def _locked(folder: Path, requirements: str | None) -> tuple[LockedPackage, ...]:
    if requirements is None:
        return ()
    path = folder / requirements
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"asked to bake the packages of {path}; it cannot be read: {error}; correct `requirements` in service.yaml"
        ) from error
    return locked_packages(text, requirements, wheels.marker_environment())


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


def _bake_new(
    spec: ServiceSpec,
    folder: Path,
    inputs: _Inputs,
    store: ArtifactStore,
    cache: Path,
    say: Say,
    open_store: OpenStore,
) -> str:
    with _work_folder(cache) as work:
        base, base_store = read_base(spec.bake.base, folder, open_store)
        layers = _pack_all(spec, inputs, cache, work, say)
        if base_store is not None:
            for layer in base.layers:
                say(f"base layer {layer.digest}, {layer.size} bytes")
                bring_blob(layer.digest, base_store, store, work)
        for packed in layers:
            say(f"{packed.name} layer {packed.descriptor.digest}, {packed.descriptor.size} bytes")
            store.put_blob(work / packed.name)
    config = rules.image_configuration(base, rules.run_configuration(spec, inputs.key), layers)
    store.put_blob(config)
    manifest = rules.image_manifest(base, config, layers)
    return store.put_manifest(manifest, rules.key_tag(inputs.key))


def _pack_all(
    spec: ServiceSpec, inputs: _Inputs, cache: Path, work: Path, say: Say
) -> list[rules.Layer]:
    """Packages before files: they change less often, so versions of a service share that layer."""
    scratch = spec.bake.base == rules.SCRATCH
    layers = []
    if inputs.packages:
        say("fetching " + ", ".join(f"{one.name} {one.version}" for one in inputs.packages))
        fetched = wheels.fetch(inputs.packages, cache / "wheels")
        wheels.unpack(fetched, work / "unpacked")
        entries = read_tree(work / "unpacked", spec.bake.packages)
        complete = rules.with_parents(entries) if scratch else entries
        layers.append(pack("packages", complete, work / "packages"))
    entries = inputs.entries
    if scratch:
        entries = rules.with_parents([*entries, rules.tmp_folder()])
    layers.append(pack("files", entries, work / "files"))
    return layers


def _materials(spec: ServiceSpec, inputs: _Inputs, cache: Path) -> Materials:
    """After the bake: the wheels that were used are in the cache then."""
    return Materials(
        spec.bake.base,
        tuple(_ingredient(one, cache) for one in inputs.packages),
        tuple(
            (f"/{one.path}", one.content)
            for one in rules.distinct(inputs.entries)
            if one.kind is rules.EntryKind.FILE
        ),
        wheels.interpreter() if inputs.packages else "",
    )


def _ingredient(package: LockedPackage, cache: Path) -> Ingredient:
    """Of inputs that were baked before, elsewhere, the wheel is known only if no other was allowed."""
    locked = tuple(sorted(package.sha256))
    sha256 = wheels.chosen(package, cache / "wheels") or (locked[0] if len(locked) == 1 else "")
    return Ingredient(package.name, package.version, sha256, () if sha256 else locked)


@contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """On the cache's disk; what killed bakes left there is removed after a day."""
    parent = cache / "work"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        work = tempfile.TemporaryDirectory(dir=parent)
    except OSError as error:
        raise RefusedError(
            f"asked to bake by way of {parent}; found {error.strerror or error}; check the disk and who may write there"
        ) from error
    with work as name:
        yield Path(name)
