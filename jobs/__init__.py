"""Entry points for `ray job submit`; no logic."""
