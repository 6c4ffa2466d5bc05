"""Machine: boots an image under QEMU, for `colvert run` and for the tests."""
