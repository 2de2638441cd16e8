"""How fast the API is, and what row-level security costs, beside other designs: `make bench`."""
