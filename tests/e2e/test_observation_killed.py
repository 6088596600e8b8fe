"""A rollout is killed in the middle of its observation, and released again: what was seen still counts, and counts once."""

import os
import signal
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from flows.course import Course, courses
from flows.load import LoadGenerator, LoadSummary
from flows.retelling import looks
from tasks.adapters.journal import SqlJournal
from tasks.journal.rules import Sampled, VerdictGiven, body_of, fold
from tasks.model import Sample, Verdict
from tests.e2e.conftest import QUICK, Bakewell, MakeService, Service

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(300)]
RATE = 100
SAMPLES_BEFORE_THE_KILL = 6


def only_production(spec: Any) -> None:
    spec["environments"] = [spec["environments"][-1]]
    spec["environments"][0].update(
        strategy={"kind": "canary", "weights": [20], "replicas": 1, "baseline": 2},
        observe={
            **QUICK,
            "interval_seconds": 0.5,
            "batch_seconds": 1.0,
            "warm_up_seconds": 1.0,
            "minimum_seconds": 6.0,
            "deadline_seconds": 60.0,
        },
    )


def test_what_a_killed_observation_saw_still_counts_and_counts_once(
    bakewell: Bakewell, make_service: MakeService
) -> None:
    service = make_service("kept")
    service.edit(only_production)
    assert bakewell("release", service.folder).code == 0
    endpoint = bakewell("status", service.name, "--json").json[-1]["endpoint"]
    with LoadGenerator(endpoint, RATE) as load:
        service.version(2)
        kill_while_it_observes(bakewell, service)
        again = bakewell("release", service.folder)
        seen = load.stop()
    assert again.code == 0, again.err
    assert "samples of an interrupted try still count" in again.err
    first, second = tries(bakewell, service)
    assert first.seen
    assert second.earlier == first.samples
    every_sample_counts_once([*first.seen, *second.seen], seen)
    fresh_instances_begin_anew(first, second)
    a_replay_of_the_journal_comes_to_the_same(bakewell, service, second)
    assert bakewell("verify-journal").code == 0
    assert (seen.failures, seen.errors) == (0, 0), "no user noticed"
    assert bakewell("down", service.name).code == 0


def journal_of(bakewell: Bakewell) -> SqlJournal:
    return SqlJournal(f"sqlite:///{bakewell.home / 'journal.db'}")


def tries(bakewell: Bakewell, service: Service) -> tuple[Course, ...]:
    return courses(journal_of(bakewell).events(service.name), service.name, "r2")


def kill_while_it_observes(bakewell: Bakewell, service: Service) -> None:
    """SIGKILL the whole process group once it has journalled some samples: no handler, hook or `finally` runs."""
    process = bakewell.start("release", service.folder)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = journal_of(bakewell).events(service.name)
        if sum(isinstance(body_of(one), Sampled) for one in found) >= SAMPLES_BEFORE_THE_KILL:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it was not observing any more:\n{out}\n{err}"


def every_sample_counts_once(samples: list[Sample], seen: LoadSummary) -> None:
    """The times they cover do not overlap, and in these users asked as often as was counted."""
    for one, following in pairwise(samples):
        assert following.at - timedelta(seconds=following.seconds) >= one.at
    counted = sum(found.requests for one in samples for found in one.instances)
    seconds = sum(one.seconds for one in samples)
    assert counted == pytest.approx(RATE * seconds, rel=0.1)
    assert counted < seen.requests


def fresh_instances_begin_anew(first: Course, second: Course) -> None:
    """The canary of the second try is another process: nobody takes it for one that has warmed up already."""
    names = [
        {found.instance for one in each.seen for found in one.instances if found.group == "r2"}
        for each in (first, second)
    ]
    assert all(names)
    assert not names[0] & names[1]


def a_replay_of_the_journal_comes_to_the_same(
    bakewell: Bakewell, service: Service, course: Course
) -> None:
    events = list(journal_of(bakewell).events(service.name))
    spec = fold(events).releases[service.name, "r2"].spec
    given = [
        body.judgement
        for one in events
        if isinstance(body := body_of(one), VerdictGiven) and one.release == "r2"
    ]
    told = looks(course, spec)[-1].judgement
    assert told == given[-1]
    assert told.verdict is Verdict.PROMOTE
