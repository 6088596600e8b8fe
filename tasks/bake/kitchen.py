"""Where a bake is done: the store it goes into, a folder to work in, and what every recipe ends with."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.bake import rules
from tasks.bake.base import OpenStore
from tasks.errors import RefusedError
from tasks.materials import Materials
from tasks.ports import ArtifactStore
from tasks.references import BaseUsed

Say = Callable[[str], None]
ABANDONED_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Dish:
    """What was made: the digest, and who built it (pairs of name and version; empty if nobody but ourselves)."""

    digest: str
    builder: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kitchen:
    """`work` is empty and goes away afterwards. `fresh`: use nothing that an earlier build has left."""

    store: ArtifactStore
    cache: Path
    work: Path
    say: Say
    open_store: OpenStore
    fresh: bool = False

    def put(self, layers: Sequence[rules.Layer]) -> None:
        """Store layers, which are packed in `work` under their names."""
        for one in layers:
            self.say(f"{one.name} layer {one.descriptor.digest}, {one.descriptor.size} bytes")
            self.store.put_blob(self.work / one.name)

    def serve(
        self, base: rules.Base, config: bytes, layers: Sequence[rules.Layer], key: str
    ) -> str:
        """Store configuration and manifest; its layers are there. The digest, read back by the key's tag."""
        self.store.put_blob(config)
        manifest = rules.image_manifest(base, config, layers)
        return self.store.put_manifest(manifest, rules.key_tag(key))


class Inputs(Protocol):
    """One recipe's inputs, read and hashed: what is wrong with them was refused already."""

    @property
    def key(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def bases(self) -> tuple[BaseUsed, ...]:
        """Those of them that a rebuild can follow."""

    def make(self, kitchen: Kitchen) -> Dish: ...

    def materials(self, cache: Path) -> Materials: ...


@contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
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
