"""The nets themselves, one module a family, each with functions `(NetShape, **options) -> nn.Module`. Torch lives here."""
