"""Which tokens merge: keys -> plan -> merged tokens. Tensor functions that know no model."""
