"""Trivy reads registries itself: while the first is down it is sent to the mirror that has the very digest."""

from pathlib import Path

import pytest

from tasks import platforms
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import TrivyScanner
from tasks.evidence import ScanNotDone, ScanReport
from tests.support.images import ImageKind, image
from tests.support.registry import running_registry
from tests.support.scanners import need_trivy, scanner_home

pytestmark = pytest.mark.engine


def test_an_image_is_scanned_at_its_mirror_while_the_first_registry_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_trivy()
    home = scanner_home(tmp_path, monkeypatch)
    with running_registry(tmp_path / "second") as second:
        with running_registry(tmp_path / "first") as first:
            monkeypatch.setenv("BAKEWELL_MIRRORS", f"{first.host}={second.host}")
            artifact = image(RegistryStore(f"{first.host}/shop/hello"), ImageKind.FIXABLE_CRITICAL)
            image(RegistryStore(f"{second.host}/shop/hello"), ImageKind.FIXABLE_CRITICAL)
        found = TrivyScanner(home, platforms.store).scan(artifact, 60)
        assert isinstance(found.report, ScanReport), found.report
        assert found.report.digest == artifact.digest
        assert "CVE-2099-1001" in {one.id for one in found.report.findings}
        monkeypatch.delenv("BAKEWELL_MIRRORS")
        alone = TrivyScanner(home, platforms.store).scan(artifact, 60).report
        assert isinstance(alone, ScanNotDone)
