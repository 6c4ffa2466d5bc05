"""The tree of an image and its initrd, made of binary packages."""
