"""Word images: where they come from, in what order, and how they become batches."""
