"""`bakewell pushes`: what was pushed, and what became of it."""

from flows.command import Exit, Json, show
from flows.push_views import pushes_json, pushes_table, pushes_told
from tasks import platforms


def pushes(service: str = "", *, limit: int = 20, json: Json = False) -> int:
    """List the pushes that were accepted, newest first: waiting, released, superseded, refused.

    Parameters
    ----------
    service
        Only this service.
    limit
        At most this many.
    json
        Print as JSON.
    """
    found = pushes_told(platforms.journal(), service or None, limit)
    show(json, lambda: pushes_json(found), lambda: pushes_table(found))
    return Exit.DONE
