"""Patching: what the patch lane changes of how an environment looks at a release that nobody wrote. Pure."""

from tasks.lanes import Lane, LaneKind
from tasks.policy import RebuildRule
from tasks.service import EnvironmentSpec


def as_patched(place: EnvironmentSpec, lane: Lane, rule: RebuildRule) -> EnvironmentSpec:
    """A patch soaks as long as the policy says; how many requests it must have answered stays as it is. Other lanes: as it
    stands in service.yaml."""
    if lane.kind is not LaneKind.PATCH:
        return place
    soak = place.observe.minimum_seconds * rule.soak_share
    return place.model_copy(
        update={"observe": place.observe.model_copy(update={"minimum_seconds": soak})}
    )
