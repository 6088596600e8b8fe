"""Which services a push concerns, and whose repository it is."""

import pytest

from tasks.pushes import Forge, Push, PushedService, Repository, Secret
from tasks.receive.rules import concerned, is_of, matches_any, normal


def push(branch: str = "main", paths: set[str] | None = None, *addresses: str) -> Push:
    listed = None if paths is None else frozenset(paths)
    return Push("1", addresses, branch, "a" * 40, "ada", listed)


def repository(
    *services: PushedService, url: str = "https://git.example.org/a/b.git"
) -> Repository:
    return Repository(
        name="shop",
        url=url,
        forge=Forge.GENERIC,
        secret=Secret(variable="X"),
        services=services or (PushedService(service="cart"),),
    )


MONOREPO = repository(
    PushedService(service="cart", folder="cart"),
    PushedService(service="mail", folder="mail", paths=("mail/**", "lib/**", "!**/*.md")),
    PushedService(service="docs", branches=("main", "docs/*")),
)


@pytest.mark.parametrize(
    ("branch", "paths", "services"),
    [
        ("main", {"cart/a/b.py"}, ["cart", "docs"]),
        ("main", {"lib/x.py"}, ["mail", "docs"]),
        ("main", {"mail/README.md"}, ["docs"]),
        ("main", {"mail/README.md", "mail/x.py"}, ["mail", "docs"]),
        ("main", {"cartoon/a.py"}, ["docs"]),
        ("docs/new", {"cart/a.py"}, ["docs"]),
        ("docs/new/deep", {"cart/a.py"}, []),
        ("feature", {"cart/a.py"}, []),
        ("main", set(), []),
        ("main", None, ["cart", "mail", "docs"]),
    ],
)
def test_a_push_concerns_the_services_whose_branch_and_files_it_touches(
    branch: str, paths: set[str] | None, services: list[str]
) -> None:
    assert [one.service for one in concerned(push(branch, paths), MONOREPO)] == services


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "main", True),
        ("*", "a/b", False),
        ("**", "a/b", True),
        ("a/**", "a", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("**/c.py", "c.py", True),
        ("?.py", "/.py", False),
        ("a+(b)", "a+(b)", True),
        ("[ab]", "a", False),
    ],
)
def test_patterns_stay_within_a_folder_unless_they_say_so(
    pattern: str, text: str, fits: bool
) -> None:
    assert matches_any(text, [pattern]) is fits


def test_only_exclusions_leave_the_rest() -> None:
    assert matches_any("main", ["!wip/*"])
    assert not matches_any("wip/x", ["!wip/*"])


def test_one_repository_has_many_addresses() -> None:
    spoken = {
        "https://git.example.org/Team/Shop.git",
        "https://git.example.org:8443/team/shop/",
        "ssh://git@git.example.org:2222/team/shop.git",
        "git@git.example.org:team/shop.git",
    }
    assert {normal(one) for one in spoken} == {"git.example.org/team/shop"}


@pytest.mark.parametrize(
    "address",
    ["https://git.example.org/a/bb", "https://other.org/a/b", "git@git.example.org:b/a", "", "["],
)
def test_a_push_of_another_repository_is_not_of_ours(address: str) -> None:
    assert is_of(push("main", None, "x", "git@git.example.org:a/b"), repository())
    assert not is_of(push("main", None, address), repository())


def test_a_folder_of_this_machine_is_a_repository_too() -> None:
    ours = repository(url="/var/git/shop.git")
    assert is_of(push("main", None, "file:///var/git/shop.git"), ours)
    assert not is_of(push("main", None, "/var/git/other.git"), ours)
