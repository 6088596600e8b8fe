"""Asks one instance over HTTP, past the splitter."""

import ssl
from functools import cache

import httpx

from tasks.errors import TransientError

MOST_BYTES = 64 * 1024


def loopback_client(seconds: float) -> httpx.Client:
    """For plain http on this machine. No proxy; and no certificates, which take longer to load than to ask."""
    return httpx.Client(timeout=seconds, trust_env=False, verify=_unused())


@cache
def _unused() -> ssl.SSLContext:
    """Made once: even one without certificates takes 4 ms of processor, and every look asks every instance."""
    return httpx.create_ssl_context(verify=False)


class HttpProber:
    """Fits ports.Prober. Redirects are answers, not something to follow."""

    def get(self, address: str, path: str, seconds: float) -> tuple[int, str]:
        """Status and the first 64 kB of the body. TransientError if nothing answered in time."""
        url = f"http://{address}{path}"
        try:
            with (
                loopback_client(seconds) as client,
                client.stream("GET", url) as answer,
            ):
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) >= MOST_BYTES:
                        break
                return answer.status_code, bytes(body[:MOST_BYTES]).decode(errors="replace")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransientError(f"asked {url}; {type(error).__name__}: {error}") from error
