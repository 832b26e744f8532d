"""The hot loops and nothing else: plain arrays in, plain arrays out. A short reference stands beside each."""
