"""Learning again from stored transitions: the buffer, sampling, and exact sequential training.

What belongs here: the ring buffer with uniform and prioritised sampling, and training from it or from a log.
What does not: the exact solution of a log (empirical_mdp), which is what is materialised; replay is for
streams and for worlds that change.
"""
