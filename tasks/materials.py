"""What goes into a bake, by digest: read by the bake, told by its provenance. Frozen values, nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Ingredient:
    """A Python package that went in. `sha256` (hex) is of the wheel that was used.

    Of a package that was baked before, and whose wheel is not at hand, it is known only if one hash was locked; else it
    is empty, and `locked` names the wheels that it may have been.
    """

    name: str
    version: str
    sha256: str = ""
    locked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Materials:
    """Everything that went into a bake. `base` is as in service.yaml (`scratch`, `name@sha256:…`).

    `files` are pairs of absolute path in the artifact and sha256 (hex), sorted. `interpreter` chose among the wheels.
    """

    base: str
    packages: tuple[Ingredient, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    interpreter: str = ""
