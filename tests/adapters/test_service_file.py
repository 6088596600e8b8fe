"""A service.yaml is read, or every mistake in it is named with its line: before anything happens, and never by a traceback."""

import json
import os
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tasks.adapters.service_file import read_service
from tasks.adapters.service_schema import published, service_schema
from tasks.adapters.yaml_places import read_yaml
from tasks.errors import InvalidInputError
from tasks.service import Canary, ServiceSpec

SERVICES: Final = Path(__file__).parents[2] / "deployments" / "services"
GOOD: Final = """\
service: hello
bake:
  files:
    hello.py: /app/hello.py
  command: [python3, /app/hello.py]
environments:
  - name: production
    platform: process
    replicas: 2
    strategy:
      kind: canary
      weights: [10, 50]
    observe:
      interval_seconds: 5
"""


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
    jsonschema.Draft202012Validator(service_schema()).validate(value)
    comment = text.splitlines()[0]
    assert comment.startswith("# yaml-language-server: $schema=")
    assert (folder / comment.partition("=")[2]).samefile(SERVICES / "service.schema.json")


def test_the_published_schema_is_the_one_we_check_with() -> None:
    found = (SERVICES / "service.schema.json").read_text()
    assert found == published(), (
        "write it again: python -c 'from tasks.adapters.service_schema import published;"
        ' print(published(), end="")\' > deployments/services/service.schema.json'
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(found))


def test_every_setting_has_a_description() -> None:
    schema = service_schema()
    parts = [schema, *schema["$defs"].values()]
    bare = [
        f"{part['title']}.{name}"
        for part in parts
        for name, setting in part.get("properties", {}).items()
        if not setting.get("description")
    ]
    assert bare == []


# ---- one mistake each ----------------------------------------------------------------------------

SYNTAX: Final[dict[str, tuple[str | bytes, str]]] = {
    "an empty file": ("", "1:1: the file is empty"),
    "only a comment": ("# nothing\n", "1:1: the file is empty"),
    "a list": ("- service: hello\n", "1:1: found a list; a service is a mapping"),
    "a text": ("hello\n", "1:1: found 'hello'; a service is a mapping"),
    "a tab": (
        "service: hello\nbake:\n\tfiles: {}\n",
        "3:1: while scanning for the next token found character '\\t' that cannot start",
    ),
    "a missing bracket": ("service: [hello\n", "2:1: while parsing a flow sequence"),
    "two documents": ("service: a\n---\nservice: b\n", "2:1: a second document begins here"),
    "two in one line": ("service: hello: you\n", "1:15: mapping values are not allowed here"),
    "not UTF-8": (
        "service: hello\n# f\u00fcr\n".encode("latin-1"),
        "2:4: the file is not UTF-8 (byte 0xfc)",
    ),
    "UTF-16": ("service: hello\n".encode("utf-16"), "1:1: the file is not UTF-8 (byte 0xff)"),
    "a control character": (
        "service: he\x07llo\n",
        "1:12: the character '\\x07' may not be in YAML",
    ),
    "an unknown alias": ("service: *name\n", "1:10: found undefined alias"),
    "an alias to itself": (
        "service: &a [*a]\n",
        "an alias (*) points to what it is itself part of",
    ),
    "a tag": (
        "service: !!python/name:os.system\n",
        "1:10: the tag tag:yaml.org,2002:python/name:os.system",
    ),
    "a name twice": (
        GOOD + "service: again\n",
        "15:1: `service` is there twice; it stands in line 1",
    ),
    "a merge key": ("a: &a {}\n<<: *a\n", "2:1: `<<` is not part of YAML 1.2"),
    "a list as a name": ("? [a]\n: b\n", "1:3: a name must be a text"),
    "no number": ("service: !!int hello\n", "1:10: 'hello' is not a number"),
    "a number without end": ("service: " + "9" * 5000 + "\n", "is not a number"),
    "too deep": ("[" * 20_000, "1:1: it is nested too deeply"),
    "a bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "it holds more than 10000 values",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), SYNTAX.values(), ids=SYNTAX.keys())
def test_what_is_not_yaml_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, wanted: str
) -> None:
    (found,) = mistakes(tmp_path, text)
    assert wanted in found


CONTENT: Final[dict[str, tuple[str, str, str]]] = {
    "an unknown setting": (
        "      weights:",
        "      weigths:",
        "12:7: environments[0].strategy.weigths: is not a setting, did you mean `weights`?;"
        " known here: kind, weights, replicas, baseline",
    ),
    "an unknown setting at the top": (
        "service: hello",
        "service: hello\nenviroments: []",
        "2:1: enviroments: is not a setting, did you mean `environments`?",
    ),
    "an unknown setting like nothing": (
        "service: hello",
        "service: hello\nzzz: 1",
        "2:1: zzz: is not a setting; known here: service, repository, bake",
    ),
    "an unknown platform": (
        "platform: process",
        "platform: proces",
        "8:15: environments[0].platform: found 'proces', did you mean `process`?; allowed: process or memory",
    ),
    "an unknown kind": (
        "kind: canary",
        "kind: canery",
        "environments[0].strategy: found kind 'canery', did you mean `canary`?; allowed: all-at-once, blue-green, canary",
    ),
    "no kind": (
        "      kind: canary\n",
        "",
        "environments[0].strategy: has no `kind`; allowed: all-at-once, blue-green, canary",
    ),
    "a text for a number": (
        "replicas: 2",
        "replicas: '2'",
        "9:15: environments[0].replicas: found '2'; allowed: a whole number at least 1 and at most 1000"
        " (instances that serve)",
    ),
    "true for a number": (
        "replicas: 2",
        "replicas: true",
        "9:15: environments[0].replicas: found true",
    ),
    "yes for true": (
        "replicas: 2",
        "needs_approval: yes",
        "9:21: environments[0].needs_approval: found 'yes'; allowed: true or false",
    ),
    "infinity": (
        "interval_seconds: 5",
        "deadline_seconds: .inf",
        "14:25: environments[0].observe.deadline_seconds: found inf; allowed: a number above 0",
    ),
    "a number for a name": (
        "service: hello",
        "service: 12",
        "1:10: service: found 12; allowed: a text",
    ),
    "a name that is none": (
        "service: hello",
        "service: Hello World",
        "1:10: service: found 'Hello World'; allowed: a text (its name)",
    ),
    "nothing": (
        "name: production",
        "name:",
        "7:5: environments[0].name: found nothing; allowed: a text",
    ),
    "an environment that is missing": (
        "    platform: process\n",
        "",
        "7:5: environments[0].platform: is missing; it is process or memory",
    ),
    "no environments": (
        GOOD[GOOD.index("environments:") :],
        "environments: []\n",
        "6:15: environments: found a list; allowed: a list with 1 or more entries",
    ),
    "a weight too large": (
        "[10, 50]",
        "[10, 100]",
        "12:21: environments[0].strategy.weights[1]: found 100; allowed: a whole number at least 1 and at most 99",
    ),
    "weights that fall": (
        "[10, 50]",
        "[50, 10]",
        "12:16: environments[0].strategy.weights: found [50, 10]; they must grow from step to step",
    ),
    "too many canaries": (
        "weights: [10, 50]",
        "replicas: 3",
        "12:17: environments[0].strategy.replicas: found 3 canary instances, more than the 2 that shall serve",
    ),
    "too much baseline": (
        "weights: [10, 50]",
        "baseline: 9",
        "12:17: environments[0].strategy.baseline: canary and baseline would need 100 % of the traffic",
    ),
    "a soak after the deadline": (
        "interval_seconds: 5",
        "minimum_seconds: 2000",
        "14:24: environments[0].observe.minimum_seconds: found 2000, longer than deadline_seconds (1800)",
    ),
    "a deadline before the soak that is meant if none is given": (
        "interval_seconds: 5",
        "deadline_seconds: 30",
        "13:5: environments[0].observe.minimum_seconds: found 60, longer than deadline_seconds (30)",
    ),
    "no patience": (
        "interval_seconds: 5",
        "patience_seconds: 1",
        "14:25: environments[0].observe.patience_seconds: found 1, shorter than interval_seconds (10)",
    ),
    "a latency in seconds": (
        "service: hello",
        "service: hello\nobjectives: {latency: {threshold_ms: 0.25}}",
        "2:38: objectives.latency.threshold_ms: found 0.25; allowed: a number at least 1 and at most 600000",
    ),
    "an objective in percent": (
        "service: hello",
        "service: hello\nobjectives: {errors: {objective: 99}}",
        "2:34: objectives.errors.objective: found 99; allowed: a number above 0 and below 1",
    ),
    "an environment twice": (
        "environments:\n",
        "environments:\n  - {name: production, platform: process}\n",
        "8:11: environments[1].name: 'production' is the name of another environment already",
    ),
    "a port twice": (
        "environments:\n  - name: production\n",
        "environments:\n  - {name: a, platform: process, listen_port: 8080}\n"
        "  - name: b\n    listen_port: 8080\n",
        "9:18: environments[1].listen_port: another environment listens on 8080 already",
    ),
    "a registry with a scheme": (
        "service: hello",
        "service: hello\nrepository: https://registry.example.com/hello",
        "2:13: repository: found 'https://registry.example.com/hello'; allowed: `host[:port]/name`",
    ),
    "a registry with a tag": (
        "service: hello",
        "service: hello\nrepository: registry.example.com/hello:1",
        "2:13: repository: found 'registry.example.com/hello:1'",
    ),
    "a base by tag": (
        "bake:\n",
        "bake:\n  base: registry.example.com/python:3.12\n",
        "3:9: bake.base: found 'registry.example.com/python:3.12'; allowed: `scratch`",
    ),
    "a layout that is none": (
        "bake:\n",
        f"bake:\n  base: layout:base@sha256:{'0' * 64}\n",
        "3:9: bake.base:",
    ),
    "a secret's place": (
        "bake:\n",
        "bake:\n  environment: {MY-NAME: x}\n",
        "3:17: bake.environment.MY-NAME: found 'MY-NAME'; allowed: a text (letters, digits and underscores)",
    ),
    "a port of one's own": (
        "bake:\n",
        "bake:\n  environment: {PORT: '80'}\n",
        "3:23: bake.environment.PORT: the platform sets PORT; remove it",
    ),
    "a file that is not there": (
        "hello.py: /app",
        "helo.py: /app",
        "4:5: bake.files: 'helo.py' does not exist beside service.yaml",
    ),
    "a file elsewhere": ("hello.py: /app", "../hello.py: /app", "4:18: bake.files.../hello.py: "),
    "a file to nowhere": (
        "hello.py: /app",
        "hello.py: app",
        "4:15: bake.files.hello.py: 'app/hello.py' must be an absolute path in the artifact",
    ),
    "two files in one place": (
        "    hello.py: /app/hello.py\n",
        "    hello.py: /app/hello.py\n    service.yaml: /app//hello.py\n",
        "5:19: bake.files.service.yaml: 'hello.py' goes to '/app//hello.py' already",
    ),
    "requirements that are not there": (
        "bake:\n",
        "bake:\n  requirements: locked.txt\n",
        "3:17: bake.requirements: 'locked.txt' does not exist beside service.yaml",
    ),
}


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
    with pytest.raises(InvalidInputError, match=r"service.yaml does not exist; name a folder"):
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (written(tmp_path, GOOD) / "service.yaml").chmod(0)
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data(), anything)
def test_any_value_in_any_place_is_read_or_refused_with_its_line(
    tmp_path: Path, data: st.DataObject, part: Any
) -> None:
    good = read_yaml(GOOD.encode()).value
    text = json.dumps(with_part(good, data.draw(st.sampled_from(slots(good))), part))
    try:
        spec, _ = read_service(
            written(tmp_path, text.replace("NaN", ".nan").replace("Infinity", ".inf"))
        )
        assert isinstance(spec, ServiceSpec)
    except InvalidInputError as error:
        assert "service.yaml:1:" in str(error)


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
