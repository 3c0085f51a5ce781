"""Rendered words."""
