"""The command ``python -m tests.privacy_audit``: what outputs prove about ε, beside what is claimed.

What belongs here: options, the tables, the exit code. What does not: the audit (`judging`), the neighbours
(`cases`), the picture (`picture`).
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from tests.privacy_audit.cases import all_cases, fifty_keys, key_appearing, task_removed
from tests.privacy_audit.judging import Finding, audit
from tests.privacy_audit.picture import draw
from tests.privacy_audit.runs import (
    BUDGET_PER_KEY,
    NO_CLIPPING,
    ONLY_PRESENT_KEYS,
    PRODUCT,
)

PLANTED = (
    (ONLY_PRESENT_KEYS, key_appearing()),
    (BUDGET_PER_KEY, fifty_keys()),
    (NO_CLIPPING, task_removed()),
)


def main(
    cells: Annotated[int, typer.Option(min=50_000, help="Noisy numbers drawn per neighbour.")] = 2_000_000,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999999, help="Of all figures together.")] = 0.95,
    processes: Annotated[int, typer.Option(min=1, help="At once.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the choice among a unit's pairs; noise has none.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw the rates of guessing there.")] = None,
) -> None:
    """Audit the release: lower bounds on ε of the product, and of three mechanisms wrong on purpose."""
    tasks = [*((PRODUCT, case) for case in all_cases()), *PLANTED]
    error = (1 - confidence) / len(tasks)
    mechanisms, cases = zip(*tasks, strict=True)
    runs = [2 * (cells // case.cell_count // 2) for case in cases]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        findings = list(pool.map(audit, mechanisms, cases, runs, repeat(error), repeat(seed)))
    product, planted = findings[: -len(PLANTED)], findings[-len(PLANTED) :]
    print(f"{cells:,} noisy numbers per neighbour, {100 * confidence:g} % sure of all figures together\n")  # noqa: T201
    print("\n".join(product_table(product)), "\n")  # noqa: T201
    print("\n".join(planted_table(planted)))  # noqa: T201
    if picture is not None:
        draw(findings, picture)
    is_sound = all(one.is_within_claim for one in product)
    is_caught = all(one.epsilon > one.case.claim for one in planted)
    raise typer.Exit(0 if is_sound and is_caught else 1)


def product_table(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a table of what was found about the product."""
    lines = [
        "| neighbours | ε claimed | ε proved | provable in so many runs | ε proved, noise taken as Gaussian "
        "| ε exactly | runs each | within |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.case.name} | {one.case.claim:.3f} | {one.epsilon:.3f} | {one.possible:.3f} "
        f"| {one.gaussian:.3f} | {one.exact:.3f} | {one.runs:,} | {'yes' if one.is_within_claim else 'NO'} |"
        for one in findings
    ]
    return lines


def planted_table(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a table of what was found about the mechanisms that are wrong on purpose."""
    lines = [
        "| planted bug | neighbours | ε claimed | ε proved | by | runs each | caught |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.mechanism} | {one.case.name} | {one.case.claim:.3f} | {one.epsilon:.3f} | {one.guess} "
        f"| {one.runs:,} | {'yes' if one.epsilon > one.case.claim else 'NO'} |"
        for one in findings
    ]
    return lines


if __name__ == "__main__":
    typer.run(main)
