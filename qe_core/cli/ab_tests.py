"""`qe ab`: tests of a candidate version against the stable one, and a person's word about them.

What belongs here: starting, showing, deciding. What does not: what the figures mean (`qe_core.rollout`) and
what is done without being asked (`qe_core.runtime.rollout.staged_rollout`).
"""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qe_core.cli.ab_figures import show_look, styled
from qe_core.cli.help import Command, Group
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import say, show_table

if TYPE_CHECKING:
    from qe_core.rollout.ramp import Move
    from qe_core.runtime.rollout.ab_testing import Analysis
    from qe_core.runtime.rollout.staged_rollout import RolloutStep
    from qe_core.store.ab_tests import ABTest, StageChange, UnitCount

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Test a candidate version on a few units first, and let it prove itself.",
)
TestNumber = Annotated[int, typer.Argument(metavar="TEST", help="The test's number, from qe ab status.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept with the test.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(cls=Command)
def start(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name, from qe status.")],
    why: Why,
    candidate: Annotated[
        int | None,
        typer.Option(
            "--candidate",
            metavar="VERSION",
            help="What to test; what was learned so far, frozen now, by default.",
        ),
    ] = None,
    is_by_developer: Annotated[
        bool, typer.Option("--by-developer", help="Assign by what episodes are begun for, not one by one.")
    ] = False,
    insistence: Annotated[
        str | None,
        typer.Option("--insist", metavar="REASON", help="Start even if the log speaks against it; say why."),
    ] = None,
    is_json: AsJson = False,
) -> None:
    """Start a test of a candidate.

    At first 10 % of the units follow it, and 10 % are compared with them.

    First the log is asked what the candidate would have earned; one that it speaks against, or says nothing
    about, is refused.

    Examples:
        qe ab start test-executor --why "a week of learning"
        qe ab start test-executor --candidate 12 --by-developer --why "people work on it for hours"
        qe ab start test-executor --candidate 12 --insist "tried on staging" --why "new runner"
    """
    test = wait_for(_started(agent, candidate, is_by_developer, why, insistence))
    if is_json:
        typer.echo(json.dumps(_plain(test), indent=2))
        return
    say(
        f"test {test.experiment_id} of {escape(test.agent)}: version {test.treatment} against "
        f"{test.control}, at {test.stage:d} %"
    )


@app.command(cls=Command)
def status(
    is_all: Annotated[bool, typer.Option("--all", help="Tests that have ended, too.")] = False,
    is_json: AsJson = False,
) -> None:
    """Show running tests: how far, what they amount to, what is next.

    Examples:
        qe ab status
        qe ab status --all --json | jq '.[] | select(.verdict == "stop for harm")'
    """
    steps, ended = wait_for(_status(is_all))
    if is_json:
        lines = [{**_plain(one.test), "look": _line(one)} for one in steps] + [_plain(test) for test in ended]
        typer.echo(json.dumps(lines, indent=2))
        return
    if not steps and not ended:
        say("no tests" if is_all else "no running tests")
        return
    if steps:
        rows = [
            (
                one.test.experiment_id,
                escape(one.test.agent),
                f"{one.test.treatment} against {one.test.control}",
                f"{one.test.stage:d} %",
                f"{one.test.started_at:%F %T}",
                " + ".join(f"{count:,}" for count in _units(one.look)),
                styled(one.look.judgement.verdict.value),
                escape(one.step.why),
            )
            for one in steps
        ]
        headings = ["test", "agent", "version", "stage", "since (UTC)", "units", "verdict", "next"]
        show_table("Running tests", headings, rows, right="test, stage")
    if ended:
        past = [
            (
                test.experiment_id,
                escape(test.agent),
                f"{test.treatment} against {test.control}",
                f"{test.stage:d} %",
                f"{test.ended_at:%F %T}",
                styled(str(test.verdict)),
            )
            for test in ended
        ]
        headings = ["test", "agent", "version", "stage", "ended (UTC)", "verdict"]
        show_table("Ended tests", headings, past, right="test, stage")


@app.command(cls=Command)
def analyse(number: TestNumber, is_json: AsJson = False) -> None:
    """Show everything a test amounts to.

    Effect, intervals, evidence, power, counts, guardrails, and its course. Looking does not spoil anything:
    the verdict holds however often it is asked for.

    Example:
        qe ab analyse 3
    """
    look, course = wait_for(_analysed(number))
    if is_json:
        content = {
            "test": look.test,
            "judgement": look.judgement,
            "evidence": look.evidence,
            "course": course,
        }
        typer.echo(json.dumps(_plain(content), indent=2))
        return
    say(f"test {number} of {escape(look.test.agent)}: {styled(look.judgement.verdict.value)}")
    show_look(look)
    show_table(
        "Course",
        ["when (UTC)", "from", "to", "by", "why"],
        [
            (
                f"{entry.changed_at:%F %T}",
                None if entry.from_stage is None else f"{entry.from_stage:d} %",
                entry.verdict if entry.to_stage is None else f"{entry.to_stage:d} %",
                escape(entry.changed_by),
                escape(entry.why),
            )
            for entry in course
        ],
    )


@app.command(cls=Command)
def advance(number: TestNumber, why: Why, is_json: AsJson = False) -> None:
    """Have a test go on to its next stage, whatever its verdict.

    Example:
        qe ab advance 3 --why "the first day was quiet"
    """
    from qe_core.rollout.ramp import Move

    _show_step(wait_for(_overridden(number, Move.ADVANCE, why)), is_json)


@app.command(cls=Command)
def promote(number: TestNumber, why: Why, is_json: AsJson = False) -> None:
    """End a test and have its candidate serve, whatever its verdict.

    Example:
        qe ab promote 3 --why "the old version cannot run on the new machines"
    """
    from qe_core.rollout.ramp import Move

    _show_step(wait_for(_overridden(number, Move.PROMOTE, why)), is_json)


@app.command(cls=Command)
def hold(
    number: TestNumber,
    why: Why,
    is_released: Annotated[
        bool, typer.Option("--release", help="Let it go on by its verdicts again.")
    ] = False,
) -> None:
    """Keep a test at its stage until released; harm still stops it.

    Examples:
        qe ab hold 3 --why "nobody is in the office until Monday"
        qe ab hold 3 --release --why "back"
    """
    test = wait_for(_held(number, is_released, why))
    word = "goes on by its verdicts" if is_released else f"is held at {test.stage:d} %"
    say(f"test {number} of {escape(test.agent)} {word}")


@app.command(cls=Command)
def stop(number: TestNumber, why: Why, is_json: AsJson = False) -> None:
    """End a test; all units follow the stable version.

    Example:
        qe ab stop 3 --why "the candidate was built from the wrong log"
    """
    from qe_core.rollout.ramp import Move

    _show_step(wait_for(_overridden(number, Move.STOP, why)), is_json)


@app.command(cls=Command)
def recover(number: TestNumber, is_json: AsJson = False) -> None:
    """Make good from the log what killed processes did not report.

    Harmless to repeat.

    Example:
        qe ab recover 3
    """
    counted = wait_for(_recovered(number))
    if is_json:
        typer.echo(json.dumps(_plain(counted), indent=2))
        return
    say(f"{counted.new:,} units and {counted.completed:,} outcomes were missing and are there now")


def _show_step(step: "RolloutStep", is_json: bool) -> None:
    if is_json:
        typer.echo(json.dumps({**_plain(step.test), "look": _line(step)}, indent=2))
        return
    test = step.test
    now = f"at {test.stage:d} %" if test.is_running else f"ended: {styled(str(test.verdict))}"
    say(f"test {test.experiment_id} of {escape(test.agent)} is {now}")
    say(f"its verdict then: {styled(step.look.judgement.verdict.value)}")


def _units(look: "Analysis") -> tuple[int, int]:
    treated = sum(stage.treatment.count for stage in look.evidence)
    return treated, sum(stage.control.count for stage in look.evidence)


def _line(step: "RolloutStep") -> dict[str, Any]:
    treated, control = _units(step.look)
    return {
        "verdict": step.look.judgement.verdict.value,
        "treated": treated,
        "control": control,
        "next": step.step.move.value,
        "why": step.step.why,
        "held_by": step.held_by,
    }


def _plain(value: Any) -> Any:
    from qe_core.runtime.json_values import as_json

    return as_json(value)


async def _started(
    agent: str, candidate: int | None, is_by_developer: bool, why: str, insistence: str | None
) -> "ABTest":
    from qe_core.config import configured_webhook_url, load_settings
    from qe_core.runtime.delivery import Delivery
    from qe_core.runtime.rollout.ab_testing import TASK, ABTestingFramework
    from qe_core.runtime.rollout.serving_policies import DEVELOPER

    settings = load_settings().values
    async with opened_store() as store:
        channels = Delivery(store, settings.monitoring, configured_webhook_url()).channels
        return await ABTestingFramework(store, settings, channels=channels).start(
            agent,
            by=getpass.getuser(),
            why=why,
            candidate=candidate,
            unit_kind=DEVELOPER if is_by_developer else TASK,
            insistence=insistence,
        )


async def _status(is_all: bool) -> tuple[list["RolloutStep"], list["ABTest"]]:
    from datetime import UTC, datetime

    from qe_core.config import load_settings
    from qe_core.runtime.rollout.ab_testing import ABTestingFramework
    from qe_core.runtime.rollout.staged_rollout import StagedRollout

    settings = load_settings().values
    async with opened_store() as store:
        rollout = StagedRollout(store, settings)
        looks = await ABTestingFramework(store, settings).analyse_running(datetime.now(UTC))
        steps = [await rollout.proposed(look) for look in looks]
        ended = [test for test in await store.ab_tests.tests() if not test.is_running] if is_all else []
        return steps, ended[::-1]


async def _analysed(number: int) -> tuple["Analysis", list["StageChange"]]:
    from qe_core.config import load_settings
    from qe_core.runtime.rollout.ab_testing import ABTestingFramework

    async with opened_store() as store:
        look = await ABTestingFramework(store, load_settings().values).analyse(number)
        return look, await store.ab_tests.history(number)


async def _overridden(number: int, move: "Move", why: str) -> "RolloutStep":
    from qe_core.config import load_settings
    from qe_core.runtime.rollout.staged_rollout import StagedRollout

    async with opened_store() as store:
        rollout = StagedRollout(store, load_settings().values)
        return await rollout.override(number, move, by=getpass.getuser(), why=why)


async def _held(number: int, is_released: bool, why: str) -> "ABTest":
    from qe_core.config import load_settings
    from qe_core.runtime.rollout.staged_rollout import StagedRollout

    async with opened_store() as store:
        rollout = StagedRollout(store, load_settings().values)
        word = rollout.release if is_released else rollout.hold
        return await word(number, by=getpass.getuser(), why=why)


async def _recovered(number: int) -> "UnitCount":
    from qe_core.config import load_settings
    from qe_core.runtime.rollout.ab_testing import ABTestingFramework

    async with opened_store() as store:
        return await ABTestingFramework(store, load_settings().values).recover_units(number)
