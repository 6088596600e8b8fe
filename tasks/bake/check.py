"""Is a bake reproducible? Bakes twice, from nothing but the inputs, into stores that are thrown away, and compares."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tasks import oci, platforms
from tasks.bake.bakery import Baked, BakedLayer, bake
from tasks.bake.differences import PackedLayer, Seen, Unlike, unlike_layers, unlike_settings
from tasks.bake.kitchen import Say, work_folder
from tasks.bake.normaliser import members_of
from tasks.ports import ArtifactStore
from tasks.service import ServiceSpec


@dataclass(frozen=True)
class Checked:
    """Two bakes of the same inputs. `unlike` is empty if they are the same artifact."""

    first: Baked
    second: Baked
    unlike: tuple[Unlike, ...]

    @property
    def is_reproducible(self) -> bool:
        return self.first.artifact.digest == self.second.artifact.digest


def check(spec: ServiceSpec, folder: Path, cache: Path, say: Say) -> Checked:
    """Neither build cache nor known inputs are used; wheels are, as they are locked by hash. The service's store is not
    touched. Both bakes are done on one machine: what differs between machines is not seen."""
    with work_folder(cache) as work:
        stores = tuple(platforms.plain_store(f"layout:{work / name}") for name in ("one", "two"))
        first, second = (bake(spec, folder, one, cache, say, fresh=True) for one in stores)
        if first.artifact.digest == second.artifact.digest:
            return Checked(first, second, ())
        digests = {one.digest for one in first.layers} & {one.digest for one in second.layers}
        layers = [
            [_packed(one, store, digests, work) for one in baked.layers]
            for baked, store in ((first, stores[0]), (second, stores[1]))
        ]
        settings = [_settings(one, stores[n]) for n, one in enumerate((first, second))]
        unlike = (*unlike_layers(*layers), *unlike_settings(*settings))
        return Checked(first, second, unlike)


def _packed(layer: BakedLayer, store: ArtifactStore, same: set[str], work: Path) -> PackedLayer:
    members = {} if layer.digest in same else _members(layer.digest, store, work)
    return PackedLayer(layer.name, layer.digest, members)


def _members(digest: str, store: ArtifactStore, work: Path) -> dict[str, Seen]:
    found = {}
    with tempfile.NamedTemporaryFile(dir=work) as file:
        file.writelines(store.stream(digest))
        file.flush()
        for member, content in members_of(Path(file.name)):
            sha256 = (
                hashlib.file_digest(cast(Any, content), "sha256").hexdigest() if content else ""
            )
            found[member.path] = Seen(member, sha256)
    return found


def _settings(baked: Baked, store: ArtifactStore) -> Mapping[str, Any]:
    """How it is run: `config` and what stands beside it, without the list of layers."""
    manifest = oci.checked_manifest(store.manifest(baked.artifact.digest))
    config = json.loads(store.blob(manifest["config"]["digest"]))
    outer = {name: config[name] for name in config.keys() - {"config", "rootfs", "history"}}
    return {**outer, **{f"config.{name}": value for name, value in config["config"].items()}}
