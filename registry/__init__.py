"""What can run: model lines, versions, variants, artifacts, evaluations and deltas."""
