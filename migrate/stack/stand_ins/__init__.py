"""Stand-ins for the clouds of vendors: the real wire formats over local HTTP, nothing outside is called.

For tests, the demo and the local stack. Knows neither the apps that call it nor their providers.
"""
