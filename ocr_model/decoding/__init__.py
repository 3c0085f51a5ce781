"""From logits to readings."""
