"""What runs inside the sandbox, under the tools' own interpreter.

Belongs here: generating, surveying, measuring and mutating, with nothing but the standard library, coverage
and (per strategy) pytest, hypothesis or pynguin. Does not belong here: anything of the product; these modules
are copied to a place the unprivileged sandbox user can read and run as the top-level package `inside`.
"""
