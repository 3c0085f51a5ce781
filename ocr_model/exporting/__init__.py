"""Making other kinds of a bundle, each checked against the original before it is kept."""
