"""The workbench: real test generators run on real code, recorded over time.

Belongs here: making recordings and reading them back. Does not belong here: the environment that replays them
(`qe_core.environments.recorded`) and the agent that learns from it.

What a command line needs:

- `record(out=..., packages=None, modules=None, strategies=None, repetitions=3, workers=None, seconds=8.0,
  resume=True, work=None, show_progress=True) -> Path` makes recordings, with a progress bar on standard
  output; it blocks, and an interrupted one goes on where it stopped when called again.
- `load_recordings(path=None) -> Recordings` reads and checks those that ship with the package, or others.
- `verify(path=None) -> dict[str, int]` does the same and says how much there is.
- `summary(path=None) -> pyarrow.Table` compares the strategies, one row each.
- `load_subjects()`, `split_of(names)`, `STRATEGIES`, `SHIPPED` say what there is to record and where it lies.

All of them raise `qe_core.errors.WorkbenchError` or its subclass `RecordingError`, with what to do.
"""

from qe_core.workbench.record import record
from qe_core.workbench.recordings import SHIPPED, Recordings, load_recordings, summary, verify
from qe_core.workbench.subjects import SPLIT_RULE, Subject, load_subjects, split_of
from qe_core.workbench.workshop import MUTANTS, STRATEGIES

__all__ = [
    "MUTANTS",
    "SHIPPED",
    "SPLIT_RULE",
    "STRATEGIES",
    "Recordings",
    "Subject",
    "load_recordings",
    "load_subjects",
    "record",
    "split_of",
    "summary",
    "verify",
]
