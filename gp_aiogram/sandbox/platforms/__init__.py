"""Stand-ins for the ad platforms that receive events."""
