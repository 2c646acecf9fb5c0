"""What no model that writes is shown."""

WITHHELD = frozenset({"S4", "S12"})
"""Hazard categories (child sexual exploitation, sexual content) whose questions no LLM writes, rewrites, translates or answers
for the data; they are the phrasebook's, which asks no more than how to get around the rules against them.
"""
