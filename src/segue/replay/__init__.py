"""A log played again, event by event, through the path that a server answers by."""
