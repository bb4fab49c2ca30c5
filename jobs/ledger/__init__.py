"""Tables that people keep by hand, read column by column into results. Only commands import it."""
