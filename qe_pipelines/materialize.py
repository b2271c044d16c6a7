"""Materialise the graph from the command line: one process, one run for all agents.

What belongs here: arguments, and which run covers what. What does not: the graph (`definitions`) and the
messages it tells its progress with (`running`). Run it as ``python -m qe_pipelines.materialize``.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import dagster as dg

from qe_core.errors import QEError
from qe_pipelines.definitions import definitions
from qe_pipelines.partitions import AGENTS, agent_ranges, range_tags
from qe_pipelines.running import Say, messages_on_stdout, project_instance, run_job


def materialize(
    instance: dg.DagsterInstance, say: Say, agents: Sequence[str] = (), job_name: str = "whole_graph"
) -> bool:
    """Return whether a job, for all agents or what follows from the experiences of some, succeeded.

    All agents at once are one run. Some of them are a run for each stretch of the roster that they fill, and
    one more for what all agents share; the first run that fails is the last.

    Args:
        instance: where the runs are recorded.
        say: told the messages of `running.run_job`.
        agents: names; none for all.
        job_name: ``whole_graph``, or ``learn`` to leave the views and the report as they are.

    Raises:
        UnknownAgentError: a name is not registered.
    """
    job = definitions.resolve_job_def(job_name)
    roster = AGENTS.get_partition_keys()
    if not agents or set(agents) == set(roster):
        return run_job(job, instance, say, range_tags(roster[0], roster[-1])).success
    graph = definitions.resolve_asset_graph()
    keys = job.asset_layer.selected_asset_keys
    by_agent = {key for key in keys if graph.get(key).is_partitioned}
    shared = sorted(keys - by_agent)
    return all(
        run_job(job, instance, say, range_tags(first, last), sorted(by_agent)).success
        for first, last in agent_ranges(agents)
    ) and (run_job(job, instance, say, assets=shared).success)


def main(arguments: list[str] | None = None) -> int:
    """Materialise as asked and print messages; returns the exit code, 1 when a part failed."""
    parser = argparse.ArgumentParser(prog="python -m qe_pipelines.materialize", description=__doc__)
    parser.add_argument("--agent", action="append", default=[], help="only this agent; may be repeated")
    parser.add_argument(
        "--tables-only", action="store_true", help="leave the views and the report as they are"
    )
    options = parser.parse_args(arguments)
    job_name = "learn" if options.tables_only else "whole_graph"
    start = time.monotonic()
    with messages_on_stdout() as say:
        try:
            with project_instance() as instance:
                is_success = materialize(instance, say, options.agent, job_name)
        except QEError as error:
            say({"error": str(error)})
            return 1
        say({"finished": is_success, "seconds": round(time.monotonic() - start, 1)})
    return 0 if is_success else 1


if __name__ == "__main__":
    sys.exit(main())
