"""prefect.yaml names flows that exist, with parameters they take: known before a worker finds out."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.flows import Flow, load_flow_from_entrypoint
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
