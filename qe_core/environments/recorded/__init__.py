"""The pilot's world: recorded outcomes of real test generators, replayed exactly as project sessions."""

from qe_core.environments.recorded.environment import RecordedSessionEnv
from qe_core.environments.recorded.evaluation import PilotComparison, PilotRow, evaluate_pilot
from qe_core.environments.recorded.figures import figure_outcome_over_time
from qe_core.environments.recorded.policy import TablePolicy, policy_from
from qe_core.environments.recorded.project import Project, compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.sessions import BUDGETS, Outcome, Session, play, sessions_of
from qe_core.environments.recorded.training import TrainingSettings, train_pilot

__all__ = [
    "BUDGETS",
    "Outcome",
    "PilotComparison",
    "PilotRow",
    "Project",
    "RecordedSessionEnv",
    "Recordings",
    "Session",
    "TablePolicy",
    "TrainingSettings",
    "compile_project",
    "evaluate_pilot",
    "figure_outcome_over_time",
    "play",
    "policy_from",
    "sessions_of",
    "train_pilot",
]
