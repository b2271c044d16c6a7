"""The `qe` command: what people type, what they read and which exit code they get.

What belongs here: arguments, help texts, tables, progress bars, exit codes. What does not: the work itself
(`qe_core.runtime`) and anything of Dagster, which runs as a process of its own.
"""

from qe_core.cli.app import main

__all__ = ["main"]
