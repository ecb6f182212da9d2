"""The public routes of the community domain (contract, 1.14 and 2.6), by resource."""

from services.community.endpoints.library import router as library
from services.community.endpoints.notifications import router as notifications
from services.community.endpoints.room_socket import router as room_socket
from services.community.endpoints.rooms import router as rooms
from services.community.endpoints.stories import router as stories

ROUTERS = (stories, rooms, room_socket, library, notifications)

__all__ = ["ROUTERS"]
