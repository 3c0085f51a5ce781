"""Making a dataset: any source, rendered or converted, to Parquet shards with the Hub's schema."""
