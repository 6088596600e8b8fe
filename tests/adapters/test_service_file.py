"""A service.yaml is read, or every mistake in it is named with its line: before anything happens, and never by a traceback."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tasks.adapters.service_file import read_service
from tasks.adapters.settings_schema import schema_of
from tasks.adapters.yaml_places import read_yaml
from tasks.errors import InvalidInputError
from tasks.service import Canary, ServiceSpec
from tests.support.mistakes import CONTENT, GOOD, SYNTAX

SERVICES: Final = Path(__file__).parents[2] / "deployments" / "services"


def written(folder: Path, text: str | bytes) -> Path:
    (folder / "hello.py").write_text("print('hello')\n")
    raw = text if isinstance(text, bytes) else text.encode()
    (folder / "service.yaml").write_bytes(raw)
    return folder


def mistakes(folder: Path, text: str | bytes) -> list[str]:
    """The lines of the refusal after its first, without the file's name: `line:column: what`."""
    with pytest.raises(InvalidInputError) as refused:
        read_service(written(folder, text))
    file = f"{folder / 'service.yaml'}:"
    first, *lines = str(refused.value).splitlines()
    assert first.endswith("nothing was changed")
    assert all(line.startswith(file) for line in lines)
    return [line.removeprefix(file) for line in lines]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


# ---- reading -------------------------------------------------------------------------------------


def test_a_folder_and_its_file_are_the_same_service(tmp_path: Path) -> None:
    spec, folder = read_service(written(tmp_path, GOOD))
    assert (spec, folder) == read_service(tmp_path / "service.yaml")
    assert folder == tmp_path
    assert spec.environments[0].strategy == Canary(weights=(10, 50))


def test_a_relative_path_gives_an_absolute_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written(tmp_path, GOOD))
    assert read_service(Path("."))[1] == tmp_path


def test_a_byte_order_mark_windows_lines_and_aliases_are_fine(tmp_path: Path) -> None:
    second = "  - {name: b, platform: process, observe: *slow}\n"
    text = GOOD.replace("observe:", "observe: &slow") + second
    spec, _ = read_service(written(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()))
    assert spec.environments[1].observe == spec.environments[0].observe


def test_the_example_is_valid_for_us_and_for_editors() -> None:
    spec, folder = read_service(SERVICES / "hello")
    assert [one.name for one in spec.environments] == ["staging", "production"]
    text = (folder / "service.yaml").read_text()
    value = YAML(typ="safe", pure=True).load(text)
    jsonschema.Draft202012Validator(schema_of(ServiceSpec)).validate(value)
    comment = text.splitlines()[0]
    assert comment.startswith("# yaml-language-server: $schema=")
    assert (folder / comment.partition("=")[2]).samefile(SERVICES / "service.schema.json")


# ---- one mistake each ----------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "wanted"), SYNTAX.values(), ids=SYNTAX.keys())
def test_what_is_not_yaml_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, wanted: str
) -> None:
    (found,) = mistakes(tmp_path, text)
    assert wanted in found


@pytest.mark.parametrize(("old", "new", "wanted"), CONTENT.values(), ids=CONTENT.keys())
def test_what_is_no_service_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, wanted: str
) -> None:
    (found,) = mistakes(tmp_path, changed(old, new))
    assert wanted in found


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed("service: hello", "service: Hello").replace(
        "platform: process", "platfrom: process"
    )
    found = mistakes(tmp_path, text.replace("interval_seconds: 5", "minimum_seconds: 9999"))
    assert [line.partition(":")[0] for line in found] == ["1", "7", "8", "14"]


def test_a_wrong_value_that_may_be_a_secret_is_cut_short(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, changed("service: hello", f"service: {'S3cr3t' * 40}"))
    assert len(found) < 250


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    inside = tmp_path / "service"
    inside.mkdir()
    written(inside, changed("    hello.py: /app/hello.py", "    link: /app/secret"))
    (inside / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInputError, match=r"4:5: bake.files: 'link' leads out of"):
        read_service(inside)


# ---- no file -------------------------------------------------------------------------------------


def test_a_folder_without_service_file_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"service.yaml, which does not exist; name a folder"
    ):
        read_service(tmp_path)
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_service(tmp_path / "nowhere")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").mkdir()
    with pytest.raises(InvalidInputError, match="is not a file"):
        read_service(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="is not a file"):
        read_service(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="cannot be read: File name too long"):
        read_service(tmp_path / ("x" * 300))


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "service.yaml").open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(InvalidInputError, match="larger than 1000000 bytes"):
        read_service(tmp_path)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything; so let this process be somebody else for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_an_unreadable_file_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (written(tmp_path, GOOD) / "service.yaml").chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(InvalidInputError, match="cannot be read: Permission denied"):
        read_service(tmp_path)


# ---- whatever is written -------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def slots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(slot for key, part in inner for slot in slots(part, (*path, key)))]


def with_part(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    copy = value.copy()
    copy[path[0]] = with_part(copy[path[0]], path[1:], part)
    return copy


def outcome(folder: Path) -> str:
    """The refusal, or nothing."""
    try:
        read_service(folder)
    except InvalidInputError as error:
        return str(error)
    return ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data(), anything)
def test_any_value_in_any_place_is_read_or_refused_with_its_line(
    tmp_path: Path, data: st.DataObject, part: Any
) -> None:
    good = read_yaml(GOOD.encode()).value
    text = json.dumps(with_part(good, data.draw(st.sampled_from(slots(good))), part))
    folder = written(tmp_path, text.replace("NaN", ".nan").replace("Infinity", ".inf"))
    assert outcome(folder) == "" or "service.yaml:1:" in outcome(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.text(max_size=40) | st.binary(max_size=40))
@example("%YAML 9.9\n---\n")
@example("a: &x 1\nb: &x 2\n")
@example('service: "\\ud800"\n')
@example("!<tag:yaml.org,2002:map> {}\n")
@example("&a : *a\n")
def test_any_text_is_refused_with_a_line_and_without_a_traceback(
    tmp_path: Path, text: str | bytes
) -> None:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    assert mistakes(tmp_path, raw)
