"""Admissions that still count, on this machine: a thousand starts of one digest cost one check of its evidence.

Only admissions are kept: a refusal is asked again, it may have been mended. Whoever can write into the home can forge
one, as he can replace the keys in it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from tasks.adapters.file_lock import locked
from tasks.errors import RefusedError
from tasks.evidence import Ruling
from tasks.oci import canonical, digest_of

KEPT: Final = 1000
LOCKS_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True)
class Admitted:
    """A ruling, the evidence it rests on (`Dossier.pieces`), and until when it counts."""

    ruling: Ruling
    pieces: tuple[str, ...]
    until: datetime


ADAPTER: Final = TypeAdapter(Admitted)


class Admissions:
    """One small file for each key, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, key: str, now: datetime) -> Admitted | None:
        """What was kept under that key and counts now. What cannot be read is as if it were not there."""
        try:
            found: Admitted = ADAPTER.validate_json(self._file(key).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if now < found.until else None

    def keep(self, key: str, admitted: Admitted) -> None:
        """Whole or not at all. Of very many the oldest go."""
        file = self._file(key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_suffix(".new")
            beside.write_bytes(canonical(ADAPTER.dump_python(admitted, mode="json")))
            beside.replace(file)
            self._tidy()
        except OSError as error:
            raise RefusedError(
                f"asked to remember an admission in {self._folder}; found {error.strerror or error}; check the disk"
            ) from error

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """One at a time checks one digest: the others then find what it found."""
        with locked(self._file(key).with_suffix(".lock")):
            yield

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _tidy(self) -> None:
        """Two who check at once because a lock was cleared away do twice what is right once."""
        files = sorted(self._folder.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in files[:-KEPT]:
            old.unlink(missing_ok=True)
        yesterday = time.time() - LOCKS_SECONDS
        for lock in self._folder.glob("*.lock"):
            if lock.stat().st_mtime < yesterday:
                lock.unlink(missing_ok=True)


def admission_key(*parts: str) -> str:
    """64 hex digits: of everything that would make it another question."""
    return digest_of(json.dumps(parts).encode()).removeprefix("sha256:")
