"""Settings in the words of the learning core."""

from qe_core.config import Settings
from qe_core.hierarchy.lookup import DEFAULT_LOOKUP
from qe_core.learning.q_table import DEFAULT_CONFIDENCE
from qe_core.rollout.rollback_settings import DEFAULT_ROLLBACK
from qe_core.rollout.safe_improvement_check import CheckSettings
from qe_core.rollout.settings import DEFAULT_SETTINGS
from qe_core.runtime.parameters import (
    ab_test_settings,
    candidate_check_settings,
    confidence_settings,
    lookup_settings,
    rollback_settings,
    version_ages,
)
from qe_core.store.thinning import DEFAULT_AGES


def test_the_defaults_of_settings_and_of_the_core_are_the_same() -> None:
    assert lookup_settings(Settings()) == DEFAULT_LOOKUP
    assert confidence_settings(Settings()) == DEFAULT_CONFIDENCE
    assert ab_test_settings(Settings()) == DEFAULT_SETTINGS
    assert candidate_check_settings(Settings()) == CheckSettings()
    assert rollback_settings(Settings()) == DEFAULT_ROLLBACK
    assert version_ages(Settings()) == DEFAULT_AGES
