"""What results answer, as objects for Python and notebooks: words, HTML, tables. `conclus.open` gives them."""
