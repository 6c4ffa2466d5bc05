"""One module per program of the SDK (mkfs.erofs, veritysetup, ukify, mtools, ...)."""
