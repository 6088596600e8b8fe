"""What is in an artifact's own layers, member by member."""

import io
import tarfile

from tasks.bake.bakery import Baked
from tasks.ports import ArtifactStore


def layers_of(store: ArtifactStore, baked: Baked) -> list[dict[str, tarfile.TarInfo]]:
    """Of each layer above the base, in order: its members by path."""
    found = []
    for layer in baked.layers:
        if layer.name != "base":
            with tarfile.open(fileobj=io.BytesIO(store.blob(layer.digest))) as tar:
                found.append({one.name: one for one in tar.getmembers()})
    return found
