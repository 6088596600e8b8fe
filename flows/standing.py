"""Standing: the release of a service that its users meet, and what it was baked on. Pure."""

from tasks.journal.rules import ReleaseState, State
from tasks.references import BaseUsed, follow


def standing(state: State, service: str) -> ReleaseState | None:
    """What is stable in the last of its environments that has anything: it came the whole way. None if nothing runs."""
    releases = [one for (owner, _), one in state.releases.items() if owner == service]
    newest = max(releases, key=lambda one: one.started_at, default=None)
    for place in reversed(newest.spec.environments if newest else ()):
        there = state.environments.get((service, place.name))
        if there and there.stable:
            return state.releases.get((service, there.stable.release))
    return None


def bases_in_force(state: State, service: str) -> dict[str, str]:
    """What its bakes stand on instead of what Git says: as a rebuild has followed it, once that was promoted and for as long
    as it was not taken back. Without this the next release of the same commit would silently return to the older base."""
    stands = standing(state, service)
    return follow(stands.bases) if stands else {}


def on_tags(used: tuple[BaseUsed, ...]) -> str:
    """For people: what it was baked on instead of what is written; empty if nothing was followed."""
    moved = [f"{one.place} is followed to {one.digest[:19]}" for one in used if one.was_followed]
    return ", ".join(moved)
