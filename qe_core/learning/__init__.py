"""Pure maths of learning: updates, exploration, replay, empirical MDP, convergence.

What belongs here: functions from arrays to new arrays, with time and randomness as arguments.
What does not: reading or writing anything, agents' names, settings files, plots.
Import from the modules themselves; the package re-exports nothing, so that a caller who needs a data class
does not pay for the compiler.
"""
