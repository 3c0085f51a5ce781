"""Reading with a trained bundle."""
