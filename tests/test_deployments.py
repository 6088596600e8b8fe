"""prefect.yaml names flows that exist, with parameters they take: known before a worker finds out."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from ruamel.yaml import YAML

FILE = Path(__file__).parent.parent / "prefect.yaml"
PREFECT: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
DEPLOYMENTS: list[dict[str, Any]] = PREFECT["deployments"]
each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    """Prefect's default would hide an import error behind a placeholder flow."""
    found: Flow[..., Any] = load_flow_from_entrypoint(
        deployment["entrypoint"], use_placeholder_flow=False
    )
    return found


@each_deployment
def test_its_entrypoint_is_a_module_and_imports(deployment: dict[str, Any]) -> None:
    assert re.fullmatch(r"flows\.\w+:\w+", deployment["entrypoint"])
    flow = flow_of(deployment)
    assert flow.fn.__module__ == deployment["entrypoint"].partition(":")[0]


@each_deployment
def test_its_flow_takes_the_parameters_given(deployment: dict[str, Any]) -> None:
    flow = flow_of(deployment)
    for given in given_parameters(deployment):
        inspect.signature(flow.fn).bind(**given)
        flow.validate_parameters(given)


@each_deployment
def test_a_person_reads_what_it_does(deployment: dict[str, Any]) -> None:
    flow = flow_of(deployment)
    assert deployment["description"].strip()
    assert (flow.fn.__doc__ or "").strip()
    for name in inspect.signature(flow.fn).parameters:
        assert f"{name}: " in (flow.fn.__doc__ or ""), f"the run form has no words for {name}"


@each_deployment
def test_each_field_of_its_form_has_help_in_plain_sentences(deployment: dict[str, Any]) -> None:
    """The form shows help as it is written, without Markdown."""
    for name, field in fields_of(deployment).items():
        words = str(field.get("description", ""))
        assert re.fullmatch(r"[^`]+[.\w]", words), f"{name}: {words!r}"
        assert words[0].isupper() or words.startswith(tuple(field["choices"])), name


@each_deployment
def test_no_field_of_its_form_offers_nothing_beside_something(deployment: dict[str, Any]) -> None:
    """Of a union the form makes tabs, and hides the field behind the one that is called None."""
    assert [name for name, field in fields_of(deployment).items() if "anyOf" in field] == []


def test_the_form_of_a_release_begins_with_its_source_and_offers_the_lanes() -> None:
    (release,) = [one for one in DEPLOYMENTS if one["name"] == "release"]
    fields = fields_of(release)
    ordered = sorted(fields, key=lambda name: fields[name]["position"])
    assert ordered[:5] == ["folder", "repository", "commit", "branch", "subfolder"]
    assert fields["lane"]["choices"] == ["normal", "hotfix", "patch"]


def fields_of(deployment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a person fills in, as Prefect's form is told: by name, with the choices of those that have some."""
    schema = parameter_schema(flow_of(deployment).fn).model_dump()
    definitions: dict[str, dict[str, Any]] = schema["definitions"]
    fields: dict[str, dict[str, Any]] = {}
    for name, one in schema["properties"].items():
        fields |= _definition(one, definitions).get("properties", {name: one})
    return {
        name: {**field, "choices": _definition(field, definitions).get("enum", ())}
        for name, field in fields.items()
    }


def _definition(field: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What it refers to; empty if it says all itself."""
    named = (one["$ref"] for one in (field, *field.get("allOf", ())) if "$ref" in one)
    return known.get(next(named, "").rpartition("/")[2], {})


def given_parameters(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """What runs without a person start with. Without a schedule a person fills the form in."""
    base: dict[str, Any] = deployment.get("parameters") or {}
    return [
        base | (schedule.get("parameters") or {}) for schedule in deployment.get("schedules") or []
    ]


def test_nothing_is_pulled_and_names_differ() -> None:
    names = [deployment["name"] for deployment in DEPLOYMENTS]
    assert PREFECT["pull"] == []
    assert len(set(names)) == len(names) > 0
