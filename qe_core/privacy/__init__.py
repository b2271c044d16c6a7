"""What may leave a machine, and in which form: bounds, noise, budgets, pseudonyms, and what noise is worth.

What belongs here: pure functions of counts and settings. What does not: PostgreSQL (`qe_core.store`), pushing
and pulling (`qe_core.runtime`). The one thing here that is not a function of its arguments is noise
(`mechanism`), because noise that somebody can repeat protects nobody.
"""
