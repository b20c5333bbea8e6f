"""Who may do what: people, API tokens, roles, audit, and the one error format of the API."""
