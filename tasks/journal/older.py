"""Lines of older versions, in today's words. Pure."""

from collections.abc import Mapping

from pydantic import JsonValue


def in_todays_words(kind: str, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Up to 0.2.0 a service's scan policy stood in its service.yaml; it is not today's policy any more, whatever it said."""
    spec = body.get("spec")
    if kind != "release started" or not isinstance(spec, dict) or "scan" not in spec:
        return dict(body)
    return {**body, "spec": {name: value for name, value in spec.items() if name != "scan"}}
