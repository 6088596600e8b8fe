"""Waves of service.yaml: neighbours that are rolled out at the same time."""

import pytest
from pydantic import ValidationError

from tasks.service import ServiceSpec
from tests.support.events import SPEC


def with_waves(*waves: str | None) -> ServiceSpec:
    places = [
        {"name": f"e{number}", "platform": "memory", "wave": wave}
        for number, wave in enumerate(waves)
    ]
    return ServiceSpec.model_validate(SPEC.model_dump() | {"environments": places})


def names(spec: ServiceSpec) -> list[list[str]]:
    return [[one.name for one in wave] for wave in spec.waves]


def test_neighbours_of_the_same_wave_go_together_and_everybody_else_alone() -> None:
    spec = with_waves(None, "first", "first", None, "second", "third", "third")
    assert names(spec) == [["e0"], ["e1", "e2"], ["e3"], ["e4"], ["e5", "e6"]]
    assert [one.name for one in spec.before("e6")] == ["e0", "e1", "e2", "e3", "e4"]
    assert names(with_waves(None, None)) == [["e0"], ["e1"]]


@pytest.mark.parametrize("waves", [("a", None, "a"), ("a", "b", "a")])
def test_a_wave_that_is_torn_apart_is_refused_with_the_place(waves: tuple[str | None, ...]) -> None:
    with pytest.raises(
        ValidationError, match=r"environments\.2\.wave: another wave stands between"
    ):
        with_waves(*waves)
