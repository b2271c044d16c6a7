"""Run every asset check on what is in the database, with an exit code.

What belongs here: running them and telling their results. What does not: the checks, which are in the stages'
folders. Run it as ``python -m qe_pipelines.checks``.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from qe_core.errors import QEError
from qe_pipelines.definitions import definitions
from qe_pipelines.running import Say, messages_on_stdout, project_instance, run_job


def run_checks(instance: dg.DagsterInstance, say: Say) -> bool:
    """Run all checks, tell each result, and return whether none of severity ERROR failed or could not run.

    Args:
        instance: where the run is recorded.
        say: told ``{"check", "asset", "passed", "severity", "description"}`` for each check.
    """
    result = run_job(definitions.resolve_job_def("checks"), instance, say)
    found = list(results(result))
    for line in found:
        say(line)
    is_failed = any(not line["passed"] and line["severity"] == "ERROR" for line in found)
    return result.success and not is_failed


def results(result: dg.ExecuteInProcessResult) -> Iterator[Mapping[str, Any]]:
    """Yield one message for each check of a run."""
    for evaluation in result.get_asset_check_evaluations():
        yield {
            "check": evaluation.check_name,
            "asset": evaluation.asset_key.to_user_string(),
            "passed": evaluation.passed,
            "severity": evaluation.severity.value,
            "description": evaluation.description,
        }


def main(arguments: list[str] | None = None) -> int:
    """Run the checks and print messages; returns the exit code, 1 when a check of severity ERROR failed."""
    argparse.ArgumentParser(prog="python -m qe_pipelines.checks", description=__doc__).parse_args(arguments)
    with messages_on_stdout() as say:
        try:
            with project_instance() as instance:
                return 0 if run_checks(instance, say) else 1
        except QEError as error:
            say({"error": str(error)})
            return 1


if __name__ == "__main__":
    sys.exit(main())
