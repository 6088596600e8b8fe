"""What is only for the eye delays nobody, and ends with the newest."""

import threading

from flows.beside import Beside


def test_a_drawing_that_hangs_delays_nobody_and_only_the_newest_follows_it() -> None:
    begun, hangs, drawn, beside = threading.Event(), threading.Event(), list[int](), Beside()

    def first() -> None:
        begun.set()
        hangs.wait(10)
        drawn.append(0)

    beside.draw(first)
    assert begun.wait(10)
    for number in (1, 2, 3):
        beside.draw(lambda number=number: drawn.append(number))  # type: ignore[misc]
    assert not beside.wait(0.05)
    assert drawn == [], "and yet everybody was back at once"
    hangs.set()
    assert beside.wait(10)
    assert drawn == [0, 3]


def test_after_all_is_drawn_it_draws_again() -> None:
    beside, drawn = Beside(), list[str]()
    assert beside.wait(0), "nothing was asked for"
    for word in ("one", "two"):
        beside.draw(lambda word=word: drawn.append(word))  # type: ignore[misc]
        assert beside.wait(10)
    assert drawn == ["one", "two"]


def test_a_drawing_that_fails_keeps_no_other_from_being_drawn() -> None:
    beside, drawn = Beside(), list[str]()

    def fails() -> None:
        raise KeyError("a fault of ours")

    beside.draw(fails)
    assert beside.wait(10)
    beside.draw(lambda: drawn.append("next"))
    assert beside.wait(10)
    assert drawn == ["next"]
