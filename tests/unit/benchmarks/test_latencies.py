"""Latencies in fixed memory: percentiles to one per cent, merging, growth of memory."""

import math

import numpy as np
import pytest

from benchmarks.agents import growth_of
from benchmarks.latencies import LatencyHistogram


def histogram_of(latencies):
    """Return a histogram of these latencies."""
    found = LatencyHistogram()
    for latency in latencies:
        found.add(latency)
    return found


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
def test_percentiles_are_at_most_one_per_cent_too_high(share):
    latencies = np.random.default_rng(0).lognormal(-7.0, 1.5, 5_000)
    exact = np.sort(latencies)[math.ceil(share * 5_000) - 1]
    found = histogram_of(latencies).percentile(share)
    assert exact <= found <= exact * 1.0101


def test_merging_is_the_same_as_counting_together():
    merged = histogram_of([1e-3, 2e-3]).merged(histogram_of([5e-3]))
    assert merged.count == 3
    assert merged.percentile(1.0) == histogram_of([1e-3, 2e-3, 5e-3]).percentile(1.0)


def test_extremes_are_counted_and_nothing_is_no_number():
    found = histogram_of([0.0, 1e9])
    assert found.count == 2
    assert found.percentile(0.5) < 2e-7
    assert math.isnan(LatencyHistogram().percentile(0.5))


def test_growth_compares_the_last_quarter_with_the_second():
    assert growth_of([50, 100, 100, 150]) == 1.5
    assert growth_of([10, 100, 100, 100]) == 1.0
    assert growth_of([7]) == 1.0
