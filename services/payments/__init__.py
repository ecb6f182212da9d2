"""Plans, subscriptions, promo codes and quotas; the only writer of money and of allowances."""
