"""The audit record: what one record holds, and the chain that lets somebody else see that none was changed or left out."""
