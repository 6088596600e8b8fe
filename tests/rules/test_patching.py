"""What the patch lane changes, and what not."""

from flows.patching import as_patched
from tasks.lanes import NORMAL_LANE, Lane, LaneKind
from tasks.policy import RebuildRule
from tasks.service import EnvironmentSpec, Observe

PLACE = EnvironmentSpec(
    name="production", platform="memory", observe=Observe(minimum_seconds=60, minimum_requests=500)
)
HALF = RebuildRule(soak_share=0.5)


def test_a_patch_soaks_as_long_as_the_policy_says_and_must_have_answered_as_much() -> None:
    patched = as_patched(PLACE, Lane(LaneKind.PATCH, "rebuild-1"), HALF)
    assert patched.observe == Observe(minimum_seconds=30, minimum_requests=500)


def test_what_somebody_wrote_soaks_as_service_yaml_says() -> None:
    assert as_patched(PLACE, NORMAL_LANE, HALF) == PLACE
    assert as_patched(PLACE, Lane(LaneKind.HOTFIX, "it burns"), HALF) == PLACE
