"""`smallfleet demo`: the main job on one machine, by real processes."""
