"""The Parquet store: one immutable file per attempt, one row per trial."""
