"""Turn a measured mu(E) into a flattened spectrum on the model's energy grid, with its flags."""
