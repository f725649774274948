"""What a configuration says: read, checked against its schema, and its lists and varied keys written out."""
