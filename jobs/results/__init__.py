"""The results as Parquet: one file per attempt, and a reader that gives one row per trial."""
