"""Pictures of a history."""
