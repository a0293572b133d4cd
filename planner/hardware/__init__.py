"""Device profiles: schema, loader, catalogue."""
