"""Materialise again whenever asked: for somebody who plays and wants to see how the learning goes meanwhile.

What belongs here: one round for each line on standard input, until there are no more. What does not: what a
round is (`materialize`). Run it as ``python -m qe_pipelines.rounds``.
"""

import argparse
import sys
from collections.abc import Iterable

from qe_core.errors import QEError
from qe_pipelines.materialize import materialize
from qe_pipelines.running import messages_on_stdout, project_instance


def main(arguments: list[str] | None = None, asked: Iterable[str] = sys.stdin) -> int:
    """Materialise tables, statistics and verdict once a line; returns the exit code, 1 when a part failed.

    Args:
        arguments: of the command line.
        asked: one line for each round.
    """
    parser = argparse.ArgumentParser(prog="python -m qe_pipelines.rounds", description=__doc__)
    parser.add_argument("--agent", required=True, help="whose experiences the rounds follow")
    options = parser.parse_args(arguments)
    with messages_on_stdout() as say:
        try:
            with project_instance() as instance:
                for _ in asked:
                    is_success = materialize(instance, say, [options.agent], "learn")
                    say({"finished": is_success})
                    if not is_success:
                        return 1
        except QEError as error:
            say({"error": str(error)})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
