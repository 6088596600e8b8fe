"""YAML with the place of every value, through ruamel.yaml (YAML 1.2; PyYAML knows 1.1 only and forgets duplicate keys).

Only plain data comes out: mappings with names, lists, texts, numbers, booleans, null. Tags construct nothing, and
aliases cannot grow without bound.
"""

from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

MAX_VALUES: Final = 10_000
PLAIN: Final = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null")}
TEXT: Final = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "timestamp", "merge")}
COLLECTIONS: Final = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq")}

Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Place:
    """Line and column, both from 1, as editors count."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, and where."""

    place: Place
    text: str


@dataclass
class Document:
    """A value; where each of its parts stands (`keys`: where the name of a part stands); what is wrong with the YAML."""

    value: JsonValue = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(raw: bytes) -> Document:
    """Read one document. What cannot be read is a problem in it, never an exception."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        return _refused(
            Place(line, column), f"the file is not UTF-8 (byte {raw[error.start]:#04x})"
        )
    return _read(text)


def _read(text: str) -> Document:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
        if root is None:
            return _refused(Place(), "the file is empty")
        return _Walk(yaml).document(root)
    except ReaderError as error:
        wrong = error.character if isinstance(error.character, str) else chr(error.character)
        found = f"the character {wrong!r} may not be in YAML"
        return _refused(_at_index(text, error.position), found)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _refused(_place(mark) if mark else Place(), _explained(error))
    except RecursionError:
        return _refused(Place(), "it is nested too deeply")
    except (YAMLError, ValueError) as error:
        return _refused(Place(), str(error))


def _refused(place: Place, text: str) -> Document:
    return Document(problems=[Problem(place, text)])


def _place(mark: object) -> Place:
    return Place(getattr(mark, "line", 0) + 1, getattr(mark, "column", 0) + 1)


def _at_index(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, index - before.rfind("\n"))


def _explained(error: MarkedYAMLError) -> str:
    said = " ".join(part.strip() for part in (error.context, error.problem) if part)
    if r"'\t'" in said:
        return f"{said}; YAML is indented with spaces, replace the tab"
    if "another document" in said:
        return "a second document begins here; remove the `---` and keep one"
    return said


class _TooLargeError(ValueError):
    """More values than any honest file has."""


class _Walk:
    """Turns nodes into values, and remembers where each stood."""

    def __init__(self, yaml: YAML) -> None:
        self._yaml = yaml
        self._found = Document()
        self._inside: list[Node] = []
        self._count = 0

    def document(self, root: Node) -> Document:
        self._found.value = self._value(root, (), _place(root.start_mark))
        return self._found

    def _value(self, node: Node, path: Path, place: Place) -> JsonValue:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooLargeError(f"it holds more than {MAX_VALUES} values, aliases included")
        self._found.places[path] = place
        if any(node is one for one in self._inside):
            return self._refuse(place, "an alias (*) points to what it is itself part of")
        if node.tag not in PLAIN | TEXT | COLLECTIONS:
            return self._refuse(place, f"the tag {node.tag} is not understood; remove it")
        self._inside.append(node)
        value = self._content(node, path, place)
        self._inside.pop()
        return value

    def _content(self, node: Node, path: Path, place: Place) -> JsonValue:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            parts = enumerate(node.value)
            return [self._value(part, (*path, n), _place(part.start_mark)) for n, part in parts]
        return self._scalar(node, place)

    def _mapping(self, node: MappingNode, path: Path) -> JsonValue:
        found: dict[str, JsonValue] = {}
        for key, value in node.value:
            at = _place(key.start_mark)
            if not isinstance(key, ScalarNode):
                self._refuse(at, "a name must be a text, found a list or mapping")
                continue
            name, inner = str(key.value), (*path, str(key.value))
            if str(key.tag).endswith(":merge"):
                self._refuse(
                    at, "`<<` is not part of YAML 1.2: write the settings out, or use *alias"
                )
            elif name in found:
                first = self._found.keys[inner].line
                self._refuse(at, f"`{name}` is there twice; it stands in line {first} already")
            else:
                self._found.keys[inner] = at
                empty = value.start_mark.index == value.end_mark.index
                found[name] = self._value(value, inner, at if empty else _place(value.start_mark))
        return found

    def _scalar(self, node: Node, place: Place) -> JsonValue:
        if node.tag in TEXT:
            return str(node.value)
        try:
            value: JsonValue = self._yaml.constructor.construct_object(node, deep=True)
        except ValueError:
            return self._refuse(place, f"{node.value[:40]!r} is not a number")
        return value

    def _refuse(self, place: Place, text: str) -> JsonValue:
        """Note the problem and go on, with null in its place: there may be more to find."""
        self._found.problems.append(Problem(place, text))
        return None
