"""Assembly: from binary packages to the tree of an image and its initrd."""
