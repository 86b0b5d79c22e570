"""How many values go in one request, learnt from the answers. Pure; whoever sends measures and tells.

A proxy's limit is in bytes and nobody tells it (413), and a gateway gives a slow import up (502, 504): smaller requests
pass. What made them fail passes too, so the size grows again. A line that loses every fifth answer loses those of small
requests as well, and a figure would need many of them to arrive: only 413 makes them smaller than ``FEW``.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Values in one request at most: so many were taken in 3 to 22 s by a server of two cores (findings-dhis2 2).
MOST = 10_000
#: A request of so few values that is answered slowly or not at all is so for another reason: 500 of them take under a
#: second there.
FEW = 50
#: So many requests of the full size in a row that went well, and it doubles. One refused request in nine is the price.
SURE = 8


@dataclass(slots=True)
class RequestSize:
    """``most``: values that one request may have now, from 1 to ``MOST``."""

    most: int = MOST
    well: int = 0  #: requests of the full size in a row that went well

    def too_big(self, values: int) -> None:
        """A request of so many was refused for its size."""
        self.well = 0
        self.most = max(1, min(self.most, values // 2))

    def slow(self, values: int) -> None:
        """It went well, but another like it might not; or somebody gave it up."""
        self.well = 0
        if values > FEW:
            self.most = min(self.most, max(FEW, values // 2))

    def went_well(self, values: int) -> None:
        if values < self.most:
            return  # it says nothing about a bigger one
        self.well += 1
        if self.well >= SURE:
            self.most, self.well = min(MOST, 2 * self.most), 0
