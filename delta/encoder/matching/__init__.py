"""What a tensor of the new file may come from in the base: by name, by likeness of sampled values, by content."""
