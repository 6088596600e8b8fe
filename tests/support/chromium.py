"""A page as a person sees it: chromium, headless, with a new empty profile and no calls home."""

import subprocess
import tempfile
from pathlib import Path

from tests.support.engines import program

# All of them matter: without these it asks the network, and as root it does not start.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def screenshot(url: str, target: Path, *, width: int = 1280, height: int = 900) -> Path:
    """Write what the page looks like after its scripts ran, as a PNG."""
    _chromium(url, f"--screenshot={target.absolute()}", f"--window-size={width},{height}")
    return target


def dump_dom(url: str) -> str:
    """The page's HTML after its scripts ran."""
    return _chromium(url, "--dump-dom")


def _chromium(url: str, *wishes: str, settle_ms: int = 5000, seconds: float = 60.0) -> str:
    """Errors about dbus on its standard error mean nothing."""
    chromium = program("chromium", "chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        where = (f"--user-data-dir={profile}", f"--virtual-time-budget={settle_ms}")
        done = subprocess.run(
            [str(chromium), *QUIET, *where, *wishes, url],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    return done.stdout
