"""Tags by which people filter, and links that lead to runs from whatever name the server is reached by."""

import pytest

from flows.labels import commit_of, run_link, tags_of, tags_with
from tasks.lanes import LaneKind
from tasks.model import Source
from tests.support.pages import HOSTILE, kinds, markdown
from tests.support.told import source

RUN = "602b7f39-afe8-4b44-a69a-acabd4540d07"


def test_a_run_is_found_by_service_environment_lane_and_commit() -> None:
    found = tags_of("shop", ["staging", "production"], source(10), LaneKind.HOTFIX)
    assert found == (
        "service:shop",
        "environment:staging",
        "environment:production",
        "lane:hotfix",
        "commit:aaaaaaaaaaaa",
    )


def test_what_is_not_known_is_no_tag() -> None:
    assert tags_of() == ()
    assert tags_of("shop", source=Source("shop", "", True)) == ("service:shop",)


def test_a_rollout_does_not_keep_the_other_environments_of_its_release() -> None:
    there = ["environment:staging", "bakewell", "environment:production", "push"]
    found = tags_with(there, tags_of("shop", ["production"]))
    assert found == ["service:shop", "environment:production", "bakewell", "push"]


@pytest.mark.parametrize(("dirty", "words"), [(False, "a" * 12), (True, f"{'a' * 12}-dirty")])
def test_a_commit_that_does_not_tell_what_was_baked_says_so(dirty: bool, words: str) -> None:
    assert commit_of(source(10, dirty)) == words


def test_a_link_leads_to_the_run_without_naming_a_host() -> None:
    (link,) = [one for one in markdown(run_link("release shop r1", RUN)) if one.type == "link_open"]
    assert link.attrs["href"] == f"/v2/runs/flow-run/{RUN}"


def test_what_no_run_has_done_is_named_and_leads_nowhere() -> None:
    assert run_link("release shop r1", "") == "release shop r1"


def test_nobody_can_put_a_link_of_theirs_into_its_words() -> None:
    assert kinds(run_link(HOSTILE, "")) <= {"paragraph_open", "paragraph_close", "inline", "text"}
    found = [
        one.attrs["href"] for one in markdown(run_link(HOSTILE, RUN)) if one.type == "link_open"
    ]
    assert found == [f"/v2/runs/flow-run/{RUN}"]
