"""Stand-ins for the platforms that events go to."""
