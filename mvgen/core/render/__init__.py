"""Pictures of meshes and points: cameras around an object, ray casting, splatting, and the colours of buffers."""
