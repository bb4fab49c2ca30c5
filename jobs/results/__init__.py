"""The Parquet store: one immutable file per attempt, one row per trial. All packages of `jobs` import it."""
