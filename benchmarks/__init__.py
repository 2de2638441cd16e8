"""How fast the API is, and what its walls cost, measured side by side: `make bench`."""
