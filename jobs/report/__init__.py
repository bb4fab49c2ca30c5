"""What a study found, as one offline page, as a table for a paper, and as pictures."""
