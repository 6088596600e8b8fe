"""What is baked on: reads a base image by its digest."""

import json
from collections.abc import Callable
from pathlib import Path

from tasks import oci
from tasks.bake.rules import SCRATCH, Base, checked_base, platform_manifest
from tasks.errors import InvalidInputError
from tasks.ports import ArtifactStore

OpenStore = Callable[[str], ArtifactStore]


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
