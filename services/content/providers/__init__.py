"""Catalogues of others: The Movie Database and TheTVDB, with a cache of their answers."""
