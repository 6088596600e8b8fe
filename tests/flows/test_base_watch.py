"""Tags of bases are looked at now and then, so that what they stand for grows old enough to be followed."""

import os

from flows.base_watch import EVERY_SECONDS, watch_bases
from flows.facts import bases_known_since
from tasks import platforms
from tasks.journal.rules import EventKind
from tests.flows.test_rebuild import Ground, ground

__all__ = ["ground"]


def test_a_new_digest_is_journalled_once_and_the_registry_is_asked_seldom(ground: Ground) -> None:
    ground.on_base("watched")
    assert list(watch_bases()) == []
    moved = ground.move("second")
    assert list(watch_bases()) == []
    assert moved not in bases_known_since(), "it has looked a moment ago"
    hours_pass()
    assert list(watch_bases()) == []
    assert moved in bases_known_since()
    hours_pass()
    assert list(watch_bases()) == []
    kinds = [event.kind for event in platforms.journal().events()]
    assert kinds.count(EventKind.BASES_SEEN) == 2, "one for each digest"


def test_a_tag_that_is_gone_is_told(ground: Ground) -> None:
    ground.on_base("watched")
    (ground.folder.parent / "base" / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    (told,) = watch_bases()
    assert "has no tag '12'" in told


def hours_pass() -> None:
    mark = platforms.home() / "bases-looked-at"
    then = mark.stat().st_mtime - EVERY_SECONDS
    os.utime(mark, (then, then))
