"""What `make bench` measures. Nothing here is a test: figures are printed, floors stand beside them."""
