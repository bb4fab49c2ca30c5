"""The results of a study as one offline page, as a table for a paper, and as pictures. Only commands import it."""
