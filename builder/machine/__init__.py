"""Machine: boots an image under QEMU, for  and for the tests."""
