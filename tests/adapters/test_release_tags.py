"""A release's tag for people: set once, and never in the way of another journal's releases in the same repository."""

from pathlib import Path

from tasks.adapters.layout import LayoutStore
from tasks.sign.actions import tag_release
from tests.support.images import ImageKind, image


def test_a_name_that_another_journal_has_used_stays_its_and_ours_says_which_digest(
    tmp_path: Path,
) -> None:
    store = LayoutStore(tmp_path / "shared")
    theirs, ours = image(store, ImageKind.CLEAN), image(store, ImageKind.LICENCE)
    assert tag_release.fn(theirs, "r1") == "hello-r1"
    for _ in range(2):  # a retry finds what it did
        assert tag_release.fn(ours, "r1") == f"hello-r1-{ours.short}"
    assert store.resolve("hello-r1") == theirs.digest
    assert store.resolve(f"hello-r1-{ours.short}") == ours.digest
