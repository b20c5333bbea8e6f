"""What the device believes about models: signed metadata by line, checked in a child, kept where no crash leaves half of it."""
