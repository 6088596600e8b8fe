"""What became of a rebuild, and of each service in it. Pure."""

from collections.abc import Iterable
from hashlib import sha256

from tasks.stale import Rebuilt


def outcome_of(before: str, now: str, error: str) -> tuple[Rebuilt, str]:
    """By the digest that users meet before and now, whatever was said in between: a run may have been killed after it had
    promoted. `error`: what ended the release, empty if nothing did."""
    if now and now != before:
        told = f"; but then: {error}" if error else ""
        return Rebuilt.PATCHED, f"{now[:19]} serves instead of {before[:19]}{told}"
    if error:
        return Rebuilt.FAILED, error
    return Rebuilt.UNCHANGED, "the same digest: nothing rolled"


def counted(done: Iterable[Rebuilt]) -> str:
    """`2 patched, 1 failed`; every kind is named."""
    listed = list(done)
    return ", ".join(f"{listed.count(kind)} {kind.value}" for kind in Rebuilt)


def share_of(seed: str) -> float:
    """A number from 0 to 1 that belongs to the seed: how much of the jitter this run waits."""
    return int.from_bytes(sha256(seed.encode()).digest()[:8], "big") / 2**64


def next_name(planned: Iterable[str], day: str) -> str:
    """`rebuild-2026-11-30`, and with a number if there was one that day already."""
    known = set(planned)
    names = (f"rebuild-{day}{f'-{n}' if n > 1 else ''}" for n in range(1, len(known) + 2))
    return next(name for name in names if name not in known)


def gone(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """Identifiers that were found before and are not now."""
    still = set(after)
    return tuple(sorted({one for one in before if one not in still}))
