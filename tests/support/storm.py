"""Many pushes at once, over plain sockets: a comfortable client would need more of the machine than the receiver."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answered:
    status: int
    seconds: float


def message(body: bytes, headers: Mapping[str, str], path: str = "/push/team") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def storm(
    url: str, messages: Sequence[bytes], seconds: float, at_most: int
) -> list[Answered]:
    """Each begins in its turn of these seconds (0: as soon as it can), at most so many at once. Answers in their order."""
    place = urlsplit(url)
    free: list[Connection] = []
    gate = asyncio.Semaphore(at_most)
    begin = time.monotonic()

    async def one(number: int, sent: bytes) -> Answered:
        await asyncio.sleep(begin + number * seconds / len(messages) - time.monotonic())
        async with gate:
            asked = time.monotonic()
            reader, writer = (
                free.pop()
                if free
                else await asyncio.open_connection(place.hostname or "", place.port or 0)
            )
            writer.write(sent)
            status = await _answer(reader)
            free.append((reader, writer))
            return Answered(status, time.monotonic() - asked)

    found = await asyncio.gather(*(one(*numbered) for numbered in enumerate(messages)))
    for _, writer in free:
        writer.close()
        await writer.wait_closed()
    return found


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1])
