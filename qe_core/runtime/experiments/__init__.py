"""Experiments as code: what the claims about learning rest on, computed anew by one call each.

What belongs here: playing many worlds and seeds and summing up what came out. What does not: how it is shown
(`qe_core.cli`) and what is measured (`qe_core.learning`, `qe_core.environments`).
"""
