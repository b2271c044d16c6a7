"""Whether a log can say anything about a candidate: no support, no estimate.

What belongs here: the figures of support, their limits and the reason of a refusal. What does not: the
estimates (`off_policy`).
"""

from dataclasses import dataclass

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, require_fraction, require_positive
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_model import unsupported_share
from qe_core.rollout.off_policy_policies import require_policy
from qe_core.rollout.off_policy_weights import effective_sample_size, importance_weights


@dataclass(frozen=True, slots=True)
class SupportSettings:
    """What a log must have to speak about a candidate.

    Attributes:
        minimum_effective_episodes: episodes of the candidate's own that the weighted log must be worth,
            above 1.
        maximum_unsupported_share: the largest share of episodes, in [0, 1], in which the candidate may meet
            an action that was never tried in its state.
    """

    minimum_effective_episodes: float = 50.0
    maximum_unsupported_share: float = 0.05

    def __post_init__(self) -> None:
        require_positive("minimum_effective_episodes", self.minimum_effective_episodes - 1.0)
        require_fraction("maximum_unsupported_share", self.maximum_unsupported_share)


DEFAULT_SUPPORT = SupportSettings()


class NoSupportError(LearningError):
    """The log cannot say what a candidate would earn."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a log has of a candidate.

    Attributes:
        episodes: complete ones in the log.
        incomplete_episodes: left out.
        effective_sample_size: episodes of the candidate's own that the log is worth.
        unsupported_share: share of episodes in which it would meet an action never tried in its state.
        refusal: why that is not enough, and what to do; empty where it is.
    """

    episodes: int
    incomplete_episodes: int
    effective_sample_size: float
    unsupported_share: float
    refusal: str

    def require(self) -> None:
        """Raise ``NoSupportError`` with the reason unless the log supports the candidate."""
        if self.refusal:
            raise NoSupportError(self.refusal)


def support_of(
    log: LoggedEpisodes, policy: Float64Array, settings: SupportSettings = DEFAULT_SUPPORT
) -> Support:
    """Return what the log has of this policy, and why that is not enough where it is not.

    Args:
        log: complete episodes, any number.
        policy: probability per action, float64[S, A].
        settings: what is asked for.

    Raises:
        LearningError: the policy is malformed, or the log is of another number of states or actions.
    """
    require_policy("the candidate", policy)
    log.transitions.validate(*policy.shape)
    if len(log) == 0:
        return Support(0, log.incomplete_count, 0.0, 1.0, "the log holds no complete episode; log some first")
    mdp = EmpiricalMdp.from_transitions(log.transitions, *policy.shape)
    size = effective_sample_size(importance_weights(log, policy))
    share = unsupported_share(mdp, log, policy)
    refusal = ""
    if share > settings.maximum_unsupported_share:
        refusal = (
            f"in {share:.1%} of episodes the candidate would take an action that the log never shows in that "
            f"state, most often {_untried(mdp, policy)}; at most {settings.maximum_unsupported_share:.1%} "
            "can be judged: let the serving policy explore more or take the candidate from safe_improvement"
        )
    elif size < settings.minimum_effective_episodes:
        refusal = (
            f"{len(log)} episodes are worth {size:.0f} of the candidate's own, fewer than "
            f"{settings.minimum_effective_episodes:.0f}: it acts too differently from what was logged; log "
            "more episodes, explore more, or take a candidate that changes less"
        )
    return Support(len(log), log.incomplete_count, size, share, refusal)


def _untried(mdp: EmpiricalMdp, policy: Float64Array, named: int = 3) -> str:
    """Return the pairs the policy would take and the log does not show, by visits of their state."""
    visits = mdp.visits
    missed = np.where(visits > 0, 0.0, policy) * visits.sum(axis=1, keepdims=True)
    worst = np.argsort(missed, axis=None)[::-1][:named]
    pairs = [divmod(int(code), mdp.action_count) for code in worst if missed.reshape(-1)[code] > 0.0]
    return ", ".join(f"action {action} in state {state}" for state, action in pairs) or "in states never seen"
