"""Batch OCR without Ray: listing, planning, reading, writing. `inference/batch.py` runs it."""
