"""Which instances have about the canary's load: only those may be ranked together. Pure.

Told by what they were sent in earlier batches, never by this one's answers: retries of failed requests are load, too.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.observe.betting import Floats

SAME_LOAD: Final = (3 / 4, 4 / 3)  # of the canary's; ranks are unfair beyond (notes, section 5.5)
MEMORY: Final = 0.8  # of a batch's weight is left one batch later: loads follow the traffic weights
CLEARLY: Final = 2.0  # standard deviations; fewer are the noise of small counts


class Loads:
    """Requests a batch of each instance, over the last few batches. `where`: places of the others in the roll of all."""

    def __init__(self) -> None:
        self._sums, self._batches = np.zeros(0), np.zeros(0)
        self._canary = np.zeros(2)

    def widen(self, count: int) -> None:
        self._sums, self._batches = (np.pad(one, (0, count)) for one in (self._sums, self._batches))

    def alike(self, canary: Floats, others: Floats, where: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Bool [others]. `canary`, `others`: requests in this batch; they only count for who was never seen before."""
        own, own_batches = self._canary if self._canary[1] else (canary.mean(), 1.0)
        known = self._batches[where] > 0
        batches = np.where(known, self._batches[where], 1.0)
        theirs = np.where(known, self._sums[where], others) / batches
        mine = own / own_batches
        own_noise, noise = mine / own_batches, theirs / batches
        above = _clearly(mine - SAME_LOAD[1] * theirs, own_noise + SAME_LOAD[1] ** 2 * noise)
        below = _clearly(SAME_LOAD[0] * theirs - mine, own_noise + SAME_LOAD[0] ** 2 * noise)
        return np.asarray(~(above | below))

    def remember(self, canary: Floats, others: Floats, where: NDArray[np.int64]) -> None:
        self._canary = MEMORY * self._canary + (canary.mean(), 1.0)
        self._sums[where] = MEMORY * self._sums[where] + others
        self._batches[where] = MEMORY * self._batches[where] + 1


def _clearly(more: Floats, variance: Floats) -> NDArray[np.bool_]:
    return np.asarray(more > CLEARLY * np.sqrt(variance))
