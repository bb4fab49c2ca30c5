"""What commands share: their options, and the results that they read. Only commands import it."""
