"""Effects: one pooled HTTP client, and the provider's documents cached over it."""
