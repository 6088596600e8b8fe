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
    """Everything that went into a bake. `base` is as in service.yaml or the Dockerfile (`scratch`, `name@sha256:…`).

    `files` are pairs of path and sha256 (hex), sorted: absolute paths in the artifact, or relative ones in the context of a
    Dockerfile. `interpreter` chose among the wheels. `images`: what else a Dockerfile copies from or runs in, by digest.
    `builder`: who built it, as pairs of name and version; empty where it was built before.
    """

    base: str
    packages: tuple[Ingredient, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    interpreter: str = ""
    images: tuple[str, ...] = ()
    builder: tuple[tuple[str, str], ...] = ()

    @property
    def bases(self) -> tuple[str, ...]:
        """Digests of all images that went in, each once."""
        named = [one.rpartition("@") for one in (self.base, *self.images)]
        return tuple(dict.fromkeys(digest for _, at, digest in named if at))
