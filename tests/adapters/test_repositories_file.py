"""The file of repositories is read as it is now, or refused with every mistake and its line; secrets are only named there."""

from pathlib import Path
from typing import Final

import jsonschema
import pytest

from tasks.adapters.repositories_file import (
    SHIPPED,
    read_repositories,
    read_secret,
    repository_named,
)
from tasks.adapters.settings_schema import schema_of
from tasks.adapters.yaml_places import read_yaml
from tasks.errors import InvalidInputError, NotFoundError
from tasks.pushes import Repositories, Secret

SHOP: Final = """\
repositories:
  - name: shop
    url: https://git.example.org/shop.git
    forge: github
    secret: {variable: SHOP_SECRET}
    services:
      - service: cart
        folder: cart
"""


def mistakes(folder: Path, text: str) -> str:
    (folder / "r.yaml").write_text(text)
    with pytest.raises(InvalidInputError) as refused:
        read_repositories(folder / "r.yaml")
    return str(refused.value)


def test_the_shipped_file_listens_to_nobody_and_its_example_is_right(tmp_path: Path) -> None:
    assert read_repositories(SHIPPED).repositories == ()
    lines = SHIPPED.read_text().splitlines()
    example = [line[2:] for line in lines if line.startswith(("#  ", "# repositories:"))]
    (tmp_path / "r.yaml").write_text("\n".join(example))
    (found,) = read_repositories(tmp_path / "r.yaml").repositories
    assert found.services[0].branches == ("main", "release/*")
    document = read_yaml("\n".join(example).encode()).value
    jsonschema.Draft202012Validator(schema_of(Repositories)).validate(document)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("forge: github", "forge: sourceforge", "4:12: repositories[0].forge: found 'sourceforge'"),
        ("https://git", "https://me:pw@git", "3:10: repositories[0].url"),
        ("https://git.example.org/shop.git", "ext::sh", "3:10: repositories[0].url"),
        ("{variable: SHOP_SECRET}", "hunter2", "may be secret"),
        ("{variable: SHOP_SECRET}", "{variable: A, file: /b}", "either `variable` or `file`"),
        ("{variable: SHOP_SECRET}", "{}", "either `variable` or `file`"),
        ("folder: cart", "folder: ../cart", "leads out of the repository"),
        ("folder: cart", "folder: /cart", "services[0].folder"),
        ("folder: cart", "folders: cart", "did you mean `folder`?"),
        ("service: cart", "service: Cart", "services[0].service"),
        (
            "github\n",
            "generic\n    status: {token: {variable: T}}\n",
            "a generic forge has no commit statuses",
        ),
        ("github\n", "github\n    clone: {ssh_key: /key}\n", "the URL is not read over ssh"),
        ("        folder: cart\n", "      - service: cart\n", "'cart' stands here twice"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    said = mistakes(tmp_path, SHOP.replace(before, after))
    assert told in said
    assert "hunter2" not in said


def test_a_name_or_a_service_stands_for_one_repository(tmp_path: Path) -> None:
    twice = SHOP + SHOP.partition("\n")[2]
    assert "'shop' is another's name already" in mistakes(tmp_path, twice)
    other = SHOP + SHOP.partition("\n")[2].replace("name: shop", "name: other")
    assert "'cart' is released from the repository 'shop' already" in mistakes(tmp_path, other)


def test_only_repositories_of_the_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(SHOP)
    assert repository_named("shop", tmp_path / "r.yaml").name == "shop"
    with pytest.raises(NotFoundError, match=r"there: shop\); only those are built"):
        repository_named("evil", tmp_path / "r.yaml")


def test_a_secret_is_read_where_it_is_and_its_absence_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SECRET", "one")
    (tmp_path / "secret").write_text("two\n")
    assert read_secret(Secret(variable="SHOP_SECRET")) == "one"
    assert read_secret(Secret(file=str(tmp_path / "secret"))) == "two"
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("empty", "binary", "missing"):
        with pytest.raises(InvalidInputError, match=name):
            read_secret(Secret(file=str(tmp_path / name)))
    with pytest.raises(InvalidInputError, match=r"\$NOWHERE"):
        read_secret(Secret(variable="NOWHERE"))
