"""The science: data, encoders, models, training and analysis. It never imports hpc_sweep."""
