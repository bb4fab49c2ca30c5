"""From the courses of trials to verdicts, forecasts and what to change; without torch."""
