"""One picture to a mesh by way of six views, their coordinate maps and a triplane (Wang et al., "CRM", 2024)."""
