"""One module for each way of generating tests; each has `run(spec)`.

Belongs here: producing tests and emitting them as they are found. Does not belong here: measuring what they
cover.
"""
