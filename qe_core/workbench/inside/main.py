"""Starts one phase inside the sandbox: `python main.py PHASE SPEC`, SPEC being a JSON file.

Belongs here: finding the phase's module without loading any other, so that a light strategy does not pay for
a heavy one's imports. Does not belong here: what the phases do.
"""

import importlib
import json
import os
import sys
from pathlib import Path

PHASES = {
    "survey": "survey",
    "measure": "measure",
    "dynamosa": "strategies.pynguin_search",
    "mio": "strategies.pynguin_search",
    "literals": "strategies.literals",
    "edge-values": "strategies.edge_values",
    "doctests": "strategies.doctests",
    "ghostwriter": "strategies.ghostwriter",
    "neighbour-tests": "strategies.neighbour_tests",
}
"""The module of each phase: two of the workbench's own, the others a strategy each."""


def _deny_network(event: str, _arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        raise PermissionError("the sandbox has no network")


def main() -> None:
    """Run the phase named on the command line; exit code 3 means it ran out of memory."""
    phase, path = sys.argv[1:3]
    sys.path.insert(0, str(Path(__file__).parents[1]))
    spec = json.loads(Path(path).read_text(encoding="utf-8"))
    sys.path[:0] = spec["sources"]
    if "network" not in os.environ.get("QE_SANDBOX", ""):
        sys.addaudithook(_deny_network)
    try:
        importlib.import_module(f"inside.{PHASES[phase]}").run(spec)
    except MemoryError:
        sys.exit(3)


if __name__ == "__main__":
    main()
