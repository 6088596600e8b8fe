"""What $BAKEWELL_MIRRORS may say, and which repositories it means."""

import pytest

from tasks.errors import InvalidInputError
from tasks.mirrors import Mirror, mirrors_of, parse_mirrors

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("mapping", "repository", "mirror"),
    [
        ("a.example=b.example", "a.example/team/hello", "b.example/team/hello"),
        ("a.example/team=b.example/x/copies", "a.example/team/hello", "b.example/x/copies/hello"),
        ("a.example/team/hello=b.example/copy", "a.example/team/hello", "b.example/copy"),
        ("a.example:5000=layout:/copies", "a.example:5000/hello", "layout:/copies/hello"),
        ("layout:/made=b.example/copies", "layout:/made/hello", "b.example/copies/hello"),
        ("[::1]:5000=127.0.0.1:5001", "[::1]:5000/hello", "127.0.0.1:5001/hello"),
        ("a.example=b.example", "a.example.org/hello", None),
        ("a.example/te=b.example", "a.example/team/hello", None),
        ("a.example=b.example", "layout:/a.example/hello", None),
    ],
)
def test_a_prefix_is_replaced_at_a_slash(mapping: str, repository: str, mirror: str | None) -> None:
    found = mirrors_of(repository, parse_mirrors(mapping))
    assert found == ((mirror,) if mirror else ())


def test_several_mirrors_are_read_in_the_order_in_which_they_are_named() -> None:
    text = "a.example=c.example, a.example/team=b.example/team ,a.example=c.example,b.example=a.example"
    found = mirrors_of("a.example/team/hello", parse_mirrors(text))
    assert found == ("c.example/team/hello", "b.example/team/hello")


def test_no_repository_is_its_own_mirror() -> None:
    mirror = Mirror("a.example/one", "a.example/one")
    assert mirrors_of("a.example/one/x", [mirror]) == ()


@pytest.mark.parametrize(
    "entry",
    [
        *("", "a.example", "a=b=c", "=b", "a=", "https://a=b", "a/b:tag=c", f"a/b@{DIGEST}=c"),
        *("a/=b", "a/Name=b", "layout:relative=b", "layout:/a/=b", "memory:a=b", "a=a", "a b=c"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(entry: str) -> None:
    with pytest.raises(InvalidInputError, match=r"BAKEWELL_MIRRORS names; entry 2 ") as refused:
        parse_mirrors(f"x.example=y.example,{entry}")
    assert "first=second" in str(refused.value) or "its own mirror" in str(refused.value)


def test_a_password_in_it_is_not_repeated() -> None:
    with pytest.raises(InvalidInputError, match="entry 1 is something with an `@`") as refused:
        parse_mirrors("a.example=user:hunter2@b.example")
    assert "hunter2" not in str(refused.value)
