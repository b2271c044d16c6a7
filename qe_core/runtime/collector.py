"""Python's garbage collector, set for a process that decides all the time.

What belongs here: one call for whoever owns such a process. What does not: calling it, for the collector
belongs to the process and not to a library.
"""

import gc

YOUNG_OBJECTS = 20_000
"""Objects made, less those released, between two collections; Python's own figure is 700."""


def calm_collector() -> None:
    """Let the collector leave alone what lives as long as the process, and come less often.

    Call it once everything is imported and opened. Hundreds of thousands of objects of modules and models
    never become garbage, but a full collection looks at each and stops every task meanwhile, for a tenth of a
    second and more. The hot path makes no cycles, so there is little to find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
