"""`smallfleet agent doctor`: looks at everything that an agent needs on this device, and says what to do where it fails.

It changes nothing (what it writes to try the disk has no name and is gone at once), runs beside an agent and without a link,
and runs no hook. Each check belongs to one module here; what is heavy happens in children.
"""
