"""What is baked on: reads a base image by its digest."""

import json
from collections.abc import Callable
from pathlib import Path

from tasks import oci
from tasks.bake.rules import SCRATCH, Base, checked_base, platform_manifest
from tasks.errors import InvalidInputError
from tasks.ports import ArtifactStore
from tasks.references import BaseUsed, parse_reference

OpenStore = Callable[[str], ArtifactStore]


def repository_of(reference: str, folder: Path) -> str:
    """`layout:` folders are meant relative to service.yaml."""
    repository = parse_reference(reference).repository
    if not repository.startswith("layout:"):
        return repository
    return f"layout:{(folder / repository.removeprefix('layout:')).resolve()}"


def base_used(written: str, digest: str, folder: Path) -> BaseUsed | None:
    """How it can be followed; None if it has no tag. `written` is as in service.yaml, before anything was followed."""
    tag = parse_reference(written).tag
    return BaseUsed(written, repository_of(written, folder), tag, digest) if tag else None


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
