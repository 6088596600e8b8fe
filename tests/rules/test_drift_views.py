"""What a look found, for people and machines: what, where, when, by whom, and what to do."""

import json
import re
from datetime import timedelta
from typing import Any, Final

from flows import drift_views
from flows.drifting import EnvironmentDrift, Outcome
from flows.status import _problems
from tasks.drift.remedy import Left
from tasks.inspection import Aspect, Cure, Drift, DriftKind, NotLooked
from tasks.journal.rules import EnvironmentState
from tasks.model import FleetSpec, FleetStatus
from tests.support.drifting import NOON, STABLE, drift
from tests.support.events import PROD
from tests.support.fleets import running
from tests.support.pages import HOSTILE, flat

TOUCHED: Final = Drift(
    DriftKind.TOUCHED, "r2", "r2-0", "EXECUTED", "a command was run in it: id", "nobody is", Cure.REPLACE,
    NOON, "ada",
)  # fmt: skip
FOREIGN: Final = Drift(
    DriftKind.FOREIGN, "", "", "miner", "miner (an image)", "only ours", Cure.PERSON, None, "", "remove it"
)  # fmt: skip


def place(outcome: Outcome = Outcome.DRIFTED, **more: Any) -> EnvironmentDrift:
    return EnvironmentDrift("hello", "prod", "docker", outcome, **more)


DRIFTED: Final = place(drift=(TOUCHED, FOREIGN))
WELL: Final = place(Outcome.AS_IT_SHOULD_BE, healed=(TOUCHED,))
BUSY: Final = place(Outcome.BUSY, words="being changed by a rollout")
UNSEEN: Final = place(Outcome.NOT_LOOKED, words="the engine does not answer")


def test_a_terminal_shows_what_where_when_by_whom_and_what_to_do() -> None:
    shown = flat(drift_views.drift_view([DRIFTED]))
    for words in (
        "hello prod has drifted",
        "r2-0: somebody was at an instance: a command was run in it: id",
        "since 2026-03-01 12:00:00 UTC, by ada",
        "`bakewell drift hello --heal`",
        "miner (an image)",
        "remove it",
    ):
        assert words in shown, words


def test_the_headline_never_calls_well_what_was_not_seen() -> None:
    assert drift_views.headline([DRIFTED, WELL, BUSY, UNSEEN]) == (
        "1 drifted, 1 could not be looked at, 1 being changed and 1 as it should be; 1 drift healed"
    )
    assert drift_views.headline([UNSEEN]) == "1 could not be looked at"
    assert drift_views.headline([]) == "nothing to look at"


def test_what_is_left_to_people_says_how_often_it_came_back_and_until_when() -> None:
    left = Left(TOUCHED, 3, NOON + timedelta(hours=1))
    shown = flat(drift_views.drift_view([place(drift=(TOUCHED,), left=(left,))]))
    assert "it came back after 3 heals, so it is left alone until 2026-03-01 13:00:00 UTC" in shown


def test_what_was_not_looked_at_is_told_once_for_all_it_is_about() -> None:
    blind = tuple(NotLooked(Aspect.IMAGES, "no store", name) for name in ("r2-1", "r2-0"))
    known = place(Outcome.AS_IT_SHOULD_BE, not_looked=blind, deeds_known_from=NOON)
    shown = flat(drift_views.drift_view([known]))
    assert "the images that its instances run (r2-0 and r2-1): no store" in shown
    assert shown.count("no store") == 1
    assert "known from 2026-03-01 12:00:00 UTC on" in shown


def test_markdown_has_lists_and_no_table_and_the_worst_first() -> None:
    page = drift_views.markdown([WELL, BUSY, UNSEEN, DRIFTED])
    assert "|" not in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert [line.partition(": ")[2] for line in headings] == [
        "has drifted",
        "could not be looked at",
        "is being changed",
        "as it should be",
    ]
    assert "    - since: 2026-03-01 12:00:00 UTC; by: ada" in page
    assert "    - since: not known; by: not known" in page


def test_what_a_stranger_called_itself_is_no_markup() -> None:
    evil = drift(HOSTILE)
    page = drift_views.markdown([place(drift=(evil,))])
    assert "<script" not in page
    assert re.search(r"(?<!\\)\]\(", page) is None


def test_json_tells_everything_by_stable_names() -> None:
    (found,) = json.loads(json.dumps(drift_views.drift_json([DRIFTED])))
    first, second = found["drift"]
    assert (first["kind"], first["instance"], first["who"]) == (
        "somebody was at an instance",
        "r2-0",
        "ada",
    )
    assert first["since"] == "2026-03-01T12:00:00+00:00"
    assert (second["since"], second["who"], second["advice"]) == (None, None, "remove it")
    assert (found["outcome"], found["healed"], found["left"]) == ("has drifted", [], [])


def test_nothing_that_could_have_drifted_is_said_to_be_so() -> None:
    assert flat(drift_views.drift_view([])) == drift_views.NOWHERE
    assert drift_views.drift_json([]) == []


def test_an_environment_in_a_sentence_tells_its_drift_its_heals_and_its_trouble() -> None:
    told = drift_views.place_words(
        place(drift=(FOREIGN,), healed=(TOUCHED,), words="could not be healed: no")
    )
    assert told.startswith("has drifted: somebody else is in the network: miner")
    assert "healed: r2-0: somebody was at an instance" in told
    assert told.endswith("could not be healed: no")


def test_status_tells_the_drift_that_stands_and_that_it_does_not_see_itself() -> None:
    healthy = FleetStatus((running(STABLE),), "http://127.0.0.1:8080")
    gone = drift("Env", instance="r2-7")
    seen_anyway = drift("x", Cure.CONVERGE)
    state = EnvironmentState(PROD, drift=(TOUCHED, FOREIGN, gone, seen_anyway))
    told = list(_problems(state, FleetSpec((STABLE,)), healthy, None))
    assert [one.partition(": ")[0] for one in told] == ["drift", "drift"]
    assert "id" in told[0]
    assert told[0].endswith("`bakewell drift --heal` replaces it")
    assert told[1].endswith("remove it")
