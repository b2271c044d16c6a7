"""Import and train on a million experiences: seconds, rows a second and peak memory of every step.

What belongs here: one command and one table. What does not: assertions (tests hold 200,000 rows to the same
memory bound). Run it as ``python benchmarks/import_million.py [ROWS]``; it works in a directory of its own
and stops its database at the end.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from qe_core.fleet import registry

STEPS_OF_EPISODE = 10

MEASURE = """
import resource, sys
from qe_core.cli.app import main
sys.argv = ["qe", *sys.argv[1:]]
code = main()
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    print(resource.getrusage(who).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""
"""Runs the command and prints its own and its children's peak memory, MiB."""


def experiences(count: int) -> pa.Table:
    """Return random experiences of all agents, in episodes of ten steps."""
    rng = np.random.default_rng(0)
    fleet = tuple(registry())
    episode, step = np.divmod(np.arange(count), STEPS_OF_EPISODE)
    who = episode % len(fleet)
    states = np.array([contract.state_count for contract in fleet])[who]
    actions = np.array([[*contract.action_names, *[""] * 12][:12] for contract in fleet])
    action_counts = np.array([contract.action_count for contract in fleet])[who]
    return pa.table(
        {
            "agent": np.array([contract.name for contract in fleet])[who],
            "episode": np.char.add("e", episode.astype(str)),
            "step": step,
            "state": (rng.random(count) * states).astype(np.int64),
            "action": actions[who, (rng.random(count) * action_counts).astype(np.int64)],
            "reward": rng.normal(0, 20, count).clip(-100, 100),
            "next_state": (rng.random(count) * states).astype(np.int64),
            "terminated": step == STEPS_OF_EPISODE - 1,
        }
    )


def measured(directory: Path, *arguments: str) -> tuple[float, int, int]:
    """Run a command; return its seconds, and its own and its children's peak memory in MiB."""
    began = time.monotonic()
    environment = {**os.environ, "QE_HOME": str(directory / "home")}
    outcome = subprocess.run(  # noqa: S603
        [sys.executable, "-c", MEASURE, *arguments],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    own, children = outcome.stderr.split()[-2:]
    return time.monotonic() - began, int(own), int(children)


def main() -> None:
    """Print one line for each step."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="qe-import-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the database's own account must be able to enter
        table = experiences(count)
        pq.write_table(table, directory / "runs.parquet")
        pyarrow.csv.write_csv(table, directory / "runs.csv")
        del table
        steps = (
            ("import Parquet", ("import", "runs.parquet")),
            ("import it again", ("import", "runs.parquet")),
            ("import CSV", ("import", "runs.csv", "--source", "import:csv")),
            ("learn from all", ("train", "--only-tables")),
        )
        try:
            sys.stdout.write(
                f"{count:,} rows\n{'step':<18}{'seconds':>9}{'rows/s':>12}{'MiB':>7}{'children':>10}\n"
            )
            for what, arguments in steps:
                seconds, own, children = measured(directory, *arguments)
                sys.stdout.write(
                    f"{what:<18}{seconds:>9.1f}{count / seconds:>12,.0f}{own:>7}{children:>10}\n"
                )
                sys.stdout.flush()
        finally:
            measured(directory, "db", "stop")


if __name__ == "__main__":
    main()
