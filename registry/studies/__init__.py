"""Explorations of design spaces: stored and read. What they measured is the publisher's word; nothing is computed here."""
