"""The history of the schema: numbered, append-only, plain SQL.

What belongs here: one thin module and one ``.sql`` file per change. What does not: deciding when to run them
(`qe_core.store.migration`).
"""
