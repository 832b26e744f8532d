"""Shapes as small networks whose inputs are a few spheres inside the shape (Li et al., "High-fidelity 3D Model
Compression based on Key Spheres", DCC 2022)."""
