"""The keeper goes on, whatever a chore does."""

import threading
from collections.abc import Iterator

import pytest

from flows import keeper
from flows.keeper import keep
from tasks import platforms
from tasks.adapters.parts import forget_beat, remark_of, silent_seconds
from tasks.errors import TransientError

DONE: list[str] = []


def broken() -> Iterator[str]:
    raise KeyError("a fault of ours")


def unlucky() -> Iterator[str]:
    raise TransientError("the journal does not answer")


def good() -> Iterator[str]:
    DONE.append("good")
    yield "put something right"


GO_ON = threading.Event()


def patient() -> Iterator[str]:
    """Waits for an instance that starts slowly."""
    DONE.append("begun")
    GO_ON.wait(10.0)
    yield "started"
    DONE.append("ended")


def test_a_chore_that_takes_long_is_done_beside_the_others_and_once_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    DONE.clear()
    GO_ON.clear()
    names = (f"{__name__}:patient", f"{__name__}:good")
    monkeypatch.setattr(keeper, "CHORES", names)
    monkeypatch.setattr(keeper, "PATIENT", names[:1])
    rounds = iter([False, False, True])

    def stopped(seconds: float) -> bool:
        if last := next(rounds):
            assert DONE.count("good") == 3, "nobody waited for it"
            assert DONE.count("begun") == 1
            GO_ON.set()
        return last

    keep(stopped)
    assert DONE[-1] == "ended", "what has begun may end"


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
    said = remark_of(platforms.home(), "keeper")
    assert "broken: KeyError: 'a fault of ours'" in said
    assert "the journal does not answer" not in said, "that passes by itself"


def test_what_somebody_has_to_mend_is_remarked_once_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "CHORES", ("flows.notifying:notify",))
    monkeypatch.setenv("BAKEWELL_NOTIFY", "/nowhere/notify.yaml")
    keep(lambda seconds: True)
    said = remark_of(platforms.home(), "keeper")
    assert said.startswith("could not notify: ")
    assert said.count("/nowhere/notify.yaml") == 1
    monkeypatch.delenv("BAKEWELL_NOTIFY")
    keep(lambda seconds: True)
    assert remark_of(platforms.home(), "keeper") == ""
