"""Foreign formats in, one checked HDF5 file a dataset out; batches of it, and synthetic data of the same forms."""
