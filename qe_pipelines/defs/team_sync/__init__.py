"""Learning together with a team: what leaves this database, what the team's server makes, what comes back."""
