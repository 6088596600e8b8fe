"""Who stands on whom: told from content, and from the digests that artifacts say they were baked on. Pure."""

from collections.abc import Mapping

Told = tuple[tuple[str, ...], frozenset[str], frozenset[str]]
"""Of one service: its artifact's layers (diff ids, lowest first), digests it ever made, digests it is baked on."""


def parents_of(services: Mapping[str, Told]) -> dict[str, frozenset[str]]:
    """For each service all others that its artifact stands on."""
    return {
        name: frozenset(
            other
            for other, (below, made, _) in services.items()
            if other != name and (_begins_with(layers, below) or made & named)
        )
        for name, (layers, _, named) in services.items()
    }


def _begins_with(layers: tuple[str, ...], below: tuple[str, ...]) -> bool:
    """By content: all of the other's layers are its lowest ones, and it has more."""
    return bool(below) and len(below) < len(layers) and layers[: len(below)] == below
