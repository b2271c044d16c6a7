"""The collector leaves alone what lives as long as the process."""

import subprocess
import sys

CODE = """
import gc
from qe_core.runtime.collector import YOUNG_OBJECTS, calm_collector
kept = [[] for _ in range(10_000)]
calm_collector()
assert gc.get_freeze_count() > 10_000
assert gc.get_threshold()[0] == YOUNG_OBJECTS
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() >= 1, "garbage made later must still be found"
"""


def test_what_is_there_is_left_alone_and_later_garbage_is_found() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
