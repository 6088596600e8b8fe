"""Which images on an engine are ours to remove, and when: a roll-back finds its image there, and the disk does not fill.

A note says which images an environment's containers were made of, and by which name they were brought to the engine. What
was there before us is nobody's to remove but its owner's. Artifacts stay in their store: without its image a roll-back costs
a pull.
"""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks import oci
from tasks.adapters.docker_engine import Engine, translated
from tasks.adapters.fleet_notes import Place, put_text
from tasks.errors import NotFoundError, RefusedError
from tasks.model import Artifact

KEPT: Final = 3
FOLDER: Final = "images"


@dataclass(frozen=True)
class _Note:
    """`reference` is empty for an image that was there before us."""

    path: Path
    reference: str


def note(place: Place, artifact: Artifact, reference: str) -> None:
    """This environment runs it now. Who finds it there because another environment of ours brought it keeps it, too."""
    path = place.folder / FOLDER / oci.hex_of(artifact.digest)
    brought = (one.reference for one in _notes_of(place.home, path.name))
    put_text(path, json.dumps({"reference": reference or next(filter(None, brought), "")}))


def tidy(engine: Engine, place: Place, kept: int = KEPT) -> None:
    """Remove images beyond the newest `kept` that ran here, which no container uses and no other environment keeps."""
    for one in _newest_first(place)[kept:]:
        needed = any(other.path != one.path for other in _notes_of(place.home, one.path.name))
        if needed or not one.reference or _removed(engine, one.reference):
            one.path.unlink(missing_ok=True)


def _removed(engine: Engine, reference: str) -> bool:
    """False if a container uses it: the engine refuses then, as nothing is forced."""
    try:
        with translated(f"to remove the image {reference}"):
            engine.client.api.remove_image(reference)
    except NotFoundError:
        return True
    except RefusedError:
        return False
    return True


def _newest_first(place: Place) -> list[_Note]:
    paths = (place.folder / FOLDER).glob("*")
    found = [(path.stat().st_mtime_ns, path) for path in paths if path.suffix != ".new"]
    return [_read(path) for _, path in sorted(found, reverse=True)]


def _notes_of(home: Path, name: str) -> list[_Note]:
    """Of one image, in all environments."""
    return [_read(path) for path in home.glob(f"environments/*/{FOLDER}/{name}")]


def _read(path: Path) -> _Note:
    """What cannot be read is not ours to remove."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return _Note(path, str(json.loads(path.read_text())["reference"]))
    return _Note(path, "")
