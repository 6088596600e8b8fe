"""Names of images that exist only between a build and the reading of it. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

ABANDONED: Final = timedelta(days=1)
LOCAL: Final = "bakewell-staging"
FORM: Final = "%Y%m%dt%H%M%Sz"
_TAG = re.compile(r"b-(?P<at>\d{8}t\d{6}z)-[0-9a-f]+")


def staging_repository(repository: str, service: str) -> str:
    """Beside the repository that the artifact goes to: never in it, so that nothing but what is staged can be removed. One
    that exists on the engine alone where artifacts are in a folder."""
    return f"{repository}-staging" if is_in_registry(repository) else f"{LOCAL}/{service}"


def is_in_registry(repository: str) -> bool:
    return not repository.startswith(("layout:", "memory:"))


def staging_tag(now: datetime, token: str) -> str:
    """Says since when it is there; `token` (hex digits) tells two of one second apart."""
    return f"b-{now.astimezone(UTC).strftime(FORM)}-{token}"


def is_abandoned(tag: str, now: datetime) -> bool:
    """Did a bake that was killed leave it? A tag that is not ours is nobody's to remove."""
    if not (found := _TAG.fullmatch(tag)):
        return False
    try:
        return datetime.strptime(found["at"], FORM).replace(tzinfo=UTC) < now - ABANDONED
    except ValueError:
        return False
