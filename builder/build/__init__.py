"""One build, from the opened manifest to the delivered files."""
