"""`bakewell bake`: the artifact alone, without a release; and whether its bake is reproducible."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.text import Text

from flows.command import Exit, show
from flows.standing import bases_in_force
from flows.story import Tone, tell
from tasks import platforms
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import Baked
from tasks.bake.bakery import bake as bake_into
from tasks.bake.check import Checked
from tasks.bake.check import check as checked_twice
from tasks.bake.differences import Unlike
from tasks.journal.rules import fold

SHOWN_AT_MOST = 25
Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def bake(path: Path, *, check: Flag = False, json: Json = False) -> int:
    """Bake the service in a folder into its repository. Nothing is scanned, signed or rolled out: nothing may run it yet.

    Exit code 0: baked, or known already; with --check: both bakes are the same artifact. 4: they are not.

    Parameters
    ----------
    path
        Folder that holds service.yaml.
    check
        Bake twice, from nothing but the inputs, into a scratch store, and tell which file in which layer differs.
    json
        Print as JSON.
    """
    spec, folder = read_service(path)
    cache = platforms.home() / "cache"

    def say(line: str) -> None:
        tell(line, Tone.STEP, where=spec.service)

    if check:
        found = checked_twice(spec, folder, cache, say)
        show(json, lambda: check_json(found), lambda: Group(*map(Text, check_lines(found))))
        return Exit.DONE if found.is_reproducible else Exit.REFUSED
    followed = bases_in_force(fold(platforms.journal().events(spec.service)), spec.service)
    baked = bake_into(spec, folder, platforms.store_for(spec), cache, say, followed=followed)
    show(json, lambda: baked_json(baked), lambda: Group(*map(Text, baked_lines(baked))))
    return Exit.DONE


def baked_lines(baked: Baked) -> Iterator[str]:
    yield baked.artifact.reference
    how = "known already, nothing was baked" if baked.reused else f"baked in {baked.seconds:.1f} s"
    yield f"  {how}; base {baked.materials.base}"
    for layer in baked.layers:
        yield f"  {layer.name}: {layer.digest}, {layer.size_bytes} bytes"


def baked_json(baked: Baked) -> dict[str, Any]:
    return {
        "artifact": baked.artifact.reference,
        "digest": baked.artifact.digest,
        "content_key": baked.content_key,
        "reused": baked.reused,
        "seconds": round(baked.seconds, 3),
        "base": baked.materials.base,
        "images": list(baked.materials.images),
        "builder": dict(baked.materials.builder),
        "layers": [vars(layer) for layer in baked.layers],
    }


def check_lines(found: Checked) -> Iterator[str]:
    times = f"{found.first.seconds:.1f} s and {found.second.seconds:.1f} s"
    if found.is_reproducible:
        yield f"reproducible: baked twice ({times}), both are {found.first.artifact.digest}"
        return
    yield f"not reproducible: baked twice ({times})"
    yield f"  first  {found.first.artifact.digest}"
    yield f"  second {found.second.artifact.digest}"
    yield from map(_line, found.unlike[:SHOWN_AT_MOST])
    if (more := len(found.unlike) - SHOWN_AT_MOST) > 0:
        yield f"  and {more} more; --json lists all"


def _line(one: Unlike) -> str:
    return f"  {one.layer}: {one.path}: {', '.join(one.aspects)}"


def check_json(found: Checked) -> dict[str, Any]:
    return {
        "reproducible": found.is_reproducible,
        "digests": [found.first.artifact.digest, found.second.artifact.digest],
        "unlike": [
            {
                "layer": one.layer,
                "path": one.path,
                "aspects": [aspect.value for aspect in one.aspects],
            }
            for one in found.unlike
        ],
    }
