"""The recipe of files: base + files + locked Python packages, packed without executing anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters import wheels
from tasks.adapters.bring import bring_blob
from tasks.bake import rules
from tasks.bake.base import base_used, read_base
from tasks.bake.kitchen import Dish, Kitchen
from tasks.bake.layers import pack
from tasks.bake.lock import LockedPackage, locked_packages
from tasks.bake.tree import read_files, read_tree
from tasks.errors import InvalidInputError
from tasks.materials import Ingredient, Materials
from tasks.recipes import Bake
from tasks.references import BaseUsed, at_digest, by_digest
from tasks.service import ServiceSpec


@dataclass(frozen=True)
class Assembly:
    """The inputs of one bake, read and hashed; nothing was written yet. `recipe` names the base that is really used."""

    spec: ServiceSpec
    recipe: Bake
    folder: Path
    entries: tuple[rules.Entry, ...]
    packages: tuple[LockedPackage, ...]
    key: str
    bases: tuple[BaseUsed, ...]

    @property
    def summary(self) -> str:
        return f"files: {len(self.entries)}, packages: {len(self.packages)}, key {self.key[:12]}"

    def make(self, kitchen: Kitchen) -> Dish:
        """Fetch, pack and store."""
        store, work = kitchen.store, kitchen.work
        base, base_store = read_base(self.recipe.base, self.folder, kitchen.open_store)
        layers = self._pack_all(kitchen)
        if base_store is not None:
            for layer in base.layers:
                kitchen.say(f"base layer {layer.digest}, {layer.size} bytes")
                bring_blob(layer.digest, base_store, store, work)
        kitchen.put(layers)
        run = rules.run_configuration(self.spec, self.key)
        return Dish(
            kitchen.serve(base, rules.image_configuration(base, run, layers), layers, self.key)
        )

    def _pack_all(self, kitchen: Kitchen) -> list[rules.Layer]:
        """Packages before files: they change less often, so versions of a service share that layer."""
        work, scratch, layers = kitchen.work, self.recipe.base == rules.SCRATCH, []
        if self.packages:
            told = ", ".join(f"{one.name} {one.version}" for one in self.packages)
            kitchen.say(f"fetching {told}")
            wheels.unpack(wheels.fetch(self.packages, kitchen.cache / "wheels"), work / "unpacked")
            entries = read_tree(work / "unpacked", self.recipe.packages)
            complete = rules.with_parents(entries) if scratch else entries
            layers.append(pack("packages", complete, work / "packages"))
        entries = self.entries
        if scratch:
            entries = rules.with_parents([*entries, rules.tmp_folder()])
        layers.append(pack("files", entries, work / "files"))
        return layers

    def materials(self, cache: Path) -> Materials:
        """After the bake: the wheels that were used are in the cache then."""
        return Materials(
            by_digest(self.recipe.base),
            tuple(_ingredient(one, cache) for one in self.packages),
            tuple(
                (f"/{one.path}", one.content)
                for one in rules.distinct(self.entries)
                if one.kind is rules.EntryKind.FILE
            ),
            wheels.interpreter() if self.packages else "",
        )


def read_assembly(
    spec: ServiceSpec, recipe: Bake, folder: Path, followed: Mapping[str, str]
) -> Assembly:
    """What is wrong with the inputs is refused here. On a followed base the key is the one that naming it would give."""
    written = recipe.base
    recipe = recipe.model_copy(update={"base": at_digest(written, followed)})
    spec = spec.model_copy(update={"bake": recipe})
    used = base_used(written, recipe.base.rpartition("@")[2], folder)
    entries = read_files(folder, recipe.files)
    packages = _locked(folder, recipe.requirements)
    key = rules.content_key(spec, entries, packages, wheels.interpreter())
    return Assembly(spec, recipe, folder, entries, packages, key, (used,) if used else ())


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


def _ingredient(package: LockedPackage, cache: Path) -> Ingredient:
    """Of inputs that were baked before, elsewhere, the wheel is known only if no other was allowed."""
    locked = tuple(sorted(package.sha256))
    sha256 = wheels.chosen(package, cache / "wheels") or (locked[0] if len(locked) == 1 else "")
    return Ingredient(package.name, package.version, sha256, () if sha256 else locked)
