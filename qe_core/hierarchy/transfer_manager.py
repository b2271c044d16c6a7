"""TransferLearningManager: who passes what to whom, and what is taken back.

What belongs here: similarity groups, transfers into one agent from all its groups, and refusing sources that
did harm. What does not: what an offer is (`transfer`), how harm is judged (`negative_transfer`), loading and
publishing tables (the pipelines).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from qe_core.config import Settings
from qe_core.errors import ConfigError, UnknownAgentError
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.registry import Registry
from qe_core.fleet.vocabulary import FleetContext
from qe_core.hierarchy.aggregate import AggregationPart
from qe_core.hierarchy.negative_transfer import (
    DEFAULT_HARM,
    GainEstimate,
    HarmRecord,
    HarmSettings,
    followed_gain,
    look,
)
from qe_core.hierarchy.transfer import (
    DEFAULT_TRANSFER,
    Offer,
    TransferReport,
    TransferSettings,
    offer,
    take_offers,
)
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, QTable, quantised_weights

NEVER_LOOKED = HarmRecord()


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What all transfers into one agent did.

    Attributes:
        table: the target's, with priors where it has no evidence; its own evidence is unchanged bit for bit.
        reports: one per source, by name.
        gains: what following each source would have gained, by source.
        records: to be remembered until the next time, by source.
    """

    table: QTable
    reports: tuple[TransferReport, ...]
    gains: Mapping[str, GainEstimate]
    records: Mapping[str, HarmRecord]


class TransferLearningManager:
    """Passes knowledge between agents of one similarity group; a function of tables and records.

    Args:
        groups: members by name of the group; an agent may be in several.
        settings: confidence asked for and factor.
        harm: how harm is judged.
        confidence: what is assumed about noise before it is measured.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[AgentContract]],
        settings: TransferSettings = DEFAULT_TRANSFER,
        harm: HarmSettings = DEFAULT_HARM,
        confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
    ) -> None:
        self._groups = {name: tuple(members) for name, members in groups.items()}
        self._settings, self._harm, self._confidence = settings, harm, confidence

    @classmethod
    def of(cls, fleet: Registry, settings: Settings) -> Self:
        """Return the manager of a fleet: groups that agents declare, and those of the settings.

        Raises:
            ConfigError: the settings name an agent nobody registered; the message names the nearest.
        """
        chosen, learning = settings.transfer, settings.learning
        return cls(
            similarity_groups(fleet, chosen.groups),
            TransferSettings(chosen.minimum_confidence, chosen.factor),
            HarmSettings(chosen.harm_error_rate),
            ConfidenceSettings(
                learning.prior_variance_points2,
                learning.noise_variance_points2,
                learning.noise_weight_targets,
            ),
        )

    @property
    def groups(self) -> Mapping[str, tuple[AgentContract, ...]]:
        """Members by name of the group."""
        return self._groups

    def groups_of(self, agent: str) -> tuple[str, ...]:
        """Return the names of the groups an agent is in."""
        return tuple(
            name for name, members in self._groups.items() if agent in (member.name for member in members)
        )

    def partners(self, agent: str) -> tuple[AgentContract, ...]:
        """Return whom an agent hears from: the other members of all its groups, each once, by name."""
        met = {member.name: member for name in self.groups_of(agent) for member in self._groups[name]}
        return tuple(met[name] for name in sorted(met) if name != agent)

    def transfer(
        self, target: str, tables: Mapping[str, QTable], records: Mapping[str, HarmRecord] | None = None
    ) -> TransferOutcome:
        """Return the target's table with the priors its partners give, all judged by its own evidence first.

        Called again with the same tables and the records it returned, it changes nothing. A source found
        harmful is refused from then on, so what it gave is taken back and nothing else is.

        Args:
            target: who receives; a member of a group, or nothing happens.
            tables: of the target and its partners, by name; a partner without one says nothing.
            records: what was remembered about the target's sources.

        Raises:
            KeyError: the target has no table.
            LearningError: a table does not fit its contract.
        """
        members = {member.name: member for group in self._groups.values() for member in group}
        own = tables[target]
        if target not in members:
            return TransferOutcome(own, (), {}, {})
        contract, known = members[target], records or {}
        offers = {
            partner.name: self._offer(partner, tables[partner.name], contract, own)
            for partner in self.partners(target)
            if partner.name in tables
        }
        gains = {
            name: followed_gain(given, own, self._harm, self._confidence) for name, given in offers.items()
        }
        looked = {name: look(known.get(name, NEVER_LOOKED), gain, self._harm) for name, gain in gains.items()}
        refused = {
            name: f"following it would lose points: found at look {record.looks}, "
            f"from {record.looked_at_visits} own experiences"
            for name, record in looked.items()
            if record.is_harmful
        }
        part = self._part(contract, own, contract.fleet_divisor)
        table, reports = take_offers(part, offers, refused)
        return TransferOutcome(table, reports, gains, looked)

    def _offer(self, giving: AgentContract, given: QTable, taking: AgentContract, own: QTable) -> Offer:
        """Return what one agent says to another, in the largest states both share."""
        is_one_category = giving.category is taking.category
        context = giving.category.context if is_one_category else FleetContext
        source, target = (
            self._part(
                contract, table, contract.category_divisor if is_one_category else contract.fleet_divisor
            )
            for contract, table in ((giving, given), (taking, own))
        )
        return offer(source, target, context.space_size(), self._settings)

    def _part(self, contract: AgentContract, table: QTable, divisor: int) -> AggregationPart:
        weights = quantised_weights(table, self._confidence)
        return AggregationPart(contract.name, table, weights, divisor, contract.approach_indices)


def similarity_groups(
    fleet: Registry, from_settings: Mapping[str, Iterable[str]]
) -> dict[str, tuple[AgentContract, ...]]:
    """Return the groups that agents declare, with those of the settings in their places or after them.

    Args:
        fleet: the registered agents.
        from_settings: names of members by group; none remove the group.

    Raises:
        ConfigError: a member is not registered; the message names the nearest agents.
    """
    groups = dict(fleet.similarity_groups())
    for name, members in from_settings.items():
        try:
            groups[name] = tuple(fleet.get(member) for member in members)
        except UnknownAgentError as error:
            raise ConfigError(f"transfer.groups.{name}: {error}") from None
    return {name: members for name, members in groups.items() if members}


def has_own_evidence_unchanged(before: QTable, after: QTable) -> bool:
    """Whether a transfer left what the agent saw itself as it was: visits, statistics, visited values."""
    return (
        np.array_equal(before.visits, after.visits)
        and np.array_equal(before.target_mean, after.target_mean)
        and np.array_equal(before.target_m2, after.target_m2)
        and np.array_equal(before.q[before.visits > 0], after.q[after.visits > 0])
    )
