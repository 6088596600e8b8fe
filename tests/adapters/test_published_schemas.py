"""What editors check files with is what we check them with; one test for every kind of settings file."""

import json
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from tasks.adapters.settings_schema import published, schema_of
from tasks.notices import NotifySettings
from tasks.policy import Policy
from tasks.pushes import Repositories
from tasks.service import ServiceSpec
from tasks.settings import Part

DEPLOYMENTS: Final = Path(__file__).parents[2] / "deployments"
FILES: Final[dict[str, type[Part]]] = {
    "services/service.schema.json": ServiceSpec,
    "policies/policy.schema.json": Policy,
    "repositories.schema.json": Repositories,
    "notify.schema.json": NotifySettings,
}
each_kind = pytest.mark.parametrize(("file", "kind"), FILES.items(), ids=FILES)


@each_kind
def test_the_published_schema_is_the_one_we_check_with(file: str, kind: type[Part]) -> None:
    found = (DEPLOYMENTS / file).read_text()
    assert found == published(kind), (
        f"write it again: python -c 'from tasks.adapters.settings_schema import published; from {kind.__module__} import"
        f' {kind.__name__}; print(published({kind.__name__}), end="")\' > deployments/{file}'
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(found))


@each_kind
def test_every_setting_has_a_description(file: str, kind: type[Part]) -> None:
    schema = schema_of(kind)
    bare = [
        f"{part['title']}.{name}"
        for part in (schema, *schema.get("$defs", {}).values())
        for name, setting in part.get("properties", {}).items()
        if not setting.get("description")
    ]
    assert bare == []


def test_every_schema_that_is_published_is_checked() -> None:
    there = {str(one.relative_to(DEPLOYMENTS)) for one in DEPLOYMENTS.rglob("*.schema.json")}
    assert there == set(FILES)
