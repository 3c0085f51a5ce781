"""Training: the plain loop, and Ray around it."""
