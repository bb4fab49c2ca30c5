"""Tables that people keep by hand: read, understood column by column, and put beside the store's own rows."""
