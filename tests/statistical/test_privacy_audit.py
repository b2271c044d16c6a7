"""The audit of the privacy guarantee in short: the product keeps its claim, wrong mechanisms are caught.

The long form, ``python -m tests.privacy_audit``, proves more with more runs. OpenDP's noise has no seed. Each
finding about the product is wrong with chance 10^-7 at most, so all of them together raise a false alarm in
fewer than one of 10^6 runs. Bugs are caught by bounds at 95 %; what is provable lies so far above the claim
(five standard errors or more) that each is missed in about one of 10^6 runs at most.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qe_core.privacy import mechanism, statistics, units
from qe_core.privacy.mechanism import noised, with_noise
from qe_core.privacy.units import ContributionBound, Sensitivities
from tests.privacy_audit.cases import (
    Case,
    all_cases,
    developer_removed,
    fifty_keys,
    key_appearing,
    task_removed,
)
from tests.privacy_audit.judging import audit
from tests.privacy_audit.runs import (
    BUDGET_PER_KEY,
    NO_CLIPPING,
    ONLY_PRESENT_KEYS,
    PRODUCT,
    Mechanism,
)

FALSE_ALARM = 1e-7
SURE = 0.05 / 3
"""Three planted bugs share 5 %."""

Patch = Callable[[pytest.MonkeyPatch], None]


def demanding(case: Case) -> Case:
    """Return the case at ε = 8, where few runs prove much."""
    return replace(case, privacy_epsilon=8.0)


CASES = {case.name: demanding(case) for case in all_cases()}


@pytest.mark.parametrize("name", CASES)
def test_what_leaves_proves_no_more_than_is_claimed(name: str) -> None:
    case = CASES[name]
    runs = max(2 * (10_000 // case.cell_count), 100)
    finding = audit(PRODUCT, case, runs, FALSE_ALARM, seed=1)
    assert finding.is_within_claim, (finding.epsilon, finding.separation)


@pytest.mark.parametrize(
    ("planted", "case", "runs"),
    [
        (ONLY_PRESENT_KEYS, key_appearing(), 600),
        (BUDGET_PER_KEY, fifty_keys(privacy_epsilon=2.0), 700),
        (NO_CLIPPING, task_removed(), 600),
    ],
    ids=lambda value: value.name if isinstance(value, Mechanism) else "",
)
def test_a_planted_bug_is_caught(planted: Mechanism, case: Case, runs: int) -> None:
    assert audit(planted, case, runs, SURE, seed=2).epsilon > case.claim


def unbounded(patch: pytest.MonkeyPatch) -> None:
    """Let every pair of a unit count."""
    chosen = units._chosen
    patch.setattr(units, "_chosen", lambda unit, cell, rank, key, _: chosen(unit, cell, rank, key, 10**9))


def repeated(patch: pytest.MonkeyPatch) -> None:
    """Let every visit of a pair count."""
    patch.setattr(units, "_chosen", lambda unit, *_: np.arange(len(unit)))


def unclipped(patch: pytest.MonkeyPatch) -> None:
    """Count rewards as they are."""
    patch.setattr(statistics, "_hundredths", lambda reward, _: np.rint(100 * reward))


def per_key(patch: pytest.MonkeyPatch) -> None:
    """Scale noise to a unit of one key."""
    patch.setattr(
        ContributionBound,
        "sensitivities",
        lambda bound, _: Sensitivities(units=1, visits=1, rewards=bound.clip_hundredths**2, transitions=1),
    )


def sparse(patch: pytest.MonkeyPatch) -> None:
    """Add noise only where something was counted."""
    patch.setattr(
        mechanism, "with_noise", lambda values, scale: np.where(values, with_noise(values, scale), 0)
    )


def half(patch: pytest.MonkeyPatch) -> None:
    """Add half the noise."""
    patch.setattr(mechanism, "with_noise", lambda values, scale: with_noise(values, scale / 2))


def noiseless(patch: pytest.MonkeyPatch) -> None:
    """Add no noise."""
    patch.setattr(mechanism, "with_noise", lambda values, _: values)


@pytest.mark.parametrize(
    ("bug", "case", "runs"),
    [
        (unbounded, fifty_keys(5), 200),
        (repeated, developer_removed(), 200),
        (unclipped, task_removed(), 400),
        (per_key, task_removed(), 600),
        (sparse, key_appearing(), 400),
        (half, task_removed(), 600),
        (noiseless, task_removed(), 200),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_audit_fails_when_a_guard_is_taken_out_of_the_product(
    bug: Patch, case: Case, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = demanding(case)
    bug(monkeypatch)
    assert not audit(PRODUCT, claimed, runs, 0.05, seed=3).is_within_claim


def test_many_runs_at_once_are_many_single_runs() -> None:
    # Scores of 200 releases made one by one and of 1,000 made at once: Kolmogorov and Smirnov find a
    # difference between equals with chance 10^-9.
    case = task_removed()
    generator = np.random.default_rng(5)
    exact = PRODUCT.count(case.present, case, generator)["small"]
    singly = [noised(exact, case.plan.scales) for _ in range(200)]
    score = np.array([one.units + one.visits.sum() + one.rewards.sum() / 5_000 for one in singly])
    outputs = PRODUCT.outputs(case.present, case, 1_000, generator)
    at_once = outputs[:, 0] + outputs[:, 1:7].sum(axis=1) + outputs[:, 7:13].sum(axis=1) / 5_000
    assert stats.ks_2samp(score, at_once).pvalue > 1e-9
