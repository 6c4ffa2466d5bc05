"""File formats, read and written as bytes; nothing here starts a program."""
