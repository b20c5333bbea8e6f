"""The wire of devices: enrollment, and what people do with devices, groups and link classes."""
