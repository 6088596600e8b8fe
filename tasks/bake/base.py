"""What is baked on: reads a base image by its digest, and brings its layers where the artifact goes."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from tasks import oci
from tasks.bake.rules import SCRATCH, Base, checked_base, platform_manifest
from tasks.errors import InvalidInputError, RefusedError
from tasks.ports import ArtifactStore, Descriptor

OpenStore = Callable[[str], ArtifactStore]


@runtime_checkable
class Mounts(Protocol):
    """A store that can share a blob with another repository of the same registry, without its bytes coming here."""

    def mount(self, digest: str, repository: str) -> bool: ...


def repository_of(reference: str, folder: Path) -> str:
    """`layout:` folders are meant relative to service.yaml."""
    repository = reference.rpartition("@")[0]
    if not repository.startswith("layout:"):
        return repository
    return f"layout:{(folder / repository.removeprefix('layout:')).resolve()}"


def read_base(
    reference: str, folder: Path, open_store: OpenStore
) -> tuple[Base, ArtifactStore | None]:
    """The base and the store it is in; None for scratch."""
    if reference == SCRATCH:
        return Base(), None
    store = open_store(repository_of(reference, folder))
    digest = reference.rpartition("@")[2]
    manifest = oci.checked_manifest(store.manifest(digest))
    if oci.media_type(manifest) in oci.INDEX_TYPES:
        child = platform_manifest(manifest, reference)
        manifest = oci.checked_manifest(store.manifest(child))
    try:
        config = json.loads(store.blob(manifest["config"]["digest"]))
        return checked_base(reference, manifest, config), store
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"asked to bake on {reference}; it is no container image ({error!r}); take another base"
        ) from error


def bring_layer(
    layer: Descriptor, source: ArtifactStore, target: ArtifactStore, work: Path
) -> None:
    """By mount where both are repositories of one registry, else by way of `work`. Checked against its digest."""
    if source.repository == target.repository or target.has_blob(layer.digest):
        return
    if isinstance(target, Mounts) and target.mount(layer.digest, source.repository):
        return
    try:
        with tempfile.NamedTemporaryFile(dir=work) as file:
            for part in source.stream(layer.digest):
                file.write(part)
            file.flush()
            target.put_blob(Path(file.name))
    except OSError as error:
        raise RefusedError(
            f"asked to copy the base layer {layer.digest} by way of {work}; found {error.strerror or error}; "
            "check the disk, then bake again"
        ) from error
