"""Quotas: reserve, then settle or refund, by the SQL functions of the shared database."""

from shared.quota.charges import Charge
from shared.quota.quotas import QuotaRow, Quotas, Reservation
from shared.quota.shielded import complete
from shared.quota.wire import UNLIMITED, shown

__all__ = ["UNLIMITED", "Charge", "QuotaRow", "Quotas", "Reservation", "complete", "shown"]
