"""Counting what the store meets.

What belongs here: the one mutable counter behind `StoreCounters`. What does not: exporting it.
"""

from dataclasses import asdict

from qe_core.store.records import StoreCounters


class Counter:
    """Adds up events; `snapshot` is what others see."""

    def __init__(self) -> None:
        self._totals = asdict(StoreCounters())

    def add(self, **events: int) -> None:
        """Add to totals by the names of `StoreCounters`."""
        for name, count in events.items():
            self._totals[name] += count

    def snapshot(self) -> StoreCounters:
        """Return the totals now."""
        return StoreCounters(**self._totals)
