"""Loss functions: one file is one loss; torch only. `core` imports them."""
