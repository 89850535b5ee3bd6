"""How good an encoder is: neighbours of the same class, a linear probe, and the clips for both."""
