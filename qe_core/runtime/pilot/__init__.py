"""The pilot: one agent does its first hundred tasks over and over, live, and is watched while it learns."""
