"""Beside the work: what is only for the eye is drawn in a thread of its own, so that a server that hangs delays no verdict."""

import threading
from collections.abc import Callable
from contextvars import copy_context

from flows.story import Tone, tell

Draw = Callable[[], None]


class Beside:
    """One drawing at a time. Of those that come meanwhile only the newest is kept: it shows what the others would have shown.

    The thread ends with the process, whatever it is at.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: Draw | None = None
        self._thread: threading.Thread | None = None

    def draw(self, what: Draw) -> None:
        """Returns at once. It knows the run that is drawn for, as the caller does."""
        with self._lock:
            self._next = what
            if self._thread is None:
                run = copy_context().run
                self._thread = threading.Thread(target=run, args=(self._draw_all,), daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Until all is drawn, so long at most; is it?"""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _draw_all(self) -> None:
        while True:
            with self._lock:
                what, self._next = self._next, None
                if what is None:
                    self._thread = None
                    return
            try:
                what()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a drawing, it stops no rollout
                tell(f"could not be drawn: {str(error) or type(error).__name__}", Tone.WARN)
