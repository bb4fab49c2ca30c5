"""Loss functions: one file, one loss; torch only."""
