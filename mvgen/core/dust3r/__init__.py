"""DUSt3R: point maps of pairs of photos by a network (Wang et al., "DUSt3R: Geometric 3D Vision Made Easy", 2024)."""
