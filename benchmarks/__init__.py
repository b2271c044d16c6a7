"""What is measured, against what, with one command: ``python -m benchmarks``.

What belongs here: every figure the product owes, each beside a peer or a limit taken in the same run.
What does not: correctness of the product in general (`tests`), and anything the product itself imports.

A module of benchmarks has a tuple ``BENCHMARKS`` of `harness.Benchmark` and a line in `catalogue.MODULES`. It
imports packages that may be missing (``Contestant.packages``) inside ``prepare``, not at its top.
"""
