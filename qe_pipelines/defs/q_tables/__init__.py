"""Q-tables of agents, categories and the fleet, rebuilt from the checked log."""
