"""The release report: whoever reads it knows what came of it, why, and how to go back; nothing in it can forge it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import JsonValue

from flows.chain import Chain
from flows.links import Link, links
from flows.report import EvidenceSummary, release_report
from flows.story import Tone
from tasks.errors import NotFoundError
from tasks.evidence import Severity
from tasks.journal.events import (
    Approved,
    Bypassed,
    Deployed,
    Promoted,
    ReleaseFinished,
    RolledBack,
    RolloutStarted,
    Sampled,
    Scaled,
    StepStarted,
    VerdictGiven,
    WentDown,
    Withdrawn,
)
from tasks.journal.rules import fold
from tasks.model import Environment, Judgement, Verdict
from tests.support.chains import CHAIN, scanned, vulnerability
from tests.support.events import step
from tests.support.pages import HOSTILE, images, kinds, plain, row_widths
from tests.support.rollouts import LATE, seen, unseen
from tests.support.told import BEGIN, Told, artifact, three_releases

GOOD = EvidenceSummary(True, "no findings, 12 h old", links(CHAIN))


def of(chain: Chain) -> EvidenceSummary:
    return replace(GOOD, links=links(chain))


def report(told: Told, release: str = "r3", evidence: EvidenceSummary | None = GOOD) -> str:
    return release_report(fold(told.events), told.events, "hello", release, evidence)


def chapter(page: str, title: str) -> str:
    (found,) = [part for part in page.split("\n## ") if part.startswith(title)]
    return found


def begun(release: str = "r3") -> Told:
    """A rollout of r3 into production, where r2 serves, that is in its first step."""
    told = Told()
    told.start(2)
    told.roll_out(2, "production")
    told.tell("r2", ReleaseFinished("promoted in production"))
    told.start(int(release[1:]))
    place = Environment("hello", "production", "process", 8080)
    told.tell(release, RolloutStarted(place, artifact(3), 2, ""), "production")
    told.tell(release, StepStarted(0, step(2, 3)), "production")
    told.wait(4)
    return told


def test_a_rolled_back_release_says_so_first_with_place_time_and_reason() -> None:
    page = report(three_releases())
    assert page.splitlines()[0] == "# hello r3: rolled back"
    assert page.splitlines()[2].startswith("**hello r3 was rolled back in production after 8.6 s:")
    assert "requests failed" in page.splitlines()[2]


def test_what_changed_names_both_releases_sources_and_artifacts() -> None:
    changed = chapter(report(three_releases()), "What changed")
    for words in ("| r2 | r3 |", "hello@222222222222", "hello@333333333333", "sha256:" + "3" * 64):
        assert words in changed
    assert "not committed" in changed, "the tree was dirty"


def test_users_verdicts_and_steps_are_told_in_order_with_their_numbers() -> None:
    page = chapter(report(three_releases()), "production: rolled back after 8.6 s")
    places = [
        page.index(words) for words in ("What users saw", "The evidence", "Verdicts", "Steps")
    ]
    assert places == sorted(places)
    words = plain(page)
    for expected in ("r2 (old)", "r3 (new)", "r3-baseline (old, freshly started)", "roll back"):
        assert expected in words
    assert "✗ **roll back** | 183 | 38 (20.8 %) | 1 %" in page
    assert "r2 60 %, r3 10 %, r3-baseline 30 %" in words


def test_both_environments_have_a_chapter_in_the_order_of_the_release() -> None:
    page = report(three_releases())
    assert page.index("## staging: promoted") < page.index("## production: rolled back")
    pictures = images(page)
    assert len(pictures) == 4, "who answered, and the evidence, of each"
    assert "of its 183 requests 20.8 % failed" in pictures[2][1]


def test_every_row_of_every_table_is_whole() -> None:
    assert all(len(widths) == 1 for widths in row_widths(report(three_releases())))


def test_what_next_says_who_serves_and_how_to_go_back() -> None:
    following = chapter(report(three_releases()), "What next")
    assert "**staging**: users are served by it. To go back: `bakewell rollback hello staging`" in (
        following
    )
    assert "r2 is warm" in following
    assert "**production**: users are served by r2, as before." in following
    assert "release again" in following


def test_the_first_release_has_nothing_before_it_and_nothing_to_go_back_to() -> None:
    told = Told()
    told.start(1)
    told.roll_out(1, "production")
    told.tell("r1", ReleaseFinished("promoted in production"))
    page = report(told, "r1")
    assert page.startswith("# hello r1: promoted\n\n**hello r1 was promoted in production in")
    assert "nothing ran before" in page
    assert "No traffic was observed during this rollout." in page
    assert "there is nothing older to go back to" in page
    assert images(page) == []


def test_a_release_on_its_way_says_which_step_it_is_at() -> None:
    page = report(begun())
    assert "**hello r3 is on its way into production: 10 %.**" in page
    assert "# hello r3: not finished" in page
    assert "goes on since 4 s" not in page, "its newest event is its first step"
    assert "`bakewell status hello` shows how far it is" in page


def test_a_release_between_two_environments_says_what_is_done() -> None:
    told = begun()
    told.tell("r3", Promoted(Deployed("r3", artifact(3), 2, told.now), None), "production")
    assert "hello r3 is not finished; promoted so far: production." in report(told)
    fresh = Told()
    fresh.start(1)
    assert "promoted so far: nowhere." in report(fresh, "r1")


def test_a_crash_withdraws_and_is_no_verdict_on_the_artifact() -> None:
    told = begun()
    told.tell("r3", Withdrawn(None, "its process died"), "production")
    told.tell("r3", ReleaseFinished("stopped: its process died"))
    page = report(told)
    assert page.startswith("# hello r3: withdrawn")
    assert "was withdrawn in production after 4 s: its process died." in page
    assert "rolled back" not in plain(chapter(page, "production"))


def test_a_stop_after_a_promotion_is_told_once() -> None:
    told = begun()
    told.tell("r3", Promoted(Deployed("r3", artifact(3), 2, told.now), None), "production")
    told.tell("r3", ReleaseFinished("stopped: nobody approved it"))
    page = report(told)
    assert page.startswith("# hello r3: stopped")
    assert "promoted in production in 4 s; then it stopped: nobody approved it." in page


def test_a_stop_in_the_middle_of_the_first_rollout_promoted_nothing() -> None:
    told = begun()
    told.tell("r3", ReleaseFinished("stopped: the journal was full"))
    assert "**hello r3 was promoted nowhere: the journal was full.**" in report(told)


def test_a_release_that_was_refused_before_any_rollout_rolled_nothing() -> None:
    told = Told()
    told.start(1)
    told.tell("r1", ReleaseFinished("stopped: 3 findings of severity CRITICAL"))
    page = report(told, "r1")
    assert page.startswith("# hello r1: stopped")
    assert "rolled nothing: stopped: 3 findings" in page
    assert "what ran before runs on" in page


def test_what_was_rolled_back_later_says_so_before_anything_else() -> None:
    told = three_releases()
    back = Deployed("r1", artifact(1), 2, told.now)
    told.tell("r2", RolledBack(back, "customers [complain](http://evil)", "ann"), "production")
    page = report(told, "r2")
    assert page.index("**Later**") < page.index("## What changed")
    assert "production was rolled back to r1 by ann" in page
    assert "link_open" not in kinds(page)
    assert "**Later**" not in report(told, "r3"), "it did not serve there"
    assert "users are served by r1" in page


def test_whoever_serves_since_is_not_told_as_before() -> None:
    told = three_releases()
    told.start(4)
    told.roll_out(4, "production", 2)
    following = chapter(report(told), "What next")
    assert "**production**: users are served by r4." in following


def test_a_place_that_was_taken_down_says_so() -> None:
    told = three_releases()
    told.tell("", WentDown(), "production")
    assert "**production**: was taken down since." in report(told)


def test_approvals_bypasses_and_scalings_are_told_with_who_and_why() -> None:
    told = begun()
    told.tell("r3", Approved("ann", "it is time", "command line"), "production")
    told.tell("r3", Bypassed("burn", "it burns", "this mends it", "bob"), "production")
    told.tell("r3", Scaled(5), "production")
    words = plain(report(told))
    assert "Approved for production by ann (command line)" in words
    assert "the burn of production said no (it burns); bob went on: this mends it" in words
    assert "Scaled to 5 instances in production" in words


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (None, "Not looked up for this report"),
        (GOOD, "2 packages by its SBOM"),
        (GOOD, "https://git.example/team/hello.git @ 4b5076f113d5, clean; baked on 2026-03-01"),
        (GOOD, "staging: promote (r3"),
        (replace(GOOD, scanned=False, scan="no database"), "Nobody knows which vulnerabilities"),
        (of(replace(CHAIN, signatures=())), "NOT SIGNED"),
        (of(replace(CHAIN, packages=())), "recognised nothing in it"),
        (of(replace(CHAIN, origins=())), "not known: it has no provenance"),
        (of(scanned(vulnerability(1, Severity.HIGH))), "vulnerabilities: 1 HIGH; worst: CVE"),
        (None, "Not looked up"),
    ],
)
def test_evidence_that_is_missing_is_never_told_as_good(
    evidence: EvidenceSummary | None, words: str
) -> None:
    assert words in plain(chapter(report(three_releases(), evidence=evidence), "Evidence"))


def test_nothing_that_others_wrote_can_forge_a_report() -> None:
    told = begun()
    told.tell("r3", Approved(HOSTILE, HOSTILE, HOSTILE), "production")
    told.tell("r3", Bypassed(HOSTILE, HOSTILE, HOSTILE, HOSTILE), "production")
    told.tell("r3", Sampled(unseen(1, HOSTILE)), "production")
    told.tell("r3", VerdictGiven(Judgement(Verdict.ROLL_BACK, HOSTILE)), "production")
    told.tell("r3", Withdrawn(Verdict.ROLL_BACK, HOSTILE), "production")
    told.tell("r3", ReleaseFinished(HOSTILE))
    back = Deployed("r1", artifact(1), 2, told.now)
    told.tell("r3", RolledBack(back, HOSTILE, HOSTILE), "production")
    evil = EvidenceSummary(
        True, HOSTILE, tuple(Link(HOSTILE, tone, HOSTILE, (HOSTILE,)) for tone in Tone)
    )
    page = report(told, evidence=evil)
    assert not kinds(page) & {"html_block", "html_inline", "link_open", "em_open", "hr"}
    assert {source[:14] for source, _ in images(page)} == {"data:image/svg"}
    assert [line for line in page.splitlines() if line.lstrip().startswith("# ")] == [
        page.splitlines()[0]
    ]
    assert all(len(widths) == 1 for widths in row_widths(page))
    assert "\x1b" not in page
    assert "\x00" not in page


def test_a_rollout_in_which_nobody_asked_anything_has_no_empty_table() -> None:
    told = begun()
    told.tell("r3", Sampled(seen(3, r2=(0, 0), r3=(0, 0))), "production")
    page = chapter(report(told), "production")
    assert "What users saw" not in page
    assert "it was not seen to answer any request" in images(page)[0][1]


def test_latency_above_the_last_bound_is_told_as_above_it() -> None:
    told = begun()
    sample = seen(3, r3=(9, 0))
    slow = replace(sample, instances=(replace(sample.instances[0], latency=LATE),))
    told.tell("r3", Sampled(slow), "production")
    assert "| r3 (new) | 9 | 0 (0 %) | > 100 ms | > 100 ms | > 100 ms |" in report(told)


def test_verdicts_without_numbers_leave_cells_empty() -> None:
    told = begun()
    odd: dict[str, JsonValue] = {
        "requests": True,
        "failures": "many",
        "failure_share_allowed": None,
    }
    told.tell("r3", VerdictGiven(Judgement(Verdict.INCONCLUSIVE, "blind", odd)), "production")
    assert "| 4 s | 10 % | ? **inconclusive** |  |  |  |  |" in report(told)


def test_the_report_of_a_release_nobody_knows_says_where_to_look() -> None:
    with pytest.raises(NotFoundError, match=r"does not know that release.*bakewell history hello"):
        report(three_releases(), "r9")


def test_a_report_can_be_written_at_every_moment_of_a_release() -> None:
    """Prefixes of the journal, from the release's first line on."""
    told = three_releases()
    first = next(place for place, one in enumerate(told.events) if one.release == "r3")
    for length in range(first + 1, len(told.events) + 1, 4):
        page = report(Told(BEGIN + timedelta(1), told.events[:length]))
        assert page.startswith("# hello r3: ")
        assert page.count("## What next") == 1
