"""A whole run in minutes, before the expensive one: every stage, model and role of a profile, with few rows."""
