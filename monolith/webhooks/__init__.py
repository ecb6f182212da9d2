"""Deliveries of providers: signatures, one inbox, effects that happen once; knows no provider's data."""
