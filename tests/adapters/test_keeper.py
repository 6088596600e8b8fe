"""The keeper goes on, whatever a chore does."""

from collections.abc import Iterator

import pytest

from flows import keeper
from flows.keeper import keep
from tasks import platforms
from tasks.adapters.parts import forget_beat, silent_seconds
from tasks.errors import TransientError

DONE: list[str] = []


def broken() -> Iterator[str]:
    raise KeyError("a fault of ours")


def unlucky() -> Iterator[str]:
    raise TransientError("the journal does not answer")


def good() -> Iterator[str]:
    DONE.append("good")
    yield "put something right"


def test_one_broken_chore_costs_neither_the_others_nor_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    DONE.clear()
    here = __name__
    monkeypatch.setattr(
        keeper, "CHORES", (f"{here}:broken", f"{here}:missing", f"{here}:unlucky", f"{here}:good")
    )
    forget_beat(platforms.home(), "keeper")
    rounds = iter([False, True])
    keep(lambda seconds: next(rounds))
    assert DONE == ["good", "good"]
    assert silent_seconds(platforms.home(), "keeper") is not None
