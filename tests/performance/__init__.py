"""What `make bench` measures. Nothing here is a test: figures are printed side by side, floors are stated beside them."""
