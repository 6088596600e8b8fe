"""Answers for people about evidence: the chain of one artifact as a tree, the difference of two as tables; and as JSON. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic import TypeAdapter
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from flows.chain import Chain
from flows.console import MARKS
from flows.differences import (
    Difference,
    FileChange,
    PackageChange,
    SettingChange,
    Unknown,
    VulnerabilityChanges,
)
from flows.links import Link, finding_words, links, places_link
from flows.words import count, listed, one_line
from tasks.contents import Member
from tasks.evidence import Finding, Severity
from tasks.model import Artifact

WIDTH: Final = 11
GONE, NEW, OTHER = "removed", "added", "changed"
COLOURS: Final = {GONE: "red", NEW: "green", OTHER: "yellow"}


# ---- one artifact --------------------------------------------------------------------------------


def chain_tree(chain: Chain, full: bool, ascii_only: bool = False) -> RenderableType:
    """One branch a link: what a person reads in ten seconds. `full`: every package, finding, statement."""
    root = Text.assemble((one_line(chain.artifact.service), "bold"), " ", chain.artifact.digest)
    tree = Tree(root, guide_style="dim")
    for link in (*links(chain), places_link(chain.places)):
        branch = tree.add(_link(link, ascii_only))
        for line in (link.all_details or link.details) if full else link.details:
            branch.add(Text(one_line(line), style="dim"))
    return tree


def _link(link: Link, ascii_only: bool) -> RenderableType:
    fancy, plain, _, colour = MARKS[link.tone]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(width=WIDTH)
    grid.add_column(overflow="fold")
    mark = Text(plain if ascii_only else fancy, style=colour)
    grid.add_row(mark, Text(link.name, style="bold"), Text(one_line(link.words)))
    return grid


def chain_json(chain: Chain) -> dict[str, Any]:
    """artifact, origins, base, packages, scan, signatures, kinds, tests, verdicts, quarantines, places; null: not known."""
    return _plain(Chain, chain)


def _plain(kind: type[Any], value: object) -> dict[str, Any]:
    found: dict[str, Any] = TypeAdapter(kind).dump_python(value, mode="json")
    return found


# ---- two artifacts -------------------------------------------------------------------------------


def difference_json(found: Difference) -> dict[str, Any]:
    """before, after, packages, vulnerabilities, files, settings, shared_layers; {reason} where it could not be compared."""
    return _plain(Difference, found)


def difference(found: Difference, files: bool) -> RenderableType:
    """Section by section. `files`: each of them, else how many."""
    if found.before.digest == found.after.digest:
        return Text(f"A and B are the same artifact, {found.after.digest}.")
    parts: list[RenderableType] = [_named("A", found.before), _named("B", found.after)]
    sections = (
        ("Packages", _packages(found.packages)),
        ("Vulnerabilities", _vulnerabilities(found.vulnerabilities)),
        ("Files", _files(found, files)),
        ("Configuration", _settings(found.settings)),
    )
    for title, content in sections:
        parts += [
            Text(f"\n{title}", style="bold"),
            Padding(Group(*content), (0, 0, 0, 2), expand=False),
        ]
    return Group(*parts)


def _named(name: str, artifact: Artifact) -> Text:
    return Text.assemble((f"{name} ", "bold"), f"{one_line(artifact.service)} {artifact.digest}")


def _unknown(found: Unknown) -> Text:
    return Text(f"! cannot be compared: {one_line(found.reason)}", style="yellow")


def _packages(found: Sequence[PackageChange] | Unknown) -> Iterator[RenderableType]:
    if isinstance(found, Unknown):
        yield _unknown(found)
    elif not found:
        yield Text("the same")
    else:
        rows = [(_what(one.before, one.after), *_versions(one)) for one in found]
        yield _summary(what for what, *_ in rows)
        yield _table(("", "package", "A", "B"), rows)


def _versions(one: PackageChange) -> tuple[str, str, str]:
    return one.name.removeprefix("pkg:"), ", ".join(one.before), ", ".join(one.after)


def _vulnerabilities(found: VulnerabilityChanges | Unknown) -> Iterator[RenderableType]:
    if isinstance(found, Unknown):
        yield _unknown(found)
        return
    if not found.fixed and not found.introduced:
        yield Text("none fixed, none introduced")
    for title, style, each in (
        ("fixed", "green", found.fixed),
        ("introduced", "red", found.introduced),
    ):
        if each:
            yield Text(f"{len(each)} {title}{_severities(each)}", style=style)
            yield from (Text(f"  {one_line(finding_words(one))}") for one in each)
    yield from (Text(f"! {one_line(note)}", style="yellow") for note in found.notes)


def _severities(found: Sequence[Finding]) -> str:
    numbers = [(sum(one.severity is each for one in found), each) for each in reversed(Severity)]
    return f" ({', '.join(f'{number} {each.value}' for number, each in numbers if number)})"


def _files(found: Difference, every: bool) -> Iterator[RenderableType]:
    if not found.files:
        yield Text("the same")
        return
    yield _summary(_what(one.before, one.after) for one in found.files)
    if every:
        yield _table(("", "path", "A", "B"), [_file(one) for one in found.files])
    else:
        yield Text("`--files` lists them", style="dim")


def _file(one: FileChange) -> tuple[str, str, str, str]:
    return _what(one.before, one.after), one.path, _member(one.before), _member(one.after)


def _member(member: Member | None) -> str:
    if member is None:
        return ""
    if member.target:
        return f"-> {member.target}"
    return f"{member.size:,} B {member.mode:04o} {member.digest.removeprefix('sha256:')[:8]}"


def _settings(found: Sequence[SettingChange]) -> Iterator[RenderableType]:
    if not found:
        yield Text("the same")
        return
    rows = [
        (_what(one.before, one.after), one.name, one.before or "", one.after or "") for one in found
    ]
    yield _table(("", "setting", "A", "B"), rows)


def _what(before: object, after: object) -> str:
    """Nothing at all (None, no version) is absent; an empty text is there."""
    if before is None or before == ():
        return NEW
    return GONE if after is None or after == () else OTHER


def _summary(whats: Iterable[str]) -> Text:
    told = list(whats)
    parts = [f"{told.count(what)} {what}" for what in (NEW, GONE, OTHER) if what in told]
    return Text(f"{count(len(told), 'difference')}: {listed(parts)}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not heading)
    for what, *cells in rows:
        table.add_row(Text(what, style=COLOURS[what]), *(Text(one_line(one)) for one in cells))
    return table
