"""What a run will take, by arithmetic, and what of it is missing on this machine; no model is loaded."""
