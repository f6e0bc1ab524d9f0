"""What happened where, and when: events in series of images."""
