"""Stand-in of Stripe: customers, checkout, billing portal, subscriptions, events and webhooks."""
