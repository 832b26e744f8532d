"""A cut-out picture inflated to a closed surface: no weights, seconds."""
