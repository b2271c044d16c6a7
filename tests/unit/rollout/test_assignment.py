"""Buckets are published, uniform, independent between experiments, sticky, and grow only into treatment."""

import os
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Arm, Stage, StagePlan, arm_of, bucket_of, plan_of

ROOT = Path(__file__).parents[3]
EXPLANATION = ROOT / "docs" / "explanation" / "ab-tests.md"

VECTORS = (
    ("qe/test-generator/1", "task-000001", 8892252271342915, "control", "control", "control"),
    ("qe/test-generator/1", "task-000002", 6632940160354573, "outside", "control", "treatment"),
    ("qe/test-generator/2", "task-000001", 2756577866421363, "outside", "treatment", "treatment"),
    ("qe/flaky-test-hunter/1", "task-000001", 7246282134491299, "outside", "control", "treatment"),
    ("qe/test-generator/1", "ada@example.org", 2014075068640400, "outside", "treatment", "treatment"),
    ("k" * 64, "task-000001", 2874823778409144, "outside", "treatment", "treatment"),
    ("Größe", "Prüfung-✓", 3308815219044998, "outside", "treatment", "treatment"),
    ("a", "b", 1566255287562486, "outside", "treatment", "treatment"),
)
"""Key, unit, bucket × 2⁵³, arm at 10, 50 and 100 %. A change would move units of running tests."""

UNITS = tuple(f"task-{number:06d}" for number in range(40_000))
ERROR_RATE = 1e-6
"""Chance of each statistical test here failing on a sound hash; with fixed keys and units, for good."""

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=16)


@pytest.mark.parametrize(("experiment", "unit", "numerator", "tenth", "half", "full"), VECTORS)
def test_published_vectors_hold(
    experiment: str, unit: str, numerator: int, tenth: str, half: str, full: str
) -> None:
    assert bucket_of(experiment, unit) == numerator / 2**53
    assert [arm_of(experiment, unit, plan_of(stage)) for stage in Stage] == [tenth, half, full]


def test_documentation_publishes_the_same_vectors() -> None:
    text = EXPLANATION.read_text()
    for experiment, unit, numerator, *arms in VECTORS:
        assert f"| `{experiment}` | `{unit}` | {numerator} | {' | '.join(arms)} |" in text


def test_bytes_become_a_number_as_documented() -> None:
    digest = blake2b(b"task-000001", key=b"qe/test-generator/1", digest_size=8).digest()
    top_53_bits = int("".join(f"{byte:08b}" for byte in digest)[:53], 2)
    assert bucket_of("qe/test-generator/1", "task-000001") == top_53_bits / 2**53


def test_buckets_are_uniform() -> None:
    buckets = [bucket_of("uniform", unit) for unit in UNITS]
    counts, _ = np.histogram(buckets, bins=100, range=(0.0, 1.0))
    assert stats.chisquare(counts).pvalue > ERROR_RATE
    assert stats.kstest(buckets, "uniform").pvalue > ERROR_RATE


@pytest.mark.parametrize("keys", [("agent/1", "agent/2"), ("a", "b"), ("k" * 63, "k" * 64)])
def test_experiments_are_independent(keys: tuple[str, str]) -> None:
    first, second = ([bucket_of(key, unit) for unit in UNITS] for key in keys)
    counts, _, _ = np.histogram2d(first, second, bins=10, range=((0.0, 1.0), (0.0, 1.0)))
    assert stats.chisquare(counts.ravel()).pvalue > ERROR_RATE


def test_units_that_follow_each_other_are_independent() -> None:
    buckets = np.array([bucket_of("neighbours", unit) for unit in UNITS])
    counts, _, _ = np.histogram2d(buckets[:-1:2], buckets[1::2], bins=10, range=((0.0, 1.0), (0.0, 1.0)))
    assert stats.chisquare(counts.ravel()).pvalue > ERROR_RATE


@settings(deadline=None)
@given(texts, texts, st.floats(0.01, 0.5))
def test_nobody_leaves_treatment_as_it_grows(experiment: str, unit: str, hold_out: float) -> None:
    arms = [arm_of(experiment, unit, plan_of(stage, hold_out)) for stage in Stage]
    first = arms.index(Arm.TREATMENT) if Arm.TREATMENT in arms else len(arms)
    assert all(arm is Arm.TREATMENT for arm in arms[first:])


@settings(deadline=None)
@given(texts, texts)
def test_a_bucket_is_a_multiple_of_the_step_below_one(experiment: str, unit: str) -> None:
    bucket = bucket_of(experiment, unit)
    assert 0.0 <= bucket < 1.0
    assert (bucket * 2**53).is_integer()
    assert bucket == bucket_of(experiment, unit)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_another_process_assigns_the_same(hash_seed: str) -> None:
    code = (
        "from qe_core.rollout.assignment import bucket_of\n"
        "print(*(bucket_of('restart', f'task-{n}').hex() for n in range(200)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        timeout=60,
    )
    assert ended.stdout.split() == [bucket_of("restart", f"task-{number}").hex() for number in range(200)]


def test_arms_are_equal_until_the_hold_out() -> None:
    assert [plan_of(stage).treatment_share for stage in Stage] == pytest.approx([0.5, 0.5, 0.9])
    assert [plan_of(stage).tested_share for stage in Stage] == pytest.approx([0.2, 1.0, 1.0])
    assert [stage.following for stage in Stage] == [Stage.HALF, Stage.FULL, None]


def test_edges_belong_to_the_upper_interval() -> None:
    plan = plan_of(Stage.TENTH)
    arms = [plan.arm_at(bucket) for bucket in (0.0, 0.0999, 0.1, 0.8999, 0.9, 1.0 - 2**-53)]
    treatment, outside, control = Arm.TREATMENT, Arm.OUTSIDE, Arm.CONTROL
    assert arms == [treatment, treatment, outside, outside, control, control]


@pytest.mark.parametrize(
    ("experiment", "unit", "message"),
    [
        ("", "task", "1 to 64 bytes, this one 0"),
        ("é" * 33, "task", "1 to 64 bytes, this one 66"),
        ("key", "", "the unit is empty"),
        ("key", "\ud800", "is not valid text"),
    ],
)
def test_what_cannot_be_assigned_is_refused_by_name(experiment: str, unit: str, message: str) -> None:
    with pytest.raises(RolloutError, match=message):
        bucket_of(experiment, unit)


@pytest.mark.parametrize("hold_out", [0.0, 0.51, float("nan")])
def test_a_hold_out_outside_its_range_is_refused(hold_out: float) -> None:
    with pytest.raises(RolloutError, match="hold_out must lie in"):
        plan_of(Stage.FULL, hold_out)


def test_arms_that_overlap_are_refused() -> None:
    with pytest.raises(RolloutError, match="overlap or are empty"):
        StagePlan(Stage.HALF, 0.6, 0.5)
