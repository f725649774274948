"""Point clouds and their exact neighbour graphs."""
