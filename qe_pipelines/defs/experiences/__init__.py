"""The log of experiences, observed and checked before anything is learned from it."""
