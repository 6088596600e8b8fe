"""Fifty services that stand on three bases, and on each other: what a weekly rebuild meets. Run as a program it begins one, and
is killed in the middle.

Two of them fetch a package when they are built. That stands for what RUN in a Dockerfile does: no engine is there to do it fifty
times, and what a rebuild makes of it does not depend on who fetches.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from tasks import platforms
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory import MemoryScanner, world_named
from tasks.bake import bakery
from tasks.bake.assembly import Assembly, read_assembly
from tasks.evidence import Severity
from tasks.journal.rules import EventKind
from tasks.model import Artifact
from tasks.recipes import Bake, DockerfileBake
from tasks.references import promoted_tag
from tasks.service import ServiceSpec
from tests.support.standing import (
    TAG,
    base_image,
    known_of,
    stand,
    vulnerability,
    write_service,
)

BASES: Final = ("alpha", "beta", "gamma")
SERVICES: Final = 50
CHILDREN: Final = ("s45", "s46", "s47", "s48", "s49")
"""s45 stands on s00, s46 on s01, s47 on s02, s48 on the second that stands on alpha, and s49 on s48."""
FETCHING: Final = ("s10", "s13")
LOCKED: Final = ("s02", "s05")
"""These have the package, too, but locked: no rebuild changes that."""


@dataclass(frozen=True)
class Many:
    """`index` is where packages come from, `artifacts` what ran first."""

    folder: Path
    artifacts: Mapping[str, Artifact]
    every: int

    @property
    def affected(self) -> set[str]:
        """Those on the base that moves, who stands on them, and those that can fetch the fix."""
        on_alpha = {f"s{n:02}" for n in range(0, 45, self.every)}
        return on_alpha | set(FETCHING) | {"s45", "s48", "s49"}

    def move_a_base_and_mend_a_package(self) -> str:
        for name in FETCHING + LOCKED:
            known_of(
                self.artifacts[name], vulnerability("leaky", Severity.MEDIUM)
            )  # it may still run
        (self.folder / "index").write_text("leaky 1.1\n")
        return base_image(base_store(self.folder, "alpha"), "moved")


def base_store(folder: Path, name: str) -> LayoutStore:
    return LayoutStore(folder / "bases" / name)


def as_in_memory(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The scanner that a test steers, and an engine that fetches."""
    world = world_named(str(platforms.home()))
    patch.setattr(platforms, "scanner", lambda say=None: MemoryScanner(world))

    def build(
        spec: ServiceSpec, recipe: DockerfileBake, at: Path, followed: Mapping[str, str]
    ) -> Assembly:
        (at / "fetched").write_text((folder / "index").read_text())
        base = (at / recipe.dockerfile).read_text().split()[1]
        same = Bake(base=base, files={"app": "/app", "fetched": "/fetched"}, command=["/app"])
        without = same.model_copy(update={"files": {"app": "/app"}})
        found, known = (
            read_assembly(spec.model_copy(update={"bake": one}), one, at, followed)
            for one in (same, without)
        )
        return replace(found, key=known.key)  # what is fetched is no part of the key

    patch.setattr(bakery, "read_build", build)


def fifty(folder: Path, every: int) -> Many:
    """All of them run; each one of so many stands on alpha, the others on beta or gamma."""
    (folder / "index").write_text("leaky 1.0\n")
    for name in BASES:
        base_image(base_store(folder, name), name)
    made: dict[str, Artifact] = {}
    for number in range(SERVICES):
        name = f"s{number:02}"
        made[name] = stand(_written(folder, name, number, every, made), is_running=False)
    return Many(folder, made, every)


def _written(
    folder: Path, name: str, number: int, every: int, made: Mapping[str, Artifact]
) -> Path:
    at, base = folder / "services" / name, _base(folder, name, number, every, made)
    if name not in FETCHING:
        return write_service(at, name, base)
    write_service(at, name, base, {"dockerfile": "Dockerfile"})
    (at / "Dockerfile").write_text(f"FROM {base}\n")
    return at


def _base(folder: Path, name: str, number: int, every: int, made: Mapping[str, Artifact]) -> str:
    if name in CHILDREN:
        parents = {"s48": f"s{every:02}", "s49": "s48"}
        parent = made[parents.get(name, f"s{number - 45:02}")]
        return f"{parent.repository}:{promoted_tag(parent.service)}@{parent.digest}"
    base = BASES[0] if number % every == 0 else BASES[1 + number % 2]
    store = base_store(folder, base)
    return f"{store.repository}:{TAG}@{store.resolve(TAG)}"


def killed_after(folder: Path, done: int, at_once: int) -> None:
    """Rebuild here, until so many are done; then die as the kernel would have it."""
    threading.Thread(target=_die, args=(done,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        as_in_memory(patch, folder)
        from flows.rebuild import rebuild

        rebuild(at_once=at_once)


def _die(done: int) -> None:
    journal = platforms.journal()
    while sum(one.kind == EventKind.REBUILD_DONE for one in journal.events()) < done:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    killed_after(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
