"""Pure maths of the hierarchy: projection, aggregation, lookup, transfer.

What belongs here: functions from tables of one level to values of another.
What does not: learning a table (learning), loading and storing tables (the store), the roster (fleet).
"""
