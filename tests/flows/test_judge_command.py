"""Asking the judge: why it decided, what it would have said, how often it is wrong, and what it will see."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from flows import calibration
from flows.command import Exit, run
from flows.stopped import StoppedError
from tasks.adapters.memory_traffic import Behaviour
from tasks.journal.events import VerdictGiven
from tests.flows.scene import QUICK, Scene
from tests.flows.test_release_flow import PAGE, artifact_of

Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """What a command prints: JSON if it was asked for, else words in one line."""

    def answer(*arguments: str, code: Exit = Exit.DONE) -> Any:
        capsys.readouterr()
        assert run(arguments) == code
        told = capsys.readouterr()
        if "--json" in arguments and code is Exit.DONE:
            return json.loads(told.out)
        return " ".join((told.out + told.err).split())

    return answer


@pytest.fixture
def told(scene: Scene) -> Scene:
    """A first release, a good second one, and a bad third one that was rolled back."""
    scene.edit(strategy={"kind": "canary", "weights": [20], "baseline": 3})
    scene.release()
    scene.write("2")
    scene.release()
    scene.write("3", Behaviour(failure_share=0.3, pages=PAGE))
    with pytest.raises(StoppedError, match="roll back"):
        scene.release()
    return scene


def test_the_explanation_ends_with_the_verdict_that_was_given_and_its_numbers(
    told: Scene, ask: Ask
) -> None:
    (rollout,) = ask("explain", told.name, "r3", "--json")
    given = told.told(VerdictGiven)[-1].judgement
    last = rollout["looks"][-1]
    assert (last["verdict"], last["reason"]) == (given.verdict.value, given.reason)
    seen = {
        key: one
        for key, one in given.numbers.items()
        if key.split("_")[0] not in ("elapsed", "blind")
    }
    assert {key: last["numbers"][key] for key in seen} == seen
    words = ask("explain", told.name, "r3")
    for expected in ("rolled back", "errors", "100:1", "r3-baseline", "instance"):
        assert expected in words


def test_the_report_shows_the_evidence_as_a_picture(told: Scene, prefect_api: str) -> None:
    report = artifact_of(prefect_api, f"{told.name}-r3")["data"]
    found = re.search(r"!\[the evidence[^]]*\]\(data:image/svg\+xml;base64,([^)]+)\)", report)
    assert found
    words = "".join(ElementTree.fromstring(base64.b64decode(found[1])).itertext())
    for expected in ("errors", "roll back", "promoted below", "percentage points"):
        assert expected in words


def test_a_replay_says_what_was_given_then(told: Scene, ask: Ask) -> None:
    words = ask("judge", "replay", told.name, "r3")
    assert "roll back: errors" in words
    assert "given then: roll back" in words


def test_the_placebo_leaves_out_canaries_and_what_it_measured_is_used(
    told: Scene, ask: Ask
) -> None:
    found = ask("judge", "placebo", told.name, "production", "--json")
    assert found["false_alarms"] == 0
    assert found["runs"] >= 8, "two rollouts, two stable and three baseline instances in each"
    assert calibration.measured_burst(told.here) is None
    words = ask("judge", "placebo", told.name, "production", "--store")
    assert "stored: the judge uses it" in words
    assert calibration.measured_burst(told.here) == found["burst"]


def test_the_forecast_knows_traffic_and_latency_of_the_last_rollout(told: Scene, ask: Ask) -> None:
    (here,) = ask("judge", "forecast", told.name, "--json").values()
    assert here["20 % errors"]["share"] > 0
    assert "10 % longer answers" in here
    more = ask("judge", "forecast", told.name, "--rate", "5000", "--json")["production"]
    assert more["1 % errors"]["median_seconds"] <= QUICK["deadline_seconds"]
    assert "in about" in ask("judge", "forecast", told.name)


def test_questions_that_have_no_answer_say_why(scene: Scene, ask: Ask) -> None:
    assert "was ever released" in ask("judge", "forecast", scene.name, code=Exit.BAD_INPUT)
    scene.release()
    assert "give it by --rate" in ask("judge", "forecast", scene.name, code=Exit.BAD_INPUT)
    assert "no environment 'moon'" in ask(
        "judge", "placebo", scene.name, "moon", code=Exit.BAD_INPUT
    )
    nothing = ask("judge", "placebo", scene.name, "production", code=Exit.BAD_INPUT)
    assert "nothing was observed" in nothing
    assert "knows no release 'r9'" in ask("explain", scene.name, "r9", code=Exit.BAD_INPUT)
    assert "no traffic was observed" in ask("explain", scene.name, "r1")
