"""Layers put together as the OCI image specification says; and a difference told without what both images share."""

from hypothesis import given
from hypothesis import strategies as st

from flows.differences import file_changes
from tasks.contents import Layer, Member, MemberKind, shared, stands_alone, together


def file(path: str, content: str = "x", mode: int = 0o644) -> Member:
    return Member(path, MemberKind.FILE, mode, len(content), content)


def folder(path: str) -> Member:
    return Member(path, MemberKind.FOLDER, 0o755)


def gone(path: str) -> Member:
    return Member(path, MemberKind.WHITEOUT)


BASE: Layer = (folder("/a"), file("/a/one"), folder("/a/b"), file("/a/b/two"), file("/ab"))


def paths(*layers: Layer) -> list[str]:
    return sorted(together(layers))


def test_a_later_layer_wins() -> None:
    assert together([(file("/x", "old"),), (file("/x", "new"),)])["/x"].digest == "new"


def test_a_whiteout_hides_a_file_or_a_whole_folder_and_nothing_beside_it() -> None:
    assert paths(BASE, (gone("/a/one"),)) == ["/a", "/a/b", "/a/b/two", "/ab"]
    assert paths(BASE, (gone("/a"),)) == ["/ab"]


def test_an_opaque_folder_hides_what_was_below_and_not_what_its_layer_brings() -> None:
    opaque = (folder("/a"), Member("/a", MemberKind.OPAQUE), file("/a/new"))
    assert paths(BASE, opaque) == ["/a", "/a/new", "/ab"]


def test_a_file_in_place_of_a_folder_takes_all_of_it_away() -> None:
    assert paths(BASE, (file("/a"),)) == ["/a", "/ab"]
    assert paths((file("/a"),), (folder("/a"), file("/a/in"))) == ["/a", "/a/in"]


def test_a_hard_link_is_the_file_it_names() -> None:
    link = Member("/y", MemberKind.HARD_LINK, target="/x")
    found = together([(file("/x", "content"), link)])
    assert found["/y"] == file("/y", "content")
    assert together([(link,)])["/y"] == link, "what it names is not there"


def test_shared_layers_are_those_at_the_bottom() -> None:
    assert shared(["a", "b", "c"], ["a", "b", "d"]) == 2
    assert shared(["a"], ["a", "b"]) == 1
    assert shared(["b", "a"], ["a", "b"]) == 0
    assert shared([], []) == 0


names = st.sampled_from(["/a", "/a/one", "/a/b", "/a/b/two", "/ab", "/c", "/c/d"])
member = st.one_of(
    st.builds(file, names, st.sampled_from(["x", "y"])),
    st.builds(folder, names),
    st.builds(gone, names),
    st.builds(lambda path: Member(path, MemberKind.OPAQUE), names),
)


def _one_each(layer: list[Member]) -> Layer:
    return tuple({(one.path, one.kind is MemberKind.OPAQUE): one for one in layer}.values())


layers = st.lists(st.lists(member, max_size=4).map(_one_each), max_size=2)


@given(layers, layers, layers)
def test_what_is_told_without_the_shared_layers_is_what_is_told_with_them(
    below: list[Layer], before: list[Layer], after: list[Layer]
) -> None:
    whole = file_changes(together([*below, *before]), together([*below, *after]))
    if stands_alone(before, after):
        assert file_changes(together(before), together(after)) == whole


@given(layers, layers)
def test_layer_by_layer_is_the_same_as_all_at_once(first: list[Layer], then: list[Layer]) -> None:
    below = tuple(together(first).values())
    assert together([*first, *then]) == together([below, *then])
