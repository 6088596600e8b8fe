"""Real cosign 2 and 3, from newer Debian suites."""

import os
from pathlib import Path
from typing import Final

from tests.support.debian_packages import unpacked

SUITES: Final = {2: "trixie", 3: "sid"}


def cosign(major: int) -> Path:
    """The program of that major version. `COSIGN_2` or `COSIGN_3` may name one that is there already."""
    if given := os.environ.get(f"COSIGN_{major}"):
        return Path(given)
    return unpacked(f"cosign-{major}", SUITES[major], "cosign") / "usr" / "bin" / "cosign"
