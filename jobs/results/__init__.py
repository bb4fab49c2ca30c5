"""The results as Parquet: one file per attempt, one row per trial. All packages of `jobs` import it."""
