"""Checks uploaded files: models and sample sets in a limited child process, contracts, which are small, here.

`checks` is the server's side; `model`, `samples` and `__main__` run in the child and know no Django.
"""
