"""What was recorded of a test's units, in the form judgements take, and judgements in the form they are kept.

What belongs here: conversion both ways. What does not: judging (`qe_core.rollout.verdicts`) and reading units
(`qe_core.store.ab_tests`).
"""

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from qe_core.config import Settings
from qe_core.config.rollout import RolloutSettings
from qe_core.rollout.assignment import Arm, Stage
from qe_core.rollout.evidence import ArmSample, Outcome, StageEvidence, evidence_of
from qe_core.rollout.settings import ABTestSettings
from qe_core.runtime.parameters import ab_test_settings
from qe_core.runtime.rollout.serving_policies import DEVELOPER
from qe_core.store.ab_tests import ABTest, TestUnits

OVERDUE = timedelta(days=1)
"""A unit without an outcome for so long counts as lost: nobody takes the outcome of an older decision."""

_MICROSECOND = timedelta(microseconds=1)


def stage_evidence(units: TestUnits, test: ABTest, now: datetime) -> tuple[StageEvidence, ...]:
    """Return the evidence of each stage: recorded outcomes, how many will not come, how many came again.

    Args:
        units: of the test.
        test: says what a unit is.
        now: the present, aware.

    Raises:
        RolloutError: what was recorded cannot be: a unit in both arms of one stage.
    """
    names = _names(units, test)
    outcomes = [
        Outcome(
            Stage(stage),
            Arm.TREATMENT if is_treatment else Arm.CONTROL,
            name,
            reward,
            None if success < 0 else float(success),
            _known(cost),
            _known(seconds),
        )
        for name, stage, is_treatment, is_recorded, reward, success, cost, seconds in zip(
            names,
            *(units.stage.tolist(), units.is_treatment.tolist(), units.is_recorded.tolist()),
            *(units.reward.tolist(), units.success.tolist()),
            *(units.cost.tolist(), units.duration_seconds.tolist()),
            strict=True,
        )
        if is_recorded
    ]
    found = {one.stage: one for one in evidence_of(outcomes, test.hold_out)}
    counts = [(place, ArmSample(lost=count)) for place, count in _lost(units, names, now).items()]
    counts += [(place, ArmSample(repeated=count)) for place, count in _repeated(units, names).items()]
    for (stage, arm), sample in counts:
        part = StageEvidence(
            stage,
            **({"control": sample} if arm is Arm.CONTROL else {"treatment": sample}),
            hold_out=test.hold_out,
        )
        found[stage] = found[stage] + part if stage in found else part
    return tuple(found[stage] for stage in sorted(found))


def units_per_day(evidence: tuple[StageEvidence, ...], test: ABTest, now: datetime) -> float | None:
    """Return the rate of recorded units since the test began; None where nothing arrived yet."""
    recorded = sum(stage.control.count + stage.treatment.count for stage in evidence)
    days = (now - test.started_at) / timedelta(days=1)
    return recorded / days if recorded and days > 0.0 else None


def settings_to_keep(settings: Settings) -> dict[str, Any]:
    """Return what a test is started with, as JSON values: later changes of settings do not concern it."""
    return settings.rollout.model_dump(mode="json")


def settings_of(test: ABTest, settings: Settings) -> ABTestSettings:
    """Return what a test is judged by: what it was started with, and for what is newer the present."""
    kept = test.settings.get("rollout", {})
    known = {name: value for name, value in kept.items() if name in RolloutSettings.model_fields}
    rules = RolloutSettings.model_validate({**settings.rollout.model_dump(), **known})
    return ab_test_settings(settings.model_copy(update={"rollout": rules}))


def _names(units: TestUnits, test: ABTest) -> list[str]:
    """Return what each unit counts as: itself, or what it was assigned by together with others."""
    if test.unit_kind != DEVELOPER:
        return list(units.unit)
    return [
        unit if cluster is None else cluster for unit, cluster in zip(units.unit, units.cluster, strict=True)
    ]


def _lost(units: TestUnits, names: list[str], now: datetime) -> dict[tuple[Stage, Arm], int]:
    """Return how many units have no outcome, and will have none, by stage and arm."""
    latest = (now - OVERDUE - datetime.fromtimestamp(0, now.tzinfo)) // _MICROSECOND
    overdue: dict[str, tuple[Stage, Arm]] = {}
    alive: set[str] = set()
    columns = (units.stage.tolist(), units.is_treatment.tolist(), units.is_recorded.tolist())
    for name, assigned_at, stage, is_treatment, is_recorded in zip(
        names, units.assigned_at.tolist(), *columns, strict=True
    ):
        if is_recorded or assigned_at > latest:
            alive.add(name)
        else:
            overdue.setdefault(name, (Stage(stage), Arm.TREATMENT if is_treatment else Arm.CONTROL))
    counts: dict[tuple[Stage, Arm], int] = {}
    for name, place in overdue.items():
        if name not in alive:
            counts[place] = counts.get(place, 0) + 1
    return counts


def _repeated(units: TestUnits, names: list[str]) -> Counter[tuple[Stage, Arm]]:
    """Return how many units had an outcome delivered again, by the stage and arm of their evidence.

    Units are counted, not deliveries: only units come independently of each other.
    """
    places: dict[str, tuple[Stage, Arm]] = {}
    again: set[str] = set()
    columns = (units.stage.tolist(), units.is_treatment.tolist(), units.is_recorded.tolist())
    for name, repeats, stage, is_treatment, is_recorded in zip(
        names, units.repeats.tolist(), *columns, strict=True
    ):
        if is_recorded:
            places.setdefault(name, (Stage(stage), Arm.TREATMENT if is_treatment else Arm.CONTROL))
        if repeats:
            again.add(name)
    return Counter(places[name] for name in again)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
