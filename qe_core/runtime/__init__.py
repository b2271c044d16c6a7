"""The application services behind the commands: importing, exporting, training, the demo and its report.

What belongs here: what joins the store, the environments and the recordings into something a person asks
for. What does not: mathematics (`qe_core.learning`), SQL (`qe_core.store`), talking to people
(`qe_core.cli`).
"""
