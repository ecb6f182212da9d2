"""Who is calling: verification of tokens, accounts and tiers, for every app."""
