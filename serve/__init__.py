"""The online application; to come."""
