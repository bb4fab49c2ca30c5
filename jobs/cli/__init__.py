"""What commands share: options, and what they read. It may import `present` and `study`."""
