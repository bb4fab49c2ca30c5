"""From rows to conclusions, as numbers; no torch. `present` and all that lies above it import it."""
