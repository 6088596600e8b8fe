"""What a `.dockerignore` leaves of a build's context: the SDK's matcher, as the docker command's.

`.dockerignore` is obeyed here and not sent: the classic builder would obey it again, and BuildKit would not. The Dockerfile
is sent even where it is ignored: over the REST API there is no other way for it.
"""

from pathlib import Path

from docker.utils.build import exclude_paths

from tasks.errors import InvalidInputError

IGNORE = ".dockerignore"


def kept_paths(context: Path, dockerfile: str) -> frozenset[str]:
    """Paths in the context, relative. `NAME.dockerignore` beside a Dockerfile NAME counts instead of `.dockerignore`, as
    for BuildKit."""
    own = context / f"{dockerfile}{IGNORE}"
    path = own if own.is_file() else context / IGNORE
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
        patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        kept = exclude_paths(str(context), patterns, dockerfile=dockerfile)
        return frozenset(kept - {IGNORE, f"{dockerfile}{IGNORE}"})
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"asked to bake {context}; its context cannot be read: {error}; correct {path.name} or who may read it"
        ) from error
