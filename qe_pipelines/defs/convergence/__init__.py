"""Whether agents have learned: statistics windows, verdicts and replay."""
